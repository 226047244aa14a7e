//! Which layers to squash, so that stacks stay short at a cost that follows the changes and not the tree.
//!
//! Stacks share layers, so a run may only be replaced if it is whole in each stack that has any of it. Of such a run
//! the upper layers are squashed as soon as there are many of about the same size, like the digits of a counter that
//! carries. A byte is written again only together with many times as many, and a large layer at the bottom stays what
//! it is however many small ones come to lie on it. To look at the largest layer above and not at their sum is right
//! where later ones replace what earlier ones have, as the products of one edit after the other do.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

/// Finds the runs of adjacent layers to squash in stacks (topmost first) that share layers, so that there are not more
/// of about the same size than `most` says for the largest of them. Each run is topmost first, has at least two layers,
/// and is to be replaced in every stack that has it; no two have a layer in common. A layer is in a stack at most once.
///
/// `most` never says less for a larger layer. `is_pinned` layers are left as they are. `size` is that of a layer in bytes; it is asked only for what is too
/// long for the smallest ones.
pub fn runs_to_squash<T: Copy + Eq + Hash>(
    stacks: &[&[T]],
    most: impl Fn(u64) -> usize,
    is_pinned: impl Fn(T) -> bool,
    mut size: impl FnMut(T) -> u64,
) -> Vec<Vec<T>> {
    let parts = parts(stacks, is_pinned);
    parts
        .into_iter()
        .filter(|part| part.len() > most(0))
        .filter_map(|part| upper_run(part, &most, &mut size))
        .collect()
}

/// Cuts stacks into the longest parts that are whole wherever any layer of them is.
fn parts<T: Copy + Eq + Hash>(stacks: &[&[T]], is_pinned: impl Fn(T) -> bool) -> Vec<Vec<T>> {
    let mut times: HashMap<T, usize> = HashMap::new();
    let mut neighbours: HashMap<(T, T), usize> = HashMap::new();
    for stack in stacks {
        stack.iter().for_each(|layer| *times.entry(*layer).or_default() += 1);
        stack.windows(2).for_each(|pair| *neighbours.entry((pair[0], pair[1])).or_default() += 1);
    }
    let belong = |above: T, below: T| {
        let together = neighbours[&(above, below)];
        together == times[&above] && together == times[&below] && !is_pinned(above) && !is_pinned(below)
    };
    let mut seen = HashSet::new();
    let mut parts = Vec::new();
    for stack in stacks {
        for part in stack.chunk_by(|above, below| belong(*above, *below)) {
            // Another stack that has one of its layers has all.
            if part.iter().all(|layer| seen.insert(*layer)) {
                parts.push(part.to_vec());
            }
        }
    }
    parts
}

