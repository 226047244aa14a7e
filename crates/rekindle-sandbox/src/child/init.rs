//! PID 1 of the sandbox: builds the root file system, starts the command, reaps, and reports how the command ended.
//!
//! When it ends, for whatever reason, the kernel kills all that is left in its pid namespace. It has no capability
//! by the time the command exists, and cannot be traced or looked into by it.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Pid, Signal, WaitOptions, WaitStatus, set_dumpable_behavior,
    set_parent_process_death_signal, wait,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities, set_no_new_privs,
};

use super::{command, root, with_caller};
use crate::channel::{Report, send};
use crate::error::Error;
use crate::exit::Status;
use crate::spec::Spec;
use crate::sys::{self, SingleThreaded};
use crate::wire::Probe;

pub(super) fn main(
    spec: &Spec,
    probe: Probe,
    alone: &SingleThreaded,
    supervisor: &OwnedFd,
    privileged: bool,
) -> ! {
    let (report, code) = match start(spec, probe, alone, supervisor, privileged) {
        Ok(command) => (Report::Ended(reap_until(command)), 0),
        Err(error) => (Report::Failed(error), 1),
    };
    with_caller(|caller| send(caller, &report, None));
    sys::exit(code)
}

fn start(
    spec: &Spec,
    probe: Probe,
    alone: &SingleThreaded,
    supervisor: &OwnedFd,
    privileged: bool,
) -> Result<Pid, Error> {
    end_with(supervisor);
    sys::reset_signals();
    root::build(spec, privileged)?;
    give_up_privileges().map_err(|errno| Error::failed("cannot give up privileges", errno))?;
    match sys::fork(alone).map_err(|error| Error::failed("cannot start the command", error))? {
        None => command::main(spec, probe),
        Some(pid) => {
            // Standard input is /dev/null here. The output pipe must end with the command and its children.
            sys::replace_stdio(1, std::io::stdin().as_fd())
                .map_err(|error| Error::failed("cannot let go of the output", error))?;
            Ok(pid)
        }
    }
}

/// Makes the kernel end this process when the supervisor ends, or ends it now if that has happened.
fn end_with(supervisor: &OwnedFd) {
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let mut fds = [PollFd::new(supervisor, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    if poll(&mut fds, Some(&now)).is_ok_and(|ended| ended > 0) {
        sys::exit(1);
    }
}

/// Takes every capability away, now and for whatever is executed later, and shuts this process off from tracers.
fn give_up_privileges() -> std::io::Result<()> {
    for capability in 0.. {
        if !sys::drop_bounding(capability)? {
            break;
        }
    }
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    set_no_new_privs(true)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Reaps whatever dies until the command does.
fn reap_until(command: Pid) -> Status {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == command => return how(status),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => unreachable!("the command is a child that was not waited for: {errno}"),
        }
    }
}

fn how(status: WaitStatus) -> Status {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Status::Code(code),
        (None, signal) => Status::Signal(signal.unwrap_or(0)),
    }
}
