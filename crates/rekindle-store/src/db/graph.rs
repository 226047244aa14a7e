//! All valid paths and what they refer to, at one moment.

use std::collections::HashMap;

use rekindle_nix::{StoreDir, StorePath};

use super::Db;
use crate::error::{Cause, Result};

/// The paths, and by their places in the list what they refer to.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(crate) paths: Vec<StorePath>,
    /// The deriver of each, if it is valid and not the path itself.
    pub(crate) derivers: Vec<Option<usize>>,
    /// What each refers to, itself excluded.
    pub(crate) references: Vec<Vec<usize>>,
}

impl Graph {
    /// Adds to `reached` all that the places in `todo` need: references, and derivations that made them.
    pub(crate) fn reach(&self, mut todo: Vec<usize>, reached: &mut [bool]) {
        while let Some(place) = todo.pop() {
            if !std::mem::replace(&mut reached[place], true) {
                todo.extend(&self.references[place]);
                todo.extend(self.derivers[place]);
            }
        }
    }

    /// The places that are not in `reached`, each before those that it refers to.
    pub(crate) fn unreached(&self, reached: &[bool]) -> Vec<usize> {
        let mut referrers = vec![0_usize; self.paths.len()];
        let dead = || (0..self.paths.len()).filter(|place| !reached[*place]);
        for to in dead().flat_map(|place| &self.references[place]) {
            referrers[*to] += 1;
        }
        let mut order: Vec<usize> = dead().filter(|place| referrers[*place] == 0).collect();
        let mut next = 0;
        while let Some(place) = order.get(next).copied() {
            next += 1;
            for to in &self.references[place] {
                referrers[*to] -= 1;
                if referrers[*to] == 0 && !reached[*to] {
                    order.push(*to);
                }
            }
        }
        order
    }
}

impl Db {
    pub(crate) fn graph(&self, dir: &StoreDir) -> Result<Graph> {
        let (rows, edges) = self.look("list the paths", |tx| {
            let rows: Vec<(i64, String, Option<String>)> = tx
                .prepare_cached("select id, path, deriver from ValidPaths order by path")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<rusqlite::Result<_>>()?;
            let edges: Vec<(i64, i64)> = tx
                .prepare_cached("select referrer, reference from Refs where referrer != reference")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            Ok((rows, edges))
        })?;
        let mut graph = Graph::default();
        let mut by_id = HashMap::new();
        let mut by_path = HashMap::new();
        for (place, (id, path, _)) in rows.iter().enumerate() {
            let parsed = dir
                .parse(path.as_bytes())
                .map_err(|error| Cause::BadRecord { path: path.clone(), why: error.to_string() })?;
            graph.paths.push(parsed);
            by_id.insert(*id, place);
            by_path.insert(path.as_str(), place);
        }
        graph.references.resize(rows.len(), Vec::new());
        for (place, (_, _, deriver)) in rows.iter().enumerate() {
            let deriver = deriver.as_deref().and_then(|deriver| by_path.get(deriver).copied());
            graph.derivers.push(deriver.filter(|deriver| *deriver != place));
        }
        for (from, to) in edges {
            if let (Some(from), Some(to)) = (by_id.get(&from), by_id.get(&to)) {
                graph.references[*from].push(*to);
            }
        }
        Ok(graph)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dead_comes_before_what_it_needs() {
        let path =
            |n: u8| StorePath::from_base_name(format!("{}-x", n.to_string().repeat(32)).as_bytes()).unwrap();
        // 0 → 1 → 2, 3 → 2, 4 made by 5, 5 → 1.
        let graph = Graph {
            paths: (0..6).map(path).collect(),
            derivers: vec![None, None, None, None, Some(5), None],
            references: vec![vec![1], vec![2], vec![], vec![2], vec![], vec![1]],
        };
        let check = |roots: &[usize], expect: &[usize]| {
            let mut live = vec![false; 6];
            graph.reach(roots.to_vec(), &mut live);
            let dead = graph.unreached(&live);
            for (at, place) in dead.iter().enumerate() {
                assert!(graph.references[*place].iter().all(|to| !dead[..at].contains(to)), "{dead:?}");
            }
            let mut sorted = dead;
            sorted.sort_unstable();
            assert_eq!(sorted, expect);
        };
        check(&[], &[0, 1, 2, 3, 4, 5]);
        check(&[0], &[3, 4, 5]);
        check(&[3], &[0, 1, 4, 5]);
        check(&[4], &[0, 3]);
        check(&[2, 5], &[0, 3, 4]);
    }
}
