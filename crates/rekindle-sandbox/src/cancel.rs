//! A switch, once and for all, that ends runs from outside.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use crate::error::Error;

/// Ends every run that was given a clone of it, those that have not begun included. There is no way back.
#[derive(Clone, Debug)]
pub struct Cancel {
    /// An event counter that is only ever raised, so that any number of runs can poll it.
    event: Arc<OwnedFd>,
}

impl Cancel {
    /// A switch that is not thrown. Fails when the process has no file descriptor left.
    pub fn new() -> Result<Self, Error> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| Error::failed("cannot make an event descriptor", errno))?;
        Ok(Cancel { event: Arc::new(event) })
    }

    /// Throws the switch. It is one `write`, so a signal handler may do it.
    pub fn cancel(&self) {
        // It can only fail when the counter is full, and then the switch is thrown already.
        let _ = rustix::io::write(&*self.event, &1u64.to_ne_bytes());
    }

    /// Whether the switch is thrown.
    pub fn is_cancelled(&self) -> bool {
        let mut waits = [PollFd::new(&*self.event, PollFlags::IN)];
        // A poll that fails (a signal came in between) is asked again by whoever asks now and then.
        matches!(poll(&mut waits, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1..))
    }

    /// Readable from the moment that the switch is thrown.
    pub(crate) fn event(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
