//! What a path leads to, in the view of the observed processes.
//!
//! That view is this process's own, as they share its root and its mounts; who has other mounts is not observed any
//! further. What differs is `/proc/self`, and the place where relative paths begin.
//!
//! Most paths lead through no symbolic link, which one call of `openat2` finds out; its text, without `.` and `..`, is what
//! it leads to then. Other paths are walked name by name, to tell which links they cross. Results are kept
//! ([`kept`]), and for what is kept the observer makes no call but the one that reads its text. For what may change
//! unheard nothing is kept.

mod kept;
mod walk;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::ledger::Place;
use kept::{Kept, Trail};

pub(super) use kept::Effect;

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
    /// Why it may be there all the same for who asks, if it is missing.
    pub(super) doubt: Option<Hidden>,
    /// Where the ledger has it, once that was looked up.
    pub(super) place: Cell<Option<Place>>,
}

/// Why something cannot be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hidden {
    /// It is in a directory that may not be entered.
    Denied,
    /// Its path is longer than one may be. From a directory on the way it is not.
    TooLong,
}

impl Found {
    pub(super) fn new(path: &[u8], kind: Kind) -> Found {
        let place = Cell::default();
        Found { path: path.into(), kind, links: Vec::new(), lasting: false, doubt: None, place }
    }

    /// It, and the links that lead to it.
    fn paths(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(&*self.path).chain(self.links.iter().map(|link| &**link))
    }
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
    pub(super) change: Change,
}

/// Who may change something while the command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    /// Nobody.
    Never,
    /// The command alone, by calls that are heard of.
    Heard,
    /// The kernel, or somebody outside.
    Unheard,
}

/// Looks paths up, and keeps what cannot change unheard.
pub(super) struct Lookup {
    /// Who may change what in each area.
    areas: HashMap<Box<[u8]>, Change>,
    /// Directories that cannot be moved, removed or replaced unnoticed.
    steady: HashSet<Box<[u8]>>,
    kept: Kept,
    /// Where links lead that cannot change; `None` for what is no link.
    links: HashMap<Box<[u8]>, Option<Box<[u8]>>>,
    /// Memory left for links.
    room: usize,
}

/// Most memory for where links lead.
const ROOM: usize = 16 << 20;

