//! Checkpoints that are damaged, foreign or gone: a clean build, told in one line, and nothing that others need is lost.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::edit::{self, replace, write};
use super::make::{MANIFEST, project};
use super::{Built, checkpoints, equal, verify};
use crate::project::Place;

/// A package that was built, and one beside it that must not suffer.
struct Damaged {
    place: Place,
    clean: Place,
    root: PathBuf,
    other: PathBuf,
    /// Where the checkpoints of the package are.
    package: PathBuf,
    /// Its layers.
    layers: Vec<PathBuf>,
    edits: std::cell::Cell<u32>,
}

impl Damaged {
    fn new() -> Damaged {
        let place = Place::new();
        let (root, other) = (place.path().join("project"), place.path().join("other"));
        edit::make(&root, &project());
        edit::make(&other, &project());
        write("rekindle.toml", MANIFEST.replace("probe", "other")).apply(&other);
        place.build(&other, &[]);
        let of_other = checkpoints(&place);
        let layers = || -> Vec<PathBuf> {
            let all = fs::read_dir(place.store().join("rekindle-1/layers/layers")).expect("layers");
            all.flatten().map(|entry| entry.path()).collect()
        };
        let others = layers();
        place.build(&root, &[]);
        let new = checkpoints(&place).into_iter().find(|dir| !of_other.contains(dir)).expect("a new one");
        let package = new.parent().expect("it lies in one").to_owned();
        let layers = layers().into_iter().filter(|layer| !others.contains(layer)).collect();
        Damaged { place, clean: Place::new(), root, other, package, layers, edits: std::cell::Cell::new(10) }
    }

    /// The only checkpoint of the package that this version can read.
    fn checkpoint(&self) -> PathBuf {
        let all = checkpoints(&self.place).into_iter();
        let mut of_root: Vec<PathBuf> =
            all.filter(|dir| dir.starts_with(&self.package) && !dir.join("left").exists()).collect();
        assert_eq!(of_root.len(), 1, "{of_root:?}");
        of_root.remove(0)
    }

    fn edit(&self, root: &Path) {
        self.edits.set(self.edits.get() + 1);
        write("b.c", format!("int b(void) {{ return {}; }}\n", self.edits.get())).apply(root);
    }

    /// Builds after an edit: clean, with `told` in one line; nothing else is lost.
    #[track_caller]
    fn check(&self, told: &str) {
        let damaged = self.checkpoint();
        self.check_without(told);
        // The next damage is that of the new checkpoint.
        if damaged.exists() {
            fs::write(damaged.join("left"), "").expect("our own directory");
        }
    }

    #[track_caller]
    fn check_without(&self, told: &str) {
        self.edit(&self.root);
        let built = equal(&self.place, &self.clean, &self.root);
        assert!(!built.takes_something(), "{}", built.told);
        let lines: Vec<&str> = built.told.lines().filter(|line| line.starts_with("warning:")).collect();
        match told {
            "" => assert_eq!(lines, Vec::<&str>::new(), "{}", built.told),
            told => assert!(lines.len() == 1 && lines[0].contains(told), "{told}: {}", built.told),
        }
    }
}

/// The next builds go on from what there is.
impl Drop for Damaged {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.edit(&self.root);
        let built = equal(&self.place, &self.clean, &self.root);
        assert!(built.takes_something(), "{}", built.told);
        self.edit(&self.other);
        let other = Built::of(&self.place, &self.other, &[]).good();
        assert!(other.takes_something(), "another package lost its own");
        verify(&self.place);
        assert_eq!(self.place.leftovers(), Vec::<String>::new());
    }
}

/// Flips a bit in the middle of a file.
fn flip(file: &Path) {
    flip_at(file, |length| length / 2);
}

fn flip_at(file: &Path, at: impl FnOnce(usize) -> usize) {
    let mut bytes = fs::read(file).expect("a file");
    let at = at(bytes.len());
    bytes[at] ^= 1;
    fs::write(file, bytes).expect("our own file");
}

#[test]
fn a_record_that_is_not_what_was_written() {
    let damaged = Damaged::new();
    flip(&damaged.checkpoint().join("record"));
    damaged.check("it is damaged");
    for length in [0, 23, 200] {
        let record = damaged.checkpoint().join("record");
        let bytes = fs::read(&record).expect("a record");
        fs::write(&record, &bytes[..length]).expect("our own file");
        damaged.check("is not used");
    }
    let dir = damaged.checkpoint();
    fs::rename(&dir, dir.with_file_name("0123456789abcdef0123456789abcdef")).expect("our own directory");
    damaged.check("it is not the one that it says it is");
}

