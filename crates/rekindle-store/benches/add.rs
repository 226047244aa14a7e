//! Adding a tree of 20,000 files and 100 MB: this crate against `nix-store --add`, in one run, each in a process of its
//! own with a new store. Prints medians, their ratio, and the peak memory of both. A second table has what it costs
//! to add the same tree again, and to open a store for three queries.
#![expect(clippy::print_stdout, reason = "a benchmark reports to the terminal")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rekindle_nix::StorePathName;
use rekindle_store::{Mode, Store, Tree};

const FILES: usize = 20_000;
const BYTES: usize = 100_000_000;
const ROUNDS: usize = 7;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("add") => add(Path::new(&args[2]), Path::new(&args[3])),
        Some("open") => open(Path::new(&args[2])),
        _ => compare(),
    }
}

fn add(root: &Path, tree: &Path) {
    let store = Store::open(root, Mode::ReadWrite).unwrap();
    let name = StorePathName::new("tree").unwrap();
    store.add_tree(&name, &Tree::scan(tree).unwrap()).unwrap();
}

fn open(root: &Path) {
    let store = Store::open(root, Mode::ReadWrite).unwrap();
    let path = store.all_valid().unwrap().pop_first().unwrap();
    store.path_info(&path).unwrap();
    store.closure([&path]).unwrap();
}

/// How long a process took, and the most memory that it had.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cost {
    time: Duration,
    peak_kib: u64,
}

fn compare() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    write_tree(&tree);
    let fresh = |number: usize, whose: &str| dir.path().join(format!("{whose}-{number}"));
    let mut new = (Vec::new(), Vec::new());
    let mut again = (Vec::new(), Vec::new());
    let mut opened = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (ours, theirs) = (fresh(round, "ours"), fresh(round, "theirs"));
        new.0.push(run(rekindle("add", &ours).arg(&tree)));
        new.1.push(run(nix(&theirs, dir.path()).arg("--add").arg(&tree)));
        again.0.push(run(rekindle("add", &ours).arg(&tree)));
        again.1.push(run(nix(&theirs, dir.path()).arg("--add").arg(&tree)));
        let path = std::fs::read_dir(ours.join("nix/store")).unwrap().next().unwrap().unwrap().file_name();
        let path = Path::new("/nix/store").join(path);
        opened.0.push(run(&mut rekindle("open", &ours)));
        opened.1.push(run(nix(&theirs, dir.path()).args(["--query", "--requisites"]).arg(path)));
        for root in [ours, theirs] {
            remove(&root);
        }
    }
    println!("{FILES} files, {} MB, median of {ROUNDS}", BYTES / 1_000_000);
    report("add", new);
    report("add again", again);
    report("open and query", opened);
}

fn report(what: &str, (ours, theirs): (Vec<Cost>, Vec<Cost>)) {
    let median = |mut costs: Vec<Cost>| {
        costs.sort();
        let peak_kib = costs.iter().map(|cost| cost.peak_kib).max().unwrap_or(0);
        Cost { peak_kib, ..costs[costs.len() / 2] }
    };
    let (ours, theirs) = (median(ours), median(theirs));
    let millis = |cost: Cost| cost.time.as_secs_f64() * 1e3;
    let mib = |cost: Cost| cost.peak_kib as f64 / 1024.0;
    println!(
        "{what:15} rekindle {:7.1} ms {:6.1} MiB   nix-store {:7.1} ms {:6.1} MiB   ratio {:.2}",
        millis(ours),
        mib(ours),
        millis(theirs),
        mib(theirs),
        millis(ours) / millis(theirs)
    );
}

fn rekindle(what: &str, root: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(what).arg(root);
    command
}

fn nix(root: &Path, home: &Path) -> Command {
    let mut command = Command::new("nix-store");
    command
        .args(["--store", &format!("local?root={}", root.display())])
        .env("HOME", home)
        .env("NIX_CONFIG", "substituters =\nbuild-users-group =\n")
        .env("NIX_USER_CONF_FILES", "/dev/null");
    command
}

/// Runs a process, and looks at its memory until it ends.
fn run(command: &mut Command) -> Cost {
    let start = Instant::now();
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; nix-store is in Debian's nix-bin"));
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    loop {
        if let Ok(status) = std::fs::read_to_string(&status)
            && let Some(line) = status.lines().find(|line| line.starts_with("VmHWM:"))
        {
            peak_kib =
                line.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(peak_kib);
        }
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{command:?}: {status}");
            return Cost { time: start.elapsed(), peak_kib };
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// Files of all sizes in directories of about thirty, as in a source tree.
fn write_tree(root: &Path) {
    let mut state = 1_u64;
    for number in 0..FILES {
        let file: PathBuf = root.join(format!("{:02}/{:02}/file-{number}.c", number / 900, number / 30 % 30));
        if number % 30 == 0 {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        }
        let size = BYTES / FILES * (1 + number % 9) / 5;
        let content: Vec<u8> = (0..size)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 57) as u8
            })
            .collect();
        std::fs::write(file, content).unwrap();
    }
}

fn remove(root: &Path) {
    let status =
        Command::new("sh").arg("-c").arg("chmod -R u+w \"$1\" && rm -r \"$1\"").arg("sh").arg(root).status();
    assert!(status.unwrap().success());
}
