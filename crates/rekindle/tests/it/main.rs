//! End-to-end tests through the real program.
#![expect(clippy::disallowed_methods, reason = "tests look at their own environment")]

mod corpus;
mod kill;
mod nix;
mod oracle;
mod project;
