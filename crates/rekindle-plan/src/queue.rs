//! The states that units go through, as a pure state machine.
//!
//! The caller asks for the next unit that may start, runs it as it likes, and says how it ended. Nothing here
//! waits or counts time. Among the units that may start, the one with the longest chain of users goes first,
//! then the one added first: the order is the same in every run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::graph::{Graph, UnitId};

/// Where a unit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitState {
    /// Something it needs is not done.
    Waiting,
    /// It may start.
    Ready,
    /// The caller runs it.
    Running,
    /// It ended well.
    Done,
    /// It ended badly.
    Failed,
    /// Something it needs failed: it never starts.
    Abandoned,
}

/// How a unit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// Its users may go on.
    Done,
    /// Its users are abandoned.
    Failed,
}

/// What may start now, what runs, and what is over.
#[derive(Debug)]
pub struct Queue<'g> {
    graph: &'g Graph,
    states: Vec<UnitState>,
    missing: Vec<usize>,
    ready: BinaryHeap<(u32, Reverse<UnitId>)>,
    open: usize,
    running: usize,
    keep_going: bool,
    stopped: bool,
}

impl<'g> Queue<'g> {
    /// All units of `graph`, none started. With `keep_going`, a failure stops only what needs it; without, no
    /// further unit starts after the first failure.
    pub fn new(graph: &'g Graph, keep_going: bool) -> Self {
        let missing: Vec<usize> = graph.units().map(|unit| graph.needs(unit).len()).collect();
        let mut queue = Queue {
            graph,
            states: vec![UnitState::Waiting; graph.len()],
            missing,
            ready: BinaryHeap::new(),
            open: graph.len(),
            running: 0,
            keep_going,
            stopped: false,
        };
        for unit in graph.units() {
            if queue.missing[unit.index()] == 0 {
                queue.make_ready(unit);
            }
        }
        queue
    }

    /// Takes the next unit that may start and counts it as running; `None` if none may start now.
    pub fn start_next(&mut self) -> Option<UnitId> {
        if self.stopped {
            return None;
        }
        let (_, Reverse(unit)) = self.ready.pop()?;
        self.states[unit.index()] = UnitState::Running;
        self.running += 1;
        Some(unit)
    }

    /// Says how a running unit ended. Returns the units that are abandoned because of it.
    ///
    /// # Panics
    /// If `unit` is not running.
    pub fn finish(&mut self, unit: UnitId, finish: Finish) -> Vec<UnitId> {
        assert_eq!(self.states[unit.index()], UnitState::Running, "only a running unit can finish");
        self.running -= 1;
        self.open -= 1;
        match finish {
            Finish::Done => {
                self.states[unit.index()] = UnitState::Done;
                for &user in self.graph.users(unit) {
                    self.missing[user.index()] -= 1;
                    if self.missing[user.index()] == 0 && self.states[user.index()] == UnitState::Waiting {
                        self.make_ready(user);
                    }
                }
                Vec::new()
            }
            Finish::Failed => {
                self.states[unit.index()] = UnitState::Failed;
                self.stopped |= !self.keep_going;
                self.abandon_users(unit)
            }
        }
    }

    /// Starts nothing more. What runs may still finish.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// Whether nothing runs and nothing will start.
    pub fn is_over(&self) -> bool {
        self.running == 0 && (self.open == 0 || self.stopped || self.ready.is_empty())
    }

    /// How many units run now.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Where `unit` stands.
    pub fn state(&self, unit: UnitId) -> UnitState {
        self.states[unit.index()]
    }

    fn make_ready(&mut self, unit: UnitId) {
        self.states[unit.index()] = UnitState::Ready;
        self.ready.push((self.graph.height(unit), Reverse(unit)));
    }

    fn abandon_users(&mut self, failed: UnitId) -> Vec<UnitId> {
        let mut abandoned = Vec::new();
        let mut stack = vec![failed];
        while let Some(unit) = stack.pop() {
            for &user in self.graph.users(unit) {
                if self.states[user.index()] == UnitState::Waiting {
                    self.states[user.index()] = UnitState::Abandoned;
                    self.open -= 1;
                    abandoned.push(user);
                    stack.push(user);
                }
            }
        }
        abandoned.sort();
        abandoned
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::graph::GraphBuilder;

    /// Units 0.. with the given needs.
    fn graph(units: usize, needs: &[(usize, usize)]) -> Graph {
        let mut builder = GraphBuilder::new();
        let ids: Vec<_> = (0..units).map(|_| builder.add_unit()).collect();
        for (unit, need) in needs {
            builder.add_need(ids[*unit], ids[*need]);
        }
        builder.finish().expect("no cycle")
    }

    fn start(queue: &mut Queue<'_>) -> Option<usize> {
        queue.start_next().map(UnitId::index)
    }

    #[test]
    fn the_longest_chain_goes_first() {
        let graph = graph(4, &[(1, 0), (2, 1)]);
        let mut queue = Queue::new(&graph, false);
        assert_eq!((start(&mut queue), start(&mut queue), start(&mut queue)), (Some(0), Some(3), None));
        assert!(!queue.is_over());
    }

    #[test]
    fn a_failure_abandons_users_and_keeps_the_rest() {
        let graph = graph(4, &[(1, 0), (2, 1)]);
        let units: Vec<_> = graph.units().collect();
        let mut queue = Queue::new(&graph, true);
        queue.start_next();
        assert_eq!(queue.finish(units[0], Finish::Failed), [units[1], units[2]]);
        assert_eq!(start(&mut queue), Some(3));
        queue.finish(units[3], Finish::Done);
        assert!(queue.is_over());
        assert_eq!(queue.state(units[2]), UnitState::Abandoned);
    }

    #[test]
    fn without_keep_going_nothing_starts_after_a_failure() {
        let graph = graph(2, &[]);
        let mut queue = Queue::new(&graph, false);
        let first = queue.start_next().expect("two are ready");
        queue.finish(first, Finish::Failed);
        assert_eq!(queue.start_next(), None);
        assert!(queue.is_over());
    }

    proptest! {
        /// Whatever the graph and the results: needs end before users start, and every unit ends exactly once.
        #[test]
        fn every_unit_ends_once_and_after_its_needs(
            edges in proptest::collection::vec((0usize..20, 0usize..20), 0..60),
            failures in proptest::collection::vec(any::<bool>(), 20),
            picks in proptest::collection::vec(any::<usize>(), 20),
        ) {
            let edges: Vec<_> = edges.into_iter().filter(|(a, b)| a > b).collect();
            let graph = graph(20, &edges);
            let mut queue = Queue::new(&graph, true);
            let mut running = Vec::new();
            let mut ended = [false; 20];
            let mut picks = picks.into_iter().cycle();
            while !queue.is_over() {
                while let Some(unit) = queue.start_next() {
                    for need in graph.needs(unit) {
                        prop_assert_eq!(queue.state(*need), UnitState::Done);
                    }
                    running.push(unit);
                }
                let unit = running.swap_remove(picks.next().expect("endless") % running.len());
                let finish = if failures[unit.index()] { Finish::Failed } else { Finish::Done };
                for over in queue.finish(unit, finish).into_iter().chain([unit]) {
                    prop_assert!(!std::mem::replace(&mut ended[over.index()], true));
                }
            }
            prop_assert!(running.is_empty());
            prop_assert!(ended.iter().all(|ended| *ended));
        }
    }
}
