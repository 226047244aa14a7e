//! Runs the setup script for real, by bash, in a temporary directory.

mod harness;
mod inputs;
mod outputs;
mod phased;
mod phases;
mod schema;
mod systems;
mod unpack;
