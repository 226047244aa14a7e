//! Front ends: they turn a description of a package into a Nix derivation.
//!
//! The way of a package through this crate, each stage a type of its own:
//!
//! ```text
//! rekindle.toml ──manifest──▶ Manifest ──┐
//! a listing of the root ──infer──▶ Package ──┴─ + Resolved (store paths) ──lower──▶ Derivation
//! Cargo.lock ──cargo──▶ Lock ──fetch──▶ one fixed-output derivation per crate ──▶ vendor derivation
//! ```
//!
//! The derivations run our own small `setup` script ([`setup`]), which speaks the phase protocol of nixpkgs'
//! `stdenv`, so that real Nix can build the very same `.drv`.
//!
//! This crate is pure: text in, derivations out. It must not know a file system, a process, the network, a
//! clock, or the engine. Whoever reads `rekindle.toml`, adds sources to a store and runs `cargo fetch` is the
//! caller. Its reason to be a crate is that wall.
#![forbid(unsafe_code)]

pub mod cargo;
mod error;
pub mod fetch;
pub mod infer;
pub mod late;
pub mod lower;
pub mod manifest;
pub mod setup;

pub use error::{Error, ErrorKind};
