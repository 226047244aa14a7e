//! Nix's formats: store paths, hashes, derivations, archives, cache metadata and signatures.
//!
//! Everything here is bytes in, values out, and the reverse. Real Nix is the judge of each format: what this crate
//! writes is byte for byte what Nix writes, and what it reads it reads strictly, because the input may come from
//! anyone. A parser that accepts a text gives it back unchanged when it is written again.
//!
//! It is a crate of its own as a purity wall: it must never know a file system, a socket, a process or a clock.
//! Streams come in as [`std::io::Read`] and go out as [`std::io::Write`].
//!
//! Where to start: [`StoreDir`] computes store paths, [`Derivation`] is a build recipe ([`aterm`] is its text),
//! [`nar`] is the archive of a file tree, [`NarInfo`] describes one in a binary cache, [`references`] and
//! [`rewrite`] look for store paths inside of a stream.
#![forbid(unsafe_code)]

pub mod aterm;
pub mod base32;
mod content_address;
mod derivation;
mod error;
mod hash;
mod hash_parts;
pub mod nar;
mod narinfo;
pub mod placeholder;
pub mod references;
pub mod rewrite;
mod signature;
mod store_path;

pub use content_address::{ContentAddress, ContentMethod};
pub use derivation::{Derivation, DerivationKind, DrvHash, ModuloMemo, Output, OutputName};
pub use error::Error;
pub use hash::{Hash, HashAlgo, Hasher};
pub use narinfo::{CacheInfo, Compression, NarInfo};
pub use placeholder::Placeholder;
pub use signature::{PublicKey, SecretKey, Signature, fingerprint};
pub use store_path::{HASH_PART_LEN, StoreDir, StorePath, StorePathName};
