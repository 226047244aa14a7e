//! The project's own checks: what the compiler and clippy cannot say about this source tree.
//!
//! A library, so that `cargo test` runs the checks on the workspace as one test among others, and each check can
//! be tested on a bad sample. It must not know any other crate of the workspace: it reads them as text, so a
//! crate that does not compile is still checked.
#![forbid(unsafe_code)]

pub mod ci;
pub mod tidy;

use std::path::PathBuf;

/// The directory of the workspace that cargo runs this in. Where one target directory serves several work trees,
/// that is not always the one that it was compiled in.
#[expect(clippy::disallowed_methods, reason = "an entry point of its program, and of its tests")]
pub fn workspace_root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let here = PathBuf::from(here);
    here.ancestors().nth(2).unwrap_or(&here).to_path_buf()
}
