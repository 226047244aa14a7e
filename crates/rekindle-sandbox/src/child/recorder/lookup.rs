//! What a path leads to, in the view of the observed processes.
//!
//! That view is this process's own, as they share its root and its mounts; who has other mounts is not observed any
//! further. What differs is `/proc/self`, and the place where relative paths begin.
//!
//! Most paths lead through no symbolic link, which one call of `openat2` finds out; its text, without `.` and `..`, is what
//! it leads to then. Other paths are walked name by name, to tell which links they cross. Results for what is
//! mounted read-only are kept: a compiler asks for the same thousand headers again and again, and for such a path
//! the observer makes no call but the one that reads its text. For what may change nothing is kept.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Absolute, and free of symbolic links but for the last name.
    pub(super) path: Box<[u8]>,
    pub(super) kind: Kind,
    /// The symbolic links that were followed, resolved likewise.
    pub(super) links: Vec<Box<[u8]>>,
    /// It cannot change while the command runs.
    pub(super) lasting: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing is there.
    Missing,
    File,
    /// A file that can be executed by somebody.
    Program,
    Dir,
    Link,
    /// A device, a socket, a pipe.
    Other,
    /// A file without a name: only a descriptor leads to it.
    Nameless,
}

impl Kind {
    pub(super) fn is_file(self) -> bool {
        matches!(self, Kind::File | Kind::Program)
    }

    pub(super) fn of(mode: u32) -> Kind {
        match FileType::from_raw_mode(mode) {
            FileType::RegularFile if mode & 0o111 != 0 => Kind::Program,
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Dir,
            FileType::Symlink => Kind::Link,
            _ => Kind::Other,
        }
    }
}

/// A directory or file with what is below it.
pub(super) struct Area {
    /// Absolute, without a slash at the end.
    pub(super) dir: Box<[u8]>,
    /// Whether anything may change there while the command runs.
    pub(super) writable: bool,
}

/// Looks paths up, and keeps what cannot change.
pub(super) struct Lookup {
    /// Whether anything may change in each area.
    areas: HashMap<Box<[u8]>, bool>,
    /// Directories that cannot be moved, removed or replaced unnoticed.
    steady: HashSet<Box<[u8]>>,
    kept: HashMap<Box<[u8]>, Rc<Found>>,
    /// Where links lead that cannot change; `None` for what is no link.
    links: HashMap<Box<[u8]>, Option<Box<[u8]>>>,
    /// Memory left for what is kept.
    room: usize,
}

/// Most memory for what is kept.
const ROOM: usize = 64 << 20;

/// As many symbolic links as the kernel follows.
const MOST_LINKS: usize = 40;

impl Lookup {
    /// Areas as they are mounted, one after the other.
    pub(super) fn new(areas: Vec<Area>) -> Self {
        let areas: HashMap<_, _> = areas.into_iter().map(|area| (area.dir, area.writable)).collect();
        let steady = ancestors(&areas);
        Lookup { areas, steady, kept: HashMap::new(), links: HashMap::new(), room: ROOM }
    }

    /// Looks up `path`, which begins in the directory `base` if it is relative. `own` tells the number of the asking process
    /// and thread in the sandbox.
    pub(super) fn find(
        &mut self,
        base: &[u8],
        path: &[u8],
        follow: bool,
        own: impl Fn() -> Option<(u32, u32)>,
    ) -> Rc<Found> {
        // Every second call of a shell script.
        if path == b"/dev/null" {
            let path = path.into();
            return Rc::new(Found { path, kind: Kind::Other, links: Vec::new(), lasting: false });
        }
        let mut key = Vec::with_capacity(base.len() + path.len() + 2);
        key.push(u8::from(follow));
        if !path.starts_with(b"/") {
            key.extend_from_slice(base);
            key.push(b'/');
        }
        key.extend_from_slice(path);
        if let Some(found) = self.kept.get(&key[..]) {
            return found.clone();
        }
        let full = &key[1..];
        let slash = full.ends_with(b"/") || full.ends_with(b"/.");
        let found = match self.find_plain(full, follow || slash, path) {
            Some(found) => found,
            None => self.walk(full, follow || slash, own),
        };
        let found = Rc::new(found);
        if found.lasting {
            let cost = 2 * key.len() + found.path.len() + 200;
            if let Some(left) = self.room.checked_sub(cost) {
                self.room = left;
                self.kept.insert(key.into(), found.clone());
            }
        }
        found
    }

