//! The store as a whole, with real Nix as the judge of what it writes and the source of what it reads.

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
mod roots;
mod sample;
mod theirs;
