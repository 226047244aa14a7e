//! Programs: what is executed, and what the kernel opens for it by itself.
//!
//! That a program is executed is heard of before it is known whether that succeeds, so it is kept in mind until the process is
//! heard of again. Then `/proc` tells the program that it runs, its arguments and its environment, as the kernel has laid them out: no
//! other thread can have changed them, as there is none.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::lookup::{Found, Kind};
use super::{Base, Caller, Recorder, Target, unreadable};
use crate::calls::Place;
use crate::records::{Exec, ProcessId, Touch};
use crate::sys;

/// A program that a process is about to execute.
pub(super) struct Pending {
    tid: u32,
    program: Rc<Found>,
    /// What the kernel reads besides: interpreters, the last one being what `/proc` will call the program, and a loader.
    helpers: Vec<Rc<Found>>,
    /// What `/proc` will call the program.
    binary: Box<[u8]>,
    cwd: Rc<[u8]>,
    /// When that was.
    at: Duration,
}

/// What files name that they are to be run by, of files that cannot change.
#[derive(Default)]
pub(super) struct Programs(HashMap<Box<[u8]>, Option<Runner>>);

/// What a file names that it is to be run by.
#[derive(Clone)]
enum Runner {
    /// A script's interpreter, which is the program then.
    Interpreter(Vec<u8>),
    /// The loader of a program, which is executed along with it.
    Loader(Vec<u8>),
}

/// As many interpreters of interpreters as the kernel follows.
const MOST_RUNNERS: usize = 5;

/// Most bytes of arguments that are kept.
const MOST_ARGUMENTS: usize = 64 << 10;

/// Most bytes of arguments or environment that there can be: what the kernel allows together, and more.
const MOST_BYTES: usize = 8 << 20;

