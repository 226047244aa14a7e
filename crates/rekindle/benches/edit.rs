//! What an edit costs: real projects, one file edited, natively in a warm tree and with Rekindle.
//!
//! Both sides do the same work, in turn, in one process: the native one keeps its build tree and runs the build tool
//! again, then installs; Rekindle is given the edited sources. What counts is the ratio of the medians, and how much
//! Rekindle takes beyond its builders: its wall time without that of the phases. Of that, "restore" is what comes
//! between the look at the sources and the first phase, and "capture" what comes after the last.
//!
//! ```text
//! cargo bench -p rekindle --bench edit                  # needs the sources: scripts/fetch-corpus.sh --all
//! cargo bench -p rekindle --bench edit -- redis linux   # only these
//! cargo bench -p rekindle --bench edit -- files-1000000 # a generated tree; so large only when it is named
//! REKINDLE_BENCH_RUNS=9 cargo bench -p rekindle --bench edit
//! ```
//! "added" is what the store's layers and checkpoints take more after an edit; "written" is what the build tool
//! itself wrote natively: the bytes of the files in its tree whose content it touched.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark is configured by its environment")]

mod peak;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use peak::Peak;

/// A project, and how it is built by hand just as its manifest says. `$OUT` is where it is installed.
struct Project {
    name: &'static str,
    /// The `rekindle.toml` that it gets, if it needs one.
    manifest: &'static str,
    configure: &'static str,
    build: &'static str,
    install: &'static str,
    /// The file that is edited, and what is appended to it with `@` for a number.
    edited: &'static str,
    line: &'static str,
}

const C_LINE: &str = "int rekindle_bench_@;\n";

const PROJECTS: &[Project] = &[
    Project {
        name: "redis",
        manifest: "",
        configure: "",
        build: "make -j$JOBS PREFIX=$OUT",
        install: "make PREFIX=$OUT install; strip -S $OUT/bin/redis-server $OUT/bin/redis-cli $OUT/bin/redis-benchmark",
        edited: "src/t_string.c",
        line: C_LINE,
    },
    Project {
        name: "git",
        manifest: "[package]\nname = \"git\"\nversion = \"1\"\nbuild-system = \"make\"\n[package.flags]\n\
                   make = [\"prefix=$(out)\", \"NO_TCLTK=1\", \"NO_GETTEXT=1\", \"NO_PERL=1\", \"NO_PYTHON=1\", \"NO_CURL=1\", \"NO_EXPAT=1\", \"NO_OPENSSL=1\"]\n",
        configure: "",
        build: "make -j$JOBS prefix=$OUT $GIT",
        install: "make prefix=$OUT $GIT install; find $OUT -type f -perm -100 -exec strip -S {} + 2>/dev/null || true",
        edited: "builtin/commit.c",
        line: C_LINE,
    },
    Project {
        name: "yaml-cpp",
        manifest: "",
        configure: "cmake -S . -B build -GNinja -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=$OUT -DBUILD_TESTING=OFF",
        build: "ninja -C build -j$JOBS",
        install: "ninja -C build install",
        edited: "src/parser.cpp",
        line: C_LINE,
    },
    Project {
        name: "linux",
        manifest: "[package]\nname = \"linux\"\nversion = \"1\"\nbuild-system = \"custom\"\n[phases]\n\
                   configure = \"make tinyconfig\"\nbuild = \"make -j$NIX_BUILD_CORES KBUILD_BUILD_VERSION=1 KBUILD_BUILD_TIMESTAMP=@1 vmlinux\"\n\
                   install = \"mkdir -p $out; cp vmlinux System.map $out/\"\nfixup = \"true\"\n",
        configure: "make tinyconfig",
        build: "make -j$JOBS KBUILD_BUILD_VERSION=1 KBUILD_BUILD_TIMESTAMP=@1 vmlinux",
        install: "mkdir -p $OUT; cp vmlinux System.map $OUT/",
        edited: "init/version.c",
        line: C_LINE,
    },
    Project {
        name: "hexyl",
        manifest: "",
        configure: "",
        build: "CARGO_INCREMENTAL=0 cargo build --release --offline --quiet -j $JOBS",
        install: "mkdir -p $OUT/bin; cp target/release/hexyl $OUT/bin/",
        edited: "src/main.rs",
        line: "#[allow(dead_code)] fn rekindle_bench_@() {}\n",
    },
];

