//! Reading a source directory into a manifest, in parallel, and only what differs from a stat index.
//!
//! Each directory is one task: it opens its directory by relative path below the root (no symlink on the way), lists
//! it, takes the status of each file, and starts a task for each directory in it. The task that finishes last of a
//! directory's children completes the directory, so nothing recurses and no descriptor is held while others work.
//! Cost: one `getdents` per directory and one `stat` per file, plus reading what the index does not vouch for.
//!
//! The tree may change meanwhile. A directory whose times move while it is listed, a file that goes away or changes
//! its kind, a file that changes while it is read: each makes the whole scan start again, a few times, then it is an
//! error. What cannot be noticed is an edit of a file that was already passed; the scan shows each file as it was at
//! some moment during the scan.

mod content;
mod git_index;
mod gitignore;
mod sources;
mod wildmatch;
mod work_tree;

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use rayon::prelude::*;
use rustix::fs::{AtFlags, FileType, Stat, fstat, statat};
use rustix::io::Errno;

pub(crate) use content::digest_steadily;
use gitignore::Patterns;
use sources::Place;

use crate::dirfd::{self, Name, Names};
use crate::error::Kind;
use crate::manifest::{Child, Directory, Node};
use crate::stat_index::{Identity, Record};
use crate::{Error, Manifest, StatIndex, Timestamp};

/// How often a scan begins, if the tree keeps changing.
const ATTEMPTS: usize = 4;
/// How many names of one directory a task takes at least. Large, because while a task waits for its shares it may
/// take up other directories on top of its stack.
const SHARE: usize = 4096;

/// Which files are sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanOptions {
    /// Whether files that a git work tree's `.gitignore` files ignore are left out, unless git tracks them.
    /// Without it, and outside a work tree, all files count. `.git` is left out in any case.
    pub gitignore: bool,
    /// More patterns, in the syntax of `.gitignore`, relative to the directory that is scanned. They come first: they
    /// leave out files that git tracks, too, and `!pattern` brings back what a `.gitignore` leaves out.
    pub exclude: Vec<String>,
}

/// What a scan found.
#[derive(Debug)]
pub struct Scan {
    /// The sources.
    pub manifest: Manifest,
    /// The index for the next scan.
    pub index: StatIndex,
    /// Whether `index` says more than the one given, so that saving it is worth it.
    pub index_changed: bool,
    /// Symlinks with a target that is absolute or, taken literally, leads out of the tree; in order of path.
    pub escaping_links: Vec<PathBuf>,
    /// How many files were read because the index did not vouch for them.
    pub hashed_files: u64,
    /// How many bytes those files have.
    pub hashed_bytes: u64,
}

/// Reads the sources below the directory `root`. The order of what it finds never depends on the machine.
///
/// Fails on what cannot be a source (sockets, devices, pipes), on what cannot be read, and if the tree keeps
/// changing ([`Error::is_unsteady`]).
pub fn scan(root: &Path, options: &ScanOptions, index: &StatIndex) -> Result<Scan, Error> {
    let mut attempt = 1;
    loop {
        match scan_once(root, options, index) {
            Err(error) if error.is_unsteady() && attempt < ATTEMPTS => attempt += 1,
            outcome => return outcome,
        }
    }
}

fn scan_once(root: &Path, options: &ScanOptions, index: &StatIndex) -> Result<Scan, Error> {
    let began = Timestamp::file_clock();
    let root_fd = dirfd::open_root(root).map_err(|errno| match errno {
        Errno::NOTDIR => Kind::NotADirectory { path: root.to_owned() }.into(),
        errno => Error::os("open", root, errno),
    })?;
    let scanner = Scanner {
        root,
        root_fd,
        extra: Patterns::parse(options.exclude.join("\n").as_bytes()),
        index,
        failure: Mutex::default(),
        stop: AtomicBool::new(false),
        found: Mutex::default(),
        hashed_files: AtomicU64::new(0),
        hashed_bytes: AtomicU64::new(0),
        same_segments: AtomicUsize::new(0),
    };
    let place = Place::of_root(root, options.gitignore)?;
    let top = Arc::new(Pending { parent: None, path: PathBuf::new(), state: Mutex::default() });
    rayon::scope(|scope| scanner.visit(scope, top, place));
    if let Some(error) = into_inner(scanner.failure) {
        return Err(error);
    }
    let found = into_inner(scanner.found);
    let (hashed_files, same) = (scanner.hashed_files.into_inner(), scanner.same_segments.into_inner());
    let unchanged = hashed_files == 0 && same == found.segments.len() && same == index.directories();
    let mut escaping_links = found.escaping_links;
    escaping_links.sort_unstable();
    Ok(Scan {
        manifest: Manifest::new(found.root.expect("without an error, the last task completes the root")),
        index: StatIndex::from_segments(began, found.segments),
        index_changed: !unchanged,
        escaping_links,
        hashed_files,
        hashed_bytes: scanner.hashed_bytes.into_inner(),
    })
}