    /// A directory moves: what is mounted below it moves along.
    pub(super) fn forget_areas(&mut self, dir: &[u8]) {
        let before = self.areas.len();
        self.areas.retain(|area, writable| *writable || !is_below(area, dir));
        if self.areas.len() != before {
            self.steady = ancestors(&self.areas);
            self.kept.clear();
            self.links.clear();
        }
    }

    /// Whether anything is there, a link included.
    pub(super) fn is_there(&self, path: &[u8]) -> bool {
        stat(path).is_ok()
    }

    /// Whether the command may write to it: this process runs as the same user.
    pub(super) fn is_writable(&self, found: &Found) -> bool {
        rustix::fs::accessat(CWD, &*found.path, Access::WRITE_OK, AtFlags::empty()).is_ok()
    }

    /// The mode of what is there.
    pub(super) fn mode(&self, path: &[u8]) -> Option<u32> {
        stat(path).ok()
    }

    /// Whether the directory that a missing path lies in is there.
    pub(super) fn parent_is_there(&self, path: &[u8]) -> bool {
        let parent = match path.iter().rposition(|&byte| byte == b'/') {
            Some(0) | None => &b"/"[..],
            Some(slash) => &path[..slash],
        };
        stat(parent).is_ok_and(|mode| Kind::of(mode) == Kind::Dir)
    }

