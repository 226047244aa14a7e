//! The command of an edge, and what else its rule says.
//!
//! What the edge binds goes before what its rule does, and that before what the file binds. But an edge that binds nothing
//! has no scope of its own, so that there the file goes first. Ninja does it so, and all that matters is to do it as ninja does.

use super::budget::LOOK_UP;
use super::lexer::{Part, first_part};
use super::manifest::{EdgeId, Manifest, NodeId, bound, value_in};

const DEEPEST_RULE: usize = 32;

impl Manifest {
    /// All of a command by which ninja tells it from another one.
    pub(super) fn command(&self, edge: EdgeId) -> Option<[Vec<u8>; 2]> {
        Some([self.variable(edge, b"command")?, self.variable(edge, b"rspfile_content")?])
    }

    /// Whether ninja does not run an edge again because its command is another one.
    pub(super) fn is_generator(&self, edge: EdgeId) -> Option<bool> {
        Some(!self.variable(edge, b"generator")?.is_empty())
    }

    /// The file with more dependencies of an edge, if it has one.
    pub(super) fn dyndep(&self, edge: EdgeId) -> Option<Vec<u8>> {
        if self.has_dyndeps { self.variable(edge, b"dyndep") } else { Some(Vec::new()) }
    }

    /// A variable as it is for an edge and its rule, expanded; `None` if it leads too deep, or the budget of the whole plan is spent.
    fn variable(&self, edge: EdgeId, name: &[u8]) -> Option<Vec<u8>> {
        let mut value = Vec::new();
        self.look_up(edge, name, 0, &mut value)?;
        Some(value)
    }

    /// Adds what a variable is for an edge and its rule.
    fn look_up(&self, id: EdgeId, name: &[u8], depth: usize, value: &mut Vec<u8>) -> Option<()> {
        let edge = &self.edges[id];
        self.budget.spend(LOOK_UP + edge.bindings.len())?;
        match name {
            b"in" => return self.list(&edge.inputs[..edge.explicit_inputs], b' ', value),
            b"in_newline" => return self.list(&edge.inputs[..edge.explicit_inputs], b'\n', value),
            b"out" => return self.list(&edge.outputs[..edge.explicit_outputs], b' ', value),
            _ => {}
        }
        let mut scopes = self.upwards(edge.scope);
        let own = match edge.bindings.is_empty() {
            true => scopes.next().and_then(|scope| value_in(scope, name)),
            false => bound(&edge.bindings, name),
        };
        if let Some(own) = own {
            return self.add(own, value);
        }
        if let Some(raw) = self.rules[edge.rule].get(name) {
            if depth > DEEPEST_RULE {
                return None;
            }
            self.budget.spend(raw.len())?;
            let mut raw = &raw[..];
            while !raw.is_empty() {
                let (part, rest) = first_part(raw)?;
                raw = rest;
                match part {
                    Part::Text(text) => value.extend_from_slice(text),
                    Part::Variable(name) => self.look_up(id, name, depth + 1, value)?,
                }
            }
            return Some(());
        }
        match scopes.find_map(|scope| value_in(scope, name)) {
            Some(found) => self.add(found, value),
            None => Some(()),
        }
    }

    fn add(&self, text: &[u8], value: &mut Vec<u8>) -> Option<()> {
        self.budget.spend(text.len())?;
        value.extend_from_slice(text);
        Some(())
    }

    /// Adds paths as a shell takes each for one word.
    fn list(&self, nodes: &[NodeId], separator: u8, value: &mut Vec<u8>) -> Option<()> {
        for (at, node) in nodes.iter().enumerate() {
            if at > 0 {
                value.push(separator);
            }
            let before = value.len();
            quote(&self.paths[*node], value);
            self.budget.spend(1 + value.len() - before)?;
        }
        Some(())
    }
}

fn quote(path: &[u8], value: &mut Vec<u8>) {
    if path.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_+-./".contains(byte)) {
        value.extend_from_slice(path);
        return;
    }
    value.push(b'\'');
    for byte in path {
        match byte {
            b'\'' => value.extend_from_slice(b"'\\''"),
            byte => value.push(*byte),
        }
    }
    value.push(b'\'');
}
