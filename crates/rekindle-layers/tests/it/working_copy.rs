//! Stacks written out to work in, and captured again, with the kernel's overlayfs as the judge of what comes of it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rekindle_layers::{Draft, LayerStore, Snapshot, View, WorkingCopy, Written, squash, survey};

use crate::kernel::{Overlay, Workshop, assert_same};
use crate::namespace;
use crate::seed::{Rng, seeds};
use crate::tree::edit;

#[test]
fn what_is_captured_is_what_is_there() {
    namespace::with_mounts("working_copy::inner_random_work");
}

#[test]
fn inner_random_work() {
    if !namespace::is_part() {
        return;
    }
    for seed in seeds() {
        let mut rng = Rng::new(seed);
        let workshop = Workshop::new();
        let mut stack = vec![workshop.base(&mut rng, 40)];
        for _ in 0..rng.below(3) {
            let edits = rng.below(15);
            stack = workshop.edited(&mut rng, &stack, edits);
        }
        let root = workshop.temp.path().join("copy");
        let mut copy = WorkingCopy::write(&stack, &root).unwrap();
        let what = |part: &str| format!("REKINDLE_SEED={seed}, {part}");
        assert_same(&workshop.show(&stack), &Snapshot::of_path(&root).unwrap(), &what("written out"));

        for round in 0..3 {
            if rng.one_in(3) {
                // What was changed in the tick of the record is in doubt, what was before is not: both are to be tried.
                std::thread::sleep(Duration::from_millis(5));
            }
            for _ in 0..rng.below(20) {
                edit(&mut rng, &root);
            }
            let draft = workshop.store.begin().unwrap();
            copy.capture(&stack, &draft).unwrap();
            stack.insert(0, workshop.store.path(draft.commit().unwrap()));
            let there = Snapshot::of_path(&root).unwrap();
            assert_same(&there, &workshop.show(&stack), &what(&format!("captured, round {round}")));
            let view = Snapshot::of_view(&View::of_layers(&stack, Path::new("")).unwrap()).unwrap();
            assert_same(&there, &view, &what(&format!("view, round {round}")));

            let edits = rng.below(15);
            stack = workshop.edited(&mut rng, &stack, edits);
            copy.apply(&stack[0]).unwrap();
            let there = Snapshot::of_path(&root).unwrap();
            assert_same(&workshop.show(&stack), &there, &what(&format!("applied, round {round}")));
        }
    }
}

/// A working copy of a stack of one layer.
struct Work {
    workshop: Workshop,
    stack: Vec<PathBuf>,
    copy: WorkingCopy,
}

impl Work {
    fn new(fill: impl FnOnce(&Path)) -> Work {
        let workshop = Workshop::new();
        let draft = workshop.store.begin().unwrap();
        fill(draft.upper());
        let stack = vec![workshop.store.path(draft.commit().unwrap())];
        let copy = WorkingCopy::write(&stack, &workshop.temp.path().join("copy")).unwrap();
        Work { workshop, stack, copy }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.copy.root().join(path)
    }

    fn capture(&mut self) -> (Draft, Written) {
        let draft = self.workshop.store.begin().unwrap();
        let written = self.copy.capture(&self.stack, &draft).unwrap();
        let stack = [&[draft.upper().to_owned()], &self.stack[..]].concat();
        let view = Snapshot::of_view(&View::of_layers(&stack, Path::new("")).unwrap()).unwrap();
        assert_same(&Snapshot::of_path(self.copy.root()).unwrap(), &view, "captured");
        (draft, written)
    }
}

fn names(layer: &Path) -> Vec<String> {
    let shown = Snapshot::of_path(layer).unwrap();
    shown.nodes().skip(1).map(|(path, _)| path.to_str().unwrap().to_owned()).collect()
}

fn wait_for_the_clock() {
    std::thread::sleep(Duration::from_millis(10));
}

#[test]
fn nothing_changed_is_an_empty_layer() {
    let mut work = Work::new(|root| {
        fs::create_dir(root.join("dir")).unwrap();
        fs::write(root.join("dir/file"), "x").unwrap();
        fs::hard_link(root.join("dir/file"), root.join("link")).unwrap();
        symlink("dir", root.join("symlink")).unwrap();
    });
    assert_eq!(names(work.capture().0.upper()), [""; 0]);
    // What came and went again has left nothing, though it changed ctimes and the time of the directory.
    let time = fs::metadata(work.copy.root()).unwrap().modified().unwrap();
    fs::hard_link(work.at("link"), work.at("third")).unwrap();
    fs::remove_file(work.at("third")).unwrap();
    fs::File::open(work.copy.root()).unwrap().set_modified(time).unwrap();
    let bytes = fs::read(work.at("dir/file")).unwrap();
    let time = fs::metadata(work.at("dir/file")).unwrap().modified().unwrap();
    fs::write(work.at("dir/file"), bytes).unwrap();
    fs::File::options().write(true).open(work.at("dir/file")).unwrap().set_modified(time).unwrap();
    assert_eq!(names(work.capture().0.upper()), [""; 0]);
}

