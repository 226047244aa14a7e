//! In which order a program finds the names of a source directory.
//!
//! A stack of layers is listed with the names of its lowest layer first, in the order of the file system, and then those that the
//! layers above it add. So a source that came by an edit would be the last of its directory, for who does not sort what
//! it lists (`find`, `tar`, a linker that is given what they print), while a clean build in a fresh store has all
//! sources in one layer. Therefore each directory with a name that came lies once more below all other layers, with all
//! its names and nothing else: the layers above say what they stand for, and where a name comes in the list is decided there.
//!
//! This is a matter of what processes see alone. No such layer may be part of a tree that is compared or kept: the name of a source
//! that came would be in what an earlier build left, too.
//!
//! Of directories with very many names some are left out: then what came is listed last there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rekindle_layers::{Draft, EntryKind, LayerStore, Manifest};

use crate::error::Error;
use crate::mounted::Mounted;

/// So many names are written at most. It takes some tens of milliseconds.
const MOST_NAMES: usize = 10_000;

/// Begins a layer to lie below `parts`, where the source lies in its layers, topmost first. `None` if there is no need for it.
pub(crate) fn layer(
    source: &Mounted,
    parts: &[PathBuf],
    layers: &LayerStore,
) -> Result<Option<Draft>, Error> {
    let mixed = small_enough(&source.manifest, mixed_directories(&source.manifest, parts)?);
    if mixed.is_empty() {
        return Ok(None);
    }
    let draft = layers.begin()?;
    let root = draft.upper().join(&source.dir);
    for directory in &mixed {
        let path = root.join(directory);
        fs::create_dir_all(&path).map_err(|error| Error::io("make the directory", &path, error))?;
    }
    // As they are captured: file systems that list names in the order in which they came list these alike.
    let is_in = |path: &Path| path.parent().is_some_and(|parent| mixed.contains(parent));
    let mut entries: Vec<_> = source.manifest.entries().filter(|entry| is_in(&entry.path)).collect();
    entries.sort_by_key(|entry| !matches!(entry.kind, EntryKind::Directory { .. }));
    for path in entries.into_iter().map(|entry| root.join(&entry.path)) {
        // A file is enough below a directory, which hides it. Those that lead to one that is mixed are there.
        if !path.exists() {
            File::create(&path).map_err(|error| Error::io("make", &path, error))?;
        }
    }
    Ok(Some(draft))
}

/// As many of these directories as have names that are not too many, those with few first.
fn small_enough(manifest: &Manifest, directories: BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    if directories.is_empty() {
        return directories;
    }
    let mut counts: BTreeMap<PathBuf, usize> = directories.into_iter().map(|path| (path, 0)).collect();
    for entry in manifest.entries() {
        if let Some(count) = entry.path.parent().and_then(|parent| counts.get_mut(parent)) {
            *count += 1;
        }
    }
    let mut counts: Vec<(usize, PathBuf)> = counts.into_iter().map(|(path, count)| (count, path)).collect();
    counts.sort_unstable();
    let mut sum = 0;
    let fits = |(count, _): &(usize, PathBuf)| {
        sum += count;
        sum <= MOST_NAMES
    };
    counts.into_iter().take_while(fits).map(|(_, path)| path).collect()
}

/// The directories of a source with a name that is not in the lowest layer which has the directory.
fn mixed_directories(manifest: &Manifest, parts: &[PathBuf]) -> Result<BTreeSet<PathBuf>, Error> {
    let mut mixed = BTreeSet::new();
    let Some((_, above)) = parts.split_last() else { return Ok(mixed) };
    for part in above {
        let mut pending = vec![PathBuf::new()];
        while let Some(directory) = pending.pop() {
            let here = part.join(&directory);
            let failed = |error| Error::io("list", &here, error);
            let lowest = parts.iter().rev().map(|part| part.join(&directory)).find(|path| path.is_dir());
            for entry in fs::read_dir(&here).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let path = directory.join(entry.file_name());
                // What is hidden here by a mark is none of its entries.
                let Some(known) = manifest.get(&path) else { continue };
                if matches!(known.kind, EntryKind::Directory { .. })
                    && entry.file_type().map_err(failed)?.is_dir()
                {
                    pending.push(path);
                }
                let name = entry.file_name();
                let is_new =
                    lowest.as_ref().is_some_and(|lowest| lowest.join(name).symlink_metadata().is_err());
                if is_new {
                    mixed.insert(directory.clone());
                }
            }
        }
    }
    Ok(mixed)
}

#[cfg(test)]
mod tests {
    use rekindle_layers::{ScanOptions, StatIndex, scan};

    use super::*;

    fn write(root: &Path, files: &[&str]) {
        for file in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().expect("a directory")).expect("our own directory");
            fs::write(path, "").expect("our own file");
        }
    }

    #[test]
    fn directories_with_a_name_that_came_are_mixed() {
        let dir = tempfile::tempdir().expect("a directory");
        let parts = ["second", "first", "whole"].map(|name| dir.path().join(name));
        let source = dir.path().join("source");
        write(&parts[2], &["a/one", "a/gone", "b/one", "c/deep/one", "top"]);
        // One that came, one that changed, a directory that came with what is in it, and what hides one that went.
        write(&parts[1], &["a/two", "b/one", "new/one", "a/gone"]);
        write(&parts[0], &["new/two", "c/deep/one"]);
        write(&source, &["a/one", "a/two", "b/one", "c/deep/one", "new/one", "new/two", "top"]);
        let options = ScanOptions { gitignore: false, exclude: Vec::new() };
        let manifest = scan(&source, &options, &StatIndex::default()).expect("our own directory").manifest;
        let mixed = |parts: &[PathBuf]| {
            let mixed = mixed_directories(&manifest, parts).expect("our own directories");
            mixed.iter().map(|path| path.to_str().expect("text").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(mixed(&parts), ["", "a", "new"]);
        assert_eq!(mixed(&parts[1..]), ["", "a"]);
        assert_eq!(mixed(&parts[2..]), [""; 0]);
        assert_eq!(mixed(&[]), [""; 0]);
    }
}
