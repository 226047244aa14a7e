//! All that a manifest and those that it includes describe: edges, the variables that they see, and what is made by default.
//!
//! It is what ninja makes of it: variables of files and edges are expanded where they stand, those of rules when a command is asked
//! for, in the scope of the edge ([`super::command`]).
//!
//! Who wrote it may mean harm: the depth of includes and the length of paths are bounded, and so is all that is read, kept and expanded
//! ([`super::budget`]). What is beyond that, or what ninja would not take, is not known.

use std::collections::HashMap;
use std::rc::Rc;

use super::budget::{Budget, KEPT, LOOK_UP, NAMED};
use super::lexer::{Lexer, Part, Token, first_part};
use super::path::canonical;

const DEEPEST_INCLUDE: usize = 32;

/// No file has a longer path, and a name that only stands for others has no reason to be longer.
const LONGEST_PATH: usize = 1 << 16;

pub(super) type NodeId = usize;
pub(super) type EdgeId = usize;
type ScopeId = usize;
type RuleId = usize;

/// The rule of those that only stand for others.
const PHONY: RuleId = 0;

/// Reads a file by the path that the manifest has for it.
pub(super) type Read<'r> = &'r mut dyn FnMut(&[u8]) -> Option<Vec<u8>>;

/// A path.
#[derive(Default)]
pub(super) struct Node {
    /// The edge that makes it.
    pub(super) edge: Option<EdgeId>,
    /// The first edge that is made from it.
    pub(super) first_use: Option<EdgeId>,
}

/// How outputs are made from inputs.
pub(super) struct Edge {
    pub(super) rule: RuleId,
    pub(super) scope: ScopeId,
    /// What it binds itself.
    pub(super) bindings: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) outputs: Vec<NodeId>,
    pub(super) explicit_outputs: usize,
    /// Explicit, implicit and order-only ones, and then validations.
    pub(super) inputs: Vec<NodeId>,
    pub(super) explicit_inputs: usize,
}

#[derive(Default)]
pub(super) struct Scope {
    parent: Option<ScopeId>,
    variables: HashMap<Vec<u8>, Vec<u8>>,
    rules: HashMap<Vec<u8>, RuleId>,
}

/// A manifest that was read.
pub(super) struct Manifest {
    pub(super) edges: Vec<Edge>,
    pub(super) nodes: Vec<Node>,
    /// The paths of the nodes.
    pub(super) paths: Vec<Rc<[u8]>>,
    ids: HashMap<Rc<[u8]>, NodeId>,
    scopes: Vec<Scope>,
    /// What each rule binds, not expanded.
    pub(super) rules: Vec<HashMap<Vec<u8>, Vec<u8>>>,
    /// What is made if nothing is asked for, if it says so.
    pub(super) defaults: Vec<NodeId>,
    pub(super) has_dyndeps: bool,
    pub(super) budget: Budget,
}

impl Manifest {
    /// Reads a manifest and those that it includes; `None` if that cannot be done as ninja does it.
    pub(super) fn read(path: &[u8], budget: Budget, read: Read<'_>) -> Option<Manifest> {
        let root = Scope { rules: HashMap::from([(b"phony".to_vec(), PHONY)]), ..Scope::default() };
        let mut manifest = Manifest {
            edges: Vec::new(),
            nodes: Vec::new(),
            paths: Vec::new(),
            ids: HashMap::new(),
            scopes: vec![root],
            rules: vec![HashMap::new()],
            defaults: Vec::new(),
            has_dyndeps: false,
            budget,
        };
        manifest.file(path, 0, 0, read)?;
        Some(manifest)
    }

    pub(super) fn find(&self, path: &[u8]) -> Option<NodeId> {
        self.ids.get(&canonical(path)?[..]).copied()
    }

    pub(super) fn is_phony(&self, edge: EdgeId) -> bool {
        self.edges[edge].rule == PHONY
    }

    /// What ninja makes if it is asked for nothing and the manifest has no default: what nothing else is made from.
    pub(super) fn roots(&self) -> Vec<NodeId> {
        let outputs = self.edges.iter().flat_map(|edge| &edge.outputs);
        outputs.copied().filter(|node| self.nodes[*node].first_use.is_none()).collect()
    }