const FILES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
const GIT: &str = "NO_TCLTK=1 NO_GETTEXT=1 NO_PERL=1 NO_PYTHON=1 NO_CURL=1 NO_EXPAT=1 NO_OPENSSL=1";

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let corpus = std::env::var_os("REKINDLE_CORPUS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/corpus"), PathBuf::from);
    let runs = std::env::var("REKINDLE_BENCH_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(5);
    println!("{}", Figures::HEAD);
    for project in PROJECTS.iter().filter(|project| is_wanted(project.name)) {
        let source = corpus.join(project.name);
        if source.is_dir() {
            let place = tempfile::tempdir().expect("a temporary directory");
            let trees = ["native", "ours"].map(|name| copy(&source, &place.path().join(name)));
            println!("{}", measure(project.name, project, &trees, place.path(), runs));
        } else {
            println!(
                "| {} | no sources at {}: scripts/fetch-corpus.sh --all |",
                project.name,
                source.display()
            );
        }
    }
    for files in FILES {
        let name = format!("files-{files}");
        // The largest takes long to write and to remove.
        if !(is_wanted(&name) && (files < 1_000_000 || !wanted.is_empty())) {
            continue;
        }
        let project = Project {
            name: "files",
            manifest: "",
            configure: "",
            build: "make -j$JOBS",
            install: "make PREFIX=$OUT install",
            edited: "main.c",
            line: C_LINE,
        };
        let place = tempfile::tempdir().expect("a temporary directory");
        let trees = ["native", "ours"].map(|name| generate(&place.path().join(name), files));
        println!("{}", measure(&name, &project, &trees, place.path(), runs));
    }
}

/// What was measured of one project.
#[derive(Default)]
struct Figures {
    name: String,
    clean: [Duration; 2],
    edit_make: Duration,
    edit: [Duration; 2],
    own: Duration,
    restore: Duration,
    capture: Duration,
    null: [Duration; 2],
    added: u64,
    written: u64,
    peak: u64,
}

impl Figures {
    const HEAD: &str = "| project | clean: native, ours | one edit: native build, with install, ours | \
                        ours without its phases (restore, capture) | nothing: native, ours | added / written by an edit | own memory |\n|---|---|---|---|---|---|---|";
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = |time: Duration| format!("{:.3}", time.as_secs_f64());
        let ratio =
            |[native, ours]: [Duration; 2]| format!("{:.2}", ours.as_secs_f64() / native.as_secs_f64());
        let [clean, edit, null] = [self.clean, self.edit, self.null];
        write!(
            f,
            "| {} | {} s, {} s ({}x) | {} s, {} s, {} s ({}x) | {} s ({} s, {} s) | {} s, {} s | {:.2} / {:.2} MB | {:.0} MB |",
            self.name,
            seconds(clean[0]),
            seconds(clean[1]),
            ratio(clean),
            seconds(self.edit_make),
            seconds(edit[0]),
            seconds(edit[1]),
            ratio(edit),
            seconds(self.own),
            seconds(self.restore),
            seconds(self.capture),
            seconds(null[0]),
            seconds(null[1]),
            self.added as f64 / 1e6,
            self.written as f64 / 1e6,
            self.peak as f64 / 1e6,
        )
    }
}

fn measure(
    name: &str,
    project: &Project,
    [native, ours]: &[PathBuf; 2],
    place: &Path,
    runs: usize,
) -> Figures {
    if !project.manifest.is_empty() {
        fs::write(ours.join("rekindle.toml"), project.manifest).expect("written");
    }
    let (out, store) = (place.join("out"), place.join("store"));
    let shell = |script: &str| by_hand(native, &out, script);
    let build = || rekindle(&store, ours);
    let mut figures = Figures { name: name.to_owned(), ..Figures::default() };
    let first = [project.configure, project.build, project.install].map(shell);
    figures.clean[0] = first.iter().sum();
    let clean = build();
    (figures.clean[1], figures.peak) = (clean.wall, clean.peak);
    // What a build tool does only once after a clean build is no part of an edit.
    shell(project.build);
    let (mut makes, mut installs, mut edits) = (Vec::new(), Vec::new(), Vec::new());
    let (mut owns, mut nulls, mut natives) = (Vec::new(), Vec::new(), Vec::new());
    let (mut restores, mut captures) = (Vec::new(), Vec::new());
    let (mut added, mut written) = (Vec::new(), Vec::new());
    for run in 0..=runs {
        edit(native, project, run);
        edit(ours, project, run);
        let began = SystemTime::now();
        let made = shell(project.build);
        let wrote = written_since(native, began);
        let installed = shell(project.install);
        let before = kept(&store);
        let edited = build();
        let more = kept(&store).saturating_sub(before);
        let nothing = build();
        let native_nothing = shell(project.build);
        if run == 0 {
            // The first goes on from a clean build, with all that a build tool does then.
            continue;
        }
        makes.push(made);
        installs.push(made + installed);
        edits.push(edited.wall);
        owns.push(edited.wall.saturating_sub(edited.phases));
        restores.push(edited.restore);
        captures.push(edited.capture);
        nulls.push(nothing.wall);
        natives.push(native_nothing);
        added.push(more);
        written.push(wrote);
        figures.peak = figures.peak.max(edited.peak);
    }
    figures.edit_make = median(makes);
    figures.edit = [median(installs), median(edits)];
    figures.own = median(owns);
    (figures.restore, figures.capture) = (median(restores), median(captures));
    figures.null = [median(natives), median(nulls)];
    (figures.added, figures.written) = (median(added), median(written));
    figures
}