#[test]
fn a_record_of_another_version() {
    let damaged = Damaged::new();
    let record = damaged.checkpoint().join("record");
    let mut bytes = fs::read(&record).expect("a record");
    // One digit more is a later one.
    bytes.insert(b"rekindle checkpoint v".len(), b'9');
    fs::write(&record, bytes).expect("our own file");
    damaged.check("version");
    assert!(record.exists(), "another version may still need it");
}

#[test]
fn sources_that_are_damaged() {
    let damage: [fn(&Path); 3] = [
        // What is said of directories that are as they were is not even read; the end always is.
        |file| flip_at(file, |length| length - 60),
        |file| fs::write(file, "").expect("our own file"),
        |file| fs::remove_file(file).expect("our own file"),
    ];
    let damaged = Damaged::new();
    for damage in damage {
        let dir = damaged.checkpoint();
        damage(&dir.join("sources"));
        damaged.check("sources");
        // It would be told again.
        fs::remove_dir_all(dir).expect("our own directory");
    }
}

/// What the processes did then is what an audit goes by.
#[test]
fn traces_that_are_damaged() {
    let damaged = Damaged::new();
    let traces = |dir: &Path| -> Vec<PathBuf> {
        let all = fs::read_dir(dir).expect("a checkpoint").flatten().map(|entry| entry.path());
        all.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("trace-")))
            .collect()
    };
    let other = checkpoints(&damaged.place).into_iter().find(|dir| !dir.starts_with(&damaged.package));
    let of_other = fs::read(&traces(&other.expect("another package"))[0]).expect("a trace");
    let damage: [&dyn Fn(&Path); 5] = [
        &flip,
        &|file| {
            let bytes = fs::read(file).expect("a trace");
            fs::write(file, &bytes[..bytes.len() / 2]).expect("our own file");
        },
        &|file| fs::write(file, "").expect("our own file"),
        &|file| fs::remove_file(file).expect("our own file"),
        &|file| fs::write(file, &of_other).expect("our own file"),
    ];
    for damage in damage {
        let traces = traces(&damaged.checkpoint());
        assert!(!traces.is_empty());
        for file in traces {
            // Other checkpoints have the same file.
            let bytes = fs::read(&file).expect("a trace");
            fs::remove_file(&file).expect("our own file");
            fs::write(&file, bytes).expect("our own file");
            damage(&file);
        }
        damaged.check("cannot be gone on from");
    }
}

#[test]
fn a_checkpoint_of_another_package() {
    let damaged = Damaged::new();
    let own = damaged.checkpoint();
    let other = checkpoints(&damaged.place).into_iter().find(|dir| !dir.starts_with(&damaged.package));
    let other = other.expect("another package");
    let foreign = damaged.package.join(other.file_name().expect("a name"));
    fs::remove_dir_all(own).expect("our own directory");
    let copied = Command::new("cp").arg("-r").args([&other, &foreign]).status();
    assert!(copied.expect("cp").success());
    damaged.check_without("is not used: it is one of other for ");
    let _ = fs::remove_dir_all(foreign);
}

#[test]
fn a_layer_that_is_gone() {
    let damaged = Damaged::new();
    assert!(damaged.layers.len() > 2);
    fs::remove_dir_all(&damaged.layers[0]).expect("our own directory");
    damaged.check("is missing");
}

/// What somebody does to a file of a layer, by its name.
type Write = (&'static str, fn(&Path));

/// It is not what was left there, however well it would do.
#[test]
fn a_layer_that_somebody_wrote_to() {
    let writes: [Write; 2] = [
        // The build would go on with what is left of it.
        ("a.o", flip),
        // The source that was compiled, of which there is nothing to be made again.
        ("a.c", |file| fs::write(file, "int a(void) { return 7; }\n").expect("our own file")),
    ];
    for (name, write) in writes {
        let damaged = Damaged::new();
        let files: Vec<PathBuf> = damaged.layers.iter().flat_map(|layer| named(layer, name)).collect();
        assert!(!files.is_empty(), "{name}");
        files.iter().for_each(|file| write(file));
        damaged.check("is not as it was left");
    }
}

/// Its sources are not taken either where none of its steps fits.
#[test]
fn the_sources_of_a_damaged_layer_are_captured_again() {
    let damaged = Damaged::new();
    for file in damaged.layers.iter().flat_map(|layer| named(layer, "a.c")) {
        fs::write(file, "int a(void) { return 7; }\n").expect("our own file");
    }
    write("rekindle.toml", format!("{MANIFEST}[package.env]\nOTHER = \"1\"\n")).apply(&damaged.root);
    damaged.check("is not as it was left");
}

/// All files of this name below a directory.
fn named(dir: &Path, name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory").flatten();
    let found = entries.flat_map(|entry| match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
        true => named(&entry.path(), name),
        false => vec![entry.path()],
    });
    found.filter(|path| path.file_name().is_some_and(|own| own == name)).collect()
}

