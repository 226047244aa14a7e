//! How what a build does around an edit grows with the tree: generated trees, with one file edited.
//!
//! `cargo bench -p rekindle-layers --bench scale [-- FILES…]`. Prints medians in milliseconds, and the peak memory of a
//! process that scans, loads the manifest of the build before and compares.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rekindle_layers::{
    LayerStore, Manifest, ScanOptions, StatIndex, Timestamp, capture_source, difference, scan,
};

const OPTIONS: ScanOptions = ScanOptions { gitignore: false, exclude: Vec::new() };
const TIME: Timestamp = Timestamp { secs: 1, nanos: 0 };

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [inner, place] = &*arguments
        && inner == "inner"
    {
        return compare_in_this_process(Path::new(place));
    }
    let sizes: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![1_000, 10_000, 100_000] } else { sizes };
    println!(
        "   files       scan       load     beside       save  whole layer  layer of edit  difference     memory"
    );
    for files in sizes {
        measure(files);
    }
}

fn measure(files: usize) {
    let temp = tempfile::tempdir().expect("a place for the tree");
    let at = |name: &str| temp.path().join(name);
    generate(&at("tree"), files);
    std::thread::sleep(Duration::from_millis(50));
    let rounds = if files > 200_000 { 3 } else { 11 };

    let before = scan(&at("tree"), &OPTIONS, &StatIndex::default()).expect("a scan");
    before.index.save(&at("index")).expect("a saved index");
    before.manifest.save(&at("manifest")).expect("a saved manifest");
    let unchanged = median(rounds, || {
        let scanned = scan(&at("tree"), &OPTIONS, &StatIndex::load(&at("index"))).expect("a scan");
        assert_eq!(scanned.hashed_files, 0);
    });
    fs::write(at("tree").join("d0/d0/f0.c"), "edited").expect("an edit");
    let after = scan(&at("tree"), &OPTIONS, &StatIndex::load(&at("index"))).expect("a scan").manifest;

    let load = median(rounds, || drop(Manifest::load(&at("manifest")).expect("a manifest")));
    let loaded = Manifest::load(&at("manifest")).expect("a manifest");
    let changes = median(rounds, || {
        let beside = Manifest::load_beside(&at("manifest"), &after).expect("a manifest");
        assert_eq!(beside.changes(&after).len(), 1);
    });
    let save = median(rounds, || after.save(&at("other")).expect("a saved manifest"));

    let store = LayerStore::open(&at("layers")).expect("a store of layers");
    let capture = |manifest: &Manifest, below: Option<&Manifest>| {
        let draft = store.begin().expect("a layer");
        let begin = Instant::now();
        capture_source(&at("tree"), manifest, below, &draft, Path::new("source"), TIME).expect("a capture");
        let took = begin.elapsed().as_secs_f64() * 1000.0;
        (store.path(draft.commit().expect("a layer")), took)
    };
    let (whole, whole_took) = capture(&after, None);
    let mut edits: Vec<f64> = (0..rounds).map(|_| capture(&after, Some(&loaded)).1).collect();
    edits.sort_by(f64::total_cmp);
    let edit = capture(&after, Some(&loaded)).0;
    let other = capture(&after, Some(&loaded)).0;
    let (then, now) = ([edit, whole.clone()], [other, whole]);
    let compare = median(rounds, || {
        assert!(difference(&then, &now, Path::new("")).expect("readable").is_empty());
    });
    println!(
        "{files:8} {unchanged:10.2} {load:10.2} {changes:10.2} {save:10.2} {whole_took:12.0} {:14.2} {compare:11.2} {:>10}",
        edits[rounds / 2],
        memory(temp.path())
    );
}

fn compare_in_this_process(place: &Path) {
    let scanned =
        scan(&place.join("tree"), &OPTIONS, &StatIndex::load(&place.join("index"))).expect("a scan");
    let before = Manifest::load_beside(&place.join("manifest"), &scanned.manifest).expect("a manifest");
    assert_eq!(before.changes(&scanned.manifest).len(), 1);
    let status = fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel tells");
    println!("{}", peak.trim());
}

/// Peak memory of a process that does nothing else.
fn memory(place: &Path) -> String {
    let exe = std::env::current_exe().expect("a benchmark has a program");
    let output = Command::new(exe).arg("inner").arg(place).output().expect("it runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn median(rounds: usize, mut act: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let begin = Instant::now();
            act();
            begin.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[rounds / 2]
}

/// Twenty files to a directory, fifty directories to a directory above.
fn generate(tree: &Path, files: usize) {
    for at in 0..files {
        let dir = tree.join(format!("d{}/d{}", at / 1000, at / 20 % 50));
        if at % 20 == 0 {
            fs::create_dir_all(&dir).expect("a directory");
        }
        fs::write(dir.join(format!("f{}.c", at % 20)), format!("int f{at};\n")).expect("a file");
    }
}
