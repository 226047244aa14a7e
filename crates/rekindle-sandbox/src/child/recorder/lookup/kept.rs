//! What was looked up, kept for as long as nothing can have changed it.
//!
//! A compiler asks for the same thousand headers again and again, and for twice as many that are not there. What is mounted
//! read-only cannot change. What the command alone may change cannot change unheard: each call that makes, removes or renames
//! something is heard of before the kernel carries it out. So with such a call all is forgotten that was kept of the path, of
//! what lies below it, and of every path that leads over it by a symbolic link.
//!
//! That it is heard of before means that it may yet happen at any time until its thread makes its next call, or has ended. Until
//! then the path is unsettled: nothing is kept of it. And when the path of one change leads over what another unsettled one may turn into
//! a link or a different directory, nobody can tell where it will take place: then nothing at all is kept until it is settled.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use super::{Change, Found};
use crate::child::recorder::numbers::ByNumber;

/// A path or a question, known by several tables.
type Text = Rc<[u8]>;

/// Results of look-ups that hold still.
pub(super) struct Kept {
    /// By the question.
    found: HashMap<Text, Rc<Found>>,
    /// Paths that can change, with the questions whose answers depend on them.
    behind: BTreeSet<(Text, Text)>,
    /// Changes that may yet happen, by the thread that asked for them.
    unsettled: ByNumber<u32, Unsettled>,
    /// How many unsettled changes there are of each path.
    pending: HashMap<Box<[u8]>, Pending>,
    /// How many threads may change nobody knows what.
    anything: usize,
    /// Memory left for what never changes.
    room: usize,
    /// Memory left for the rest.
    room_behind: usize,
    /// Nothing is kept of what can change.
    off: bool,
}

/// What a thread may be changing.
struct Unsettled {
    process: u32,
    paths: Vec<(Box<[u8]>, Effect)>,
    anything: bool,
}

#[derive(Default)]
struct Pending {
    all: usize,
    leading: usize,
}

/// What a change can do to paths that lead over the one that is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Effect {
    /// There is something that they lead to, or there is not.
    Existence,
    /// They may lead somewhere else.
    Direction,
}

/// What the result of a look-up depends on, besides what it tells.
pub(super) struct Trail {
    pub(super) change: Change,
    /// Directories that were left by `..`.
    pub(super) left: Vec<Box<[u8]>>,
}

impl Default for Trail {
    fn default() -> Self {
        Trail { change: Change::Never, left: Vec::new() }
    }
}

/// Most memory for what never changes, and for the rest.
const ROOM: usize = 64 << 20;

/// More threads than can be in the middle of a change.
const MOST_UNSETTLED: usize = 4096;

impl Kept {
    pub(super) fn new() -> Self {
        Kept {
            found: HashMap::new(),
            behind: BTreeSet::new(),
            unsettled: ByNumber::default(),
            pending: HashMap::new(),
            anything: 0,
            room: ROOM,
            room_behind: ROOM,
            off: false,
        }
    }

    pub(super) fn get(&self, question: &[u8]) -> Option<&Rc<Found>> {
        self.found.get(question)
    }

    /// Keeps an answer if it can be.
    pub(super) fn keep(&mut self, question: &[u8], found: &Rc<Found>, trail: &Trail) {
        let cost = 2 * question.len() + found.path.len() + 200;
        match trail.change {
            Change::Never => {
                let Some(left) = self.room.checked_sub(cost) else { return };
                self.room = left;
                self.found.insert(question.into(), found.clone());
            }
            Change::Heard if !self.off && self.anything == 0 => {
                let paths = || found.paths().chain(trail.left.iter().map(|dir| &**dir));
                if paths().any(|path| self.is_unsettled(path, |_| true)) {
                    return;
                }
                let cost = cost + paths().map(|path| path.len() + 100).sum::<usize>();
                if cost > self.room_behind {
                    self.forget_all_behind();
                }
                let Some(left) = self.room_behind.checked_sub(cost) else { return };
                self.room_behind = left;
                let question: Text = question.into();
                self.behind.extend(paths().map(|path| (Text::from(path), question.clone())));
                self.found.insert(question, found.clone());
            }
            Change::Heard | Change::Unheard => {}
        }
    }

    /// A thread is about to change what these lead to. `where_heard` tells which paths only the command can change.
    pub(super) fn expect(
        &mut self,
        (tid, process): (u32, u32),
        changed: &[&Found],
        effect: Effect,
        where_heard: impl Fn(&[u8]) -> bool,
    ) {
        if self.off {
            return;
        }
        let paths = || changed.iter().flat_map(|found| found.paths());
        let anything =
            self.anything > 0 || paths().any(|path| self.is_unsettled(path, |pending| pending.leading > 0));
        let paths: Vec<(Box<[u8]>, Effect)> =
            paths().filter(|path| where_heard(path)).map(|path| (path.into(), effect)).collect();
        for (path, _) in &paths {
            self.forget(path);
            let pending = self.pending.entry(path.clone()).or_default();
            pending.all += 1;
            pending.leading += usize::from(effect == Effect::Direction);
        }
        if anything {
            self.anything += 1;
            self.forget_all_behind();
        }
        if !paths.is_empty() || anything {
            self.settle(tid);
            self.unsettled.insert(tid, Unsettled { process, paths, anything });
        }
        if self.unsettled.len() > MOST_UNSETTLED {
            self.stop();
        }
    }

