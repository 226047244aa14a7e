//! PID 1 of the sandbox: builds the root file system, starts the command, reaps, interrupts, observes, and reports how the
//! command ended.
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

use super::observer::{GATHER, Observer};
use super::{command, interruption, root, with_caller};
use crate::channel::{Report, send};
use crate::error::Error;
use crate::exit::Status;
use crate::spec::Spec;
use crate::sys::{self, Signals, SingleThreaded};
use crate::wire::Probe;

pub(super) fn main(
    spec: &Spec,
    probe: Probe,
    alone: &SingleThreaded,
    supervisor: &OwnedFd,
    privileged: bool,
    post: Option<OwnedFd>,
) -> ! {
    match start(spec, probe, alone, supervisor, privileged, post) {
        Ok((command, mut vigil)) => {
            tell(&Report::Ended(vigil.until(command)));
            vigil.end();
        }
        Err(error) => {
            tell(&Report::Failed(error));
            sys::exit(1)
        }
    }
    sys::exit(0)
}

fn tell(report: &Report) {
    with_caller(|caller| send(caller, report, None));
}

fn start(
    spec: &Spec,
    probe: Probe,
    alone: &SingleThreaded,
    supervisor: &OwnedFd,
    privileged: bool,
    post: Option<OwnedFd>,
) -> Result<(Pid, Vigil), Error> {
    end_with(supervisor);
    sys::reset_signals();
    let signals = Signals::block().map_err(|error| Error::failed("cannot wait for signals", error))?;
    root::build(spec, privileged)?;
    // While there are capabilities, as a directory must be readable to be watched.
    let observer = spec.watch.as_ref().map(Observer::start);
    give_up_privileges().map_err(|errno| Error::failed("cannot give up privileges", errno))?;
    match sys::fork(alone).map_err(|error| Error::failed("cannot start the command", error))? {
        None => command::main(spec, probe, post),
        Some(pid) => {
            // Standard input is /dev/null here. The output pipe must end with the command and its children.
            sys::replace_stdio(1, std::io::stdin().as_fd())
                .map_err(|error| Error::failed("cannot let go of the output", error))?;
            Ok((pid, Vigil { observer, signals }))
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

/// What init does while there is a command: it reaps, interrupts where it is asked to, and observes where that is wanted.
struct Vigil {
    observer: Option<Observer>,
    signals: Signals,
}

impl Vigil {
    /// Reaps and observes until the command dies.
    fn until(&mut self, command: Pid) -> Status {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == command => return how(status),
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => self.wait(),
                Err(errno) => unreachable!("the command is a child that was not waited for: {errno}"),
            }
        }
    }

    /// Ends what the command left behind, which otherwise would die with this process, and tells what was seen.
    fn end(mut self) {
        if self.observer.is_none() {
            return;
        }
        sys::signal_all(Signal::KILL);
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => self.wait(),
                Err(_) => break,
            }
        }
        if let Some(mut observer) = self.observer {
            observer.drain();
            observer.tell();
        }
    }

    /// Waits until a child has died, there is somebody to interrupt, or something was observed, and sees to it.
    fn wait(&mut self) {
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        let events = self.observer.as_ref().and_then(Observer::events);
        fds.extend(events.as_ref().map(|events| PollFd::new(events, PollFlags::IN)));
        let _ = poll(&mut fds, None);
        if fds[0].revents().is_empty() {
            let gather = Timespec { tv_sec: 0, tv_nsec: GATHER.subsec_nanos().into() };
            let _ = poll(&mut fds[..1], Some(&gather));
        }
        if self.signals.take() {
            interruption::interrupt_all(|at| tell(&Report::Interrupted(at)));
        }
        if let Some(observer) = &mut self.observer {
            observer.drain();
        }
    }
}

fn how(status: WaitStatus) -> Status {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Status::Code(code),
        (None, signal) => Status::Signal(signal.unwrap_or(0)),
    }
}
