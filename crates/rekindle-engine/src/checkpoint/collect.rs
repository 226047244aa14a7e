//! Which checkpoints go, and their layers with them.
//!
//! A layer goes when no checkpoint names it any more, so what is kept never loses one that it needs. Nothing is removed
//! while somebody uses checkpoints: [`Checkpoints::prune`] then does nothing, [`Checkpoints::collect`] waits.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rekindle_layers::{LayerId, LayerStore, Timestamp, remove_tree, survey};

use super::{Checkpoints, Shelved, Unreadable, all_directories};
use crate::error::Error;

/// How many checkpoints of a package are kept that nobody has pinned, if nobody says otherwise.
pub(crate) const KEPT: usize = 6;

/// How many of these may be of builds that failed. Each goes on from the one before it and has all that it had.
const KEPT_FAILED: usize = 2;

/// Which checkpoints go. Pinned ones stay, whatever is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CollectPolicy {
    /// So many of the newest of each package stay.
    pub keep_last: Option<usize>,
    /// What was made before that many seconds since 1970 goes, unless [`CollectPolicy::keep_last`] keeps it.
    pub made_before: Option<i64>,
    /// Then the oldest go, until the rest takes so many bytes of disk.
    pub max_bytes: Option<u64>,
}

impl CollectPolicy {
    /// Whether nothing is said, so that the usual number of each package is kept.
    pub fn is_default(&self) -> bool {
        *self == CollectPolicy::default()
    }
}

/// What was collected, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectedCheckpoints {
    /// The identities of the checkpoints that went.
    pub checkpoints: Vec<String>,
    /// How many layers went with them.
    pub layers: usize,
    /// The bytes of disk that they took.
    pub bytes: u64,
    /// Whether nothing was done, because builds that run use checkpoints.
    pub in_use: bool,
}

/// What each layer takes on disk, in bytes.
type Sizes = BTreeMap<LayerId, u64>;

/// What is known of a checkpoint when it is decided which go.
#[derive(Debug, Clone)]
struct Entry {
    package: (String, String),
    created: Timestamp,
    id: String,
    /// Whether a build may start from it.
    good: bool,
    pinned: bool,
    quarantined: bool,
    layers: BTreeSet<LayerId>,
    /// What it takes itself.
    record_bytes: u64,
}

impl Checkpoints {
    /// Removes the oldest checkpoints of each package that has too many, and all layers that none names any more.
    /// Does nothing while somebody uses checkpoints.
    pub(crate) fn prune(&self, layers: &LayerStore) -> Result<(), Error> {
        let Some(_lock) = self.exclusive(None)? else { return Ok(()) };
        self.remove_where(layers, false, |entries, _| surplus(entries)).map(|_| ())
    }

    /// Removes what `policy` says, and all layers that none names any more. Does nothing without `waiting` while
    /// somebody uses checkpoints.
    pub(crate) fn collect(
        &self,
        layers: &LayerStore,
        policy: &CollectPolicy,
        dry_run: bool,
        waiting: Option<&mut dyn FnMut()>,
    ) -> Result<CollectedCheckpoints, Error> {
        let lock = if dry_run { Some(self.use_them()?) } else { self.exclusive(waiting)? };
        if lock.is_none() {
            return Ok(CollectedCheckpoints { in_use: true, ..CollectedCheckpoints::default() });
        }
        self.remove_where(layers, dry_run, |entries, sizes| doomed(entries, policy, sizes))
    }

    /// Removes these, pinned or not, and all layers that none names any more.
    pub(crate) fn remove(
        &self,
        layers: &LayerStore,
        ids: &BTreeSet<String>,
        waiting: &mut dyn FnMut(),
    ) -> Result<CollectedCheckpoints, Error> {
        let _lock = self.exclusive(Some(waiting))?;
        // What nobody can read has no entry to be judged.
        let unreadable: Vec<Shelved> =
            self.all().into_iter().filter(|one| one.record.is_err() && ids.contains(&one.id())).collect();
        let mut collected = CollectedCheckpoints::default();
        for one in unreadable {
            remove_tree(&one.dir)?;
            collected.checkpoints.push(one.id());
            collected.bytes += one.record_bytes;
        }
        let named = |entries: &[Entry], _: &Sizes| {
            let entries = entries.iter().enumerate();
            entries.filter(|(_, entry)| ids.contains(&entry.id)).map(|(at, _)| at).collect()
        };
        let more = self.remove_where(layers, false, named)?;
        collected.checkpoints.extend(more.checkpoints);
        collected.checkpoints.sort();
        collected.checkpoints.dedup();
        collected.layers += more.layers;
        collected.bytes += more.bytes;
        Ok(collected)
    }