impl Lookup {
    /// Areas as they are mounted, one after the other.
    pub(super) fn new(areas: Vec<Area>) -> Self {
        let areas: HashMap<_, _> = areas.into_iter().map(|area| (area.dir, area.change)).collect();
        let steady = ancestors(&areas);
        Lookup { areas, steady, kept: Kept::new(), links: HashMap::new(), room: ROOM }
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
            return Rc::new(Found::new(path, Kind::Other));
        }
        let mut question = Vec::with_capacity(base.len() + path.len() + 2);
        question.push(u8::from(follow));
        if !path.starts_with(b"/") {
            question.extend_from_slice(base);
            question.push(b'/');
        }
        question.extend_from_slice(path);
        if let Some(found) = self.kept.get(&question) {
            return found.clone();
        }
        let full = &question[1..];
        let slash = full.ends_with(b"/") || full.ends_with(b"/.");
        let mut trail = Trail::default();
        let mut found = match self.find_plain(full, follow || slash, path, &mut trail) {
            Some(found) => found,
            None => {
                trail = Trail::default();
                self.walk(full, follow || slash, own, &mut trail)
            }
        };
        found.lasting = trail.change == Change::Never;
        let found = Rc::new(found);
        self.kept.keep(&question, &found, &trail);
        found
    }

    /// The same with the kind that it is now: a file with several names may get other permissions by another one.
    pub(super) fn renew(&self, found: Rc<Found>) -> Rc<Found> {
        if found.lasting || !found.kind.is_file() {
            return found;
        }
        let kind = stat(&found.path).map_or(found.kind, Kind::of);
        if kind == found.kind { found } else { Rc::new(Found { kind, ..(*found).clone() }) }
    }

    /// A thread is about to change what these lead to.
    pub(super) fn expect(&mut self, (tid, process): (u32, u32), changed: &[&Found], effect: Effect) {
        let Lookup { areas, kept, .. } = self;
        kept.expect((tid, process), changed, effect, |path| change_of(areas, path) == Change::Heard);
    }

    /// A thread is heard of: what it was about to change, it has changed.
    pub(super) fn settle(&mut self, tid: u32) {
        self.kept.settle(tid);
    }

    /// Settles what threads were about to change that have ended. `lives` is asked for the thread and its process.
    pub(super) fn settle_dead(&mut self, lives: impl FnMut(u32, u32) -> bool) {
        self.kept.settle_dead(lives);
    }

    /// A directory moves: what is mounted below it moves along.
    pub(super) fn forget_areas(&mut self, dir: &[u8]) {
        let before = self.areas.len();
        self.areas.retain(|area, change| *change == Change::Heard || !is_below(area, dir));
        if self.areas.len() != before {
            self.steady = ancestors(&self.areas);
            self.kept.clear();
            // Where it lies from now on, it changes unheard as before.
            self.kept.stop();
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
    fn find_plain(&self, full: &[u8], follow: bool, path: &[u8], trail: &mut Trail) -> Option<Found> {
        let (normal, back) = normalise(full, path, |dir| {
            trail.change = trail.change.max(self.change_of(dir));
            trail.left.push(dir.into());
        });
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
        trail.change = trail.change.max(self.change_of(&normal));
        (kind != Kind::Link || !follow).then(|| Found::new(&normal, kind))
    }

    /// Who may change what is there, or that nothing is.
    fn change_of(&self, path: &[u8]) -> Change {
        change_of(&self.areas, path)
    }

    /// Whether this is a directory for as long as the command runs, though what is in it may change: something is
    /// mounted there or below.
    fn stays(&self, path: &[u8]) -> bool {
        self.steady.contains(path) || self.change_of(path) == Change::Never
    }
}

fn change_of(areas: &HashMap<Box<[u8]>, Change>, path: &[u8]) -> Change {
    let mut dir = path;
    loop {
        if let Some(change) = areas.get(dir) {
            return *change;
        }
        match dir.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => dir = &dir[..slash],
            None => return Change::Never,
        }
    }
}

/// The places of areas, and all directories that they lie in.
fn ancestors(areas: &HashMap<Box<[u8]>, Change>) -> HashSet<Box<[u8]>> {
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
    use super::walk::MOST_LINKS;
    use super::*;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    fn find(base: &std::path::Path, path: &str, follow: bool) -> (String, Kind, usize) {
        let base = base.as_os_str().as_bytes();
        let mut lookup = Lookup::new(vec![Area { dir: base.into(), change: Change::Heard }]);
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
        let area = |dir: &str, writable| {
            let change = if writable { Change::Heard } else { Change::Never };
            Area { dir: dir.as_bytes().into(), change }
        };
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
            assert_eq!(lookup.change_of(path.as_bytes()) == Change::Never, expect, "{path}");
        }
        assert!(lookup.stays(b"/build/x") && lookup.stays(b"/build") && !lookup.stays(b"/build/y"));
        lookup.forget_areas(b"/build/y");
        assert_eq!(lookup.change_of(b"/build/x/ro/a"), Change::Never);
        lookup.forget_areas(b"/build/x");
        assert_eq!(lookup.change_of(b"/build/x/ro/a"), Change::Heard);
    }

    #[test]
    fn links_inside_of_what_lasts_last() {
        let dir = tempfile::tempdir().expect("a directory");
        let base = dir.path().canonicalize().expect("it is there");
        fs::create_dir_all(base.join("store/pkg/lib")).expect("room");
        fs::write(base.join("store/pkg/lib/file"), "x").expect("room");
        symlink("file", base.join("store/pkg/lib/link")).expect("room");
        symlink("store/pkg/lib/file", base.join("outer")).expect("room");
        let area = |path: &str, change| Area { dir: base.join(path).as_os_str().as_bytes().into(), change };
        let areas = vec![
            Area { dir: base.as_os_str().as_bytes().into(), change: Change::Heard },
            area("store", Change::Heard),
        ];
        let mut lookup = Lookup::new(areas.into_iter().chain([area("store/pkg", Change::Never)]).collect());
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
}