    pub(super) fn text(&self, path: &[u8], read: Read<'_>) -> Option<Vec<u8>> {
        let mut text = read(path)?;
        self.budget.read(text.len())?;
        text.push(b'\n');
        Some(text)
    }

    fn file(&mut self, path: &[u8], scope: ScopeId, depth: usize, read: Read<'_>) -> Option<()> {
        if depth > DEEPEST_INCLUDE {
            return None;
        }
        let text = self.text(path, read)?;
        let mut lexer = Lexer::new(&text);
        loop {
            match lexer.next()? {
                Token::End => return Some(()),
                Token::Newline => {}
                Token::Word(b"build") => self.edge(&mut lexer, scope)?,
                Token::Word(b"rule") => self.rule(&mut lexer, scope)?,
                Token::Word(b"pool") => {
                    lexer.word()?;
                    lexer.expect(Token::Newline)?;
                    self.bindings(&mut lexer, scope)?;
                }
                Token::Word(b"default") => {
                    let nodes = self.paths_in(&mut lexer, scope, &[])?;
                    lexer.expect(Token::Newline)?;
                    self.defaults.extend(nodes);
                }
                Token::Word(kind @ (b"include" | b"subninja")) => {
                    let path = self.expand_for(lexer.path()?, scope, &[])?;
                    lexer.expect(Token::Newline)?;
                    let mut inner = scope;
                    if kind == b"subninja" {
                        inner = self.scopes.len();
                        self.scopes.push(Scope { parent: Some(scope), ..Scope::default() });
                    }
                    self.file(&path, inner, depth + 1, read)?;
                }
                Token::Word(name) => {
                    let value = self.expand_for(lexer.value()?, scope, &[])?;
                    self.has_dyndeps |= name == b"dyndep";
                    self.budget.spend(KEPT + name.len())?;
                    self.scopes[scope].variables.insert(name.to_vec(), value);
                }
                _ => return None,
            }
        }
    }

    fn rule(&mut self, lexer: &mut Lexer<'_>, scope: ScopeId) -> Option<()> {
        let name = lexer.word()?;
        lexer.expect(Token::Newline)?;
        let mut bindings = HashMap::new();
        while lexer.takes(Token::Indent) {
            let key = lexer.word()?;
            self.has_dyndeps |= key == b"dyndep";
            let value = lexer.value()?;
            self.budget.spend(KEPT + key.len() + value.len())?;
            bindings.insert(key.to_vec(), value.to_vec());
        }
        self.budget.spend(KEPT + name.len())?;
        self.rules.push(bindings);
        let is_new = self.scopes[scope].rules.insert(name.to_vec(), self.rules.len() - 1).is_none();
        is_new.then_some(())
    }

    fn edge(&mut self, lexer: &mut Lexer<'_>, scope: ScopeId) -> Option<()> {
        // What the edge binds below is seen in its paths.
        let raw_outputs = self.raw_paths(lexer)?;
        let more_outputs = if lexer.takes(Token::Pipe) { self.raw_paths(lexer)? } else { Vec::new() };
        lexer.expect(Token::Colon)?;
        let rule = self.find_rule(lexer.word()?, scope)?;
        let mut raw_inputs = self.raw_paths(lexer)?;
        let explicit_inputs = raw_inputs.len();
        for kind in [Token::Pipe, Token::DoublePipe] {
            if lexer.takes(kind) {
                raw_inputs.extend(self.raw_paths(lexer)?);
            }
        }
        let validations = if lexer.takes(Token::PipeAt) { self.raw_paths(lexer)? } else { Vec::new() };
        lexer.expect(Token::Newline)?;
        let bindings = self.bindings(lexer, scope)?;

        let id = self.edges.len();
        let (mut outputs, mut explicit_outputs) = (Vec::new(), 0);
        for (at, raw) in raw_outputs.iter().chain(&more_outputs).enumerate() {
            let node = self.node(raw, scope, &bindings)?;
            // The first edge that names it makes it.
            if self.nodes[node].edge.is_none() {
                self.nodes[node].edge = Some(id);
                outputs.push(node);
                explicit_outputs += usize::from(at < raw_outputs.len());
            }
        }
        // As if it did not stand there.
        if outputs.is_empty() {
            return Some(());
        }
        let mut inputs = Vec::with_capacity(raw_inputs.len() + validations.len());
        for raw in raw_inputs {
            let node = self.node(raw, scope, &bindings)?;
            let first_use = &mut self.nodes[node].first_use;
            *first_use = first_use.or(Some(id));
            inputs.push(node);
        }
        for raw in validations {
            inputs.push(self.node(raw, scope, &bindings)?);
        }
        self.budget.spend(KEPT)?;
        self.edges.push(Edge { rule, scope, bindings, outputs, explicit_outputs, inputs, explicit_inputs });
        Some(())
    }