    /// Removes what `choose` names, what nobody can read, and then the layers that no checkpoint names. The caller
    /// holds the lock.
    fn remove_where(
        &self,
        layers: &LayerStore,
        dry_run: bool,
        choose: impl FnOnce(&[Entry], &Sizes) -> BTreeSet<usize>,
    ) -> Result<CollectedCheckpoints, Error> {
        let mut collected = CollectedCheckpoints::default();
        let (mut shelved, mut entries) = (Vec::new(), Vec::new());
        let mut sizes = Sizes::new();
        let all = self.all();
        if all.iter().any(|one| one.record.as_ref().err() == Some(&Unreadable::Newer)) {
            // Which layers it names is not known.
            return Ok(collected);
        }
        for dir in self.half_written() {
            // Nobody writes one: that takes the lock that the caller has.
            if !dry_run {
                remove_tree(&dir)?;
            }
        }
        for one in all {
            match &one.record {
                Ok(record) => {
                    sizes.extend(record.surveys.iter().map(|(layer, survey)| (*layer, survey.bytes)));
                    entries.push(Entry {
                        package: (record.package.clone(), record.system.clone()),
                        created: record.created,
                        id: record.id.clone(),
                        good: record.failed.is_none(),
                        pinned: one.pinned,
                        quarantined: one.quarantined,
                        layers: record.layers(),
                        record_bytes: one.record_bytes,
                    });
                    shelved.push(one);
                }
                // Damaged, half removed, of an older version: of no use to anyone.
                Err(_) => {
                    collected.checkpoints.push(one.id());
                    collected.bytes += one.record_bytes;
                    if !dry_run {
                        remove_tree(&one.dir)?;
                    }
                }
            }
        }
        let chosen = choose(&entries, &sizes);
        let mut named = BTreeSet::new();
        for (at, (one, entry)) in shelved.iter().zip(&entries).enumerate() {
            if !chosen.contains(&at) {
                named.extend(entry.layers.iter().copied());
                continue;
            }
            collected.checkpoints.push(entry.id.clone());
            collected.bytes += one.record_bytes;
            if !dry_run {
                remove_tree(&one.dir)?;
            }
        }
        for layer in layers.layers()?.into_iter().filter(|layer| !named.contains(layer)) {
            collected.layers += 1;
            collected.bytes += match sizes.get(&layer) {
                Some(size) => *size,
                // A build was killed between its layers and its checkpoint.
                None => survey(&layers.path(layer)).map_or(0, |survey| survey.bytes),
            };
            if !dry_run {
                layers.remove(layer)?;
            }
        }
        collected.checkpoints.sort();
        Ok(collected)
    }

    fn half_written(&self) -> Vec<PathBuf> {
        let is_new = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"new-"))
        };
        let packages = all_directories(&self.dir).into_iter();
        packages.flat_map(|package| all_directories(&package)).filter(is_new).collect()
    }
}

/// The entries of each package, newest first.
fn by_package(entries: &[Entry]) -> impl Iterator<Item = Vec<usize>> {
    let mut packages: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (at, entry) in entries.iter().enumerate() {
        packages.entry(&entry.package).or_default().push(at);
    }
    packages.into_values().map(|mut of_one| {
        of_one.sort_by_key(|at| std::cmp::Reverse((entries[*at].created, entries[*at].id.clone())));
        of_one
    })
}

/// What is more than each package needs, besides those that are pinned: all but the newest, and the newest of a build that ended well.
fn surplus(entries: &[Entry]) -> BTreeSet<usize> {
    let mut surplus = BTreeSet::new();
    for of_one in by_package(entries) {
        let loose: Vec<usize> = of_one.iter().copied().filter(|at| !entries[*at].pinned).collect();
        let failed = loose.iter().copied().filter(|at| !entries[*at].good).skip(KEPT_FAILED);
        let failed: BTreeSet<usize> = failed.collect();
        let newest_good = newest_good(entries, &of_one);
        let beyond = loose.into_iter().filter(|at| !failed.contains(at)).skip(KEPT);
        surplus.extend(beyond.filter(|at| Some(*at) != newest_good));
        surplus.extend(failed);
    }
    surplus
}

/// The newest of a build that ended well, of those of one package, newest first.
fn newest_good(entries: &[Entry], of_one: &[usize]) -> Option<usize> {
    of_one.iter().copied().find(|at| entries[*at].good && !entries[*at].quarantined)
}

