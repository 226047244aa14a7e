//! The command of an edge, and what else its rule says.
//!
//! What the edge binds goes before what its rule does, and that before what the file binds. But an edge that binds nothing
//! has no scope of its own, so that there the file goes first. Ninja does it so, and all that matters is to do it as ninja does.

use super::lexer::{Part, first_part};
use super::manifest::{EdgeId, Manifest, NodeId, bound, value_in};

const DEEPEST_RULE: usize = 32;

/// How much may come of one variable on the way to its value, in bytes, and how much of that looking one up is taken for.
const MOST_EXPANDED: usize = 64 << 20;
const LOOK_UP: usize = 64;

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

    /// A variable as it is for an edge and its rule, expanded.
    pub(super) fn variable(&self, edge: EdgeId, name: &[u8]) -> Option<Vec<u8>> {
        let mut budget = MOST_EXPANDED;
        let mut value = Vec::new();
        self.look_up(edge, name, 0, &mut budget, &mut value)?;
        Some(value)
    }

    /// Adds what a variable is for an edge and its rule.
    fn look_up(
        &self,
        id: EdgeId,
        name: &[u8],
        depth: usize,
        budget: &mut usize,
        value: &mut Vec<u8>,
    ) -> Option<()> {
        let edge = &self.edges[id];
        let listed = |nodes: &[NodeId], separator: u8| {
            let paths: Vec<Vec<u8>> = nodes.iter().map(|node| quoted(&self.paths[*node])).collect();
            paths.join(&separator)
        };
        let before = value.len();
        *budget = budget.checked_sub(LOOK_UP)?;
        let (explicit_inputs, explicit_outputs) =
            (&edge.inputs[..edge.explicit_inputs], &edge.outputs[..edge.explicit_outputs]);
        let mut scopes = self.upwards(edge.scope);
        let own = match edge.bindings.is_empty() {
            true => scopes.next().and_then(|scope| value_in(scope, name)),
            false => bound(&edge.bindings, name),
        };
        match name {
            b"in" => value.extend(listed(explicit_inputs, b' ')),
            b"in_newline" => value.extend(listed(explicit_inputs, b'\n')),
            b"out" => value.extend(listed(explicit_outputs, b' ')),
            _ => {
                if let Some(own) = own {
                    value.extend_from_slice(own);
                } else if let Some(mut raw) = self.rules[edge.rule].get(name).map(|raw| &raw[..]) {
                    if depth > DEEPEST_RULE {
                        return None;
                    }
                    while !raw.is_empty() {
                        let (part, rest) = first_part(raw)?;
                        raw = rest;
                        match part {
                            Part::Text(text) => value.extend_from_slice(text),
                            Part::Variable(name) => self.look_up(id, name, depth + 1, budget, value)?,
                        }
                    }
                } else if let Some(found) = scopes.find_map(|scope| value_in(scope, name)) {
                    value.extend_from_slice(found);
                }
            }
        }
        *budget = budget.checked_sub(value.len() - before)?;
        Some(())
    }
}

/// A path as a shell takes it for one word.
fn quoted(path: &[u8]) -> Vec<u8> {
    if path.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_+-./".contains(byte)) {
        return path.to_vec();
    }
    let mut word = vec![b'\''];
    for byte in path {
        match byte {
            b'\'' => word.extend_from_slice(b"'\\''"),
            byte => word.push(*byte),
        }
    }
    word.push(b'\'');
    word
}
