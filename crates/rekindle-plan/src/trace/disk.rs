//! Traces on disk.
//!
//! ```text
//! trace    = count, path*, process count, process*, move count, move*, left
//! path     = common, length, bytes:length              ascending; `common` is shared with the path before it
//! process  = flags:u8, [parent], [before], [exec], [exit], input, output, started, length of time, count, access*
//! input    = 0 unknown | 2 * number + 1 a pipe | 2 * path + 2 a file; output likewise
//! flags    = 1 parent | 2 before | 4 exec | 8 exit | 16 failed
//! exec     = program, cwd, argv digest:32, environment digest:32, count, (length, bytes:length)*
//! access   = path - path before - 1, touch, observed, changed, changed_last - changed
//! move     = process, from, to, at
//! left     = a bit for each path, low bits first
//! ```
//! Numbers are varints of the [frame](crate::disk). Traces are packed by whoever stores them.

use super::{Access, Arguments, Exec, Move, PathId, Paths, Process, ProcessId, Stream, Touch, Trace};
use crate::Error;
use crate::disk::{Format, Reader, put_varint};

const FORMAT: Format = Format { what: "trace of a step", version: 4 };

const PARENT: u8 = 1;
const BEFORE: u8 = 2;
const EXEC: u8 = 4;
const EXIT: u8 = 8;
const FAILED: u8 = 16;

pub(super) fn encode(trace: &Trace) -> Vec<u8> {
    // It may be large, and is not copied.
    let mut body = FORMAT.begin();
    put_varint(&mut body, trace.paths.len());
    let mut last: &[u8] = &[];
    for path in trace.paths.iter() {
        let common = last.iter().zip(path).take_while(|(a, b)| a == b).count();
        put_varint(&mut body, common);
        put_text(&mut body, &path[common..]);
        last = path;
    }
    put_varint(&mut body, trace.processes.len());
    trace.processes.iter().for_each(|process| put_process(&mut body, process));
    put_varint(&mut body, trace.moves.len());
    for step in &trace.moves {
        [step.process.0, step.from.0, step.to.0, step.at]
            .iter()
            .for_each(|number| put_varint(&mut body, *number as usize));
    }
    let byte = |bits: &[bool]| bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | u8::from(*bit) << at);
    body.extend(trace.left.chunks(8).map(byte));
    Format::finish(body)
}

fn put_process(body: &mut Vec<u8>, process: &Process) {
    let flag = |bit, is_set| if is_set { bit } else { 0 };
    body.push(
        flag(PARENT, process.parent.is_some())
            | flag(BEFORE, process.before.is_some())
            | flag(EXEC, process.exec.is_some())
            | flag(EXIT, process.exit.is_some())
            | flag(FAILED, process.failed),
    );
    for id in process.parent.iter().chain(&process.before) {
        put_varint(body, id.at());
    }
    if let Some(exec) = &process.exec {
        put_varint(body, exec.program.at());
        put_varint(body, exec.cwd.at());
        body.extend_from_slice(&exec.argv_digest);
        body.extend_from_slice(&exec.env_digest);
        exec.argv.put(body);
    }
    if let Some(exit) = process.exit {
        put_varint(body, exit as usize);
    }
    put_stream(body, process.input);
    put_stream(body, process.output);
    put_varint(body, process.started as usize);
    put_varint(body, process.ended.saturating_sub(process.started) as usize);
    put_varint(body, process.accesses.len());
    let mut next = 0;
    for access in &process.accesses {
        put_varint(body, access.path.at() - next);
        next = access.path.at() + 1;
        put_varint(body, access.touch.0.into());
        put_varint(body, access.observed as usize);
        put_varint(body, access.changed as usize);
        put_varint(body, access.changed_last.saturating_sub(access.changed) as usize);
    }
}

/// Most are pipes or nothing, which take one byte.
fn put_stream(body: &mut Vec<u8>, stream: Stream) {
    put_varint(
        body,
        match stream {
            Stream::Other => 0,
            Stream::Pipe(number) => 2 * number as usize + 1,
            Stream::File(path) => 2 * path.at() + 2,
        },
    );
}

fn put_text(body: &mut Vec<u8>, text: &[u8]) {
    put_varint(body, text.len());
    body.extend_from_slice(text);
}