    /// A thread is heard of: what it was about to change, it has changed.
    pub(super) fn settle(&mut self, tid: u32) {
        if self.unsettled.is_empty() {
            return;
        }
        let Some(Unsettled { paths, anything, .. }) = self.unsettled.remove(&tid) else { return };
        self.anything -= usize::from(anything);
        for (path, effect) in paths {
            let Some(pending) = self.pending.get_mut(&path) else { continue };
            pending.all -= 1;
            pending.leading -= usize::from(effect == Effect::Direction);
            if pending.all == 0 {
                self.pending.remove(&path);
            }
        }
    }

    /// Settles what threads asked for that have ended. `lives` is asked for the thread and its process.
    pub(super) fn settle_dead(&mut self, mut lives: impl FnMut(u32, u32) -> bool) {
        let dead = self.unsettled.iter().filter(|(tid, unsettled)| !lives(**tid, unsettled.process));
        let dead: Vec<u32> = dead.map(|(tid, _)| *tid).collect();
        dead.into_iter().for_each(|tid| self.settle(tid));
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.found.clear();
        self.forget_all_behind();
    }

    /// From now on keeps only what never changes.
    pub(super) fn stop(&mut self) {
        self.off = true;
        self.forget_all_behind();
        self.unsettled.clear();
        self.pending.clear();
        self.anything = 0;
    }

    /// Forgets what depends on a path, or on anything below it.
    fn forget(&mut self, path: &[u8]) {
        if self.behind.is_empty() {
            return;
        }
        if path == b"/" {
            return self.forget_all_behind();
        }
        let end = |end: &[u8]| (Text::from([path, end].concat()), Text::from(&b""[..]));
        // `0` is what comes after a slash.
        for (from, to) in [(end(b""), end(b"\0")), (end(b"/"), end(b"0"))] {
            let gone: Vec<_> = self.behind.range(from..to).cloned().collect();
            for link in gone {
                self.found.remove(&link.1);
                self.behind.remove(&link);
            }
        }
    }

    fn forget_all_behind(&mut self) {
        if !self.behind.is_empty() {
            self.behind.clear();
            self.found.retain(|_, found| found.lasting);
        }
        self.room_behind = ROOM;
    }

