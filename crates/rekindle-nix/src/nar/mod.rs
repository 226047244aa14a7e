//! Archives of file trees, in Nix's format: one stream of bytes for one tree, and no other.
//!
//! ```text
//! archive = "nix-archive-1" node
//! node    = "(" "type" ( "regular" [ "executable" "" ] "contents" DATA
//!                      | "symlink" "target" TARGET
//!                      | "directory" { "entry" "(" "name" NAME "node" node ")" } ) ")"
//! ```
//!
//! Each string is its length as 64 bits, little-endian, its bytes, and zeros up to a multiple of eight. Entries are
//! sorted by the bytes of their names. Owner, times and all of the mode but the owner's `x` bit have no place in it.
//!
//! [`Reader`] turns a stream into [`Event`]s and [`Writer`] turns events into a stream; neither holds more than
//! the names of the directories that are open, and neither recurses. Both are strict: they take the one form of a
//! tree only, and nothing that a file system could not hold or that could lead out of the tree. That a symbolic link
//! is created before something "below" it cannot happen, as a name occurs once; but its target is any text, and
//! whoever unpacks must never follow it.

mod reader;
mod writer;

pub use reader::{Content, Reader};
pub use writer::Writer;

use crate::error::{Error, Kind, quoted};

/// A piece of a file tree. A node is a [`Event::Regular`], a [`Event::Symlink`], or a [`Event::Directory`] with all
/// that follows up to its [`Event::End`]: pairs of an [`Event::Entry`] and a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A directory begins.
    Directory,
    /// The name of an entry of the innermost directory; its node comes next.
    Entry(Vec<u8>),
    /// A regular file. Its content is read and written apart.
    Regular {
        /// Whether the owner may execute it.
        executable: bool,
        /// In bytes.
        size: u64,
    },
    /// A symbolic link, and where it points to.
    Symlink(Vec<u8>),
    /// The innermost directory ends.
    End,
}

/// What a tree may not exceed, in bytes and levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many directories may lie within each other.
    pub depth: usize,
    /// The length of a name.
    pub name: usize,
    /// The length of a link's target.
    pub target: usize,
}

impl Limits {
    /// What Linux can hold. The depth is not limited by Linux, but a path of more than 2,048 levels cannot be opened.
    pub const LINUX: Limits = Limits { depth: 2048, name: 255, target: 4095 };
}

const MAGIC: &[u8] = b"nix-archive-1";

/// The largest file: offsets in files are signed.
const LARGEST: u64 = i64::MAX as u64;

/// Returns how many zeros follow a string.
fn padding(len: u64) -> usize {
    (len.wrapping_neg() % 8) as usize
}

fn check_name(name: &[u8], last: Option<&[u8]>, limits: &Limits, offset: u64) -> Result<(), Error> {
    let refuse = |why| Err(Kind::NarEntry { offset, name: quoted(name), why }.into());
    match name {
        b"" | b"." | b".." => return refuse("it is no name"),
        name if name.contains(&b'/') => return refuse("a name has no slash"),
        name if name.contains(&0) => return refuse("a name has no zero byte"),
        name if name.len() > limits.name => return refuse("the name is too long"),
        _ => {}
    }
    match last.map(|last| last.cmp(name)) {
        Some(std::cmp::Ordering::Equal) => refuse("it is there already"),
        Some(std::cmp::Ordering::Greater) => refuse("entries have to be sorted"),
        _ => Ok(()),
    }
}

fn check_target(target: &[u8], limits: &Limits, offset: u64) -> Result<(), Error> {
    let refuse = |why| Err(Kind::NarEntry { offset, name: quoted(target), why }.into());
    match target {
        b"" => refuse("a link has to point somewhere"),
        target if target.contains(&0) => refuse("a link's target has no zero byte"),
        target if target.len() > limits.target => refuse("the link's target is too long"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
