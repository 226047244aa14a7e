//! End-to-end tests through the real program.
#![expect(clippy::disallowed_methods, reason = "tests look at their own environment")]

mod broken;
mod checkpoints;
mod copies;
mod corpus;
mod failures;
mod gc;
mod going_on;
mod graph;
mod host;
mod inspection;
mod interrupts;
mod kill;
mod leftovers;
mod links;
mod matrix;
mod mistakes;
mod names;
mod nix;
mod oracle;
mod output;
mod packages;
mod passed_over;
mod phases;
mod pieces;
mod prepare;
mod project;
mod report;
mod restored;
mod slips;
mod stopped;
mod tree;
mod unobserved;
mod verify;
mod why;
mod words;
