//! Layers, trees and source manifests: everything Rekindle knows about directory trees on disk.
//!
//! - [`scan`] reads a source directory into a [`Manifest`], a Merkle tree over its content, and reads again only
//!   the files that differ from a [`StatIndex`].
//! - [`LayerStore`] keeps *layers*: what one build step changed, as the upper directory that overlayfs left.
//!   A layer is immutable once committed.
//! - [`View`] shows a stack of layers as the one tree that overlayfs would show, without mounting it.
//! - [`difference`] compares two stacks, and [`merge`] applies what differs to a third; [`squash`] makes one layer of
//!   several, which ones says [`runs_to_squash`]; [`capture_source`] makes a layer of a source directory.
//! - [`WorkingCopy`] does what an overlay mount does without one: it writes a stack out, and makes a layer of what
//!   has changed there since.
//! - [`retime`] gives back the time that a file had before it was marked as changed.
//! - [`newest_mtime`] and [`survey()`] say what a layer amounts to, and whether somebody wrote to it.
//! - [`Snapshot`] is a tree's full metadata, for comparing; [`materialise`] writes a view out as a plain
//!   directory; [`remove_tree`] deletes whatever a build may have left behind.
//!
//! The crate is a wall around the file system (reason: all code that must be careful about races, odd names,
//! modes and times is here). It must not know steps, derivations, processes or Nix, nor who asks and why.
//! File names are bytes throughout; they are never taken to be text.
#![forbid(unsafe_code)]

mod capture;
mod contents;
mod digest;
mod dirfd;
mod error;
mod layer_store;
mod manifest;
mod materialise;
mod merge;
mod random;
mod remove;
mod retime;
mod rewrite;
mod scan;
mod sealed_file;
mod snapshot;
mod squash;
mod stat_index;
mod survey;
mod timestamp;
mod tree_writer;
mod view;
mod working_copy;

pub use capture::{Captured, capture_source};
pub use digest::{Digest, ParseDigestError};
pub use error::Error;
pub use layer_store::{Draft, LayerId, LayerStore, ParseLayerIdError};
pub use manifest::{Change, ChangeKind, Entries, Entry, EntryKind, Manifest};
pub use materialise::{Hit, HitPlace, MaterialiseOptions, Materialised, Substitution, materialise};
pub use merge::{Merged, merge};
pub use remove::remove_tree;
pub use retime::retime;
pub use scan::{Scan, ScanOptions, scan};
pub use snapshot::{Difference, Node, NodeKind, Snapshot};
pub use squash::{runs_to_squash, squash};
pub use stat_index::StatIndex;
pub use survey::{Survey, newest_mtime, survey};
pub use timestamp::Timestamp;
pub use tree_writer::Written;
pub use view::{
    Cursor, FileType, MergedDir, Metadata, TreeChange, TreeChangeKind, View, ViewEntry, Walked, difference,
};
pub use working_copy::WorkingCopy;
