//! What a process could read or write by descriptors that it did not open itself.
//!
//! They are looked at when it has executed a program, as it has kept them on purpose then, and after it may have been
//! sent some. What it could do with each is put down to it, as reading and writing are not observed.

use rustix::fs::{FileType, fcntl_getfl};
use rustix::io::Errno;

use super::lookup::Kind;
use super::procs::Opened;
use super::{Caller, Recorder, Target, unreadable};
use crate::records::{ProcessId, Stream, Touch};

/// Where descriptors are looked for that cannot be listed.
const MOST_LIKELY: u32 = 63;

/// Where all descriptors of an ordinary program are found.
const LOW: u32 = 16;

/// A descriptor, and the text of the link to what it is; `None` if that may not be read.
type Descriptor = (u32, Option<Vec<u8>>);

/// A file that a descriptor is, and what for.
struct Given {
    path: Box<[u8]>,
    reads: bool,
    writes: bool,
}

/// What a link to a pipe says.
fn pipe_text(number: u64) -> Vec<u8> {
    format!("pipe:[{number}]").into_bytes()
}

/// The number of the pipe that a link is to.
fn pipe(text: &[u8]) -> Option<u64> {
    let number = text.strip_prefix(b"pipe:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

impl Recorder<'_> {
    pub(super) fn scan(&mut self, who: Caller) -> Result<(), String> {
        let task = self.tasks.get(who.process);
        let record = task.record;
        let is_open = std::mem::take(&mut task.is_open);
        for (fd, text) in self.descriptors(who, is_open)? {
            if fd <= 1
                && let Some(text) = &text
            {
                self.note_stream(record, fd, text)?;
            }
            let found = match text {
                Some(text) => self.file_at(who, fd, &text)?,
                None => self.file_copied(who, fd)?,
            };
            let Some(Given { path, reads, writes }) = found else { continue };
            let ledger = self.ledger()?;
            if (!reads && !writes) || ledger.has_touched(record, &path) {
                continue;
            }
            let read = if reads { Touch::READ } else { Touch::default() };
            let written = if writes { Touch::UPDATED } else { Touch::default() };
            ledger.touch(record, &path, read | written | Touch::INHERITED)?;
        }
        Ok(())
    }

    /// Keeps what standard input or output is.
    fn note_stream(&mut self, record: ProcessId, fd: u32, text: &[u8]) -> Result<(), String> {
        let ledger = self.ledger()?;
        let stream = match text {
            // What has no name any more is nobody's.
            [b'/', ..] if ledger.is_of_interest(text) && !text.ends_with(b" (deleted)") => {
                Stream::File(ledger.path(text)?)
            }
            _ => pipe(text).map_or(Stream::Other, Stream::Pipe),
        };
        let process = ledger.process(record);
        let known = if fd == 0 { &mut process.input } else { &mut process.output };
        // It may have exchanged them since.
        if *known == Stream::Other {
            *known = stream;
        }
        Ok(())
    }

    /// All descriptors of a process; of one that keeps others out of its part of `/proc`, those where one may be. `is_open`: it is
    /// known that it does not.
    fn descriptors(&mut self, who: Caller, is_open: bool) -> Result<Vec<Descriptor>, String> {
        if let Some(few) = self.few_descriptors(who, is_open) {
            return Ok(few);
        }
        match self.procs.descriptors(who.process) {
            Ok(all) => {
                let link = |fd| (fd, self.procs.link(who.process, &format!("fd/{fd}")).ok());
                Ok(all.into_iter().map(link).collect())
            }
            Err(Errno::NOENT | Errno::SRCH) => Ok(Vec::new()),
            Err(Errno::ACCESS) => {
                let record = self.tasks.get(who.process).record;
                self.ledger()?.process(record).shares = true;
                Ok((0..=MOST_LIKELY).map(|fd| (fd, None)).collect())
            }
            Err(errno) => Err(unreadable(errno)),
        }
    }

    /// The same for a process that has but a few: to list them would cost several times as much.
    fn few_descriptors(&self, who: Caller, is_open: bool) -> Option<Vec<Descriptor>> {
        let count = usize::try_from(self.procs.count_descriptors(who.process)?).ok()?;
        let mut found = Vec::with_capacity(count.min(LOW as usize));
        let task = self.tasks.find(who.process)?;
        for fd in 0..LOW {
            if found.len() == count {
                return Some(found);
            }
            // To ask the file itself what it is costs less than to ask `/proc` for its name; most are pipes. If that
            // is not known, the first one tells whether `/proc` would answer: of who keeps others out it is said that not all
            // is known.
            let stat = match found.is_empty() && !is_open {
                true => Err(Errno::ACCESS),
                false => task.descriptor(fd.cast_signed()).and_then(rustix::fs::fstat),
            };
            let is_stream = |stat: &rustix::fs::Stat| {
                let stream = [FileType::Fifo, FileType::Socket, FileType::CharacterDevice];
                stream.contains(&FileType::from_raw_mode(stat.st_mode))
            };
            match stat {
                Ok(stat) if is_stream(&stat) => {
                    let is_pipe = FileType::from_raw_mode(stat.st_mode) == FileType::Fifo;
                    let text = if fd <= 1 && is_pipe { pipe_text(stat.st_ino) } else { Vec::new() };
                    found.push((fd, Some(text)));
                }
                Err(Errno::BADF) if count <= LOW as usize => {}
                _ => match self.procs.link(who.process, &format!("fd/{fd}")) {
                    Ok(text) => found.push((fd, Some(text))),
                    Err(Errno::NOENT) if count <= LOW as usize => {}
                    Err(_) => return None,
                },
            }
        }
        (found.len() == count).then_some(found)
    }

    /// The file that a descriptor is, if it is one of interest.
    fn file_at(&mut self, who: Caller, fd: u32, text: &[u8]) -> Result<Option<Given>, String> {
        if !text.starts_with(b"/") || !self.ledger()?.is_of_interest(text) {
            return Ok(None);
        }
        let name = format!("fd/{fd}");
        let Some(stat) = self.procs.stat(who.process, &name).ok() else { return Ok(None) };
        let Opened::At(path) = Opened::of(text, || Some(stat)) else { return Ok(None) };
        if !Kind::of(stat.st_mode).is_file() {
            return Ok(None);
        }
        let access = self.procs.access(who.process, &name);
        Ok(access.map(|(reads, writes)| Given { path: path.into(), reads, writes }))
    }

    /// The same by a copy of the descriptor, which is to be had where nothing else is.
    fn file_copied(&mut self, who: Caller, fd: u32) -> Result<Option<Given>, String> {
        let Target::Found(found) = self.descriptor(Caller { tid: who.process, ..who }, fd.cast_signed())?
        else {
            return Ok(None);
        };
        let copy = self.tasks.get(who.process).descriptor(fd.cast_signed());
        let Ok(flags) = copy.and_then(fcntl_getfl) else { return Ok(None) };
        let flags = super::open::Flags::new(flags.bits().into(), 0);
        if !found.kind.is_file() || flags.has(libc::O_PATH) {
            return Ok(None);
        }
        Ok(Some(Given { path: found.path.clone(), reads: flags.reads(), writes: flags.writes() }))
    }
}
