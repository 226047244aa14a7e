//! Writing trees.

/// What was written into a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Regular files, hard links to one file counted once.
    pub files: u64,
    /// Further names of files already counted.
    pub hard_links: u64,
    /// Directories, without the root.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Bytes of the regular files.
    pub bytes: u64,
    /// Of those, bytes that share their blocks with what they were copied from.
    pub shared_bytes: u64,
}
