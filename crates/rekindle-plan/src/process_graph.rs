//! What a tree was made from, as a graph of tasks and files.
//!
//! It is drawn backwards: from the files that are wanted to the tasks that made them, from these to what they read, and on to
//! the sources. So only what led to something that is there is in it, whichever build it was made by; a test that left
//! nothing is not. A file that was changed in place (an archive) is one node, and so the graph may have circles. What
//! lies outside of the tree is left out. It must not know in which format a graph is drawn.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::explain::{Input, Lineage, Maker, TaskAt};
use crate::trace::{Touch, name_of};

/// A task that read so many files to make so many that all pairs of them are more than this made each of those that
/// have a name in common, most likely: it copied them.
const MOST_PAIRS: usize = 4096;

/// A graph.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessGraph {
    /// The nodes, those nearest to what was wanted first.
    pub nodes: Vec<Node>,
    /// From what was there first to what came of it, each once, ascending.
    pub edges: Vec<Edge>,
    /// How many nodes are not in it, because they are more than the limit.
    pub left_out: usize,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// What was started as one.
    Task {
        /// Which.
        task: TaskAt,
    },
    /// A file or link of the tree.
    File {
        /// Where.
        path: Vec<u8>,
        /// How it came there.
        origin: Origin,
    },
}

/// How a file came to where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nothing that was observed made it.
    Source,
    /// It lies outside of the tree: on the host, or in another package.
    Outside,
    /// A task made it in an earlier build.
    Kept,
    /// A task made it in the last build.
    MadeNow,
}

/// An edge between two nodes, by their places.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// What was there first.
    pub from: usize,
    /// What came of it.
    pub to: usize,
    /// How.
    pub kind: EdgeKind,
    /// What lies between them and is not shown: with [`Show::Tasks`] a file, with [`Show::Files`] the program of a task.
    pub through: Option<Vec<u8>>,
    /// How many ways there are from the one to the other.
    pub count: usize,
}

/// What an edge says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EdgeKind {
    /// A task read a file, or a file was made from another.
    Read,
    /// A task executed a file of the tree.
    Executed,
    /// A task made a file.
    Made,
}

/// What is in the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Tasks and files.
    Both,
    /// Tasks alone: an edge for what one read of the other's files.
    Tasks,
    /// Files alone: an edge for what one was made from.
    Files,
}

/// Draws what `wanted` came from, or all that is in the tree. At most `limit` nodes are taken, the nearest first.
pub fn draw(lineage: &Lineage<'_>, wanted: Option<&[u8]>, show: Show, limit: Option<usize>) -> ProcessGraph {
    let whole = Walk::over(lineage, wanted.map_or_else(|| products(lineage), |path| vec![path.to_vec()]));
    let graph = match show {
        Show::Both => whole.graph,
        Show::Tasks => whole.graph.reduced(lineage, |node| matches!(node, Node::Task { .. })),
        Show::Files => whole.graph.reduced(lineage, |node| matches!(node, Node::File { .. })),
    };
    graph.cut(limit)
}

/// All files that are there and that some task made, ascending.
pub fn products(lineage: &Lineage<'_>) -> Vec<Vec<u8>> {
    let mut found = BTreeSet::new();
    for at in lineage.all_runs() {
        let paths = lineage.trace(at).paths();
        for path in lineage.tasks(at).flat_map(|task| lineage.products(task)).map(|id| paths.get(id)) {
            if !path.starts_with(b"/") && !lineage.is_directory(path) {
                found.insert(path.to_vec());
            }
        }
    }
    found.into_iter().collect()
}

struct Walk<'l, 'a> {
    lineage: &'l Lineage<'a>,
    graph: ProcessGraph,
    tasks: BTreeMap<TaskAt, usize>,
    files: BTreeMap<Vec<u8>, usize>,
    edges: BTreeSet<(usize, usize, EdgeKind)>,
}

impl<'l, 'a> Walk<'l, 'a> {
    fn over(lineage: &'l Lineage<'a>, wanted: Vec<Vec<u8>>) -> Walk<'l, 'a> {
        let mut walk = Walk {
            lineage,
            graph: ProcessGraph::default(),
            tasks: BTreeMap::new(),
            files: BTreeMap::new(),
            edges: BTreeSet::new(),
        };
        let mut queue = VecDeque::new();
        for path in wanted {
            let maker = lineage.maker(&path);
            walk.file(&path, maker, &mut queue);
        }
        while let Some((maker, file)) = queue.pop_front() {
            walk.make(&maker, file, &mut queue);
        }
        let edges = std::mem::take(&mut walk.edges);
        walk.graph.edges = edges
            .into_iter()
            .map(|(from, to, kind)| Edge { from, to, kind, through: None, count: 1 })
            .collect();
        walk
    }