impl Recorder<'_> {
    pub(super) fn exec(&mut self, who: Caller, place: Place, args: &[u64; 6]) -> Result<(), String> {
        let first = self.is_first(who);
        let Target::Found(program) = self.resolve(who, place, args, None)? else { return Ok(()) };
        let program = self.lookup.renew(program);
        match program.kind {
            Kind::Missing => return self.touch(who, &program, Touch::ABSENT),
            Kind::Program | Kind::Nameless => {}
            _ => return self.touch(who, &program, Touch::PRESENT),
        }
        let cwd = match first {
            true => self.first_cwd(who)?,
            false => match self.base(who, libc::AT_FDCWD)? {
                Base::At(cwd) | Base::Removed(cwd) => cwd,
                Base::Nowhere => Rc::from(&b""[..]),
            },
        };
        let mut helpers = Vec::new();
        let mut binary = program.clone();
        while helpers.len() < MOST_RUNNERS && binary.kind != Kind::Nameless {
            let Some(runner) = self.programs.runner(&binary) else { break };
            let (Runner::Interpreter(path) | Runner::Loader(path)) = &runner;
            let found = self.find(who, &cwd, path, true)?;
            let found = self.lookup.renew(found);
            helpers.push(found.clone());
            match runner {
                Runner::Interpreter(_) if found.kind == Kind::Program => binary = found,
                // It is an error that the kernel will find too; or the end of it.
                _ => break,
            }
        }
        let binary = binary.path.clone();
        let at = self.ledger()?.now();
        self.tasks.get(who.process).pending =
            Some(Pending { tid: who.tid, program, helpers, binary, cwd, at });
        Ok(())
    }

    /// Makes up for what could not be known when the process was last heard of.
    pub(super) fn settle(&mut self, who: Caller) -> Result<(), String> {
        let task = self.tasks.get(who.process);
        if !task.doubts.is_empty() {
            let mut doubts = std::mem::take(&mut task.doubts);
            self.resolve_doubts(&mut doubts, Some(who.tid));
            self.tasks.get(who.process).doubts = doubts;
        }
        let task = self.tasks.get(who.process);
        if let Some(pending) = &task.pending {
            // Another thread is heard of before the kernel has ended it.
            let waits = pending.tid != who.tid
                && pending.tid != who.process
                && sys::is_thread_of(pending.tid, who.process);
            if !waits && let Some(pending) = task.pending.take() {
                self.confirm(who, &pending)?;
            }
        }
        if std::mem::take(&mut self.tasks.get(who.process).scan) {
            self.scan(who)?;
        }
        Ok(())
    }

    /// The process has ended before it was heard of again: it may well have run the program.
    pub(super) fn give_benefit(&mut self, pending: &Pending, record: ProcessId) {
        let Ok(ledger) = &mut self.ledger else { return };
        let all = [&pending.program].into_iter().chain(&pending.helpers);
        for found in all.filter(|found| !matches!(found.kind, Kind::Missing | Kind::Nameless)) {
            if let Err(reason) = ledger.touch(record, &found.path, Touch::EXECUTED | Touch::READ) {
                return self.give_up(reason);
            }
        }
    }

    /// Finds out whether a program was executed, and notes what it was given.
    fn confirm(&mut self, who: Caller, pending: &Pending) -> Result<(), String> {
        let program = match self.procs.link(who.process, "exe") {
            Ok(program) => program,
            Err(Errno::NOENT | Errno::SRCH) => return Ok(()),
            Err(errno) => return Err(unreadable(errno)),
        };
        let task = self.tasks.get(who.process);
        if program == *task.program && *pending.binary != *program {
            // The kernel has looked into it to find out.
            return self.touch(who, &pending.program, Touch::READ);
        }
        task.program = program.into();
        task.threads = false;
        // The kernel gives it descriptors of its own.
        task.descriptors_shared = false;
        let old = task.record;
        let ledger = self.ledger()?;
        // From the fork on it is one with what it executes first.
        let record = match ledger.process(old).exec.is_none() {
            true => old,
            false => {
                let parent = ledger.process(old).parent;
                let record = ledger.begin(parent, Some(old), pending.at)?;
                ledger.end(old, None, pending.at);
                record
            }
        };
        let exec = self.describe(who, pending)?;
        self.ledger()?.set_exec(record, exec)?;
        self.tasks.get(who.process).record = record;
        for found in [&pending.program].into_iter().chain(&pending.helpers) {
            let missing = found.kind == Kind::Missing;
            self.touch(who, found, if missing { Touch::ABSENT } else { Touch::EXECUTED | Touch::READ })?;
        }
        self.tasks.get(who.process).scan = true;
        Ok(())
    }

    fn describe(&mut self, who: Caller, pending: &Pending) -> Result<Exec, String> {
        let read = |name: &str| match self.procs.read(who.process, name, MOST_BYTES) {
            Ok(bytes) => Ok((bytes, true)),
            Err(Errno::NOENT | Errno::SRCH) => Ok((Vec::new(), false)),
            Err(Errno::ACCESS) if name == "environ" => Ok((self.environment(who)?, false)),
            Err(errno) => Err(unreadable(errno)),
        };
        let ((arguments, _), (environment, is_open)) = (read("cmdline")?, read("environ")?);
        self.tasks.get(who.process).is_open = is_open;
        let kept = &arguments[..arguments.len().min(MOST_ARGUMENTS)];
        let kept = kept.strip_suffix(b"\0").unwrap_or(kept);
        let argv = match arguments.is_empty() {
            true => Vec::new(),
            false => kept.split(|&byte| byte == 0).map(|arg| OsString::from_vec(arg.to_vec())).collect(),
        };
        let ledger = self.ledger()?;
        let root = &b"/"[..];
        let cwd = if pending.cwd.is_empty() { root } else { &pending.cwd };
        Ok(Exec {
            program: ledger.path(&pending.program.path)?,
            cwd: ledger.path(cwd)?,
            argv,
            argv_digest: *blake3::hash(&arguments).as_bytes(),
            env_digest: *blake3::hash(&environment).as_bytes(),
        })
    }

    /// The environment of a process that keeps others out of its part of `/proc`.
    fn environment(&self, who: Caller) -> Result<Vec<u8>, String> {
        let (start, end) = self.procs.environment_in_memory(who.process).map_err(unreadable)?;
        let size = usize::try_from(end.saturating_sub(start)).unwrap_or(0).min(MOST_BYTES);
        let mut environment = vec![0; size];
        let count = self.read(who, start, &mut environment)?;
        environment.truncate(count);
        Ok(environment)
    }

    /// Whether this is the process that becomes the command. It cannot be looked into, as it has come out of the sandbox's own.
    pub(super) fn is_first(&self, who: Caller) -> bool {
        self.tasks.find(who.process).is_some_and(|task| task.record.0 == 0 && task.program.is_empty())
    }

    /// The program that the first process executes, which is known without looking into it.
    pub(super) fn first_program(&self, who: Caller) -> Option<Vec<u8>> {
        let runs = self.is_first(who) && self.spec.program != Path::new("/");
        runs.then(|| self.spec.program.as_os_str().as_bytes().to_vec())
    }

    pub(super) fn first_cwd(&mut self, who: Caller) -> Result<Rc<[u8]>, String> {
        let cwd = self.spec.cwd.as_os_str().as_bytes();
        let found = self.find(who, b"", cwd, true)?;
        Ok(if *found.path == *b"/" { Rc::from(&b""[..]) } else { Rc::from(&*found.path) })
    }
}