/// What all tasks of one scan share.
struct Scanner<'a> {
    root: &'a Path,
    root_fd: OwnedFd,
    extra: Patterns,
    index: &'a StatIndex,
    /// The error at the smallest path, so that the same tree gives the same error.
    failure: Mutex<Option<Error>>,
    stop: AtomicBool,
    found: Mutex<Found>,
    hashed_files: AtomicU64,
    hashed_bytes: AtomicU64,
    same_segments: AtomicUsize,
}

#[derive(Default)]
struct Found {
    root: Option<Directory>,
    segments: Vec<(Box<[u8]>, Vec<u8>)>,
    escaping_links: Vec<PathBuf>,
}

/// A directory that waits for itself or for directories in it.
struct Pending {
    parent: Option<Arc<Pending>>,
    path: PathBuf,
    state: Mutex<PendingState>,
}

#[derive(Default)]
struct PendingState {
    mode: u16,
    keep_if_empty: bool,
    /// In no order until the directory is complete.
    children: Vec<Child>,
    /// How many must still report: the directory's own task, and directories in it.
    waiting: usize,
}

/// What a directory's task found.
struct Listed {
    mode: u16,
    keep_if_empty: bool,
    children: Vec<Child>,
    directories: Vec<(PathBuf, Place)>,
}

/// A name that is a source.
enum Item {
    Leaf(Child, Option<Identity>),
    Directory(PathBuf, Place),
}

/// The directory that a task is at.
struct Here<'a> {
    fd: OwnedFd,
    path: &'a Path,
    place: Place,
    /// What the index vouches for, sorted by name.
    records: Vec<Record<'a>>,
}

