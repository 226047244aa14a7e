//! How [`Records`] travel from the supervisor to the caller, and may be kept: bytes.
//!
//! Numbers are LEB128; a string is its length and its bytes; a list is its count and its items; an optional id is 0 or
//! the id plus 1; a stream is what it is (0 something else, 1 a pipe, 2 a file) and its number; a time is in microseconds. An access is told by its path's distance from the one before, as they are sorted.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use super::{Access, End, Exec, Move, MoveKind, PathId, Paths, Process, ProcessId, Records, Stream, Touch};

const MAGIC: &[u8] = b"rekindle-sandbox records 4\n";

impl Records {
    /// These records as bytes, a few for each access.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut to = Writer(MAGIC.to_vec());
        to.number(self.complete.into());
        to.bytes(self.reason.as_bytes());
        to.number(self.events);
        to.number(micros(self.began));
        to.number(self.paths.dirs().count() as u64);
        self.paths.dirs().for_each(|dir| to.bytes(dir));
        to.number(self.paths.len() as u64);
        for (dir, name) in self.paths.entries() {
            to.number(dir.into());
            to.bytes(name);
        }
        to.number(self.processes.len() as u64);
        self.processes.iter().for_each(|process| to.process(process));
        to.number(self.moves.len() as u64);
        for Move { process, from, to: target, kind, at } in &self.moves {
            [process.0, from.0, target.0, *kind as u32, *at]
                .iter()
                .for_each(|&number| to.number(number.into()));
        }
        to.0
    }

    /// The other direction; `None` if the bytes are not from [`Records::to_bytes`] of this version.
    pub fn from_bytes(bytes: &[u8]) -> Option<Records> {
        let mut from = Reader(bytes.strip_prefix(MAGIC)?);
        let complete = from.number()? != 0;
        let reason = String::from_utf8(from.bytes()?.to_vec()).ok()?;
        let events = from.number()?;
        let began = Duration::from_micros(from.number()?);
        let dirs = from.list(|from| from.bytes().map(Into::into))?;
        let entries = from.list(|from| Some((from.small()?, from.bytes()?.into())))?;
        let mut records = Records {
            complete,
            reason,
            events,
            began,
            paths: Paths::from_parts(dirs, entries)?,
            processes: from.list(Reader::process)?,
            moves: from.list(Reader::step)?,
        };
        let fits = from.0.is_empty() && records.ids_fit();
        // Room that was reserved and not used would stay reserved for as long as the records live.
        records.processes.shrink_to_fit();
        fits.then_some(records)
    }

    fn ids_fit(&self) -> bool {
        let path = |id: PathId| (id.0 as usize) < self.paths.len();
        let known = |id: ProcessId| (id.0 as usize) < self.processes.len();
        self.processes.iter().all(|process| {
            process.parent.is_none_or(known)
                && process.before.is_none_or(known)
                && process.exec.as_ref().is_none_or(|exec| path(exec.program) && path(exec.cwd))
                && [process.input, process.output].into_iter().all(|stream| match stream {
                    Stream::File(file) => path(file),
                    Stream::Other | Stream::Pipe(_) => true,
                })
                && process.accesses.iter().all(|access| path(access.path))
        }) && self.moves.iter().all(|step| known(step.process) && path(step.from) && path(step.to))
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn id(&mut self, id: Option<ProcessId>) {
        self.number(id.map_or(0, |id| u64::from(id.0) + 1));
    }

    fn process(&mut self, process: &Process) {
        self.id(process.parent);
        self.id(process.before);
        let (kind, value) = match process.end {
            End::Unseen => (0, 0),
            End::Code(code) => (1, code),
            End::Signal(signal) => (2, signal),
        };
        self.number(kind);
        self.number(u64::from(value.cast_unsigned()));
        self.number(process.shares.into());
        for stream in [process.input, process.output] {
            let (kind, value) = match stream {
                Stream::Other => (0, 0),
                Stream::Pipe(number) => (1, number),
                Stream::File(path) => (2, path.0.into()),
            };
            self.number(kind);
            self.number(value);
        }
        let [started, ended] = [process.started, process.ended].map(micros);
        self.number(started);
        self.number(ended.saturating_sub(started));
        match &process.exec {
            None => self.number(0),
            Some(exec) => {
                self.number(1);
                self.number(exec.program.0.into());
                self.number(exec.cwd.0.into());
                self.number(exec.argv.len() as u64);
                exec.argv.iter().for_each(|arg| self.bytes(arg.as_bytes()));
                self.0.extend_from_slice(&exec.argv_digest);
                self.0.extend_from_slice(&exec.env_digest);
            }
        }
        self.number(process.accesses.len() as u64);
        let mut last = 0;
        for access in &process.accesses {
            self.number(access.path.0.wrapping_sub(last).into());
            last = access.path.0;
            self.number(access.touch.bits().into());
            self.number(access.observed.into());
            self.number(access.changed.into());
            self.number(access.changed_last.wrapping_sub(access.changed).into());
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn small(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?.try_into().ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn digest(&mut self) -> Option<[u8; 32]> {
        let (digest, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*digest)
    }

    fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.number()?).ok()?;
        // Each item takes a byte at least, so a count that is a lie takes no memory.
        let mut list = Vec::with_capacity(count.min(self.0.len()).min(1 << 16));
        for _ in 0..count {
            list.push(read(self)?);
        }
        Some(list)
    }

    fn id(&mut self) -> Option<Option<ProcessId>> {
        Some(self.small()?.checked_sub(1).map(ProcessId))
    }

    fn process(&mut self) -> Option<Process> {
        let (parent, before) = (self.id()?, self.id()?);
        let end = match (self.number()?, self.small()?.cast_signed()) {
            (0, 0) => End::Unseen,
            (1, code) => End::Code(code),
            (2, signal) => End::Signal(signal),
            _ => return None,
        };
        let shares = self.number()? != 0;
        let (input, output) = (self.stream()?, self.stream()?);
        let started = Duration::from_micros(self.number()?);
        let ended = started + Duration::from_micros(self.number()?);
        let exec = match self.number()? {
            0 => None,
            1 => Some(Exec {
                program: PathId(self.small()?),
                cwd: PathId(self.small()?),
                argv: self.list(|from| from.bytes().map(|arg| OsString::from_vec(arg.to_vec())))?,
                argv_digest: self.digest()?,
                env_digest: self.digest()?,
            }),
            _ => return None,
        };
        let mut last = 0u32;
        let accesses = self.list(|from| {
            last = last.wrapping_add(from.small()?);
            let touch = Touch::from_bits(from.small()?.try_into().ok()?)?;
            let (observed, changed) = (from.small()?, from.small()?);
            let changed_last = changed.wrapping_add(from.small()?);
            Some(Access { path: PathId(last), touch, observed, changed, changed_last })
        })?;
        Some(Process { parent, before, exec, end, started, ended, shares, input, output, accesses })
    }

    fn stream(&mut self) -> Option<Stream> {
        Some(match (self.number()?, self.number()?) {
            (0, 0) => Stream::Other,
            (1, number) => Stream::Pipe(number),
            (2, path) => Stream::File(PathId(path.try_into().ok()?)),
            _ => return None,
        })
    }

    fn step(&mut self) -> Option<Move> {
        Some(Move {
            process: ProcessId(self.small()?),
            from: PathId(self.small()?),
            to: PathId(self.small()?),
            kind: match self.number()? {
                0 => MoveKind::Rename,
                1 => MoveKind::Exchange,
                2 => MoveKind::Link,
                _ => return None,
            },
            at: self.small()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn records() -> impl Strategy<Value = Records> {
        let paths = vec(vec(1..=u8::MAX, 1..20), 1..20);
        let access = (any::<prop::sample::Index>(), 0u16..1 << 13, any::<[u32; 3]>());
        let process = (
            proptest::option::of(any::<prop::sample::Index>()),
            0..3usize,
            any::<i32>(),
            proptest::option::of((any::<prop::sample::Index>(), vec(any::<u8>(), 0..30), any::<[u8; 32]>())),
            vec(access, 0..10),
            any::<[u32; 2]>(),
        );
        (paths, vec(process, 1..10), any::<bool>(), any::<u64>()).prop_map(
            |(names, made, complete, events)| {
                let mut paths = Paths::default();
                for name in names {
                    paths.add(&[b"/", &name[..]].concat());
                }
                let path = |index: prop::sample::Index| PathId(index.index(paths.len()) as u32);
                let count = made.len();
                let processes = made.into_iter().map(|(parent, end, value, exec, accesses, times)| Process {
                    parent: parent.map(|index| ProcessId(index.index(count) as u32)),
                    before: None,
                    end: [End::Unseen, End::Code(value), End::Signal(value)][end],
                    started: Duration::from_micros(times[0].into()),
                    ended: Duration::from_micros(u64::from(times[0]) + u64::from(times[1])),
                    shares: complete,
                    input: Stream::Pipe(times[0].into()),
                    output: if complete { Stream::File(PathId(0)) } else { Stream::Other },
                    exec: exec.map(|(program, arg, digest)| Exec {
                        program: path(program),
                        cwd: path(program),
                        argv: vec![OsString::from_vec(arg)],
                        argv_digest: digest,
                        env_digest: digest,
                    }),
                    accesses: accesses
                        .into_iter()
                        .map(|(index, touch, [observed, changed, changed_last])| Access {
                            path: path(index),
                            touch: Touch(touch),
                            observed,
                            changed,
                            changed_last,
                        })
                        .collect(),
                });
                let processes = processes.collect();
                let step = Move {
                    process: ProcessId(0),
                    from: PathId(0),
                    to: PathId(0),
                    kind: MoveKind::Link,
                    at: 7,
                };
                let began = Duration::from_micros(events);
                Records { processes, moves: vec![step], paths, events, began, complete, reason: "why".into() }
            },
        )
    }

    proptest! {
        #[test]
        fn all_records_travel(records in records()) {
            prop_assert_eq!(Records::from_bytes(&records.to_bytes()), Some(records));
        }

        #[test]
        fn what_is_cut_short_is_nothing(records in records(), cut in any::<prop::sample::Index>()) {
            let bytes = records.to_bytes();
            prop_assert_eq!(Records::from_bytes(&bytes[..cut.index(bytes.len())]), None);
        }

        #[test]
        fn garbage_does_no_harm(bytes in vec(any::<u8>(), 0..300)) {
            if let Some(records) = Records::from_bytes(&[MAGIC, &bytes].concat()) {
                records.index();
                records.inputs();
            }
        }
    }
}
