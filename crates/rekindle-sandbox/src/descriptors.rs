//! How many descriptors this process may have.
//!
//! A tree may have more layers than a cautious limit has descriptors, and several trees are looked into at a time. So the
//! program and its helper take what they may have. A command has a limit of its own, whatever theirs is.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Takes as many as the hard limit allows. Where that is refused, the limit stays what it was.
pub fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
