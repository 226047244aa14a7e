//! The beginning and the end of observing: what is made before, how the listener comes, how the records go.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType, recvmsg,
    socketpair,
};
use rustix::process::{Signal, pidfd_send_signal};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use super::Recorder;
use super::procs::Procs;
use crate::error::Error;
use crate::records::Records;
use crate::spec::{Observe, Spec};

/// What has to be made before there is an init, to observe later.
pub(in crate::child) struct Preparation {
    procs: Procs,
    /// What the caller reads the records from.
    sink: OwnedFd,
    post: OwnedFd,
    /// The command's end.
    pub(in crate::child) post_end: OwnedFd,
}

/// How following a command ended.
#[derive(PartialEq, Eq)]
pub(in crate::child) enum Ended {
    /// Init has ended.
    Init,
    /// The caller has had enough; init was killed.
    Caller,
}

impl Preparation {
    /// Takes standard input, where the caller left its order, to write the records to in the end.
    pub(in crate::child) fn make() -> Result<Self, Error> {
        let failed = |errno: Errno| Error::failed("cannot prepare to observe", errno);
        let sink = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3).map_err(failed)?;
        let procs = Procs::open().map_err(failed)?;
        let (post, post_end) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(failed)?;
        Ok(Preparation { procs, sink, post, post_end })
    }

    /// Follows the command until init ends, or kills init when the caller is gone or has had enough. Gives what was recorded.
    pub(in crate::child) fn follow(
        self,
        spec: &Spec,
        observe: &Observe,
        caller: BorrowedFd<'_>,
        init: &OwnedFd,
    ) -> (Ended, Outcome) {
        let Preparation { procs, sink, post, post_end } = self;
        drop(post_end);
        keep_one_capability();
        let mut recorder = Recorder::new(spec, observe, procs);
        let ended = match receive_listener(&post, caller, init) {
            Ok(listener) => recorder.listen(&listener, caller, init),
            Err(reason) => {
                recorder.give_up(reason);
                None
            }
        };
        // Nobody makes calls any more.
        let ended = ended.unwrap_or_else(|| wait_for_end(caller, init));
        (ended, Outcome { records: recorder.finish(), sink })
    }
}

/// How long it may take until the end of the caller is noticed, while calls are waited for.
pub(super) const GLANCE: Duration = Duration::from_millis(50);

/// Waits until init has ended; ends it when the caller is gone, or has closed its side to say that it is enough.
fn wait_for_end(caller: BorrowedFd<'_>, init: &OwnedFd) -> Ended {
    loop {
        let mut fds =
            [PollFd::new(init, PollFlags::IN), PollFd::new(&caller, PollFlags::IN | PollFlags::RDHUP)];
        let _ = poll(&mut fds, None);
        if let Some(ended) = look_for_end(caller, init) {
            return ended;
        }
    }
}

/// The same, without waiting.
pub(super) fn look_for_end(caller: BorrowedFd<'_>, init: &OwnedFd) -> Option<Ended> {
    let mut fds = [PollFd::new(init, PollFlags::IN), PollFd::new(&caller, PollFlags::IN | PollFlags::RDHUP)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&at_once)).ok()?;
    if !fds[0].revents().is_empty() {
        return Some(Ended::Init);
    }
    if fds[1].revents().is_empty() {
        return None;
    }
    // It can only fail when init is gone already.
    let _ = pidfd_send_signal(init, Signal::KILL);
    Some(Ended::Caller)
}

/// What was recorded, on its way to the caller.
pub(in crate::child) struct Outcome {
    records: Records,
    sink: OwnedFd,
}

impl Outcome {
    /// Writes it to where the caller looks for it.
    pub(in crate::child) fn hand_over(self) -> Result<(), String> {
        let failed = |errno: Errno| format!("cannot hand the records over: {}", std::io::Error::from(errno));
        let bytes = self.records.to_bytes();
        drop(self.records);
        rustix::fs::ftruncate(&self.sink, 0).map_err(failed)?;
        let mut done = 0;
        while done < bytes.len() {
            done += rustix::io::pwrite(&self.sink, &bytes[done..], done as u64).map_err(failed)?;
        }
        Ok(())
    }
}

/// The descriptor that the command sends; or why it cannot, as text.
fn receive_listener(post: &OwnedFd, caller: BorrowedFd<'_>, init: &OwnedFd) -> Result<OwnedFd, String> {
    let ended = || "the command ended before it could be observed".to_owned();
    let mut fds = [
        PollFd::new(post, PollFlags::IN),
        PollFd::new(init, PollFlags::IN),
        PollFd::new(&caller, PollFlags::IN | PollFlags::RDHUP),
    ];
    while poll(&mut fds, None).is_err() {}
    if fds[0].revents().is_empty() {
        return Err(ended());
    }
    let mut text = [0; 512];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(post, &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC);
    let count =
        received.map_err(|errno| format!("cannot begin to observe: {}", std::io::Error::from(errno)))?.bytes;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut fds) = message
            && let Some(fd) = fds.next()
        {
            return Ok(fd);
        }
    }
    Err(match count {
        0 => ended(),
        _ => String::from_utf8_lossy(&text[..count]).into_owned(),
    })
}

/// What the command may not open, it must not find either, so all other capabilities have to go.
fn keep_one_capability() {
    let one = CapabilitySet::SYS_PTRACE;
    let none = CapabilitySet::empty();
    // Without it, what cannot be looked into is said to be so.
    let _ = set_capabilities(None, CapabilitySets { effective: one, permitted: one, inheritable: none });
}
