//! The store as a whole, with real Nix as the judge of what it writes and the source of what it reads.
#![expect(
    clippy::disallowed_methods,
    reason = "tests pass what to do to other processes of theirs by the environment, and set times of files"
)]

mod adding;
mod concurrent;
mod damage;
mod foreign;
mod full_disk;
mod garbage;
mod killed;
mod nix;
mod opening;
mod outputs;
mod properties;
mod roots;
mod sample;
mod theirs;
