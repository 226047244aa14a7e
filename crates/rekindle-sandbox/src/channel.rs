//! What the sandbox's processes tell the caller, over a stream socket.
//!
//! The socket is the standard error of the supervisor and of init, so whatever else may be printed there (the dynamic
//! linker, a panic) arrives at the caller too. It cannot be mistaken: a report begins with a byte that no text has.
//!
//! ```text
//! report = 0xFF tag:u8 length:u32le payload
//! ```

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use crate::error::Error;
use crate::exit::{Status, Usage};

const START: u8 = 0xff;

/// No payload is longer; what claims to be is no report.
const LONGEST: usize = 1 << 20;

/// One thing that a process of the sandbox has to say.
#[derive(Debug)]
pub(crate) enum Report {
    /// From the supervisor: init has been started. Its pid descriptor comes along.
    Started,
    /// From any: it cannot be done.
    Failed(Error),
    /// From init: the command has ended, by itself.
    Ended(Status),
    /// From init: at this moment ([`crate::clock`]) it had stopped all processes, to interrupt them.
    Interrupted(Duration),
    /// From init: some of what it has observed, see [`crate::observed`].
    Seen(Vec<u8>),
    /// From init: that was all that it has observed; or why it has to be taken for nothing.
    SeenAll(Result<(), String>),
    /// From the supervisor: what it has recorded is where the spec was; or why it is not.
    Recorded(Result<(), String>),
    /// From the supervisor, its last: no process is left. The wall time is not filled in.
    Gone(Usage),
}

/// Tells the caller. Nothing can be done if it does not listen any more.
pub(crate) fn send(socket: BorrowedFd<'_>, report: &Report, attached: Option<BorrowedFd<'_>>) {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).to_le_bytes();
    let (tag, payload) = match report {
        Report::Started => (0, Vec::new()),
        Report::Failed(error) => (1, error.to_bytes()),
        Report::Ended(Status::Signal(signal)) => (2, signal.to_le_bytes().to_vec()),
        Report::Ended(Status::Code(code)) => (3, code.to_le_bytes().to_vec()),
        Report::Ended(Status::TimedOut | Status::Silent | Status::Cancelled) => {
            unreachable!("only the caller ends a command")
        }
        Report::Gone(usage) => {
            (4, [nanos(usage.user), nanos(usage.system), usage.peak_rss_bytes.to_le_bytes()].concat())
        }
        Report::Seen(piece) => (5, piece.clone()),
        Report::SeenAll(Ok(())) => (6, Vec::new()),
        Report::SeenAll(Err(reason)) => (7, reason.clone().into_bytes()),
        Report::Recorded(Ok(())) => (8, Vec::new()),
        Report::Recorded(Err(reason)) => (9, reason.clone().into_bytes()),
        Report::Interrupted(at) => (10, nanos(*at).to_vec()),
    };
    let length = u32::try_from(payload.len()).expect("payloads are short");
    let bytes = [&[START, tag], &length.to_le_bytes()[..], &payload].concat();

    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if let Some(fd) = &attached {
        control.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(fd)));
    }
    let mut sent = 0;
    while sent < bytes.len() {
        match sendmsg(socket, &[IoSlice::new(&bytes[sent..])], &mut control, SendFlags::NOSIGNAL) {
            Ok(count) => sent += count,
            Err(Errno::INTR) => {}
            Err(_) => return,
        }
        control.clear();
    }
}

/// The caller's end: puts reports together again.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    /// Init's pid descriptor, once it has come.
    pub(crate) init: Option<OwnedFd>,
}

/// What there is to read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Something was read; more may come.
    More,
    /// Nothing for the moment.
    Empty,
    /// All writers are gone.
    End,
}

impl Inbox {
    /// Reads once, without waiting.
    pub(crate) fn read(&mut self, socket: BorrowedFd<'_>) -> Reading {
        let mut buffer = [0; 16384];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let count = match recvmsg(socket, &mut [IoSliceMut::new(&mut buffer)], &mut control, flags) {
            Ok(message) => message.bytes,
            Err(Errno::AGAIN | Errno::INTR) => return Reading::Empty,
            // A reset connection, for one: it has ended either way.
            Err(_) => return Reading::End,
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.init = fds.into_iter().next().or(self.init.take());
            }
        }
        self.bytes.extend_from_slice(&buffer[..count]);
        if count == 0 { Reading::End } else { Reading::More }
    }

    /// The next report that is complete; `None` if there is none, or if what comes next is not a report.
    pub(crate) fn next(&mut self) -> Option<Report> {
        let (&[START, tag, l0, l1, l2, l3], rest) = self.bytes.split_first_chunk()? else { return None };
        let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).ok()?;
        let payload = rest.get(..length).filter(|_| length <= LONGEST)?;
        let report = parse(tag, payload)?;
        self.bytes.drain(..6 + length);
        Some(report)
    }

    /// What was read and is not a report, as text for a terminal: a complaint of something that knows no reports.
    pub(crate) fn stray_text(&self) -> String {
        let mut text = String::new();
        for chunk in self.bytes.utf8_chunks() {
            for char in chunk.valid().chars() {
                match char.is_control() && char != '\n' {
                    true => text.extend(char.escape_default()),
                    false => text.push(char),
                }
            }
            text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
        }
        text.trim().to_owned()
    }
}

