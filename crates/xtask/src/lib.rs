//! The project's own checks: what the compiler and clippy cannot say about this source tree.
//!
//! A library, so that `cargo test` runs the checks on the workspace as one test among others, and each check can
//! be tested on a bad sample. It must not know any other crate of the workspace: it reads them as text, so a
//! crate that does not compile is still checked.
#![forbid(unsafe_code)]

pub mod ci;
pub mod tidy;

use std::path::{Path, PathBuf};

/// The directory of the workspace that this crate was compiled in.
pub fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}