pub(super) fn decode(bytes: &[u8]) -> Result<Trace, Error> {
    let mut reader = FORMAT.open(bytes)?;
    let mut paths = Paths::default();
    let mut path = Vec::new();
    for index in 0..reader.varint()? {
        let common = reader.varint()?;
        let rest = text(&mut reader)?;
        let ascends = path.get(common) < rest.first();
        if common > path.len() || (index > 0 && !ascends) || common + rest.len() > LONGEST {
            return Err(reader.damaged("the paths do not ascend"));
        }
        path.truncate(common);
        path.extend_from_slice(rest);
        paths.push(&path);
    }
    let mut trace = Trace { paths, ..Trace::default() };
    for index in 0..reader.varint()? {
        let process = process(&mut reader, index, trace.paths.len())?;
        trace.processes.push(process);
    }
    for _ in 0..reader.varint()? {
        let process = ProcessId(below(&mut reader, trace.processes.len())?);
        let [from, to] = [path_id(&mut reader, &trace)?, path_id(&mut reader, &trace)?];
        trace.moves.push(Move { process, from, to, at: small(&mut reader)? });
    }
    let bits = reader.take(trace.paths.len().div_ceil(8))?;
    trace.left = (0..trace.paths.len()).map(|at| bits[at / 8] >> (at % 8) & 1 == 1).collect();
    if bits
        .last()
        .is_some_and(|last| !trace.paths.len().is_multiple_of(8) && last >> (trace.paths.len() % 8) != 0)
    {
        return Err(reader.damaged("a bit is for no path"));
    }
    reader.end()?;
    Ok(trace)
}

/// The longest path that is kept. The kernel takes none longer than 4096 in one call, and a path that is put together of
/// several calls is not much longer. Without a bound, a few bytes on disk could stand for any amount of memory.
const LONGEST: usize = 1 << 16;

fn process(reader: &mut Reader<'_>, index: usize, paths: usize) -> Result<Process, Error> {
    let flags = reader.byte()?;
    if flags & !(PARENT | BEFORE | EXEC | EXIT | FAILED) != 0 {
        return Err(reader.damaged("a flag is not known"));
    }
    let earlier = |flag, reader: &mut Reader<'_>| -> Result<Option<ProcessId>, Error> {
        if flags & flag == 0 { Ok(None) } else { below(reader, index).map(|id| Some(ProcessId(id))) }
    };
    let parent = earlier(PARENT, reader)?;
    let before = earlier(BEFORE, reader)?;
    let exec = if flags & EXEC == 0 { None } else { Some(exec(reader, paths)?) };
    let exit = if flags & EXIT == 0 { None } else { Some(small(reader)?) };
    let (input, output) = (stream(reader, paths)?, stream(reader, paths)?);
    let started = reader.varint()? as u64;
    let Some(ended) = started.checked_add(reader.varint()? as u64) else {
        return Err(reader.damaged("a time is too large"));
    };
    let mut accesses = Vec::new();
    let mut next = 0;
    for _ in 0..reader.varint()? {
        let gap = reader.varint()?;
        let Some(path) = gap.checked_add(next).filter(|path| *path < paths) else {
            return Err(reader.damaged("it speaks of a path that it does not have"));
        };
        next = path + 1;
        let touch = small(reader)?;
        let Some(touch) = u16::try_from(touch).ok().filter(|bits| bits & !Touch::ALL == 0) else {
            return Err(reader.damaged("a way to touch a file is not known"));
        };
        let (observed, changed) = (small(reader)?, small(reader)?);
        let Some(changed_last) = changed.checked_add(small(reader)?) else {
            return Err(reader.damaged("a number is too large"));
        };
        let path = PathId(path as u32);
        accesses.push(Access { path, touch: Touch(touch), observed, changed, changed_last });
    }
    let failed = flags & FAILED != 0;
    Ok(Process { parent, before, exec, exit, started, ended, failed, input, output, accesses })
}

fn stream(reader: &mut Reader<'_>, paths: usize) -> Result<Stream, Error> {
    let number = reader.varint()?;
    let Some(number) = number.checked_sub(1) else { return Ok(Stream::Other) };
    let half = u32::try_from(number / 2).map_err(|_| reader.damaged("a number is too large"))?;
    match number % 2 {
        0 => Ok(Stream::Pipe(half)),
        _ if (half as usize) < paths => Ok(Stream::File(PathId(half))),
        _ => Err(reader.damaged("it speaks of a path that it does not have")),
    }
}

