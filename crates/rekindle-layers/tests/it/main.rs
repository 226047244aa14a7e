//! Tests of the crate through its public face, against git and the kernel's overlayfs.

mod capture;
mod gitignore;
mod hard_links;
mod kernel;
mod layer_store;
mod materialise;
mod merge;
mod namespace;
mod overlay;
mod remove;
mod scan;
mod seed;
mod squash;
mod tree;
mod working_copy;
