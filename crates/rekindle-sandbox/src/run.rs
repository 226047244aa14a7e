//! The caller's side of a run: starts the helper, passes output on, keeps the limits.
//!
//! One loop waits for output, reports, cancellation and the next deadline. It ends when the supervisor and init are
//! both gone, whatever became of the output pipe.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, shutdown, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, pidfd_send_signal};

use crate::cancel::Cancel;
use crate::channel::{Inbox, Reading, Report};
use crate::child;
use crate::error::{Error, ErrorKind};
use crate::exit::{Exit, Status, Usage};
use crate::memfile;
use crate::observed::Collector;
use crate::records::Records;
use crate::spec::{Spec, TreeRoot};
use crate::support::{self, Support};
use crate::wire::{self, Probe};

/// Runs commands in isolation, by means of a helper executable.
#[derive(Clone, Debug)]
pub struct Sandbox {
    helper: PathBuf,
}

impl Sandbox {
    /// A sandbox whose helper is the running program itself.
    ///
    /// Its `main` must have begun with [`child_main`](crate::child_main); it is an error if it has not, as then
    /// re-executing it would start the whole program again.
    pub fn new() -> Result<Self, Error> {
        if child::has_passed() {
            return Ok(Sandbox { helper: PathBuf::from("/proc/self/exe") });
        }
        let what = "this program cannot be its own sandbox helper; its main must begin with child_main";
        Err(Error::new(ErrorKind::Failed, what))
    }

    /// A sandbox with another helper: any executable whose `main` begins with [`child_main`](crate::child_main).
    pub fn with_helper(helper: impl Into<PathBuf>) -> Self {
        Sandbox { helper: helper.into() }
    }

    /// Runs one command to its end, and returns when nothing of it is left: no process, no mount.
    ///
    /// Its output (standard output and error, merged) goes to `output` as it comes, on this thread. Any number of runs
    /// may go on at once, from any threads. However this function is left, also by a panic of `output`, the command
    /// has been killed by then.
    pub fn run(&self, spec: &Spec, output: &mut dyn FnMut(&[u8]), cancel: &Cancel) -> Result<Exit, Error> {
        self.run_probe(spec, Probe::None, output, cancel)
    }

    /// Finds out what this machine can do. `scratch` is a directory for trying overlayfs, best on the file system
    /// where the trees will be; nothing is left in it.
    pub fn support(&self, scratch: &Path) -> Support {
        support::find_out(self, scratch)
    }

    pub(crate) fn run_probe(
        &self,
        spec: &Spec,
        probe: Probe,
        output: &mut dyn FnMut(&[u8]),
        cancel: &Cancel,
    ) -> Result<Exit, Error> {
        spec.check()?;
        let mut run = Run::start(&self.helper, spec, probe)?;
        let outcome = run.follow(spec, output, cancel);
        run.finish();
        if let Some(TreeRoot::Overlay(overlay)) = spec.tree.as_ref().map(|tree| &tree.root) {
            empty_work(&overlay.work);
        }
        outcome
    }
}

/// A helper that is running. Dropping it kills all that belongs to it, and waits until it is gone.
struct Run<'a> {
    helper: &'a Path,
    child: Child,
    socket: OwnedFd,
    inbox: Inbox,
    /// What the helper reads its order from, and writes the records to.
    order: OwnedFd,
    /// `None` once it has come to its end.
    output: Option<OwnedFd>,
    started: Instant,
    finished: bool,
}

/// What is known of the end of a run so far.
#[derive(Default)]
struct Findings {
    status: Option<Status>,
    interrupted: Option<Duration>,
    wall: Option<Duration>,
    usage: Option<Usage>,
    error: Option<Error>,
    observed: Collector,
    recorded: Option<Result<(), String>>,
}

impl<'a> Run<'a> {
    fn start(helper: &'a Path, spec: &Spec, probe: Probe) -> Result<Self, Error> {
        let failed = |errno: Errno| Error::failed("cannot make the descriptors for a sandbox", errno);
        let order = memfile::make(&wire::encode(spec, probe))
            .map_err(|error| Error::failed("cannot pass the command to the sandbox", error))?;
        let (output, output_end) = pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
        rustix::io::ioctl_fionbio(&output, true).map_err(failed)?;
        let (socket, socket_end) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .map_err(failed)?;

        let kept = order.try_clone().map_err(|error| Error::failed("cannot keep a descriptor", error))?;
        let started = Instant::now();
        // A group of its own keeps signals of the terminal away from the helper: they are the caller's to handle.
        // It needs no variable; and what a caller tells the dynamic linker would make that talk to our socket.
        let child = Command::new(helper)
            .arg0(child::NAME)
            .env_clear()
            .process_group(0)
            .stdin(Stdio::from(order))
            .stdout(Stdio::from(output_end))
            .stderr(Stdio::from(socket_end))
            .spawn()
            .map_err(|error| Error::failed(format!("cannot start {}", helper.display()), error))?;
        let output = Some(output);
        Ok(Run {
            helper,
            child,
            socket,
            inbox: Inbox::default(),
            order: kept,
            output,
            started,
            finished: false,
        })
    }