    /// Finds or makes the node of a file, and has its maker looked at.
    fn file(&mut self, path: &[u8], maker: Option<Maker>, queue: &mut VecDeque<(Maker, usize)>) -> usize {
        let known = self.files.get(path).copied();
        let node = known.unwrap_or_else(|| {
            let origin = match &maker {
                None if path.starts_with(b"/") => Origin::Outside,
                None => Origin::Source,
                Some(maker) if self.lineage.is_now(maker.task.at) => Origin::MadeNow,
                Some(_) => Origin::Kept,
            };
            self.graph.nodes.push(Node::File { path: path.to_vec(), origin });
            self.graph.nodes.len() - 1
        });
        self.files.insert(path.to_vec(), node);
        if let Some(maker) = maker {
            let is_new = self
                .tasks
                .get(&maker.task)
                .is_none_or(|task| !self.edges.contains(&(*task, node, EdgeKind::Made)));
            if is_new {
                queue.push_back((maker, node));
            }
        }
        node
    }

    fn make(&mut self, maker: &Maker, file: usize, queue: &mut VecDeque<(Maker, usize)>) {
        let task = maker.task;
        let trace = self.lineage.trace(task.at);
        let known = self.tasks.get(&task).copied();
        let node = known.unwrap_or_else(|| {
            self.graph.nodes.push(Node::Task { task });
            self.graph.nodes.len() - 1
        });
        self.edges.insert((node, file, EdgeKind::Made));
        if let Some(from) = &maker.from {
            let before = self.lineage.maker_before(task.at, maker.moment, from);
            let from = self.file(from, before, queue);
            self.edges.insert((from, node, EdgeKind::Read));
        }
        if self.tasks.insert(task, node).is_some() {
            return;
        }
        // What decides what is run reads everything; what it made itself is its own book.
        let is_step = self.lineage.started_by(task).is_none();
        for input in self.lineage.inputs(task).into_iter().filter(Input::is_content) {
            let path = trace.paths().get(input.path);
            if is_step || path.starts_with(b"/") || self.lineage.is_directory(path) {
                continue;
            }
            let made_by = self.lineage.maker_of(task, input);
            let file = self.file(path, made_by, queue);
            let is_executed = input.touch.any(Touch::EXECUTED);
            let kind = if is_executed { EdgeKind::Executed } else { EdgeKind::Read };
            self.edges.insert((file, node, kind));
        }
    }
}

impl ProcessGraph {
    /// Only the nodes that are wanted, with an edge for each way over one that is not.
    fn reduced(self, lineage: &Lineage<'_>, is_wanted: impl Fn(&Node) -> bool) -> ProcessGraph {
        let mut into: Vec<Vec<(usize, EdgeKind)>> = vec![Vec::new(); self.nodes.len()];
        let mut out = vec![0; self.nodes.len()];
        for edge in &self.edges {
            into[edge.to].push((edge.from, edge.kind));
            out[edge.from] += 1;
        }
        let is_copier = |over: usize| into[over].len().saturating_mul(out[over]) > MOST_PAIRS;
        let mut places = vec![None; self.nodes.len()];
        let mut nodes = Vec::new();
        for (at, node) in self.nodes.iter().enumerate().filter(|(_, node)| is_wanted(node)) {
            places[at] = Some(nodes.len());
            nodes.push(node.clone());
        }
        let mut ways: BTreeMap<(usize, usize), Edge> = BTreeMap::new();
        for (at, place) in places.iter().enumerate() {
            let Some(to) = *place else { continue };
            for (over, kind) in &into[at] {
                for (from, _) in &into[*over] {
                    let Some(from) = places[*from] else { continue };
                    let is_other = matches!((&nodes[from], &nodes[to]), (Node::File { path: a, .. }, Node::File { path: b, .. })
                        if name_of(a) != name_of(b));
                    if from == to || (is_other && is_copier(*over)) {
                        continue;
                    }
                    let through = match &self.nodes[*over] {
                        Node::File { path, .. } => Some(path.clone()),
                        Node::Task { task } => {
                            let exec = lineage.exec(task.at, lineage.leader(*task));
                            exec.map(|exec| exec.argv.first().unwrap_or_default().to_vec())
                        }
                    };
                    let kind = if *kind == EdgeKind::Executed { *kind } else { EdgeKind::Read };
                    let way = Edge { from, to, kind, through, count: 0 };
                    ways.entry((from, to)).or_insert(way).count += 1;
                }
            }
        }
        ProcessGraph { edges: ways.into_values().collect(), nodes, left_out: 0 }
    }

    fn cut(mut self, limit: Option<usize>) -> ProcessGraph {
        let limit = limit.unwrap_or(usize::MAX);
        self.left_out = self.nodes.len().saturating_sub(limit);
        self.nodes.truncate(limit);
        let count = self.nodes.len();
        self.edges.retain(|edge| edge.from < count && edge.to < count);
        self
    }
}

#[cfg(test)]
mod tests;