fn exec(reader: &mut Reader<'_>, paths: usize) -> Result<Exec, Error> {
    let program = PathId(below(reader, paths)?);
    let cwd = PathId(below(reader, paths)?);
    let (argv_digest, env_digest) = (reader.array()?, reader.array()?);
    Ok(Exec { program, cwd, argv: Arguments::read(reader)?, argv_digest, env_digest })
}

fn path_id(reader: &mut Reader<'_>, trace: &Trace) -> Result<PathId, Error> {
    below(reader, trace.paths.len()).map(PathId)
}

fn below(reader: &mut Reader<'_>, end: usize) -> Result<u32, Error> {
    let number = small(reader)?;
    if (number as usize) < end { Ok(number) } else { Err(reader.damaged("a number is beyond its list")) }
}

fn small(reader: &mut Reader<'_>) -> Result<u32, Error> {
    let number = reader.varint()?;
    u32::try_from(number).map_err(|_| reader.damaged("a number is too large"))
}

fn text<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    let length = reader.varint()?;
    reader.take(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace() -> Trace {
        let paths: Vec<Vec<u8>> =
            ["/usr/bin/cc", "build/a.o", "build/a.c", "build", "build/a.c"].map(Into::into).into();
        let access = |path, touch, at| Access {
            path: PathId(path),
            touch,
            observed: at,
            changed: if touch.changes() { at } else { 0 },
            changed_last: if touch.changes() { at + 2 } else { 0 },
        };
        let exec = Exec {
            program: PathId(0),
            cwd: PathId(3),
            argv: ["cc", "-c", "a.c"].into_iter().collect(),
            argv_digest: [7; 32],
            env_digest: [9; 32],
        };
        let first = Process::default();
        let second = Process {
            parent: Some(ProcessId(0)),
            exec: Some(exec),
            exit: Some(0),
            input: Stream::Pipe(3),
            output: Stream::File(PathId(4)),
            started: 5,
            ended: 900,
            accesses: vec![
                access(1, Touch::CREATED, 4),
                access(2, Touch::READ, 3),
                access(4, Touch::PRESENT, 2),
            ],
            ..Process::default()
        };
        let moves = vec![Move { process: ProcessId(1), from: PathId(4), to: PathId(1), at: 9 }];
        Trace::new(&paths, vec![first, second], moves, |path| path == b"build/a.o")
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        let trace = trace();
        assert_eq!(trace.paths().len(), 4);
        let source = trace.paths().find(b"build/a.c").expect("it is there");
        let access = trace.processes()[1].accesses.iter().find(|access| access.path == source);
        assert_eq!(
            access.map(|access| (access.touch, access.observed)),
            Some((Touch::READ.and(Touch::PRESENT), 2))
        );
        assert!(!trace.left(source));
        assert_eq!(trace.paths().below(b"build").len(), 2);
        assert_eq!(Trace::decode(&trace.encode()).expect("it is whole"), trace);
        let object = trace.paths().find(b"build/a.o").expect("it is there");
        let failed = trace.without_failed(&[ProcessId(1)], |path| path == b"build/a.o");
        assert!(failed.processes()[1].failed && !failed.left(object) && trace.left(object));
        assert_eq!(Trace::decode(&failed.encode()).expect("it is whole"), failed);
        assert_eq!(Trace::decode(&Trace::default().encode()).expect("it is whole"), Trace::default());
    }

    #[test]
    fn damage_is_noticed_and_never_panics() {
        let sealed = trace().encode();
        let header = FORMAT.seal(b"").len() - 32;
        let body = &sealed[header..sealed.len() - 32];
        for at in 0..body.len() {
            for change in [1u8, 0x80, 0xff] {
                let mut other = body.to_vec();
                other[at] ^= change;
                // Whatever it is taken for, that is what would be written.
                if let Ok(read) = decode(&FORMAT.seal(&other)) {
                    assert_eq!(read.encode(), FORMAT.seal(&other), "byte {at}");
                }
            }
            assert!(decode(&FORMAT.seal(&body[..at])).is_err(), "cut at {at}");
        }
    }
}
