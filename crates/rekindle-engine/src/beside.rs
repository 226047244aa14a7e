//! Two things at the same time.

use std::panic::resume_unwind;
use std::thread;

/// Does `one` on a thread of its own beside `other`, and both to the end. A panic of either goes on here.
pub(crate) fn beside<A: Send, B>(one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B) -> (A, B) {
    thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        (one.join().unwrap_or_else(|panic| resume_unwind(panic)), other)
    })
}