/// One build by Rekindle.
struct Built {
    wall: Duration,
    /// Of all its phases.
    phases: Duration,
    /// From the begin of the derivation to its first phase.
    restore: Duration,
    /// From the end of its last phase to the end of the derivation.
    capture: Duration,
    /// The largest resident set of the program itself, in bytes.
    peak: u64,
}

fn rekindle(store: &Path, source: &Path) -> Built {
    let started = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_rekindle"))
        .arg("--store")
        .arg(store)
        .args(["build", "--no-link", "--quiet", "--json", "--cores", "0"])
        .arg(source)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a program that starts");
    let peak = Peak::of(child.id());
    let mut text = String::new();
    let stdout = child.stdout.as_mut().expect("a pipe");
    std::io::Read::read_to_string(stdout, &mut text).expect("a report");
    let status = child.wait().expect("a child to wait for");
    let wall = started.elapsed();
    assert!(status.success(), "the build of {} ended with {status}", source.display());
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let steps = report["builds"].as_array().into_iter().flatten().flat_map(|build| build["steps"].as_array());
    let phases = steps.flatten().filter_map(|step| step["wallSeconds"].as_f64()).sum();
    let build = &report["builds"][0];
    let told = |key: &str| Duration::from_secs_f64(build[key].as_f64().unwrap_or_default());
    let (restore, capture) = (told("restoreSeconds"), told("captureSeconds"));
    Built { wall, phases: Duration::from_secs_f64(phases), restore, capture, peak: peak.bytes() }
}

/// Runs a script in a native tree.
fn by_hand(tree: &Path, out: &Path, script: &str) -> Duration {
    if script.is_empty() {
        return Duration::ZERO;
    }
    let log = fs::File::options().create(true).append(true).open(out.with_extension("log")).expect("a log");
    let started = Instant::now();
    let status = Command::new("bash")
        .args(["-ec", script])
        .current_dir(tree)
        .env("OUT", out)
        .env("JOBS", std::thread::available_parallelism().map_or(1, usize::from).to_string())
        .env("GIT", GIT)
        // Where this program is built, perhaps.
        .env_remove("CARGO_TARGET_DIR")
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a copy"))
        .stderr(log)
        .status()
        .expect("bash");
    assert!(status.success(), "{script} ended with {status}; see {}", out.with_extension("log").display());
    started.elapsed()
}

fn edit(tree: &Path, project: &Project, run: usize) {
    let path = tree.join(project.edited);
    let mut file = fs::File::options().append(true).open(&path).expect("the file that is edited");
    file.write_all(project.line.replace('@', &run.to_string()).as_bytes()).expect("written");
}

/// The bytes of the files below a directory that were written since.
fn written_since(dir: &Path, since: SystemTime) -> u64 {
    let since = since.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let since = (since.as_secs() as i64, i64::from(since.subsec_nanos()));
    let mut total = 0;
    each_file(dir, &mut |metadata| {
        if (metadata.mtime(), metadata.mtime_nsec()) >= since {
            total += metadata.size();
        }
    });
    total
}

/// What layers and checkpoints take on the disk.
fn kept(store: &Path) -> u64 {
    let mut total = 0;
    for part in ["layers/layers", "checkpoints"] {
        each_file(&store.join("rekindle-1").join(part), &mut |metadata| total += metadata.size());
    }
    total
}

/// Visits all regular files, each once however many names it has.
fn each_file(dir: &Path, visit: &mut impl FnMut(&fs::Metadata)) {
    let (mut pending, mut seen) = (vec![dir.to_owned()], HashSet::new());
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.path().symlink_metadata() else { continue };
            if metadata.is_dir() {
                pending.push(entry.path());
            } else if metadata.is_file()
                && (metadata.nlink() == 1 || seen.insert((metadata.dev(), metadata.ino())))
            {
                visit(&metadata);
            }
        }
    }
}

fn median<T: Ord + Copy>(mut values: Vec<T>) -> T {
    values.sort();
    values[values.len() / 2]
}

fn copy(source: &Path, to: &Path) -> PathBuf {
    let status = Command::new("cp").arg("-a").args([source, to]).status().expect("cp");
    assert!(status.success(), "the sources of {} cannot be copied", source.display());
    to.to_owned()
}

/// A tree of so many files, of which one is compiled.
fn generate(dir: &Path, files: usize) -> PathBuf {
    fs::create_dir_all(dir).expect("a directory");
    fs::write(dir.join("main.c"), "int main(void) { return 0; }\n").expect("written");
    let makefile = "prog: main.c\n\tcc -o prog main.c\ninstall: prog\n\tinstall -D prog $(PREFIX)/bin/prog\n";
    fs::write(dir.join("Makefile"), makefile).expect("written");
    let mut text = String::new();
    for number in 2..files {
        let part = dir.join(format!("data/{}/{}", number / 10_000, number / 100 % 100));
        if number % 100 == 0 || number == 2 {
            fs::create_dir_all(&part).expect("a directory");
        }
        text.clear();
        let _ = writeln!(text, "{number}");
        fs::write(part.join(format!("{number}.txt")), &text).expect("written");
    }
    dir.to_owned()
}
