//! Runs real commands in real sandboxes, as whoever runs the tests; for root, `ordinary_user` runs all of it again as
//! a user without privileges.

mod ends;
mod files;
mod filter;
mod fixture;
mod lifetime;
mod limits;
mod observe;
mod ordinary_user;
mod stack;
mod support;
mod tree;
mod watch;
mod world;
