//! The stat index of each source directory, kept between builds.
//!
//! They are a cache and nothing more. What cannot be read is none; what lies in the place of one, or of the directory
//! that they are in, is of use to nobody and makes way. A disk that takes none is an error: nor would it take what a build leaves.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rekindle_layers::{ScanOptions, StatIndex, remove_tree};
use rekindle_nix::Hash;

use crate::error::Error;

/// Where the indexes are.
#[derive(Debug)]
pub(crate) struct StatIndexes {
    dir: PathBuf,
}

impl StatIndexes {
    /// Opens those in a directory of our own, `above`, of whose parent it is certain that it is there.
    pub(crate) fn open(above: &Path) -> Result<StatIndexes, Error> {
        let dir = above.join("index");
        let made = fs::create_dir_all(&dir).or_else(|_| {
            [above, &dir].into_iter().try_for_each(make_way_for_directory)?;
            fs::create_dir_all(&dir)
        });
        made.map_err(|error| Error::io("make the directory", &dir, error))?;
        Ok(StatIndexes { dir })
    }

    /// What is remembered of `root`, read with these options.
    pub(crate) fn load(&self, root: &Path, options: &ScanOptions) -> StatIndex {
        StatIndex::load(&self.file(root, options))
    }

    /// Remembers `index` from now on.
    pub(crate) fn save(&self, root: &Path, options: &ScanOptions, index: &StatIndex) -> Result<(), Error> {
        let file = self.file(root, options);
        if index.save(&file).is_err() {
            // A directory is the one thing that a file cannot take the place of.
            if fs::symlink_metadata(&file).is_ok_and(|metadata| metadata.is_dir()) {
                remove_tree(&file)?;
            }
            index.save(&file)?;
        }
        Ok(())
    }

    fn file(&self, root: &Path, options: &ScanOptions) -> PathBuf {
        let mut key = root.as_os_str().as_bytes().to_vec();
        key.extend(format!("\0{}\0{}", options.gitignore, options.exclude.join("\0")).bytes());
        self.dir.join(&Hash::sha256(&key).to_nix32()[..32])
    }
}

/// Removes a file. A link stays: somebody keeps the indexes elsewhere, and has to know that they cannot be there.
fn make_way_for_directory(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => fs::remove_file(path),
        _ => Ok(()),
    }
}