/// What a policy removes.
fn doomed(entries: &[Entry], policy: &CollectPolicy, sizes: &Sizes) -> BTreeSet<usize> {
    let mut doomed: BTreeSet<usize> = if policy.is_default() { surplus(entries) } else { BTreeSet::new() };
    let quarantined = entries.iter().enumerate().filter(|(_, entry)| entry.quarantined && !entry.pinned);
    doomed.extend(quarantined.map(|(at, _)| at));
    if policy.keep_last.is_some() || policy.made_before.is_some() {
        for of_one in by_package(entries) {
            let of_one: Vec<usize> = of_one.into_iter().filter(|at| !doomed.contains(at)).collect();
            // Builds that failed since do not push it out.
            let newest_good =
                newest_good(entries, &of_one).filter(|_| policy.keep_last.is_some_and(|last| last > 0));
            let beyond = of_one.into_iter().skip(policy.keep_last.unwrap_or(0));
            let is_old =
                |at: &usize| policy.made_before.is_none_or(|limit| entries[*at].created.secs < limit);
            let beyond = beyond.filter(|at| !entries[*at].pinned && Some(*at) != newest_good);
            doomed.extend(beyond.filter(is_old));
        }
    }
    if let Some(max) = policy.max_bytes {
        let mut users: BTreeMap<LayerId, usize> = BTreeMap::new();
        let kept = (0..entries.len()).filter(|at| !doomed.contains(at));
        kept.flat_map(|at| &entries[at].layers).for_each(|layer| *users.entry(*layer).or_default() += 1);
        let size = |layer: &LayerId| sizes.get(layer).copied().unwrap_or_default();
        let records = entries
            .iter()
            .enumerate()
            .filter(|(at, _)| !doomed.contains(at))
            .map(|(_, entry)| entry.record_bytes);
        let mut total: u64 = users.keys().map(size).sum::<u64>() + records.sum::<u64>();
        let mut oldest: Vec<usize> =
            (0..entries.len()).filter(|at| !doomed.contains(at) && !entries[*at].pinned).collect();
        oldest.sort_by_key(|at| (entries[*at].created, entries[*at].id.clone()));
        for at in oldest {
            if total <= max {
                break;
            }
            total -= entries[at].record_bytes;
            for layer in &entries[at].layers {
                let count = users.get_mut(layer).expect("each layer of a kept checkpoint was counted");
                *count -= 1;
                if *count == 0 {
                    total -= size(layer);
                }
            }
            doomed.insert(at);
        }
    }
    doomed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(n: u8) -> LayerId {
        format!("{n:032x}").parse().expect("a name")
    }

    fn entry(package: &str, created: i64, layers: &[u8]) -> Entry {
        Entry {
            package: (package.to_owned(), "s".to_owned()),
            created: Timestamp { secs: created, nanos: 0 },
            id: format!("{package}{created:02}"),
            good: true,
            pinned: false,
            quarantined: false,
            layers: layers.iter().map(|n| layer(*n)).collect(),
            record_bytes: 1,
        }
    }

    #[track_caller]
    fn check(entries: &[Entry], policy: &CollectPolicy, expect: &[&str]) {
        let sizes = (0..20).map(|n| (layer(n), 10)).collect();
        let mut ids: Vec<_> =
            doomed(entries, policy, &sizes).into_iter().map(|at| entries[at].id.clone()).collect();
        ids.sort();
        assert_eq!(ids, expect, "{policy:?}");
    }

    #[test]
    fn a_policy_says_what_goes() {
        let mut entries =
            vec![entry("a", 1, &[0, 1]), entry("a", 2, &[0, 2]), entry("a", 3, &[0, 3]), entry("b", 2, &[4])];
        let none = CollectPolicy::default();
        check(&entries, &none, &[]);
        check(&entries, &CollectPolicy { keep_last: Some(1), ..none }, &["a01", "a02"]);
        check(&entries, &CollectPolicy { keep_last: Some(0), ..none }, &["a01", "a02", "a03", "b02"]);
        check(&entries, &CollectPolicy { made_before: Some(3), ..none }, &["a01", "a02", "b02"]);
        let both = CollectPolicy { keep_last: Some(1), made_before: Some(2), ..none };
        check(&entries, &both, &["a01"]);
        // Five layers of 10 bytes and four records of one. What others need does not count as freed.
        check(&entries, &CollectPolicy { max_bytes: Some(54), ..none }, &[]);
        check(&entries, &CollectPolicy { max_bytes: Some(53), ..none }, &["a01"]);
        check(&entries, &CollectPolicy { max_bytes: Some(43), ..none }, &["a01"]);
        check(&entries, &CollectPolicy { max_bytes: Some(42), ..none }, &["a01", "a02"]);
        check(&entries, &CollectPolicy { max_bytes: Some(0), ..none }, &["a01", "a02", "a03", "b02"]);
        entries[0].pinned = true;
        entries[2].quarantined = true;
        check(&entries, &none, &["a03"]);
        check(&entries, &CollectPolicy { max_bytes: Some(0), ..none }, &["a02", "a03", "b02"]);
        check(&entries, &CollectPolicy { keep_last: Some(0), ..none }, &["a02", "a03", "b02"]);
    }

    #[test]
    fn without_a_policy_a_number_of_each_package_stays_and_one_to_start_from() {
        let mut entries: Vec<_> = (0..KEPT as i64 + 2).map(|created| entry("a", created, &[])).collect();
        check(&entries, &CollectPolicy::default(), &["a00", "a01"]);
        entries.iter_mut().skip(1).for_each(|entry| entry.good = false);
        check(&entries, &CollectPolicy::default(), &["a01", "a02", "a03", "a04", "a05"]);
        check(
            &entries,
            &CollectPolicy { keep_last: Some(1), ..CollectPolicy::default() },
            &["a01", "a02", "a03", "a04", "a05", "a06"],
        );
    }
}
