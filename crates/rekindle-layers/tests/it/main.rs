//! Tests of the crate through its public face, against git and the kernel's overlayfs.

mod gitignore;
mod layer_store;
mod materialise;
mod namespace;
mod overlay;
mod remove;
mod scan;
mod seed;
mod tree;