    fn follow(&mut self, spec: &Spec, output: &mut dyn FnMut(&[u8]), cancel: &Cancel) -> Result<Exit, Error> {
        let limits = spec.limits;
        let mut buffer = vec![0; 1 << 16];
        let mut found = Findings::default();
        let mut last_output = self.started;
        // Until when the command may end itself, and what for, if it was interrupted.
        let mut interrupted = None;
        let killed = loop {
            let deadlines = match interrupted {
                None => [
                    limits.time.and_then(|limit| Some((self.started.checked_add(limit)?, Status::TimedOut))),
                    limits.idle.and_then(|limit| Some((last_output.checked_add(limit)?, Status::Silent))),
                ],
                Some(deadline) => [Some(deadline), None],
            };
            // A command that has ended can neither be cancelled nor run out of time.
            let open = found.status.is_none();
            let next = deadlines.into_iter().flatten().filter(|_| open).min_by_key(|(at, _)| *at);
            let ready = self.wait(cancel, open && interrupted.is_none(), next.map(|(at, _)| at))?;

            if ready.report && self.inbox.read(self.socket.as_fd()) == Reading::End {
                break None;
            }
            self.take_reports(&mut found);
            if ready.output && self.pass_on(&mut buffer, output) {
                last_output = Instant::now();
            }
            if found.status.is_some() {
                continue;
            }
            let verdict = match next {
                _ if ready.cancelled => Status::Cancelled,
                // Output that came while this thread was busy elsewhere counts.
                Some((_, Status::Silent)) if ready.output && interrupted.is_none() => continue,
                Some((at, status)) if Instant::now() >= at => status,
                _ => continue,
            };
            match Instant::now().checked_add(limits.grace) {
                Some(until) if interrupted.is_none() && self.interrupt(limits.grace) => {
                    interrupted = Some((until, verdict));
                }
                _ => break Some(verdict),
            }
        };
        let verdict = killed.or(interrupted.map(|(_, verdict)| verdict));
        self.finish();
        self.take_reports(&mut found);
        let wall = found.wall.unwrap_or(self.started.elapsed());
        // All writers are gone; what they wrote is in the pipe, which is smaller than this.
        for _ in 0..64 {
            if !self.pass_on(&mut buffer, output) {
                break;
            }
        }

        let usage = Usage { wall, ..found.usage.unwrap_or_default() };
        let observed = std::mem::take(&mut found.observed);
        let records =
            spec.observe.is_some().then(|| self.records(found.recorded.take().filter(|_| killed.is_none())));
        let exit = |status| {
            let observed = spec.watch.is_some().then(|| observed.into_observed());
            let records = match (records, &observed, &spec.observe) {
                (Some(records), Some(observed), Some(observe)) => {
                    Some(records.checked(observed, &observe.roots))
                }
                (records, ..) => records,
            };
            Ok(Exit { status, usage, interrupted: found.interrupted, observed, records })
        };
        match (verdict, found.error.take(), found.status) {
            (Some(status), _, _) => exit(status),
            (None, Some(error), _) => Err(error),
            (None, None, Some(status)) if found.usage.is_some() => exit(status),
            _ => Err(self.broken(&found)),
        }
    }

