//! From what the sandbox recorded to what the plan judges by: a trace of the step, and what it looked at.
//!
//! Inside, the tree lies in several places: the build directory, `/tmp`, the outputs in the store, and the mounted source a second
//! time. In a trace each file of the tree has one name, that in the layers, and everything else its absolute path.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rekindle_layers::{Cursor, FileType, View};
use rekindle_plan::trace::{self, Access, Exec, Move, PathId, Process, ProcessId, Stream, Touch, Trace};
use rekindle_plan::{Observations, ObservationsBuilder};
use rekindle_sandbox::{self as sandbox, End, MoveKind, Records};

use crate::error::Error;
use crate::mounted::Mounted;
use crate::scratch::OutputPaths;
use crate::world::{BUILD_DIR, TREE_BUILD, TREE_STORE, TREE_TMP};

/// Where the tree lies inside.
pub(crate) struct Places {
    /// Directories inside, and the paths that they have in the tree.
    known: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Places {
    /// `source` is the mounted one with the place where the store shows it.
    pub(crate) fn new(store_dir: &str, moved: &[OutputPaths], source: Option<(&Mounted, &Path)>) -> Places {
        let mut known = vec![
            (BUILD_DIR.as_bytes().to_vec(), TREE_BUILD.as_bytes().to_vec()),
            (b"/tmp".to_vec(), TREE_TMP.as_bytes().to_vec()),
        ];
        if let Some((mounted, at)) = source {
            let bytes = |path: &Path| path.as_os_str().as_encoded_bytes().to_vec();
            known.push((bytes(at), bytes(&mounted.dir)));
        }
        for output in moved {
            for path in [&output.scratch, &output.final_path] {
                let name = path.base_name();
                let of = |dir: &str| format!("{dir}/{name}").into_bytes();
                known.push((of(store_dir), of(TREE_STORE)));
            }
        }
        Places { known }
    }

    /// The name in the tree of what is at `path` inside, or `path` itself.
    fn of(&self, path: Vec<u8>) -> Vec<u8> {
        for (inside, tree) in &self.known {
            match path.strip_prefix(&inside[..]) {
                Some([]) => return tree.clone(),
                Some(rest) if rest[0] == b'/' => return [tree, rest].concat(),
                _ => {}
            }
        }
        path
    }
}

/// The trace of a step that found this tree and left the layer `upper`; or why there is none, in a clause.
pub(crate) fn trace(
    records: &Records,
    places: &Places,
    before: &[PathBuf],
    upper: &Path,
) -> Result<Trace, String> {
    if !records.complete {
        return Err(records.reason.clone());
    }
    if let Some((_, process)) = records.each_process().find(|(_, process)| process.shares) {
        let program = process.exec.as_ref().and_then(|exec| exec.argv.first());
        let program = program.map_or_else(|| "a process".into(), |name| name.to_string_lossy().into_owned());
        return Err(format!("{program} shares open files with other processes"));
    }
    let mut paths: Vec<Vec<u8>> = records.paths.ids().map(|id| places.of(records.paths.bytes(id))).collect();
    let taken = taken(records, &mut paths, before)
        .map_err(|error| format!("what was in a directory that was moved cannot be read: {error}"))?;
    let path = |id: sandbox::PathId| PathId(id.index() as u32);
    // The kernel's numbers of pipes are large.
    let mut pipes: HashMap<u64, u32> = HashMap::new();
    let mut stream = |stream: sandbox::Stream| match stream {
        sandbox::Stream::Other => Stream::Other,
        sandbox::Stream::File(file) => Stream::File(path(file)),
        sandbox::Stream::Pipe(number) => {
            let next = pipes.len() as u32;
            Stream::Pipe(*pipes.entry(number).or_insert(next))
        }
    };
    // Who gives a file another name makes a file with what is in it.
    let is_link = |step: &&sandbox::Move| step.kind == MoveKind::Link;
    let linked: HashSet<_> =
        records.moves.iter().filter(is_link).map(|step| (step.process, step.from)).collect();
    let processes = records.each_process().map(|(id, process)| {
        let earlier = |other: Option<sandbox::ProcessId>| {
            other.filter(|other| *other < id).map(|other| ProcessId(other.0))
        };
        let accesses = process.accesses.iter().map(|access| Access {
            path: path(access.path),
            touch: match access.observed > 0 && linked.contains(&(id, access.path)) {
                true => touch(access.touch).and(Touch::READ),
                false => touch(access.touch),
            },
            observed: access.observed,
            changed: access.changed,
            changed_last: access.changed_last,
        });
        Process {
            parent: earlier(process.parent),
            before: earlier(process.before),
            exec: process.exec.as_ref().map(|exec| Exec {
                program: path(exec.program),
                cwd: path(exec.cwd),
                argv: exec.argv.iter().map(|argument| argument.as_encoded_bytes()).collect(),
                argv_digest: exec.argv_digest,
                env_digest: exec.env_digest,
            }),
            exit: match process.end {
                End::Unseen => None,
                End::Code(code) => Some(code.cast_unsigned()),
                End::Signal(signal) => Some(128 + signal.cast_unsigned()),
            },
            started: process.started.as_micros() as u64,
            ended: process.ended.max(process.started).as_micros() as u64,
            failed: false,
            input: stream(process.input),
            output: stream(process.output),
            accesses: accesses.chain(taken.get(&id.0).into_iter().flatten().copied()).collect(),
        }
    });
    let moves = records.moves.iter().map(|step| Move {
        process: ProcessId(step.process.0),
        from: path(step.from),
        to: path(step.to),
        at: step.at,
    });
    Ok(Trace::new(&paths, processes.collect(), moves.collect(), |path| is_left(upper, path)))
}

/// What each process took away with a directory to which it gave another name: all that the tree had there. Nobody opened it.
fn taken(
    records: &Records,
    paths: &mut Vec<Vec<u8>>,
    before: &[PathBuf],
) -> Result<HashMap<u32, Vec<Access>>, Error> {
    let mut taken: HashMap<u32, Vec<Access>> = HashMap::new();
    let mut tree = None;
    for step in &records.moves {
        let moved = match step.kind {
            MoveKind::Exchange => [Some(step.from), Some(step.to)],
            // What became a directory was one.
            MoveKind::Rename if is_directory(records, step) => [Some(step.from), None],
            MoveKind::Rename | MoveKind::Link => continue,
        };
        for from in moved.into_iter().flatten() {
            let from = paths[from.index()].clone();
            let sub = Path::new(OsStr::from_bytes(&from));
            let tree = match &mut tree {
                Some(tree) => tree,
                None => tree.insert(Cursor::new(View::of_layers(before, Path::new(""))?)),
            };
            let is_in_tree = !from.starts_with(b"/") && !from.is_empty();
            let found = if is_in_tree { tree.metadata(sub)? } else { None };
            if found.is_none_or(|found| found.file_type != FileType::Directory) {
                continue;
            }
            View::of_layers(before, sub)?.walk(|walked| {
                let touch = match walked.metadata().file_type {
                    FileType::Directory => Touch::LISTED,
                    FileType::Symlink => Touch::FOLLOWED,
                    _ => Touch::READ,
                };
                let path = PathId(paths.len() as u32);
                let name = walked.path().as_os_str().as_bytes();
                paths.push(if name.is_empty() { from.clone() } else { [&from[..], name].join(&b'/') });
                let access = Access { path, touch, observed: step.at, changed: 0, changed_last: 0 };
                taken.entry(step.process.0).or_default().push(access);
                Ok::<_, Error>(())
            })?;
        }
    }
    Ok(taken)
}

fn is_directory(records: &Records, step: &sandbox::Move) -> bool {
    let access = records.access(step.process, step.to);
    access.is_some_and(|access| access.touch.any(sandbox::Touch::DIRECTORY))
}

/// Whether a layer has something at this path that it does not only hide. What is in `/tmp` is gone when the step goes on.
fn is_left(upper: &Path, path: &[u8]) -> bool {
    let is_tmp = path.strip_prefix(TREE_TMP.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"));
    if path.starts_with(b"/") || is_tmp {
        return false;
    }
    let metadata = fs::symlink_metadata(upper.join(OsStr::from_bytes(path)));
    metadata.is_ok_and(|metadata| !(metadata.file_type().is_char_device() && metadata.rdev() == 0))
}

fn touch(touch: sandbox::Touch) -> Touch {
    use sandbox::Touch as Seen;
    let pairs = [
        (Seen::READ, Touch::READ),
        (Seen::EXECUTED, Touch::EXECUTED),
        (Seen::LISTED, Touch::LISTED),
        (Seen::ABSENT, Touch::ABSENT),
        (Seen::PRESENT, Touch::PRESENT),
        (Seen::FOLLOWED, Touch::FOLLOWED),
        (Seen::CREATED, Touch::CREATED),
        (Seen::REPLACED, Touch::REPLACED),
        (Seen::UPDATED, Touch::UPDATED),
        (Seen::REMOVED, Touch::REMOVED),
        (Seen::MODE, Touch::MODE),
        (Seen::TIMES, Touch::TIMES),
        (Seen::MODE_KEPT, Touch::MODE_KEPT),
    ];
    pairs
        .iter()
        .filter(|(seen, _)| touch.any(*seen))
        .fold(Touch::default(), |all, (_, touch)| all.and(*touch))
}

/// Counts every file of a layer as opened: one that got another name was copied into it, and nobody saw that.
pub(crate) fn open_all(upper: &Path, builder: &mut ObservationsBuilder) -> Result<(), Error> {
    View::of_layers(&[upper], Path::new(""))?.walk(|walked| {
        if walked.metadata().file_type != FileType::Directory {
            builder.opened(walked.path().as_os_str().as_encoded_bytes());
        }
        Ok(())
    })
}

/// What a step looked at that left the layer `upper`. `lookups` says whether looking without opening was recorded.
pub(crate) fn observations(trace: &Trace, upper: &Path, lookups: bool) -> Result<Observations, Error> {
    let mut builder = ObservationsBuilder::new();
    if !lookups {
        builder.presence_not_watched();
    }
    let opens =
        trace::Touch::READ.and(Touch::EXECUTED).and(Touch::UPDATED).and(Touch::MODE).and(Touch::TIMES);
    // All processes together: a header is read by thousands.
    let mut touches = vec![Touch::default(); trace.paths().len()];
    for access in trace.processes().iter().flat_map(|process| &process.accesses) {
        let touch = &mut touches[access.path.0 as usize];
        *touch = touch.and(access.touch);
    }
    for (path, touch) in trace.paths().iter().zip(touches) {
        if path.starts_with(b"/") || touch == Touch::default() {
            continue;
        }
        if touch.any(opens) {
            builder.opened(path);
        }
        if touch.any(Touch::LISTED) {
            builder.listed(path);
        }
        builder.looked_for(path);
    }
    for id in trace.moves().iter().flat_map(|step| [step.from, step.to]) {
        let path = trace.paths().get(id);
        if !path.starts_with(b"/") {
            builder.opened(path);
        }
    }
    open_all(upper, &mut builder)?;
    Ok(builder.finish())
}
