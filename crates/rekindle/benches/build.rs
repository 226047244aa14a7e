//! What a build with Rekindle costs beside the same work done by hand, and what doing nothing costs.
//!
//! Both sides run in turn in one process, A B A B …, because machines drift; what counts is the ratio of the medians.
//! The memory is Rekindle's own: the largest resident set of its process, the builders' not counted.
//!
//! ```text
//! cargo bench -p rekindle --bench build                 # needs the sources: scripts/fetch-corpus.sh
//! REKINDLE_BENCH_RUNS=5 cargo bench -p rekindle --bench build
//! ```
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark is configured by its environment")]

mod peak;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use peak::Peak;

fn main() {
    let corpus = std::env::var_os("REKINDLE_CORPUS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/corpus"), PathBuf::from);
    let runs = std::env::var("REKINDLE_BENCH_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(3);
    let redis = corpus.join("redis");
    if redis.is_dir() {
        clean_redis(&redis, runs);
    } else {
        println!("clean build of redis: no sources at {}; run scripts/fetch-corpus.sh", redis.display());
    }
    nothing_to_do(runs.max(15));
}

/// A clean build and installation, by make alone and by Rekindle.
fn clean_redis(source: &Path, runs: usize) {
    let (mut native, mut ours, mut peak) = (Vec::new(), Vec::new(), 0);
    for _ in 0..runs {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let script = format!(
            "cp -r {} src && cd src && make -j{jobs} PREFIX=$PWD/../out >log 2>&1 \
             && make PREFIX=$PWD/../out install >>log 2>&1 && strip -S ../out/bin/redis-server",
            source.display(),
            jobs = cores(),
        );
        let (wall, _) = timed(Command::new("bash").args(["-ec", &script]).current_dir(dir.path()));
        native.push(wall);

        let dir = tempfile::tempdir().expect("a temporary directory");
        let (wall, rss) =
            timed(rekindle(dir.path()).args(["build", "--no-link", "--cores", "0"]).arg(source));
        ours.push(wall);
        peak = peak.max(rss);
    }
    report("clean build of redis", "make", native, "rekindle", ours, peak);
}

/// Nothing changed: the source is looked at, and the output is there.
fn nothing_to_do(runs: usize) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for files in [10, 1_000] {
        let source = dir.path().join(format!("project-{files}"));
        generate(&source, files);
        let store = dir.path().join("store");
        let build = || {
            let mut command = rekindle(&store);
            command.args(["build", "--no-link"]).arg(&source);
            command
        };
        timed(&mut build());
        let (mut native, mut ours, mut peak) = (Vec::new(), Vec::new(), 0);
        let make = dir.path().join(format!("native-{files}"));
        generate(&make, files);
        timed(Command::new("make").current_dir(&make));
        for _ in 0..runs {
            native.push(timed(Command::new("make").current_dir(&make)).0);
            let (wall, rss) = timed(&mut build());
            ours.push(wall);
            peak = peak.max(rss);
        }
        report(&format!("nothing to do, {files} files"), "make", native, "rekindle", ours, peak);
    }
}

/// A project of C files, small enough to compile in a moment, and a Makefile.
fn generate(dir: &Path, files: usize) {
    fs::create_dir_all(dir.join("data")).expect("a directory");
    fs::write(dir.join("main.c"), "int main(void) { return 0; }\n").expect("written");
    let makefile = "prog: main.c\n\tcc -o prog main.c\ninstall: prog\n\tinstall -D prog $(PREFIX)/bin/prog\n";
    fs::write(dir.join("Makefile"), makefile).expect("written");
    for number in 2..files {
        fs::write(dir.join(format!("data/{number}.txt")), format!("{number}\n")).expect("written");
    }
}

fn rekindle(store: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
    command.arg("--store").arg(store).env("HOME", store);
    command
}

/// Runs to the end, which must be a good one. Returns the time and the peak of the process's own memory, in bytes.
fn timed(command: &mut Command) -> (Duration, u64) {
    let started = Instant::now();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("a program that starts");
    let peak = Peak::of(child.id());
    let status = child.wait().expect("a child to wait for");
    let wall = started.elapsed();
    assert!(status.success(), "{command:?} ended with {status}");
    (wall, peak.bytes())
}

fn report(what: &str, a: &str, mut native: Vec<Duration>, b: &str, mut ours: Vec<Duration>, peak: u64) {
    native.sort();
    ours.sort();
    let (native, ours) = (native[native.len() / 2], ours[ours.len() / 2]);
    println!(
        "{what}: {a} {:.3} s, {b} {:.3} s, ratio {:.3}, {b}'s own memory {:.1} MB",
        native.as_secs_f64(),
        ours.as_secs_f64(),
        ours.as_secs_f64() / native.as_secs_f64(),
        peak as f64 / 1e6,
    );
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
