//! The manifest of a checkpoint's sources on disk.
//!
//! An edit of one file must not cost a manifest of all. So a checkpoint whose sources are nearly those of another has
//! the same file, by a second name, and beside it what differs:
//!
//! ```text
//! sources             a manifest
//! sources-changed     what differs from it; not there if nothing does
//! ```
//! Both names belong to a checkpoint alone, so each can be removed without the other.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rekindle_layers::Manifest;

use crate::error::Error;

const WHOLE: &str = "sources";
const CHANGED: &str = "sources-changed";

/// With more changes than this, all is written again, so that what differs stays small.
const MOST_CHANGES: usize = 512;

/// Loads the manifest of the checkpoint in `dir`. Beside one that is known, only what differs is read.
pub(super) fn load(dir: &Path, known: Option<&Manifest>) -> Result<Manifest, Error> {
    let whole = match known {
        Some(known) => Manifest::load_beside(&dir.join(WHOLE), known)?,
        None => Manifest::load(&dir.join(WHOLE))?,
    };
    let changed = dir.join(CHANGED);
    Ok(if changed.exists() { whole.load_difference(&changed)? } else { whole })
}

/// What the checkpoint in `dir` takes for its manifest alone: a file that others have, too, counts as nothing.
pub(super) fn bytes(dir: &Path) -> u64 {
    let own = |name: &str| {
        let metadata = fs::metadata(dir.join(name)).ok()?;
        (metadata.nlink() == 1).then_some(metadata.len())
    };
    [WHOLE, CHANGED].into_iter().filter_map(own).sum()
}

/// Writes the manifest of the checkpoint in `dir`. If it went on from another, that one is in `base`.
pub(super) fn save(manifest: &Manifest, dir: &Path, base: Option<&Path>) -> Result<(), Error> {
    let is_shared = base.is_some_and(|base| share(manifest, dir, base).is_ok_and(|shared| shared));
    if is_shared {
        return Ok(());
    }
    // What was begun is in the way, and what hinders that hinders the rest, too.
    for name in [WHOLE, CHANGED] {
        let _ = fs::remove_file(dir.join(name));
    }
    Ok(manifest.save(&dir.join(WHOLE))?)
}

fn share(manifest: &Manifest, dir: &Path, base: &Path) -> Result<bool, Error> {
    let whole = base.join(WHOLE);
    let older = Manifest::load_beside(&whole, manifest)?;
    let changes = older.changes(manifest).len();
    if changes > MOST_CHANGES {
        return Ok(false);
    }
    let link = dir.join(WHOLE);
    fs::hard_link(&whole, &link).map_err(|error| Error::io("make the link", &link, error))?;
    if changes > 0 {
        manifest.save_difference(&older, &dir.join(CHANGED))?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use rekindle_layers::{ScanOptions, StatIndex, remove_tree, scan};

    use super::*;

    fn manifest(root: &Path) -> Manifest {
        let options = ScanOptions { gitignore: false, exclude: Vec::new() };
        scan(root, &options, &StatIndex::default()).expect("our own files").manifest
    }

    #[test]
    fn nearly_the_same_sources_cost_what_differs() {
        let place = tempfile::tempdir().expect("a directory");
        let path = |name: &str| place.path().join(name);
        let write = |file: usize, text: &str| {
            fs::create_dir_all(path(&format!("tree/{}", file % 10))).expect("room");
            fs::write(path(&format!("tree/{}/{file}", file % 10)), text).expect("room");
        };
        (0..1000).for_each(|file| write(file, "old"));
        let mut manifests = vec![manifest(&path("tree"))];
        for (round, edited) in [1, 2, 600].into_iter().enumerate() {
            (0..edited).for_each(|file| write(file, &format!("{round}")));
            manifests.push(manifest(&path("tree")));
        }
        let mut costs = Vec::new();
        for (round, manifest) in manifests.iter().enumerate() {
            let (dir, base) = (path(&round.to_string()), path(&(round.saturating_sub(1)).to_string()));
            fs::create_dir(&dir).expect("room");
            save(manifest, &dir, (round > 0).then_some(base.as_path())).expect("room");
            costs.push(bytes(&dir));
        }
        assert!(costs[1] < 300 && costs[2] < 300 && costs[3] > 10_000, "{costs:?}");
        // Without those that it shares with, each is still whole.
        remove_tree(&path("0")).expect("removed");
        remove_tree(&path("1")).expect("removed");
        for round in [2, 3] {
            let dir = path(&round.to_string());
            assert_eq!(load(&dir, None).expect("whole"), manifests[round]);
            assert_eq!(load(&dir, Some(&manifests[0])).expect("whole"), manifests[round]);
        }
    }
}
