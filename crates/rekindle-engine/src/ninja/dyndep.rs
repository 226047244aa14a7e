//! Dependencies that are found while ninja runs, by what a command of it has made: which C++ or Fortran file needs which module.

use super::lexer::{Lexer, Token};
use super::manifest::{Manifest, NodeId, Read};

impl Manifest {
    /// Reads a file with more dependencies and adds them. `found` gets each path to which an edge was given.
    pub(super) fn add_dyndeps(&mut self, path: &[u8], read: Read<'_>, found: &mut Vec<NodeId>) -> Option<()> {
        let text = self.text(path, read)?;
        let mut lexer = Lexer::new(&text);
        loop {
            match lexer.next()? {
                Token::End => return Some(()),
                Token::Newline => {}
                Token::Word(b"build") => {
                    let output = self.paths_in(&mut lexer, 0, &[])?;
                    let edge = self.nodes[*output.first()?].edge?;
                    let more = match lexer.takes(Token::Pipe) {
                        true => self.paths_in(&mut lexer, 0, &[])?,
                        false => Vec::new(),
                    };
                    lexer.expect(Token::Colon)?;
                    lexer.expect(Token::Word(b"dyndep"))?;
                    let inputs = match lexer.takes(Token::Pipe) {
                        true => self.paths_in(&mut lexer, 0, &[])?,
                        false => Vec::new(),
                    };
                    lexer.expect(Token::Newline)?;
                    for node in more {
                        if self.nodes[node].edge.is_none() {
                            self.nodes[node].edge = Some(edge);
                            self.edges[edge].outputs.push(node);
                            found.push(node);
                        }
                    }
                    self.edges[edge].inputs.extend(inputs);
                    self.bindings(&mut lexer, 0)?;
                }
                Token::Word(_) => _ = lexer.value()?,
                _ => return None,
            }
        }
    }
}
