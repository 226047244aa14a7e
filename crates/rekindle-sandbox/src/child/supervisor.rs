//! The supervisor: the helper process itself, outside the sandbox's pid namespace.
//!
//! It makes the namespaces and starts init in them, then waits for one of two things: that init ends, or that the
//! caller does. It is in nobody's process group but its own, so that a Ctrl-C at the terminal reaches the caller alone,
//! which then ends things in order.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};

use super::recorder::{Ended, Preparation};
use super::{init, namespaces, with_caller};
use crate::channel::{Report, send};
use crate::descriptors::raise_descriptor_limit;
use crate::error::Error;
use crate::exit::Usage;
use crate::spec::Spec;
use crate::sys;
use crate::wire::Probe;

pub(super) fn main(spec: &Spec, probe: Probe) -> ! {
    let code = match supervise(spec, probe) {
        Ok(()) => 0,
        Err(error) => {
            with_caller(|caller| send(caller, &Report::Failed(error), None));
            1
        }
    };
    sys::exit(code)
}

fn supervise(spec: &Spec, probe: Probe) -> Result<(), Error> {
    sys::close_inherited();
    let preparation = spec.observe.as_ref().map(|_| Preparation::make()).transpose()?;
    let null = open_null()?;
    sys::replace_stdio(0, null.as_fd())
        .map_err(|error| Error::failed("cannot replace standard input", error))?;
    raise_descriptor_limit();

    let supervisor = pidfd_open(getpid(), PidfdFlags::empty()).map_err(|errno| {
        Error::failed("cannot open a pid descriptor; Linux 5.12 or newer is needed", errno)
    })?;
    let (namespaces, privileged) = namespaces::enter(spec)?;
    sys::block_signals(&[sys::ASKS_TO_INTERRUPT]);
    let child =
        sys::fork(&namespaces).map_err(|error| Error::failed("cannot start the sandbox's init", error))?;
    let Some(child) = child else {
        // The rest of it is none of init's business.
        let post = preparation.map(|preparation| preparation.post_end);
        init::main(spec, probe, &namespaces, &supervisor, privileged, post)
    };

    sys::block_signals(&[]);
    // What is left of the output pipe must not be open here: the caller waits for its end.
    let _ = sys::replace_stdio(1, null.as_fd());
    let init = pidfd_open(child, PidfdFlags::empty())
        .map_err(|errno| Error::failed("cannot open init's pid descriptor", errno))?;
    let outcome = with_caller(|caller| {
        send(caller, &Report::Started, Some(init.as_fd()));
        match (preparation, &spec.observe) {
            (Some(preparation), Some(observe)) => Some(preparation.follow(spec, observe, caller, &init)),
            _ => {
                wait_for_either(caller, &init);
                None
            }
        }
    });
    let used =
        sys::wait(child).map_err(|error| Error::failed("cannot wait for the sandbox's init", error))?;
    let usage = Usage {
        user: used.user,
        system: used.system,
        peak_rss_bytes: used.peak_rss_bytes,
        ..Usage::default()
    };
    if let Some((Ended::Init, outcome)) = outcome {
        let recorded = outcome.hand_over();
        with_caller(|caller| send(caller, &Report::Recorded(recorded), None));
    }
    with_caller(|caller| send(caller, &Report::Gone(usage), None));
    Ok(())
}

/// Waits until init has ended; ends it when the caller is gone, or has closed its side to say that it is enough.
fn wait_for_either(caller: std::os::fd::BorrowedFd<'_>, init: &OwnedFd) {
    loop {
        let mut fds =
            [PollFd::new(init, PollFlags::IN), PollFd::new(&caller, PollFlags::IN | PollFlags::RDHUP)];
        if poll(&mut fds, None).is_err() {
            continue;
        }
        if !fds[0].revents().is_empty() {
            return;
        }
        if !fds[1].revents().is_empty() {
            // It can only fail when init is gone already.
            let _ = pidfd_send_signal(init, Signal::KILL);
            return;
        }
    }
}

fn open_null() -> Result<OwnedFd, Error> {
    rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::failed("cannot open /dev/null", errno))
}
