//! The Nix store on disk: what is valid, how a path becomes so, how it goes again.
//!
//! A store lies below a root directory of the user's own (a *chroot store*: `<root>/nix/store`, `<root>/nix/var`) and
//! is a real Nix store: real Nix queries, verifies, copies from and collects garbage in it, side by side with us.
//! Paths in it are *logical* (`/nix/store/…`, what a program inside of a sandbox sees) or *physical*
//! (`<root>/nix/store/…`, where the bytes lie).
//!
//! ```text
//! open ── Store ──┬─ is_valid, path_info, closure, …   queries
//!                 ├─ add_text, add_tree                content-addressed: hash, copy, register, in one call
//!                 ├─ lock_outputs → install_output     a build's result: scanned and put in its place,
//!                 │               → register           then made valid together, in one transaction
//!                 ├─ add_root, add_temp_root, gc       what is kept, and the collection of the rest
//!                 └─ verify, log_writer, read_log, ls
//! ```
//!
//! Invariants:
//! - **Registration is the single commit point.** A path is valid because the database says so, and the database says
//!   so only when the bytes lie in place, sealed. Before that there is only garbage that nobody refers to: the death of
//!   the process at any moment leaves a store that verifies.
//! - **A valid path never changes.** Files are 0444 or 0555, with mtime 1, without extended attributes.
//! - **Closed.** The references of a valid path are valid.
//! - **Nothing is deleted under a running build**: it holds temporary roots, by Nix's own protocol.
//!
//! Durability is Nix's: what is registered survives the death of any process; a power cut loses at most the last
//! registrations. File contents are not forced to the disk, so that after a power cut a path of the last seconds may be
//! damaged; `verify` with contents finds it.
//!
//! A crate of its own because SQLite is a heavy dependency. It must never know steps, layers or sandboxes: it is told
//! what to add, not why.
#![forbid(unsafe_code)]

mod add;
mod db;
mod error;
mod flock;
mod gc;
mod info;
mod layout;
mod listing;
mod locks;
mod logs;
mod output;
mod remove;
mod roots;
mod seal;
mod staging;
mod store;
mod temp_roots;
mod tree;
mod verify;

pub use error::{Error, ErrorKind, Result};
pub use gc::{GcOptions, GcReport};
pub use info::{PathInfo, Registration};
pub use listing::{Listed, ListedKind};
pub use locks::OutputLocks;
pub use logs::LogWriter;
pub use roots::GcRoot;
pub use staging::Staging;
pub use store::{Mode, Store};
pub use tree::{EntryKind, NarDigest, Tree};
pub use verify::Problem;
