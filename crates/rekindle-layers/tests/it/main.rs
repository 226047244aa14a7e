//! Tests of the crate through its public face, against git and the kernel's overlayfs.

mod gitignore;
mod scan;
mod seed;