    /// The quick way; `None` where it does not do.
    fn find_plain(&self, full: &[u8], follow: bool, path: &[u8]) -> Option<Found> {
        let mut lasting = true;
        let (normal, back) = normalise(full, path, |dir| lasting &= self.lasts(dir));
        // Its `self` is another one here.
        if normal.starts_with(b"/proc/") || normal.starts_with(b"/dev/") {
            return None;
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let kind = match rustix::fs::openat2(CWD, full, flags, Mode::empty(), resolve) {
            Ok(fd) => Kind::of(rustix::fs::fstat(&fd).ok()?.st_mode),
            Err(Errno::NOENT | Errno::NOTDIR) if !back => Kind::Missing,
            Err(_) => return None,
        };
        let lasting = lasting && self.lasts(&normal);
        (kind != Kind::Link || !follow).then(|| Found {
            path: normal.into(),
            kind,
            links: Vec::new(),
            lasting,
        })
    }

    /// Name by name.
    fn walk(&mut self, full: &[u8], follow: bool, own: impl Fn() -> Option<(u32, u32)>) -> Found {
        let mut at: Vec<u8> = Vec::new();
        let mut links = Vec::new();
        let mut lasting = true;
        // What is left to do, the next name last.
        let mut names: Vec<Box<[u8]>> = Vec::new();
        let push = |names: &mut Vec<Box<[u8]>>, text: &[u8]| {
            let parts = text.split(|&byte| byte == b'/').filter(|part| !part.is_empty() && *part != b".");
            names.extend(parts.rev().map(Box::from));
        };
        push(&mut names, full);
        let done = |path: Vec<u8>, kind, links, lasting| {
            let path = if path.is_empty() { b"/"[..].into() } else { path.into() };
            Found { path, kind, links, lasting }
        };
        while let Some(name) = names.pop() {
            if *name == *b".." {
                at.truncate(at.iter().rposition(|&byte| byte == b'/').unwrap_or(0));
                continue;
            }
            let parent = at.len();
            at.push(b'/');
            at.extend_from_slice(&name);
            lasting &= if names.is_empty() { self.lasts(&at) } else { self.stays(&at) };
            if at == b"/proc/self" || at == b"/proc/thread-self" {
                let Some((process, thread)) = own() else {
                    return done(at, Kind::Missing, links, false);
                };
                let task = if at.ends_with(b"/self") { String::new() } else { format!("/task/{thread}") };
                at = format!("/proc/{process}{task}").into_bytes();
                continue;
            }
            match self.target(&at) {
                Ok(None) => {}
                Ok(Some(_)) if names.is_empty() && !follow => return done(at, Kind::Link, links, lasting),
                Ok(Some(target)) => {
                    if links.len() >= MOST_LINKS {
                        return done(at, Kind::Missing, links, lasting);
                    }
                    if is_magic(&at) {
                        let stat = || rustix::fs::statat(CWD, &at[..], AtFlags::empty()).ok();
                        match super::procs::Opened::of(&target, stat) {
                            super::procs::Opened::At(path) => at = path.to_vec(),
                            super::procs::Opened::Nameless(path) => {
                                return done(path.to_vec(), Kind::Nameless, links, false);
                            }
                            super::procs::Opened::NoFile => return done(at, Kind::Other, links, false),
                        }
                        if at == b"/" {
                            at.clear();
                        }
                        continue;
                    }
                    links.push(at[..].into());
                    at.truncate(if target.starts_with(b"/") { 0 } else { parent });
                    push(&mut names, &target);
                }
                Err(_) => {
                    // Nothing is there, or nobody may look; the rest is told as far as it names something.
                    for name in names.iter().rev().take_while(|name| ***name != *b"..") {
                        at.push(b'/');
                        at.extend_from_slice(name);
                    }
                    lasting &= self.lasts(&at);
                    return done(at, Kind::Missing, links, lasting);
                }
            }
        }
        let kind = stat(if at.is_empty() { b"/" } else { &at }).map_or(Kind::Missing, Kind::of);
        done(at, kind, links, lasting)
    }

    /// Where a link leads; `None` if it is there and no link.
    fn target(&mut self, path: &[u8]) -> Result<Option<Box<[u8]>>, Errno> {
        if let Some(target) = self.links.get(path) {
            return Ok(target.clone());
        }
        let target = match rustix::fs::readlinkat(CWD, path, Vec::with_capacity(256)) {
            Ok(target) => Some(target.into_bytes().into()),
            Err(Errno::INVAL) => None,
            Err(errno) => return Err(errno),
        };
        if self.stays(path)
            && let Some(left) = self.room.checked_sub(2 * path.len() + 100)
        {
            self.room = left;
            self.links.insert(path.into(), target.clone());
        }
        Ok(target)
    }

    /// Whether what is there, or that nothing is, cannot change while the command runs.
    fn lasts(&self, path: &[u8]) -> bool {
        let mut dir = path;
        loop {
            if let Some(writable) = self.areas.get(dir) {
                return !writable;
            }
            match dir.iter().rposition(|&byte| byte == b'/') {
                Some(slash) => dir = &dir[..slash],
                None => return true,
            }
        }
    }

    /// Whether this is a directory for as long as the command runs, though what is in it may change: something is
    /// mounted there or below.
    fn stays(&self, path: &[u8]) -> bool {
        self.steady.contains(path) || self.lasts(path)
    }
}

/// The places of areas, and all directories that they lie in.
fn ancestors(areas: &HashMap<Box<[u8]>, bool>) -> HashSet<Box<[u8]>> {
    let mut all = HashSet::new();
    for dir in areas.keys() {
        let ends = dir.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        all.extend(ends.chain([dir.len()]).map(|end| Box::from(&dir[..end])));
    }
    all
}

/// Whether a path is this directory, or below it.
pub(super) fn is_below(path: &[u8], dir: &[u8]) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

fn stat(path: &[u8]) -> Result<u32, Errno> {
    rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).map(|stat| stat.st_mode)
}