/// A change that leaves name, size, mode and mtime alone.
type Trick = (&'static str, fn(&dyn Fn(&str) -> PathBuf, SystemTime), &'static [&'static str]);

#[test]
fn times_and_sizes_prove_nothing() {
    const TRICKS: [Trick; 4] = [
        (
            "rewritten in place",
            |at, time| {
                fs::write(at("d/a"), "other").unwrap();
                fs::File::options().write(true).open(at("d/a")).unwrap().set_modified(time).unwrap();
            },
            &["d", "d/a"],
        ),
        (
            "swapped",
            |at, _| {
                fs::rename(at("d/a"), at("swap")).unwrap();
                fs::rename(at("d/b"), at("d/a")).unwrap();
                fs::rename(at("swap"), at("d/b")).unwrap();
            },
            &["d", "d/a", "d/b"],
        ),
        (
            "replaced by a copy",
            |at, time| {
                fs::write(at("new"), "other").unwrap();
                fs::File::options().write(true).open(at("new")).unwrap().set_modified(time).unwrap();
                fs::rename(at("new"), at("d/a")).unwrap();
            },
            &["d", "d/a"],
        ),
        (
            "in a directory that took the other's place",
            |at, _| {
                fs::rename(at("d"), at("swap")).unwrap();
                fs::rename(at("e"), at("d")).unwrap();
                fs::rename(at("swap"), at("e")).unwrap();
            },
            &["d", "d/a", "d/b", "e", "e/a", "e/b"],
        ),
    ];
    for waits in [false, true] {
        for (what, play, expected) in TRICKS {
            let time = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
            let mut work = Work::new(|root| {
                for dir in ["d", "e"] {
                    fs::create_dir(root.join(dir)).unwrap();
                    for file in ["a", "b"] {
                        fs::write(root.join(dir).join(file), format!("{dir}-{file}..")).unwrap();
                        fs::File::options()
                            .write(true)
                            .open(root.join(dir).join(file))
                            .unwrap()
                            .set_modified(time)
                            .unwrap();
                    }
                }
            });
            if waits {
                wait_for_the_clock();
            }
            play(&|path| work.copy.root().join(path), time);
            assert_eq!(names(work.capture().0.upper()), expected, "{what}");
        }
    }
}

/// What overlayfs refuses with EXDEV.
#[test]
fn directories_can_be_renamed() {
    let mut work = Work::new(|root| {
        fs::create_dir_all(root.join("old/sub")).unwrap();
        fs::write(root.join("old/sub/file"), "x").unwrap();
    });
    let inode = fs::metadata(work.at("old/sub/file")).unwrap().ino();
    fs::rename(work.at("old"), work.at("new")).unwrap();
    assert_eq!(fs::metadata(work.at("new/sub/file")).unwrap().ino(), inode);
    let (draft, written) = work.capture();
    assert_eq!(names(draft.upper()), ["new", "new/sub", "new/sub/file", "old"]);
    assert_eq!((written.files, written.directories), (1, 2));
}

/// Where the layers themselves lie on an overlay, as in a container, devices for whiteouts cannot be made.
#[test]
fn layers_may_lie_on_an_overlay() {
    namespace::with_mounts("working_copy::inner_on_an_overlay");
}

#[test]
fn inner_on_an_overlay() {
    if !namespace::is_part() {
        return;
    }
    for seed in seeds().into_iter().take(20) {
        let mut rng = Rng::new(seed);
        let temp = tempfile::tempdir().unwrap();
        let [at, lower, upper, work] = ["at", "lower", "upper", "work"].map(|name| temp.path().join(name));
        for dir in [&at, &lower, &upper, &work] {
            fs::create_dir(dir).unwrap();
        }
        let _overlay = Overlay::new(&at, std::slice::from_ref(&lower), Some((&upper, &work)));
        let store = LayerStore::open(&at.join("store")).unwrap();
        let draft = store.begin().unwrap();
        for _ in 0..40 {
            edit(&mut rng, draft.upper());
        }
        let mut stack = vec![store.path(draft.commit().unwrap())];
        let root = at.join("copy");
        let mut copy = WorkingCopy::write(&stack, &root).unwrap();
        for round in 0..3 {
            for _ in 0..15 {
                edit(&mut rng, &root);
            }
            let draft = store.begin().unwrap();
            copy.capture(&stack, &draft).unwrap();
            stack.insert(0, store.path(draft.commit().unwrap()));
            let what = format!("REKINDLE_SEED={seed}, round {round}");
            let there = Snapshot::of_path(&root).unwrap();
            let view = Snapshot::of_view(&View::of_layers(&stack, Path::new("")).unwrap()).unwrap();
            assert_same(&there, &view, &what);

            let draft = store.begin().unwrap();
            squash(&stack[..2], &draft).unwrap();
            stack.splice(..2, [store.path(draft.commit().unwrap())]);
            let view = Snapshot::of_view(&View::of_layers(&stack, Path::new("")).unwrap()).unwrap();
            assert_same(&there, &view, &format!("{what}, squashed"));
        }
    }
}

const BIG: usize = 1 << 20;

/// Like git's 140 names for one program, and cargo's two.
fn linked(root: &Path, names: usize) {
    fs::create_dir(root.join("deps")).unwrap();
    for other in 0..5 {
        fs::write(root.join(format!("deps/other{other}")), vec![1; BIG]).unwrap();
        fs::hard_link(root.join(format!("deps/other{other}")), root.join(format!("other{other}"))).unwrap();
    }
    fs::write(root.join("deps/program"), vec![0; BIG]).unwrap();
    for name in 0..names {
        fs::hard_link(root.join("deps/program"), root.join(format!("name{name}"))).unwrap();
    }
}

#[test]
fn a_program_that_is_linked_anew_is_written_once() {
    let mut work = Work::new(|root| linked(root, 140));
    wait_for_the_clock();
    // As make does: another file, and every link to it made again.
    fs::remove_file(work.at("deps/program")).unwrap();
    fs::write(work.at("deps/program"), vec![2; BIG]).unwrap();
    for name in 0..140 {
        fs::remove_file(work.at(&format!("name{name}"))).unwrap();
        fs::hard_link(work.at("deps/program"), work.at(&format!("name{name}"))).unwrap();
    }
    let (draft, written) = work.capture();
    assert_eq!((written.files, written.hard_links, written.bytes), (1, 140, BIG as u64));
    assert!(survey(draft.upper()).unwrap().bytes < 2 * BIG as u64);
}

#[test]
fn links_that_are_made_again_cost_nothing() {
    let mut work = Work::new(|root| linked(root, 3));
    for waits in [false, true] {
        if waits {
            wait_for_the_clock();
        }
        // Removed and linked again to the same file, which no build tool would call a change.
        for name in 0..3 {
            fs::remove_file(work.at(&format!("name{name}"))).unwrap();
            fs::hard_link(work.at("deps/program"), work.at(&format!("name{name}"))).unwrap();
        }
        let (_, written) = work.capture();
        assert_eq!((written.files, written.bytes), (0, 0));
    }
}

#[test]
fn a_split_group_keeps_one_part_where_it_is() {
    let mut work = Work::new(|root| linked(root, 3));
    wait_for_the_clock();
    // A copy in the place of one name: the others stay linked, and stay below.
    fs::copy(work.at("name0"), work.at("copy")).unwrap();
    fs::rename(work.at("copy"), work.at("name0")).unwrap();
    let (draft, written) = work.capture();
    assert_eq!((written.files, written.hard_links), (1, 0));
    assert_eq!(names(draft.upper()), ["name0"]);
    drop(draft);

    let mut work = Work::new(|root| linked(root, 3));
    fs::remove_file(work.at("name1")).unwrap();
    let (_, written) = work.capture();
    assert_eq!(written.files, 0, "a name that went is no reason to write the others");
}

#[test]
fn a_name_more_writes_its_file_once() {
    let mut work = Work::new(|root| linked(root, 3));
    fs::hard_link(work.at("name0"), work.at("name9")).unwrap();
    let (_, written) = work.capture();
    assert_eq!((written.files, written.hard_links, written.bytes), (1, 4, BIG as u64));
}

#[test]
fn an_ordinary_user_works_in_read_only_trees() {
    namespace::as_ordinary_user("working_copy::inner_ordinary_user");
}

#[test]
fn inner_ordinary_user() {
    if !namespace::is_part() {
        return;
    }
    let mode = |path: PathBuf, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    let mut work = Work::new(|root| {
        fs::create_dir_all(root.join("d/e")).unwrap();
        fs::write(root.join("d/e/file"), "old").unwrap();
        mode(root.join("d/e/file"), 0o444);
        mode(root.join("d/e"), 0o555);
    });
    mode(work.at("d/e"), 0o755);
    fs::write(work.at("d/e/more"), "new").unwrap();
    mode(work.at("d/e"), 0o555);
    let (draft, _) = work.capture();
    assert_eq!(names(draft.upper()), ["d", "d/e", "d/e/more"]);

    // The same as a layer on top.
    let mut other = WorkingCopy::write(&work.stack, &work.workshop.temp.path().join("other")).unwrap();
    other.apply(draft.upper()).unwrap();
    let there = Snapshot::of_path(work.copy.root()).unwrap();
    assert_same(&there, &Snapshot::of_path(other.root()).unwrap(), "applied");
}