    /// Waits for something to happen, until `deadline` at most.
    fn wait(&self, cancel: &Cancel, heed_cancel: bool, deadline: Option<Instant>) -> Result<Ready, Error> {
        let timeout = deadline.map(|at| {
            let left = at.saturating_duration_since(Instant::now());
            Timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        let cancel = cancel.event();
        let mut fds = vec![PollFd::new(&self.socket, PollFlags::IN)];
        let output = self.output.as_ref().map(|output| {
            fds.push(PollFd::new(output, PollFlags::IN));
            fds.len() - 1
        });
        let cancelled = heed_cancel.then(|| {
            fds.push(PollFd::new(&cancel, PollFlags::IN));
            fds.len() - 1
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::failed("cannot wait for a sandbox", errno)),
        }
        let is_ready = |index: Option<usize>| index.is_some_and(|index| !fds[index].revents().is_empty());
        Ok(Ready { report: is_ready(Some(0)), output: is_ready(output), cancelled: is_ready(cancelled) })
    }

    fn take_reports(&mut self, found: &mut Findings) {
        while let Some(report) = self.inbox.next() {
            match report {
                Report::Started => {}
                // The first one is nearest to the cause.
                Report::Failed(error) => found.error = found.error.take().or(Some(error)),
                Report::Ended(status) => {
                    found.status = Some(status);
                    found.wall = Some(self.started.elapsed());
                }
                Report::Interrupted(at) => found.interrupted = Some(at),
                Report::Seen(piece) => found.observed.take(&piece),
                Report::SeenAll(end) => found.observed.end(end),
                Report::Recorded(end) => found.recorded = Some(end),
                Report::Gone(usage) => found.usage = Some(usage),
            }
        }
    }

    /// Passes on what there is of output, up to the buffer's size; whether there was any.
    fn pass_on(&mut self, buffer: &mut [u8], output: &mut dyn FnMut(&[u8])) -> bool {
        let Some(pipe) = &self.output else { return false };
        match rustix::io::read(pipe, &mut *buffer) {
            Ok(0) => self.output = None,
            Ok(count) => {
                output(&buffer[..count]);
                return true;
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.output = None,
        }
        false
    }

    /// What the supervisor has written down.
    fn records(&self, recorded: Option<Result<(), String>>) -> Records {
        match recorded {
            None => Records::unknown("the command was killed together with its observer"),
            Some(Err(reason)) => Records::unknown(reason),
            Some(Ok(())) => memfile::read(&self.order)
                .ok()
                .and_then(|bytes| Records::from_bytes(&bytes))
                .unwrap_or_else(|| Records::unknown("what was recorded did not arrive in one piece")),
        }
    }

    /// Has every process of the command interrupted, unless there is no time for that. Returns whether it has.
    fn interrupt(&self, grace: Duration) -> bool {
        let init = self.inbox.init.as_ref().filter(|_| !grace.is_zero());
        init.is_some_and(|init| pidfd_send_signal(init, Signal::TERM).is_ok())
    }

    /// Has everything killed; the supervisor still reports what was used.
    fn kill(&mut self) {
        if let Some(init) = &self.inbox.init {
            let _ = pidfd_send_signal(init, Signal::KILL);
        }
        // For the case that init's descriptor has not come yet: to the supervisor this end looks dead now.
        let _ = shutdown(&self.socket, Shutdown::Write);
    }

    /// Kills what is left and waits until it is gone. Does nothing the second time.
    fn finish(&mut self) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        self.kill();
        // The supervisor ends by itself once init is gone, so that init's end is waited for by its parent. But one that
        // is stopped or is no helper of ours would not.
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        let patience = Instant::now() + PATIENCE;
        while !matches!(self.inbox.read(self.socket.as_fd()), Reading::End) {
            let left = patience.saturating_duration_since(Instant::now());
            let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
            if poll(&mut fds, Some(&left)) == Ok(0) {
                let _ = self.child.kill();
                break;
            }
        }
        let _ = self.child.wait();
        // If the supervisor was killed, its init dies a moment later than it; and init ends only when all else has.
        if let Some(init) = &self.inbox.init {
            let mut fds = [PollFd::new(init, PollFlags::IN)];
            while poll(&mut fds, None) == Err(Errno::INTR) {}
        }
    }

    /// The error for a run that ended without saying how.
    fn broken(&self, found: &Findings) -> Error {
        let stray = self.inbox.stray_text();
        let what = if !stray.is_empty() {
            format!("the sandbox helper {} said: {stray}", self.helper.display())
        } else if self.inbox.init.is_none() && found.usage.is_none() {
            format!("{} is no sandbox helper; its main must begin with child_main", self.helper.display())
        } else {
            "the sandbox was killed from outside; was the machine out of memory?".to_owned()
        };
        Error::new(ErrorKind::Failed, what)
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.finish();
    }
}

/// What a wait came back for.
struct Ready {
    report: bool,
    output: bool,
    cancelled: bool,
}

/// How long a supervisor may take to report after it was told to end. It takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// Removes what overlayfs leaves in its work directory: nested directories without any permission bits.
fn empty_work(work: &Path) {
    let inner = work.join("work");
    if inner.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
        for dir in [inner.clone(), inner.join("incompat"), inner.join("incompat/volatile")] {
            let _ = fs::set_permissions(dir, fs::Permissions::from_mode(0o700));
        }
        // What cannot be removed is found by the next mount, which says so.
        let _ = fs::remove_dir_all(&inner);
    }
}
