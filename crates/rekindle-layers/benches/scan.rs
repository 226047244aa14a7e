//! What it costs to see that nothing changed in a source tree: a scan with a warm index, side by side with
//! `git status` and with a bare walk by `find`, on generated trees. Also a scan after one edit, and a cold one.
//!
//! `cargo bench -p rekindle-layers [-- FILES…]`. Prints medians in milliseconds, ratios, and peak memory.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rekindle_layers::{ScanOptions, StatIndex, scan};

const ROUNDS: usize = 15;
const OPTIONS: ScanOptions = ScanOptions { gitignore: true, exclude: Vec::new() };

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [inner, tree, index] = &*arguments
        && inner == "inner"
    {
        return unchanged_in_this_process(Path::new(tree), Path::new(index));
    }
    let sizes: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![1_000, 10_000, 80_000] } else { sizes };
    println!(
        "   files   rekindle  git status       find   of git  of find   one edit       cold   save   memory"
    );
    for files in sizes {
        compare(files);
    }
}

fn compare(files: usize) {
    let temp = tempfile::tempdir().expect("a place for the tree");
    let (tree, index) = (temp.path().join("tree"), temp.path().join("index"));
    generate(&tree, files);
    // So that no file is too young for its times to be relied on.
    std::thread::sleep(Duration::from_millis(50));

    let cold = median(3, || drop(scan(&tree, &OPTIONS, &StatIndex::default()).expect("a scan")));
    let first = scan(&tree, &OPTIONS, &StatIndex::default()).expect("a scan");
    let save = median(3, || first.index.save(&index).expect("a saved index"));
    let ours = median(ROUNDS, || unchanged(&tree, &index));
    let git = median(ROUNDS, || run(&tree, "git", &["status", "--porcelain"]));
    let find = median(ROUNDS, || {
        run(&tree, "find", &[".", "-name", ".git", "-prune", "-o", "-printf", "%s %T@ %p\n"]);
    });
    let edited = median(ROUNDS, || {
        fs::write(tree.join("d0/d0/f0.c"), format!("{:?}", Instant::now())).expect("an edit");
        let scanned = scan(&tree, &OPTIONS, &StatIndex::load(&index)).expect("a scan");
        assert_eq!(scanned.hashed_files, 1);
    });
    fs::write(tree.join("d0/d0/f0.c"), content(0)).expect("the edit undone");
    std::thread::sleep(Duration::from_millis(50));
    scan(&tree, &OPTIONS, &StatIndex::default()).expect("a scan").index.save(&index).expect("a saved index");
    println!(
        "{files:8} {ours:10.2} {git:11.2} {find:10.2} {:8.2} {:8.2} {edited:10.2} {cold:10.2} {save:6.2} {:>8}",
        ours / git,
        ours / find,
        memory(&tree, &index)
    );
}

/// All that a build does that finds nothing to do: load the index, scan.
fn unchanged(tree: &Path, index: &Path) {
    let scanned = scan(tree, &OPTIONS, &StatIndex::load(index)).expect("a scan");
    assert!(!scanned.index_changed && scanned.hashed_files == 0);
}

fn unchanged_in_this_process(tree: &Path, index: &Path) {
    unchanged(tree, index);
    let status = fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel tells");
    println!("{}", peak.trim());
}

/// Peak memory of a process that does nothing else.
fn memory(tree: &Path, index: &Path) -> String {
    let exe = std::env::current_exe().expect("a benchmark has a program");
    let output = Command::new(exe).arg("inner").args([tree, index]).output().expect("it runs");
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

fn run(tree: &Path, program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(tree).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().expect("git and find are installed").success(), "{program} {arguments:?}");
}

fn content(at: usize) -> String {
    format!("int f{at}(void) {{ return {at}; }}\n").repeat(1 + at % 100)
}

/// Twenty files to a directory, fifty directories to a directory above; all tracked by git but some objects.
fn generate(tree: &Path, files: usize) {
    for at in 0..files {
        let dir = tree.join(format!("d{}/d{}", at / 1000, at / 20 % 50));
        if at % 20 == 0 {
            fs::create_dir_all(&dir).expect("a directory");
            fs::write(dir.join("left.o"), "ignored").expect("a file");
        }
        fs::write(dir.join(format!("f{}.c", at % 20)), content(at)).expect("a file");
    }
    fs::write(tree.join(".gitignore"), "*.o\n*.a\n/out/\n!/d0/keep.o\ntags\n.cache/\n").expect("a file");
    run(tree, "git", &["init", "-q"]);
    run(tree, "git", &["add", "."]);
    for (key, value) in
        [("user.name", "bench"), ("user.email", "bench@localhost"), ("maintenance.auto", "false")]
    {
        run(tree, "git", &["config", key, value]);
    }
    run(tree, "git", &["commit", "-qm", "all"]);
}
