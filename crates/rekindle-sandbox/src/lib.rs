//! Runs one command in isolation on Linux: given a [`Spec`], gives back an [`Exit`].
//!
//! The command gets namespaces of its own (user, mount, pid, net, ipc, uts, cgroup), a root file system that holds
//! only what the [`Spec`] names, no capability, no new privileges and a seccomp filter. It works for an ordinary user
//! and for root, with the same result. It never runs a command with less isolation than that: where the kernel does
//! not allow it, [`Sandbox::run`] fails with [`ErrorKind::Forbidden`].
//!
//! This crate must not know *why* it runs a command: derivations, steps, layers and stores are other crates' words.
//! It is a crate of its own as the one place with `unsafe`, all of it in the module `sys`, and because a part
//! of it runs in a separate process.
//!
//! # Processes
//!
//! ```text
//! caller (any thread, any number of runs at once)
//! └── supervisor      the helper executable, re-executed: makes the namespaces, kills and reaps what is below
//!     └── init        PID 1 of the sandbox: builds the root file system, reaps, observes, reports the end
//!         └── command PID 2: gives up every privilege and executes the program
//! ```
//!
//! The caller never forks without exec, so it may have threads and a large heap. Its end of a socket is the life line:
//! when the caller dies, the supervisor reads end-of-file and kills init; when the supervisor dies, the kernel kills
//! init; when init dies, the kernel kills everything in its pid namespace. Mounts go with the last process.
//!
//! The end of a run is what init reports, never end-of-file on the output pipe: a command may close its output long
//! before it exits, and a daemon that it left behind may keep it open for ever.

#![deny(unsafe_code)]

mod bpf;
mod calls;
mod cancel;
mod channel;
mod child;
mod clock;
mod descriptors;
mod error;
mod exit;
mod filter;
mod memfile;
mod observed;
mod records;
mod run;
mod spec;
mod support;
#[expect(unsafe_code, reason = "this is the place for it")]
mod sys;
mod wire;

pub use cancel::Cancel;
pub use child::child_main;
pub use descriptors::raise_descriptor_limit;
pub use error::{Error, ErrorKind};
pub use exit::{Exit, Status, Usage};
pub use observed::Observed;
pub use records::{
    Access, End, Exec, Index, Inputs, Move, MoveKind, PathId, Paths, Process, ProcessId, Records, Stream,
    Touch,
};
pub use run::Sandbox;
pub use spec::{Limits, Mount, Network, Observe, Overlay, Spec, Stack, Tree, TreeBind, TreeRoot, Watch};
pub use support::{Capability, Feature, Lack, Support};