/// The upper end of a part, down to the last of the levels that have more than `most` layers. A level begins with a
/// layer that is more than twice as large as all above.
fn upper_run<T: Copy>(
    mut part: Vec<T>,
    most: &impl Fn(u64) -> usize,
    size: &mut impl FnMut(T) -> u64,
) -> Option<Vec<T>> {
    let (mut largest, mut level, mut end) = (0, 0, 0);
    for (index, layer) in part.iter().enumerate() {
        let size = size(*layer);
        if size > 2 * largest {
            level = 0;
        }
        level += 1;
        largest = largest.max(size);
        if level > most(largest) {
            end = index + 1;
        }
    }
    part.truncate(end);
    (end > 1).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(stacks: &[&[u32]], most: usize, pinned: &[u32], sizes: &[(u32, u64)]) -> Vec<Vec<u32>> {
        let sizes: HashMap<u32, u64> = sizes.iter().copied().collect();
        let size = |layer| sizes.get(&layer).copied().unwrap_or(1);
        runs_to_squash(stacks, |_| most, |layer| pinned.contains(&layer), size)
    }

    #[test]
    fn short_stacks_are_left_alone() {
        let no: [Vec<u32>; 0] = [];
        assert_eq!(runs(&[&[3, 2, 1]], 3, &[], &[]), no);
        assert_eq!(runs(&[&[3, 2, 1], &[]], 0, &[1, 2, 3], &[]), no);
        assert_eq!(runs(&[], 0, &[], &[]), no);
    }

    #[test]
    fn a_large_layer_at_the_bottom_stays() {
        assert_eq!(runs(&[&[5, 4, 3, 2, 1]], 3, &[], &[(1, 1000)]), [[5, 4, 3, 2]]);
        assert_eq!(runs(&[&[5, 4, 3, 2, 1]], 3, &[], &[(1, 1000), (5, 500)]), [[5, 4, 3, 2, 1]]);
        // One in the middle is no reason to leave small ones below it for ever.
        assert_eq!(runs(&[&[5, 4, 3, 2, 1]], 2, &[], &[(3, 1000)]), [[5, 4, 3, 2, 1]]);
        // Each much larger than all above: there are few of them.
        assert!(runs(&[&[4, 3, 2, 1]], 2, &[], &[(4, 1), (3, 10), (2, 100), (1, 1000)]).is_empty());
    }

    #[test]
    fn small_layers_may_be_fewer() {
        let most = |size| if size < 10 { 2 } else { 4 };
        let runs = |sizes: &[u64]| {
            let stack: Vec<usize> = (0..sizes.len()).collect();
            runs_to_squash(&[&stack], most, |_| false, |layer| sizes[layer])
        };
        assert_eq!(runs(&[1, 1, 1, 100]), [[0, 1, 2]]);
        assert!(runs(&[50, 50, 50, 100]).is_empty());
        assert!(runs(&[50, 1, 1, 1]).is_empty(), "they lie below a large one");
        assert_eq!(runs(&[50, 50, 1, 50, 50]), [[0, 1, 2, 3, 4]]);
    }

    #[test]
    fn what_stacks_share_is_cut_nowhere() {
        // The tree of a seeded step has the source of long ago, that of another one has the newest.
        let source: &[u32] = &[13, 12, 11, 10];
        let early: &[u32] = &[20, 13, 12, 11, 10];
        let late: &[u32] = &[33, 32, 31, 30, 20, 10];
        assert_eq!(runs(&[source, early, late], 2, &[20], &[]), [vec![13, 12, 11], vec![33, 32, 31, 30]]);
        // A stack that has only a part of a run forbids it.
        assert_eq!(runs(&[source, &[12, 11, 10]], 2, &[], &[]), [[12, 11, 10]]);
        assert!(runs(&[source, &[12, 10]], 1, &[], &[]).is_empty());
        // So does another order.
        assert!(runs(&[&[1, 2, 3], &[3, 2, 1]], 1, &[], &[]).is_empty());
    }

    /// A chain of builds, each with a new layer of one unit on a large tree.
    #[test]
    fn long_chains_stay_short_and_cheap() {
        const MOST: usize = 16;
        const BUILDS: u32 = 2000;
        const TREE: u64 = 1_000_000;
        for overlaps in [false, true] {
            let mut sizes: HashMap<u32, u64> = HashMap::from([(0, TREE)]);
            let mut stack = vec![0];
            let (mut next, mut cost, mut deepest) = (1, 0, 0);
            for _ in 0..BUILDS {
                sizes.insert(next, 1);
                stack.insert(0, next);
                next += 1;
                for run in runs_to_squash(&[&stack], |_| MOST, |_| false, |layer| sizes[&layer]) {
                    let parts = run.iter().map(|layer| sizes[layer]);
                    let size = if overlaps { parts.max() } else { Some(parts.sum()) }.expect("a run");
                    assert!(size < TREE, "the tree itself is not written again");
                    cost += size;
                    sizes.insert(next, size);
                    let at = stack.iter().position(|layer| *layer == run[0]).expect("it is there");
                    stack.splice(at..at + run.len(), [next]);
                    next += 1;
                }
                deepest = deepest.max(stack.len());
            }
            assert!(deepest <= 4 * MOST, "{deepest}");
            // About once more for each of three levels.
            assert!(cost < 3 * u64::from(BUILDS), "{cost}");
        }
    }
}
