//! The order in which things that use each other are built.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use crate::Error;
use crate::error::Problem;

/// Returns the keys of a graph so that each comes after those that it uses; the order is the same each time.
/// Uses that are no key are ignored. O(keys + uses), without recursion.
///
/// # Errors
/// A circle, with the names along it.
pub fn order<K: Ord + Copy + Display>(graph: impl IntoIterator<Item = (K, Vec<K>)>) -> Result<Vec<K>, Error> {
    let graph: BTreeMap<K, Vec<K>> = graph.into_iter().collect();
    let mut sorted = Vec::new();
    let mut done = BTreeSet::new();
    for &root in graph.keys() {
        let mut path: Vec<(K, std::slice::Iter<'_, K>)> = Vec::new();
        let mut on_path = BTreeSet::new();
        let mut enter = Some(root);
        loop {
            if let Some(key) = enter.take()
                && !done.contains(&key)
                && let Some(uses) = graph.get(&key)
            {
                if !on_path.insert(key) {
                    let start = path.iter().position(|(other, _)| *other == key).unwrap_or(0);
                    let mut circle: Vec<_> =
                        path[start..].iter().map(|(other, _)| other.to_string()).collect();
                    circle.push(key.to_string());
                    return Err(Problem::Cycle(circle).into());
                }
                path.push((key, uses.iter()));
            }
            let Some((key, uses)) = path.last_mut() else { break };
            let key = *key;
            enter = uses.next().copied();
            if enter.is_none() {
                path.pop();
                on_path.remove(&key);
                done.insert(key);
                sorted.push(key);
            }
        }
    }
    Ok(sorted)
}
