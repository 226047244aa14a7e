//! skeleton
use std::path::{Path, PathBuf};
use crate::{Error, Manifest, StatIndex};
/// Which files are sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanOptions {
    /// Whether `.gitignore` files count inside a git work tree.
    pub gitignore: bool,
    /// More patterns, in the syntax of `.gitignore`, relative to the root that is scanned. They hold for files that git
    /// tracks, too; `!pattern` brings back what a `.gitignore` leaves out.
    pub exclude: Vec<String>,
}
/// What a scan found.
#[derive(Debug)]
pub struct Scan {
    /// The sources.
    pub manifest: Manifest,
    /// The index for the next scan.
    pub index: StatIndex,
    /// Whether `index` differs from the one given, so that saving it is worth it.
    pub index_changed: bool,
    /// Symlinks with a target that is absolute or leads out of the tree, in the manifest's order.
    pub escaping_links: Vec<PathBuf>,
    /// How many files were read because the index did not vouch for them.
    pub hashed_files: u64,
    /// How many bytes those files have.
    pub hashed_bytes: u64,
}
/// Reads the sources below the directory `root`.
pub fn scan(root: &Path, options: &ScanOptions, index: &StatIndex) -> Result<Scan, Error> {
    let _ = (root, options, index);
    todo!()
}