impl Programs {
    fn runner(&mut self, file: &Found) -> Option<Runner> {
        if let Some(known) = self.0.get(&file.path) {
            return known.clone();
        }
        let runner = read_runner(Path::new(std::ffi::OsStr::from_bytes(&file.path)));
        if file.lasting {
            self.0.insert(file.path.clone(), runner.clone());
        }
        runner
    }
}

/// What a file names that it is to be run by, as far as it can be read.
fn read_runner(path: &Path) -> Option<Runner> {
    // It may be another file by now, even a pipe, whose opening would wait for a writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    let mut head = [0; 256];
    let count = file.read_at(&mut head, 0).ok()?;
    let head = &head[..count];
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let name = line.trim_ascii_start().split(|byte| matches!(byte, b' ' | b'\t' | 0)).next()?;
        return (!name.is_empty()).then(|| Runner::Interpreter(name.to_vec()));
    }
    loader(head, |at, to| file.read_exact_at(to, at).is_ok()).map(Runner::Loader)
}

/// The loader that an ELF file names.
fn loader(head: &[u8], read: impl Fn(u64, &mut [u8]) -> bool) -> Option<Vec<u8>> {
    const PT_INTERP: u32 = 3;
    head.strip_prefix(b"\x7fELF")?;
    let wide = *head.get(4)? == 2;
    let word = |bytes: &[u8], at: usize, size: usize| -> Option<u64> {
        let mut word = [0; 8];
        word[..size].copy_from_slice(bytes.get(at..at + size)?);
        Some(u64::from_le_bytes(word))
    };
    let (table, entry, count) = match wide {
        true => (word(head, 32, 8)?, word(head, 54, 2)?, word(head, 56, 2)?),
        false => (word(head, 28, 4)?, word(head, 42, 2)?, word(head, 44, 2)?),
    };
    for index in 0..count.min(64) {
        let mut header = [0; 56];
        let length = if wide { 56 } else { 32 };
        if !read(table.checked_add(index * entry)?, &mut header[..length]) {
            return None;
        }
        if word(&header, 0, 4)? != u64::from(PT_INTERP) {
            continue;
        }
        let (offset, size) = match wide {
            true => (word(&header, 8, 8)?, word(&header, 32, 8)?),
            false => (word(&header, 4, 4)?, word(&header, 16, 4)?),
        };
        let mut name = vec![0; usize::try_from(size).ok().filter(|size| (2..=4096).contains(size))?];
        if !read(offset, &mut name) {
            return None;
        }
        name.truncate(name.iter().position(|&byte| byte == 0).unwrap_or(name.len()));
        return (!name.is_empty()).then_some(name);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runner(content: &[u8]) -> Option<(char, String)> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        std::fs::write(&path, content).expect("room");
        Some(match read_runner(&path)? {
            Runner::Interpreter(path) => ('i', String::from_utf8_lossy(&path).into_owned()),
            Runner::Loader(path) => ('l', String::from_utf8_lossy(&path).into_owned()),
        })
    }

    #[test]
    fn scripts_name_their_interpreters() {
        let interpreter = |path: &str| Some(('i', path.to_owned()));
        assert_eq!(runner(b"#!/bin/sh\nexit\n"), interpreter("/bin/sh"));
        assert_eq!(runner(b"#! \t/usr/bin/env python3"), interpreter("/usr/bin/env"));
        assert_eq!(runner(b"#!\n"), None);
        assert_eq!(runner(b"exit\n"), None);
        assert_eq!(runner(b""), None);
        assert_eq!(runner(b"\x7fELF"), None);
        assert_eq!(runner(&[b"\x7fELF\x02", &[0xff; 200][..]].concat()), None);
    }

    #[test]
    fn a_pipe_is_no_program_and_stops_nobody() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("pipe");
        let mode = Mode::from_raw_mode(0o755);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).expect("room");
        assert!(read_runner(&path).is_none());
    }

    #[test]
    fn programs_name_their_loaders() {
        let program =
            std::fs::read(std::env::current_exe().expect("this program has a path")).expect("readable");
        let (kind, path) = runner(&program).expect("it is dynamically linked");
        assert_eq!(kind, 'l');
        assert!(Path::new(&path).exists(), "{path}");
    }
}
