//! What a checkpoint costs: capturing a source tree, whole and by its changes; comparing two stacks and merging the
//! change of one file, which must not grow with the tree; squashing; manifests on disk. On generated trees.
//!
//! `cargo bench -p rekindle-layers --bench merge [-- FILES…]`. Prints medians in milliseconds, and peak memory.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rekindle_layers::{
    LayerStore, Manifest, ScanOptions, StatIndex, Timestamp, capture_source, difference, merge, newest_mtime,
    scan, squash, survey,
};

const OPTIONS: ScanOptions = ScanOptions { gitignore: false, exclude: Vec::new() };
const SOURCES: &str = "build/source";
const THEN: Timestamp = Timestamp { secs: 1, nanos: 0 };
const NOW: Timestamp = Timestamp { secs: 2, nanos: 0 };
/// How many layers of products lie on the sources.
const LAYERS: usize = 10;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let sizes: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    if arguments.first().is_some_and(|first| first == "inner") {
        return measure(sizes[0]);
    }
    println!(
        "   files   capture  by changes  difference    merge  apart: difference   squash     save     load  \
         newest    usage     memory"
    );
    let sizes = if sizes.is_empty() { vec![1_000, 10_000, 80_000] } else { sizes };
    for files in sizes {
        // In a process of its own, for its peak memory.
        let exe = std::env::current_exe().expect("a benchmark has a program");
        let status = Command::new(exe).args(["inner", &files.to_string()]).status().expect("it runs");
        assert!(status.success());
    }
}

fn measure(files: usize) {
    let temp = tempfile::tempdir().expect("a place for the tree");
    let root = temp.path().join("tree");
    generate(&root, files);
    let store = LayerStore::open(&temp.path().join("store")).expect("a store");
    let scanned = |root: &Path| scan(root, &OPTIONS, &StatIndex::default()).expect("a scan").manifest;
    let capture = |manifest: &Manifest, previous: Option<&Manifest>| -> PathBuf {
        let draft = store.begin().expect("a draft");
        capture_source(&root, manifest, previous, &draft, Path::new(SOURCES), THEN).expect("a capture");
        store.path(draft.commit().expect("a layer"))
    };

    let before = scanned(&root);
    let sources = capture(&before, None);
    let whole = median(3, || drop(capture(&before, None)));
    fs::write(root.join("d0/d0/f0.c"), "edited").expect("an edit");
    let after = scanned(&root);
    let changed = capture(&after, Some(&before));
    let by_changes = median(15, || drop(capture(&after, Some(&before))));

    // An object for every tenth source in each layer, and a program.
    let mut then = vec![sources.clone()];
    for layer in 0..LAYERS {
        let draft = store.begin().expect("a draft");
        for at in (layer..files).step_by(LAYERS * 10) {
            let path = draft.upper().join(SOURCES).join(place(at)).with_extension("o");
            fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            fs::write(path, vec![b'o'; 4000]).expect("an object");
        }
        fs::write(draft.upper().join(SOURCES).join("program"), vec![b'p'; 100_000]).expect("a program");
        then.insert(0, store.path(draft.commit().expect("a layer")));
    }
    let (before_then, before_now) = ([sources.clone()], [changed.clone(), sources.clone()]);
    let sub = Path::new("build");
    let changes = difference(&before_then, &before_now, sub).expect("a difference");
    assert_eq!(changes.len(), 1);
    let compare = median(15, || drop(difference(&before_then, &before_now, sub)));
    let merged = median_of(15, || {
        let draft = store.begin().expect("a draft");
        let begin = Instant::now();
        merge(&changes, &before_now, &then, draft.upper(), sub, NOW).expect("a merge");
        begin.elapsed()
    });
    // Nothing in common: captured apart from each other.
    let apart = [capture(&after, None)];
    let compare_apart = median(3, || {
        assert_eq!(difference(&before_then, &apart, sub).expect("a difference").len(), 1);
    });
    let squashed = median_of(3, || {
        let draft = store.begin().expect("a draft");
        let begin = Instant::now();
        squash(&then[..LAYERS], &draft).expect("a squashed layer");
        begin.elapsed()
    });
    let file = temp.path().join("manifest");
    let save = median(5, || after.save(&file).expect("a saved manifest"));
    let load = median(5, || assert_eq!(Manifest::load(&file).expect("the manifest"), after));
    let newest = median(3, || assert_eq!(newest_mtime(&sources).expect("a time"), THEN));
    let usage = median(3, || drop(survey(&sources)));
    println!(
        "{files:8} {whole:9.1} {by_changes:11.2} {compare:11.2} {merged:8.2} {compare_apart:18.1} {squashed:8.1} \
         {save:8.1} {load:8.1} {newest:7.1} {usage:8.1} {:>10}",
        peak_memory()
    );
}

fn peak_memory() -> String {
    let status = fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel tells");
    peak.trim().to_owned()
}

fn median(rounds: usize, mut act: impl FnMut()) -> f64 {
    median_of(rounds, || {
        let begin = Instant::now();
        act();
        begin.elapsed()
    })
}

/// The median of what `act` measures itself.
fn median_of(rounds: usize, mut act: impl FnMut() -> Duration) -> f64 {
    let mut times: Vec<f64> = (0..rounds).map(|_| act().as_secs_f64() * 1000.0).collect();
    times.sort_by(f64::total_cmp);
    times[rounds / 2]
}

/// Twenty files to a directory, fifty directories to a directory above.
fn place(at: usize) -> PathBuf {
    format!("d{}/d{}/f{}.c", at / 1000, at / 20 % 50, at % 20).into()
}

fn generate(tree: &Path, files: usize) {
    for at in 0..files {
        let path = tree.join(place(at));
        if at % 20 == 0 {
            fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        }
        let content = format!("int f{at}(void) {{ return {at}; }}\n").repeat(1 + at % 100);
        fs::write(path, content).expect("a file");
    }
}