    /// The indented lines that follow, expanded as the file is.
    pub(super) fn bindings(
        &mut self,
        lexer: &mut Lexer<'_>,
        scope: ScopeId,
    ) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut bindings = Vec::new();
        while lexer.takes(Token::Indent) {
            let key = lexer.word()?;
            self.has_dyndeps |= key == b"dyndep";
            self.budget.spend(KEPT + key.len())?;
            bindings.push((key.to_vec(), self.expand_for(lexer.value()?, scope, &[])?));
        }
        Some(bindings)
    }

    fn find_rule(&self, name: &[u8], scope: ScopeId) -> Option<RuleId> {
        self.upwards(scope).find_map(|scope| scope.rules.get(name).copied())
    }

    pub(super) fn paths_in(
        &mut self,
        lexer: &mut Lexer<'_>,
        scope: ScopeId,
        bindings: &[(Vec<u8>, Vec<u8>)],
    ) -> Option<Vec<NodeId>> {
        self.raw_paths(lexer)?.into_iter().map(|raw| self.node(raw, scope, bindings)).collect()
    }

    fn node(&mut self, raw: &[u8], scope: ScopeId, bindings: &[(Vec<u8>, Vec<u8>)]) -> Option<NodeId> {
        let path = self.expand_for(raw, scope, bindings)?;
        if path.len() > LONGEST_PATH {
            return None;
        }
        let path = canonical(&path)?;
        if let Some(known) = self.ids.get(&path[..]) {
            return Some(*known);
        }
        self.budget.spend(KEPT + path.len())?;
        let path: Rc<[u8]> = path.into();
        let id = self.nodes.len();
        self.nodes.push(Node::default());
        self.paths.push(Rc::clone(&path));
        self.ids.insert(path, id);
        Some(id)
    }

    fn raw_paths<'t>(&self, lexer: &mut Lexer<'t>) -> Option<Vec<&'t [u8]>> {
        let mut paths = Vec::new();
        loop {
            let path = lexer.path()?;
            if path.is_empty() {
                return Some(paths);
            }
            self.budget.spend(NAMED)?;
            paths.push(path);
        }
    }

    /// A text, expanded where it stands.
    fn expand_for(&self, mut raw: &[u8], scope: ScopeId, bindings: &[(Vec<u8>, Vec<u8>)]) -> Option<Vec<u8>> {
        self.budget.spend(raw.len())?;
        let mut value = Vec::new();
        while !raw.is_empty() {
            let (part, rest) = first_part(raw)?;
            raw = rest;
            match part {
                Part::Text(text) => value.extend_from_slice(text),
                Part::Variable(name) => {
                    let found = bound(bindings, name)
                        .or_else(|| self.upwards(scope).find_map(|scope| value_in(scope, name)))
                        .unwrap_or_default();
                    self.budget.spend(LOOK_UP + bindings.len() + found.len())?;
                    value.extend_from_slice(found);
                }
            }
        }
        Some(value)
    }

    pub(super) fn upwards(&self, scope: ScopeId) -> impl Iterator<Item = &Scope> {
        std::iter::successors(Some(&self.scopes[scope]), |scope| Some(&self.scopes[scope.parent?]))
    }
}

pub(super) fn value_in<'s>(scope: &'s Scope, name: &[u8]) -> Option<&'s [u8]> {
    scope.variables.get(name).map(|value| &value[..])
}

pub(super) fn bound<'b>(bindings: &'b [(Vec<u8>, Vec<u8>)], name: &[u8]) -> Option<&'b [u8]> {
    bindings.iter().rev().find(|(key, _)| key == name).map(|(_, value)| &value[..])
}