    /// Whether a change of this path, or of one that it lies below, may yet happen.
    fn is_unsettled(&self, path: &[u8], of: impl Fn(&Pending) -> bool) -> bool {
        if self.pending.is_empty() {
            return false;
        }
        let ends = path.iter().enumerate().filter(|(at, byte)| **byte == b'/' && *at > 0).map(|(at, _)| at);
        ends.chain([path.len()]).any(|end| self.pending.get(&path[..end]).is_some_and(&of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child::recorder::lookup::{Area, Kind, Lookup};
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    /// A directory that only the command may change, and what is known of it.
    struct World {
        lookup: Lookup,
        base: PathBuf,
        _dir: tempfile::TempDir,
    }

    impl World {
        fn new(fill: &[&str]) -> World {
            let dir = tempfile::tempdir().expect("a directory");
            let base = dir.path().canonicalize().expect("it is there");
            for path in fill {
                match path.split_once(" -> ") {
                    Some((link, target)) => symlink(target, base.join(link)).expect("room"),
                    None if path.ends_with('/') => fs::create_dir_all(base.join(path)).expect("room"),
                    None => fs::write(base.join(path), "").expect("room"),
                }
            }
            let area = Area { dir: base.as_os_str().as_bytes().into(), change: Change::Heard };
            World { lookup: Lookup::new(vec![area]), base, _dir: dir }
        }

        fn look(&mut self, path: &str) -> Rc<Found> {
            self.lookup.find(self.base.as_os_str().as_bytes(), path.as_bytes(), true, || None)
        }

        /// What is known of it without looking.
        fn kind(&mut self, path: &str) -> Kind {
            self.look(path).kind
        }

        fn expect(&mut self, tid: u32, path: &str, effect: Effect) {
            let base = self.base.as_os_str().as_bytes();
            let found = self.lookup.find(base, path.as_bytes(), false, || None);
            self.lookup.expect((tid, 1), &[&found], effect);
        }

        fn is_kept(&mut self, path: &str) -> bool {
            let (one, other) = (self.look(path), self.look(path));
            Rc::ptr_eq(&one, &other)
        }
    }

    #[test]
    fn what_nobody_changes_is_not_looked_at_again() {
        let mut world = World::new(&["d/", "d/f", "l -> d"]);
        for path in ["d/f", "d", "l/f", "d/none", "none/x", "d/../d/f", "l/../d/f", "./d//f"] {
            assert!(world.is_kept(path), "{path}");
        }
        // It shows that it is not looked at, by being wrong: this change nobody was told of.
        fs::remove_file(world.base.join("d/f")).expect("ours");
        assert_eq!(world.kind("d/f"), Kind::File);
        let mut foreign = World::new(&["f"]);
        let area = Area { dir: foreign.base.as_os_str().as_bytes().into(), change: Change::Unheard };
        foreign.lookup = Lookup::new(vec![area]);
        assert!(!foreign.is_kept("f") && !foreign.is_kept("none"));
    }

    #[test]
    fn a_change_is_seen_and_its_path_not_kept_until_it_has_happened() {
        let mut world = World::new(&["d/", "d/f"]);
        assert_eq!((world.kind("d/new"), world.kind("d/new/x")), (Kind::Missing, Kind::Missing));
        world.expect(7, "d/new", Effect::Existence);
        // It has not happened yet.
        assert_eq!(world.kind("d/new"), Kind::Missing);
        assert!(!world.is_kept("d/new") && !world.is_kept("d/new/x") && world.is_kept("d/f"));
        fs::create_dir(world.base.join("d/new")).expect("room");
        assert_eq!(world.kind("d/new"), Kind::Dir);
        world.lookup.settle(8);
        assert!(!world.is_kept("d/new"), "another thread was heard of");
        world.lookup.settle(7);
        assert!(world.is_kept("d/new") && world.is_kept("d/new/x"));
    }

    #[test]
    fn a_directory_that_moves_takes_along_what_is_below() {
        let mut world = World::new(&["one/deep/", "one/deep/f", "one-more", "two/", "two/g"]);
        let paths = ["one/deep/f", "two/deep/f", "two/g", "one", "one-more", "one/../two/g"];
        let kinds = |world: &mut World| paths.map(|path| world.kind(path));
        let (file, missing, dir) = (Kind::File, Kind::Missing, Kind::Dir);
        assert_eq!(kinds(&mut world), [file, missing, file, dir, file, file]);
        fs::remove_file(world.base.join("two/g")).expect("ours");
        world.expect(3, "two/g", Effect::Existence);
        world.expect(1, "one", Effect::Direction);
        world.expect(2, "two", Effect::Direction);
        fs::rename(world.base.join("one"), world.base.join("two")).expect("it is empty");
        (1..=3).for_each(|tid| world.lookup.settle(tid));
        assert_eq!(kinds(&mut world), [missing, file, missing, missing, file, missing]);
        assert!(world.is_kept("two/deep/f"));
    }

    #[test]
    fn a_link_that_leads_elsewhere_takes_along_what_is_found_by_it() {
        let mut world = World::new(&["one/", "two/", "one/f", "l -> one", "far -> l/f"]);
        assert_eq!((world.kind("l/f"), world.kind("far")), (Kind::File, Kind::File));
        world.expect(1, "l", Effect::Direction);
        fs::remove_file(world.base.join("l")).expect("ours");
        symlink("two", world.base.join("l")).expect("room");
        world.lookup.settle(1);
        assert_eq!((world.kind("l/f"), world.kind("far")), (Kind::Missing, Kind::Missing));
        assert!(world.look("far").path.ends_with(b"/two/f"));
    }

    #[test]
    fn where_a_change_may_take_place_anywhere_nothing_is_kept() {
        let mut world = World::new(&["one/", "two/", "l -> one"]);
        assert_eq!(world.kind("two/new"), Kind::Missing);
        // While one thread makes another link of it, another thread makes something by it.
        world.expect(1, "l", Effect::Direction);
        world.expect(2, "l/new", Effect::Existence);
        fs::remove_file(world.base.join("l")).expect("ours");
        symlink("two", world.base.join("l")).expect("room");
        fs::write(world.base.join("l/new"), "").expect("room");
        assert_eq!(world.kind("two/new"), Kind::File);
        world.lookup.settle(1);
        assert!(!world.is_kept("one") && !world.is_kept("two/new"));
        world.lookup.settle(2);
        assert!(world.is_kept("one") && world.is_kept("two/new"));
    }

    #[test]
    fn what_the_dead_asked_for_is_settled() {
        let mut world = World::new(&["f"]);
        world.expect(5, "f", Effect::Existence);
        world.lookup.settle_dead(|tid, process| (tid, process) == (5, 1));
        assert!(!world.is_kept("f"));
        world.lookup.settle_dead(|_, _| false);
        assert!(world.is_kept("f"));
    }

    #[test]
    fn memory_ends_and_threads_without_end_are_not_followed() {
        let mut world = World::new(&["f"]);
        let long = format!("{}/", "n".repeat(250)).repeat(15);
        for index in 0..20_000 {
            world.look(&format!("{index}/{long}"));
        }
        let kept = &world.lookup.kept;
        assert!(kept.found.len() < 20_000 && kept.behind.len() < 20_000, "{}", kept.found.len());
        assert!(world.is_kept("f"));
        for tid in 0..=MOST_UNSETTLED as u32 {
            world.expect(tid, &format!("new-{tid}"), Effect::Existence);
        }
        assert!(!world.is_kept("f") && world.lookup.kept.unsettled.is_empty());
    }
}
