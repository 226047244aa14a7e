//! Tells which runs are pieces of a path beyond doubt, which may be, and which are chance.
//!
//! The numbers are in the header of the module above.

use std::collections::HashSet;

use super::scan::{Found, Run};
use super::targets::Targets;

/// How close together, in the file, pieces of one copy are.
const NEAR: u64 = 256;
/// Known characters that are no chance.
const MANY: usize = 8;
/// Characters of a hash part that other store paths do not have by chance.
const ENOUGH: usize = 3;
/// Fewer known characters are in any file, again and again.
const FEW: usize = 4;

/// What is to be done with a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Where to write what. Empty if there is no piece in it.
    Replace(Vec<Patch>),
    /// There may be a piece that is not certain.
    Uncertain,
}

/// Bytes to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Patch {
    pub(super) at: u64,
    pub(super) bytes: Vec<u8>,
    /// The whole piece as it will be, as far as it is known: what to look for where it must not be.
    pub(super) piece: Vec<u8>,
}

/// What is to be done with a file in which `found` was found. `is_whole_in` tells whether the whole hash part of a
/// target's final path is in the file.
pub(super) fn judge(
    targets: &Targets,
    found: &Found,
    is_whole_in: &mut dyn FnMut(usize) -> std::io::Result<bool>,
) -> std::io::Result<Verdict> {
    if found.is_hopeless {
        return Ok(Verdict::Uncertain);
    }
    let runs: Vec<Weighed<'_>> = found.runs.iter().map(|run| Weighed::new(targets, run)).collect();
    // One walk in the order of the file finds what is near.
    let mut order: Vec<usize> = (0..runs.len()).collect();
    order.sort_by_key(|index| runs[*index].place);
    let near = |at: usize| {
        let this = &runs[order[at]];
        let close = move |other: &&Weighed<'_>| other.place.abs_diff(this.place) <= NEAR;
        let before = order[..at].iter().rev().map(|index| &runs[*index]).take_while(close);
        let after = order[at + 1..].iter().map(|index| &runs[*index]).take_while(close);
        before.chain(after).filter(move |other| other.is_another_part_of(this))
    };
    let has_strong = |target: usize| runs.iter().any(|run| run.run.target == target && run.is_strong());
    let mut certain: Vec<&Weighed<'_>> = Vec::new();
    for (at, index) in order.iter().enumerate() {
        let this = &runs[*index];
        if !this.is_shown() {
            // The neighbour may only be chance itself, if it is as short.
            let has_neighbour =
                this.known >= FEW && this.hash >= 2 && near(at).any(|other| other.known >= FEW);
            let is_long = this.known >= MANY && (this.hash >= ENOUGH || has_strong(this.run.target));
            if this.is_head || this.is_tail || is_long || has_neighbour {
                return Ok(Verdict::Uncertain);
            }
            continue;
        }
        let helped = || {
            near(at).any(|other| {
                other.is_shown() && this.known + other.known >= MANY && this.hash + other.hash >= ENOUGH
            })
        };
        if !this.is_shared && (this.is_strong() || this.has_name() || helped()) {
            certain.push(this);
        } else if this.known >= MANY || this.is_tail || has_strong(this.run.target) {
            return Ok(Verdict::Uncertain);
        }
    }
    for (index, target) in targets.all.iter().enumerate() {
        let of_it = || certain.iter().filter(|piece| piece.run.target == index);
        let seen: HashSet<usize> =
            of_it().flat_map(|piece| piece.run.shown.iter().cloned().flatten()).collect();
        let is_all = (target.hash_at..target.hash_end()).all(|at| seen.contains(&at) || !target.changes(at));
        // A program that puts a path together has all of it.
        if of_it().next().is_some() && !is_all && !is_whole_in(index)? {
            return Ok(Verdict::Uncertain);
        }
    }
    Ok(patches(targets, &certain).map_or(Verdict::Uncertain, Verdict::Replace))
}

/// A run, and how much it says.
struct Weighed<'a> {
    run: &'a Run,
    /// Where it is in the file.
    place: u64,
    /// Known characters: of what the program shows, or else of the run.
    known: usize,
    /// Those among them that are of the hash part.
    hash: usize,
    /// Known characters behind the hash part.
    behind: usize,
    is_shared: bool,
    /// Whether it has the whole store directory and some of the hash part.
    is_head: bool,
    /// Whether it has the last character of the hash part and the whole name.
    is_tail: bool,
}

impl<'a> Weighed<'a> {
    fn new(targets: &Targets, run: &'a Run) -> Self {
        let target = &targets.all[run.target];
        let (from, to) = run.shown_part().unwrap_or((run.from, run.to));
        let hash = to.min(target.hash_end()).saturating_sub(from.max(target.hash_at));
        Weighed {
            run,
            place: (run.origin + run.from as i64).max(0) as u64,
            known: to - from,
            hash,
            behind: to.saturating_sub(target.hash_end()),
            is_shared: targets.is_shared(run.target, from, to),
            is_head: run.from == 0 && hash >= FEW,
            is_tail: run.to == target.text.len() && run.from < target.hash_end(),
        }
    }

    /// Whether the program shows where it ends.
    fn is_shown(&self) -> bool {
        !self.run.shown.is_empty()
    }

    fn is_strong(&self) -> bool {
        self.is_shown() && self.known >= MANY && self.hash >= ENOUGH
    }

    /// Whether so much of the name is behind the hash part that few of its characters are enough.
    fn has_name(&self) -> bool {
        self.known >= MANY && self.behind > FEW
    }

    fn is_another_part_of(&self, other: &Weighed<'_>) -> bool {
        self.run.target == other.run.target && self.run.from != other.run.from
    }
}

/// What to write for all pieces. `None` if two of them want another byte at the same place.
fn patches(targets: &Targets, pieces: &[&Weighed<'_>]) -> Option<Vec<Patch>> {
    let mut patches: Vec<Patch> = Vec::new();
    for piece in pieces {
        let target = &targets.all[piece.run.target];
        let (from, to) = piece.run.shown_part()?;
        let byte = |at: usize| target.replacement(at).unwrap_or(target.text[at]);
        let hash = from.max(target.hash_at)..to.min(target.hash_end());
        patches.push(Patch {
            at: (piece.run.origin + hash.start as i64) as u64,
            bytes: hash.map(byte).collect(),
            piece: (from..to).map(byte).collect(),
        });
    }
    patches.sort_by_key(|patch| patch.at);
    let is_clash = |pair: &[Patch]| pair[0].at + pair[0].bytes.len() as u64 > pair[1].at;
    (!patches.windows(2).any(is_clash)).then_some(patches)
}
