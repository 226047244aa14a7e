//! The one clock by which the caller and the observer, two processes, say when something was.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC`: since some moment that is the same for all processes, and never goes back.
pub(crate) fn now() -> Duration {
    // It is never negative.
    clock_gettime(ClockId::Monotonic).try_into().unwrap_or_default()
}