/// Whether this is a link whose text is no path to be looked up: to what a process has open.
fn is_magic(path: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(b"/proc/") else { return false };
    let parts: Vec<&[u8]> = rest.split(|&byte| byte == b'/').collect();
    let parts = match parts.as_slice() {
        [_, task, _, rest @ ..] if *task == b"task" => rest,
        [_, rest @ ..] => rest,
        [] => return false,
    };
    match parts {
        [dir, _] => *dir == b"fd" || *dir == b"map_files",
        [name] => *name == b"cwd" || *name == b"root" || *name == b"exe",
        _ => false,
    }
}

/// An absolute path without `.`, `..` and doubled slashes; and whether there is a `..` after a name of `path`, which
/// is its end, so that this is right only if all names are directories. `left` hears of those that are left so.
fn normalise(full: &[u8], path: &[u8], mut left: impl FnMut(&[u8])) -> (Vec<u8>, bool) {
    let mut normal = Vec::with_capacity(full.len());
    let (mut named, mut back) = (false, false);
    let (base, path) = full.split_at(full.len() - path.len());
    for (own, part) in [(false, base), (true, path)]
        .into_iter()
        .flat_map(|(own, text)| text.split(|&byte| byte == b'/').map(move |part| (own, part)))
    {
        match part {
            b"" | b"." => {}
            b".." => {
                if named {
                    back = true;
                    left(&normal);
                }
                normal.truncate(normal.iter().rposition(|&byte| byte == b'/').unwrap_or(0));
            }
            name => {
                named |= own;
                normal.push(b'/');
                normal.extend_from_slice(name);
            }
        }
    }
    if normal.is_empty() {
        normal.push(b'/');
    }
    (normal, back)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    fn find(base: &std::path::Path, path: &str, follow: bool) -> (String, Kind, usize) {
        let base = base.as_os_str().as_bytes();
        let mut lookup = Lookup::new(vec![Area { dir: base.into(), writable: true }]);
        let found = lookup.find(base, path.as_bytes(), follow, || None);
        assert!(!found.lasting);
        let text = String::from_utf8_lossy(&found.path);
        (
            text.strip_prefix(&*String::from_utf8_lossy(base)).unwrap_or(&text).to_owned(),
            found.kind,
            found.links.len(),
        )
    }

    #[test]
    fn paths_lead_where_the_kernel_says() {
        let dir = tempfile::tempdir().expect("a directory");
        let base = dir.path().canonicalize().expect("it is there");
        fs::create_dir_all(base.join("a/b/c")).expect("room");
        fs::write(base.join("a/b/file"), "x").expect("room");
        symlink("a/b", base.join("link")).expect("room");
        symlink(base.join("link/c"), base.join("far")).expect("room");
        symlink("loop", base.join("loop")).expect("room");
        symlink("nowhere", base.join("dangling")).expect("room");
        for (path, follow, expect) in [
            ("a/b/file", true, ("/a/b/file", Kind::File, 0)),
            ("./a//b/.", true, ("/a/b", Kind::Dir, 0)),
            ("a/b/c/../file", true, ("/a/b/file", Kind::File, 0)),
            ("link/file", true, ("/a/b/file", Kind::File, 1)),
            ("link/c/../file", false, ("/a/b/file", Kind::File, 1)),
            ("link/..", true, ("/a", Kind::Dir, 1)),
            ("link", false, ("/link", Kind::Link, 0)),
            ("link", true, ("/a/b", Kind::Dir, 1)),
            ("link/", false, ("/a/b", Kind::Dir, 1)),
            ("far/../file", true, ("/a/b/file", Kind::File, 2)),
            ("none", true, ("/none", Kind::Missing, 0)),
            ("none/x", true, ("/none/x", Kind::Missing, 0)),
            ("none/../a", true, ("/none", Kind::Missing, 0)),
            ("link/none/x", true, ("/a/b/none/x", Kind::Missing, 1)),
            ("dangling", true, ("/nowhere", Kind::Missing, 1)),
            ("a/b/file/x", true, ("/a/b/file/x", Kind::Missing, 0)),
        ] {
            let (path_expect, kind, links) = expect;
            assert_eq!(find(&base, path, follow), (path_expect.to_owned(), kind, links), "{path}");
            if kind != Kind::Missing && follow {
                let kernel = base.join(path).canonicalize().expect("it is there");
                assert_eq!(kernel, base.join(path_expect.trim_start_matches('/')), "{path}");
            }
        }
        let (_, kind, links) = find(&base, "loop", true);
        assert_eq!((kind, links), (Kind::Missing, MOST_LINKS));
    }

    #[test]
    fn what_is_mounted_read_only_inside_a_tree_lasts_until_it_is_moved() {
        let area = |dir: &str, writable| Area { dir: dir.as_bytes().into(), writable };
        let areas = [
            area("/build", true),
            area("/usr", false),
            area("/build/x/ro", false),
            area("/build/x/ro/rw", true),
            area("/twice", false),
            area("/twice", true),
        ];
        let mut lookup = Lookup::new(areas.into());
        for (path, expect) in [
            ("/usr/x", true),
            ("/build", false),
            ("/build/x/r", false),
            ("/build/x/ro", true),
            ("/build/x/ro/a", true),
            ("/build/x/ro/rw/a", false),
            ("/build/x/root", false),
            ("/twice/a", false),
            ("/", true),
        ] {
            assert_eq!(lookup.lasts(path.as_bytes()), expect, "{path}");
        }
        assert!(lookup.stays(b"/build/x") && lookup.stays(b"/build") && !lookup.stays(b"/build/y"));
        lookup.forget_areas(b"/build/y");
        assert!(lookup.lasts(b"/build/x/ro/a"));
        lookup.forget_areas(b"/build/x");
        assert!(!lookup.lasts(b"/build/x/ro/a"));
    }

    #[test]
    fn links_inside_of_what_lasts_last() {
        let dir = tempfile::tempdir().expect("a directory");
        let base = dir.path().canonicalize().expect("it is there");
        fs::create_dir_all(base.join("store/pkg/lib")).expect("room");
        fs::write(base.join("store/pkg/lib/file"), "x").expect("room");
        symlink("file", base.join("store/pkg/lib/link")).expect("room");
        symlink("store/pkg/lib/file", base.join("outer")).expect("room");
        let area =
            |path: &str, writable| Area { dir: base.join(path).as_os_str().as_bytes().into(), writable };
        let areas =
            vec![Area { dir: base.as_os_str().as_bytes().into(), writable: true }, area("store", true)];
        let mut lookup = Lookup::new(areas.into_iter().chain([area("store/pkg", false)]).collect());
        for (path, lasting) in [
            ("store/pkg/lib/file", true),
            ("store/pkg/lib/link", true),
            ("store/pkg/none", true),
            ("store/none", false),
            ("store", false),
            ("outer", false),
            ("store/pkg/../pkg/lib/file", true),
            ("store/../outer", false),
        ] {
            let found = lookup.find(base.as_os_str().as_bytes(), path.as_bytes(), true, || None);
            assert_eq!(found.lasting, lasting, "{path}: {found:?}");
        }
    }

    #[test]
    fn links_to_open_files_are_known() {
        for path in ["/proc/1/fd/3", "/proc/1/exe", "/proc/7/task/8/cwd", "/proc/7/task/8/fd/0"] {
            assert!(is_magic(path.as_bytes()), "{path}");
        }
        for path in ["/proc/mounts", "/proc/1/task/exe", "/proc/1/fd", "/x/1/exe", "/proc/1/ns/mnt"] {
            assert!(!is_magic(path.as_bytes()), "{path}");
        }
    }
}
