//! Units and their needs, in an arena indexed by [`UnitId`].
//!
//! Edges are kept twice, as lists of needs and of users, because the queue walks both ways. Building a graph is
//! O(units + edges); so is the search for a cycle, which uses an explicit stack: a closure of nixpkgs is deep.

use std::fmt;

/// The number of a unit in its [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitId(u32);

impl UnitId {
    /// The position in the arena, for tables that the caller keeps beside the graph.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Units that need each other in a ring, in order of need; the last one needs the first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Cycle {
    /// The ring.
    pub units: Vec<UnitId>,
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} units need each other in a ring", self.units.len())
    }
}

/// A graph without cycles.
#[derive(Debug, Clone)]
pub struct Graph {
    needs: Vec<Vec<UnitId>>,
    users: Vec<Vec<UnitId>>,
    /// Longest chain of users above each unit: what to start first.
    height: Vec<u32>,
}

/// A graph that is being made.
#[derive(Debug, Default)]
pub struct GraphBuilder {
    needs: Vec<Vec<UnitId>>,
}

impl GraphBuilder {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a unit without needs.
    ///
    /// # Panics
    /// With more than 2³² units, which no memory holds.
    pub fn add_unit(&mut self) -> UnitId {
        let id = UnitId(u32::try_from(self.needs.len()).expect("fewer than 2^32 units fit in memory"));
        self.needs.push(Vec::new());
        id
    }

    /// Says that `unit` can start only when `need` is done. Saying it twice is the same as once.
    pub fn add_need(&mut self, unit: UnitId, need: UnitId) {
        let needs = &mut self.needs[unit.index()];
        if !needs.contains(&need) {
            needs.push(need);
        }
    }

    /// Checks that the needs have an order.
    ///
    /// # Errors
    /// The first cycle found, smallest unit numbers first.
    pub fn finish(self) -> Result<Graph, Cycle> {
        let order = topological_order(&self.needs)?;
        let mut users = vec![Vec::new(); self.needs.len()];
        for (index, needs) in self.needs.iter().enumerate() {
            for need in needs {
                users[need.index()].push(UnitId(index as u32));
            }
        }
        let mut height = vec![0; self.needs.len()];
        for unit in order.iter().rev() {
            for need in &self.needs[unit.index()] {
                height[need.index()] = height[need.index()].max(height[unit.index()] + 1);
            }
        }
        Ok(Graph { needs: self.needs, users, height })
    }
}

impl Graph {
    /// The number of units.
    pub fn len(&self) -> usize {
        self.needs.len()
    }

    /// Whether there is no unit at all.
    pub fn is_empty(&self) -> bool {
        self.needs.is_empty()
    }

    /// All units, in the order in which they were added.
    pub fn units(&self) -> impl Iterator<Item = UnitId> + use<> {
        (0..self.needs.len() as u32).map(UnitId)
    }

    /// What `unit` waits for.
    pub fn needs(&self, unit: UnitId) -> &[UnitId] {
        &self.needs[unit.index()]
    }

    /// What waits for `unit`.
    pub fn users(&self, unit: UnitId) -> &[UnitId] {
        &self.users[unit.index()]
    }

    /// The length of the longest chain of units that wait, one after the other, for `unit`.
    pub fn height(&self, unit: UnitId) -> u32 {
        self.height[unit.index()]
    }
}

/// Needs before users. Depth first, with the path kept so that a cycle can be named.
fn topological_order(needs: &[Vec<UnitId>]) -> Result<Vec<UnitId>, Cycle> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; needs.len()];
    let mut order = Vec::with_capacity(needs.len());
    for start in 0..needs.len() {
        if marks[start] != Mark::New {
            continue;
        }
        let mut path = vec![(UnitId(start as u32), 0)];
        marks[start] = Mark::Open;
        while let Some((unit, next)) = path.last_mut() {
            let Some(&need) = needs[unit.index()].get(*next) else {
                marks[unit.index()] = Mark::Done;
                order.push(*unit);
                path.pop();
                continue;
            };
            *next += 1;
            match marks[need.index()] {
                Mark::Done => {}
                Mark::New => {
                    marks[need.index()] = Mark::Open;
                    path.push((need, 0));
                }
                Mark::Open => {
                    let ring = path.iter().map(|(unit, _)| *unit).skip_while(|unit| *unit != need);
                    return Err(Cycle { units: ring.collect() });
                }
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(units: u32, needs: &[(u32, u32)]) -> Result<Graph, Cycle> {
        let mut builder = GraphBuilder::new();
        for _ in 0..units {
            builder.add_unit();
        }
        for (unit, need) in needs {
            builder.add_need(UnitId(*unit), UnitId(*need));
        }
        builder.finish()
    }

    #[test]
    fn cycles_are_named_in_order_of_need() {
        let check = |units, needs: &[(u32, u32)], ring: &[u32]| {
            let cycle = graph(units, needs).expect_err("a cycle");
            assert_eq!(cycle.units, ring.iter().copied().map(UnitId).collect::<Vec<_>>());
        };
        check(1, &[(0, 0)], &[0]);
        check(3, &[(0, 1), (1, 2), (2, 1)], &[1, 2]);
        check(4, &[(3, 2), (2, 1), (1, 0), (0, 3)], &[0, 3, 2, 1]);
    }

    #[test]
    fn heights_are_longest_chains_of_users() {
        let graph = graph(4, &[(0, 1), (1, 2), (0, 2), (3, 2)]).expect("no cycle");
        let heights: Vec<_> = graph.units().map(|unit| graph.height(unit)).collect();
        assert_eq!(heights, [0, 1, 2, 0]);
        assert_eq!(graph.users(UnitId(2)), [UnitId(0), UnitId(1), UnitId(3)].as_slice());
    }

    #[test]
    fn a_need_said_twice_counts_once() {
        let graph = graph(2, &[(0, 1), (0, 1)]).expect("no cycle");
        assert_eq!(graph.needs(UnitId(0)).len(), 1);
    }

    #[test]
    fn a_deep_chain_needs_no_deep_stack() {
        let needs: Vec<_> = (0..200_000).map(|unit| (unit, unit + 1)).collect();
        assert_eq!(graph(200_001, &needs).expect("no cycle").height(UnitId(200_000)), 200_000);
    }
}