#[test]
fn a_checkpoint_that_was_half_written() {
    let damaged = Damaged::new();
    let dir = damaged.checkpoint();
    fs::rename(&dir, dir.with_file_name("new-0123456789abcdef0123456789abcdef")).expect("our own directory");
    damaged.check_without("");
    let left = fs::read_dir(dir.parent().expect("a package")).expect("a directory").flatten();
    let left: Vec<_> = left.filter(|entry| entry.file_name().to_string_lossy().starts_with("new-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn garbage_beside_the_checkpoints() {
    let damaged = Damaged::new();
    let dir = damaged.checkpoint();
    fs::write(dir.with_file_name("a file"), "garbage").expect("our own file");
    fs::create_dir(dir.with_file_name("a directory")).expect("our own directory");
    fs::create_dir(dir.join("unknown")).expect("our own directory");
    damaged.edit(&damaged.root);
    assert!(equal(&damaged.place, &damaged.clean, &damaged.root).takes_something());
}

/// Somebody removes all checkpoints while a build goes on from one.
#[test]
fn a_checkpoint_that_is_removed_while_in_use() {
    let damaged = Damaged::new();
    let slow = format!("{MANIFEST}[package.phases]\npre-build = \"echo started; sleep 1\"\n");
    write("rekindle.toml", slow).apply(&damaged.root);
    damaged.place.build(&damaged.root, &[]);
    replace("b.c", "2", "3").apply(&damaged.root);
    let mut command = damaged.place.rekindle(&["build", "--no-link", "-L"]).arg(&damaged.root).command();
    let mut child = command.stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut told = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.contains("started") {
        line.clear();
        assert_ne!(told.read_line(&mut line).expect("text"), 0, "it never started");
    }
    for dir in checkpoints(&damaged.place).iter().filter(|dir| dir.starts_with(&damaged.package)) {
        fs::remove_dir_all(dir).expect("our own directory");
    }
    // A build of another package removes what nobody names any more, meanwhile.
    replace("a.c", "1", "9").apply(&damaged.other);
    equal(&damaged.place, &damaged.clean, &damaged.other);
    let mut rest = String::new();
    told.read_to_string(&mut rest).expect("text");
    assert!(child.wait().expect("it ends").success(), "{rest}");
    let built = Built::of(&damaged.clean, &damaged.root, &["--clean"]).good();
    let (ours, theirs) = (Built::of(&damaged.place, &damaged.root, &[]).good(), built);
    let (one, other) = (ours.outputs(&damaged.place), theirs.outputs(&damaged.clean));
    let differs = crate::tree::differences(&one.expect("built"), &other.expect("built"));
    assert!(differs.is_empty(), "{differs:?}");
}

/// The store lies on a small file system, which fills up while the build leaves what a checkpoint would keep.
#[test]
fn a_disk_that_is_full() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let place = Place::new();
    let root = place.path().join("project");
    edit::make(&root, &project());
    fs::create_dir(place.store()).expect("our own directory");
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m", "small"]).arg(place.store()).status();
    assert!(mounted.expect("mount").success());
    let outcome = std::panic::catch_unwind(|| fill(&place, &root));
    let unmounted = Command::new("umount").arg(place.store()).status();
    assert!(unmounted.expect("umount").success());
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

fn fill(place: &Place, root: &Path) {
    let clean = Place::new();
    place.build(root, &[]);
    // In the build tree, in the output, or in the sources: whatever it is, there is too much of it.
    let big = "head -c 40000000 /dev/urandom";
    for phases in [format!("post-build = \"{big} > big\""), format!("post-install = \"{big} > $out/big\"")] {
        write("rekindle.toml", format!("{MANIFEST}[package.phases]\n{phases}\n")).apply(root);
        let failed = place.rekindle(&["build", "--no-link"]).arg(root).run();
        assert!(!failed.success(), "it fits");
        verify(place);
    }
    write("rekindle.toml", MANIFEST).apply(root);
    fs::write(root.join("share/big"), vec![b'x'; 40_000_000]).expect("our own file");
    let failed = place.rekindle(&["build", "--no-link"]).arg(root).run();
    assert!(!failed.success(), "it fits");
    assert!(failed.stderr().contains(place.store().to_str().expect("a plain path")), "{}", failed.stderr());
    verify(place);
    fs::remove_file(root.join("share/big")).expect("our own file");
    replace("b.c", "2", "3").apply(root);
    assert!(equal(place, &clean, root).takes_something(), "what was there before is not lost");
    assert_eq!(place.leftovers(), Vec::<String>::new());
    verify(place);
}