impl Scanner<'_> {
    fn visit<'s>(&'s self, scope: &rayon::Scope<'s>, pending: Arc<Pending>, place: Place) {
        if self.stop.load(Ordering::Relaxed) {
            return;
        }
        let listed = match self.list(&pending.path, place) {
            Ok(listed) => listed,
            Err(error) => return self.fail(error),
        };
        {
            let mut state = lock(&pending.state);
            state.mode = listed.mode;
            state.keep_if_empty = listed.keep_if_empty;
            state.children = listed.children;
            state.waiting = listed.directories.len() + 1;
        }
        for (path, place) in listed.directories {
            let child = Pending { parent: Some(pending.clone()), path, state: Mutex::default() };
            scope.spawn(move |scope| self.visit(scope, Arc::new(child), place));
        }
        self.complete(pending);
    }

    /// Reports that the directory's own task or one directory in it is done, and upwards from there.
    fn complete(&self, mut pending: Arc<Pending>) {
        loop {
            let (mut children, mode, keep_if_empty) = {
                let mut state = lock(&pending.state);
                state.waiting -= 1;
                if state.waiting > 0 {
                    return;
                }
                (std::mem::take(&mut state.children), state.mode, state.keep_if_empty)
            };
            children.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            let directory = Directory::new(children);
            let Some(parent) = &pending.parent else {
                lock(&self.found).root = Some(directory);
                return;
            };
            if keep_if_empty || !directory.is_empty() {
                let name = pending.path.file_name().expect("only the root has no name").into();
                lock(&parent.state).children.push(Child { name, mode, node: Node::Directory(directory) });
            }
            pending = parent.clone();
        }
    }

    /// Lists one directory, and takes in all in it but its directories.
    fn list(&self, path: &Path, mut place: Place) -> Result<Listed, Error> {
        let is_root = path.as_os_str().is_empty();
        let full = || self.root.join(path);
        let fd = dirfd::open_below(&self.root_fd, path, dirfd::DIRECTORY).map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP if !is_root => Kind::Unsteady { path: full() }.into(),
            errno => Error::os("open the directory", full(), errno),
        })?;
        let look = || fstat(&fd).map_err(|errno| Error::os("examine", full(), errno));
        let before = look()?;
        let names = Names::read(&fd).map_err(|errno| Error::os("list", full(), errno))?;
        place.enter(&fd, &full(), &names, is_root)?;
        let after = look()?;
        if Identity::of(&before) != Identity::of(&after) {
            return Err(Kind::Unsteady { path: full() }.into());
        }
        let keep_if_empty = names.len() == 0 && place.keeps_empty();
        let here = Here { fd, path, place, records: self.index.records(path) };
        let items: Vec<Option<Item>> = if names.len() < 2 * SHARE {
            names.iter().map(|name| self.take(&here, name)).collect::<Result<_, _>>()?
        } else {
            let shares = (0..names.len()).into_par_iter().with_min_len(SHARE);
            shares.map(|at| self.take(&here, names.get(at))).collect::<Result<_, _>>()?
        };
        let mut listed = Listed {
            mode: permissions(&before),
            keep_if_empty,
            children: Vec::new(),
            directories: Vec::new(),
        };
        let mut segment = Vec::new();
        let mut escaping = Vec::new();
        for item in items.into_iter().flatten() {
            match item {
                Item::Directory(path, place) => listed.directories.push((path, place)),
                Item::Leaf(child, identity) => {
                    match (&child.node, identity) {
                        (&Node::File { digest, .. }, Some(identity)) => {
                            Record { name: child.name.as_bytes(), identity, digest }.encode(&mut segment);
                        }
                        (Node::Symlink { target }, _) if escapes(path, target) => {
                            escaping.push(path.join(&*child.name));
                        }
                        _ => {}
                    }
                    listed.children.push(child);
                }
            }
        }
        if segment == self.index.segment(path) {
            self.same_segments.fetch_add(1, Ordering::Relaxed);
        }
        let mut found = lock(&self.found);
        found.segments.push((path.as_os_str().as_bytes().into(), segment));
        found.escaping_links.append(&mut escaping);
        Ok(listed)
    }

    /// Takes in one name; `None` if it is no source.
    fn take(&self, here: &Here<'_>, name: Name<'_>) -> Result<Option<Item>, Error> {
        if name.bytes() == b".git" {
            return Ok(None);
        }
        let full = || self.root.join(here.path).join(name.os());
        let unsteady = || Error::from(Kind::Unsteady { path: full() });
        let fail = |doing| {
            move |errno| match errno {
                Errno::NOENT | Errno::LOOP => unsteady(),
                errno => Error::os(doing, full(), errno),
            }
        };
        let look = || statat(&here.fd, name.c_str(), AtFlags::SYMLINK_NOFOLLOW).map_err(fail("examine"));
        let file_type = match name.file_type {
            FileType::Unknown => FileType::from_raw_mode(look()?.st_mode),
            known => known,
        };
        let extra = if self.extra.is_empty() {
            None
        } else {
            let path = here.path.join(name.os());
            self.extra.judge(path.as_os_str().as_bytes(), file_type == FileType::Directory)
        };
        if file_type == FileType::Directory {
            let place = here.place.child(name.bytes(), extra);
            return Ok(place.map(|place| Item::Directory(here.path.join(name.os()), place)));
        }
        if !here.place.keeps_file(name.bytes(), extra) {
            return Ok(None);
        }
        let stat = look()?;
        if FileType::from_raw_mode(stat.st_mode) != file_type {
            return Err(unsteady());
        }
        let leaf = |mode, node, identity| Item::Leaf(Child { name: name.os().into(), mode, node }, identity);
        let item = match file_type {
            FileType::RegularFile => {
                let known = here.records.binary_search_by(|record| record.name.cmp(name.bytes()));
                let identity = Identity::of(&stat);
                match known.map(|at| &here.records[at]) {
                    Ok(record) if record.identity == identity => {
                        let node = Node::File { size: identity.size, digest: record.digest };
                        leaf(permissions(&stat), node, Some(identity))
                    }
                    _ => {
                        let file =
                            dirfd::open_name(&here.fd, name.os(), dirfd::FILE).map_err(fail("open"))?;
                        let (stat, digest) = digest_steadily(file, &full())?;
                        let identity = Identity::of(&stat);
                        self.hashed_files.fetch_add(1, Ordering::Relaxed);
                        self.hashed_bytes.fetch_add(identity.size, Ordering::Relaxed);
                        leaf(permissions(&stat), Node::File { size: identity.size, digest }, Some(identity))
                    }
                }
            }
            FileType::Symlink => {
                let target = dirfd::read_link(&here.fd, name.os()).map_err(fail("read the symlink"))?;
                leaf(permissions(&stat), Node::Symlink { target: OsStr::from_bytes(&target).into() }, None)
            }
            special => return Err(Kind::Special { path: full(), what: describe(special) }.into()),
        };
        Ok(Some(item))
    }

    fn fail(&self, error: Error) {
        self.stop.store(true, Ordering::Relaxed);
        let mut failure = lock(&self.failure);
        if failure.as_ref().is_none_or(|other| error.path() < other.path()) {
            *failure = Some(error);
        }
    }
}

fn permissions(stat: &Stat) -> u16 {
    dirfd::permissions(stat.st_mode) as u16
}

fn describe(special: FileType) -> &'static str {
    match special {
        FileType::Socket => "socket",
        FileType::Fifo => "named pipe",
        FileType::BlockDevice => "block device",
        FileType::CharacterDevice => "character device",
        _ => "file of an unknown kind",
    }
}

/// Whether a symlink in the directory `dir` (relative to the tree's root) leads out of the tree, taken literally.
fn escapes(dir: &Path, target: &OsStr) -> bool {
    let mut depth = dir.components().count();
    for part in Path::new(target).components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return true,
        }
    }
    false
}

/// A lock that a panicking task left is of no interest: the panic goes on in the thread that began the scan.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaping_targets() {
        let check = |dir: &str, target: &str, expect: bool| {
            assert_eq!(escapes(Path::new(dir), OsStr::new(target)), expect, "{target:?} in {dir:?}");
        };
        check("", "a", false);
        check("", "..", true);
        check("", "a/../..", true);
        check("d", "../a", false);
        check("d", "../../a", true);
        check("d/e", "../..", false);
        check("d", "/etc", true);
        check("d", "./.././e", false);
    }
}