fn parse(tag: u8, payload: &[u8]) -> Option<Report> {
    let number = || payload.try_into().ok().map(i32::from_le_bytes);
    Some(match tag {
        0 => Report::Started,
        1 => Report::Failed(Error::from_bytes(payload)?),
        2 => Report::Ended(Status::Signal(number()?)),
        3 => Report::Ended(Status::Code(number()?)),
        4 => {
            let (words, []) = payload.as_chunks::<8>() else { return None };
            let &[user, system, peak] = words else { return None };
            Report::Gone(Usage {
                user: Duration::from_nanos(u64::from_le_bytes(user)),
                system: Duration::from_nanos(u64::from_le_bytes(system)),
                wall: Duration::ZERO,
                peak_rss_bytes: u64::from_le_bytes(peak),
            })
        }
        5 => Report::Seen(payload.to_vec()),
        6 => Report::SeenAll(Ok(())),
        7 => Report::SeenAll(Err(String::from_utf8_lossy(payload).into_owned())),
        8 => Report::Recorded(Ok(())),
        9 => Report::Recorded(Err(String::from_utf8_lossy(payload).into_owned())),
        10 => Report::Interrupted(Duration::from_nanos(u64::from_le_bytes(payload.try_into().ok()?))),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use std::os::fd::AsFd;

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .expect("a socket pair")
    }

    #[test]
    fn reports_arrive_in_order_and_with_their_descriptor() {
        let (ours, theirs) = pair();
        let usage = Usage {
            user: Duration::from_micros(5),
            system: Duration::from_secs(3),
            peak_rss_bytes: 1 << 40,
            ..Usage::default()
        };
        send(theirs.as_fd(), &Report::Started, Some(theirs.as_fd()));
        send(theirs.as_fd(), &Report::Ended(Status::Signal(9)), None);
        send(theirs.as_fd(), &Report::Interrupted(Duration::from_nanos(1 << 50)), None);
        send(theirs.as_fd(), &Report::Failed(Error::new(ErrorKind::Forbidden, "x".repeat(9000))), None);
        send(theirs.as_fd(), &Report::Seen(vec![START; 50_000]), None);
        send(theirs.as_fd(), &Report::SeenAll(Err("too much".into())), None);
        send(theirs.as_fd(), &Report::Recorded(Ok(())), None);
        send(theirs.as_fd(), &Report::Recorded(Err("no room".into())), None);
        send(theirs.as_fd(), &Report::Gone(usage), None);
        drop(theirs);

        let mut inbox = Inbox::default();
        assert_eq!(inbox.read(ours.as_fd()), Reading::More);
        assert!(inbox.init.take().is_some());
        while inbox.read(ours.as_fd()) != Reading::End {}
        assert!(matches!(inbox.next(), Some(Report::Started)));
        assert!(matches!(inbox.next(), Some(Report::Ended(Status::Signal(9)))));
        assert!(matches!(inbox.next(), Some(Report::Interrupted(at)) if at.as_nanos() == 1 << 50));
        let Some(Report::Failed(error)) = inbox.next() else { panic!("the error is lost") };
        assert_eq!((error.kind(), error.to_string().len()), (ErrorKind::Forbidden, 9000));
        let Some(Report::Seen(piece)) = inbox.next() else { panic!("the piece is lost") };
        assert_eq!(piece, [START; 50_000]);
        assert!(matches!(inbox.next(), Some(Report::SeenAll(Err(reason))) if reason == "too much"));
        assert!(matches!(inbox.next(), Some(Report::Recorded(Ok(())))));
        assert!(matches!(inbox.next(), Some(Report::Recorded(Err(reason))) if reason == "no room"));
        let Some(Report::Gone(back)) = inbox.next() else { panic!("the usage is lost") };
        assert_eq!(back, usage);
        assert!(inbox.next().is_none());
        assert_eq!(inbox.stray_text(), "");
    }

    #[test]
    fn text_is_kept_apart() {
        let (ours, theirs) = pair();
        let mut inbox = Inbox::default();
        assert_eq!(inbox.read(ours.as_fd()), Reading::Empty);
        rustix::io::write(&theirs, b"cannot load libfoo.so\n").expect("room");
        assert_eq!(inbox.read(ours.as_fd()), Reading::More);
        assert!(inbox.next().is_none());
        assert_eq!(inbox.stray_text(), "cannot load libfoo.so");
        let inbox = Inbox { bytes: b"a\x1b[1m \xc3\xa9\n\xff\x03b\n".to_vec(), ..Inbox::default() };
        assert_eq!(inbox.stray_text(), "a\\u{1b}[1m \u{e9}\n\\xff\\u{3}b");
    }
}
