//! What observing costs: commands that are observed against the same ones that are not, in one run, by turns.
//!
//! Run with `cargo bench -p rekindle-sandbox --bench observe`, followed by `-- opens`, `storm`, `compile`, `configure`,
//! `make`, `cargo`, `linux`, `vmlinux` or `null` for just that part. The sources of real projects are looked for in `target/corpus`,
//! where `scripts/fetch-corpus.sh --all` leaves them; what is not there is passed over.
//!
//! Two ratios are told: of the clock, as medians, and of processor time, as sums, the observer's included. On a machine
//! that others use only the second one says something; it is the larger one, as command and observer take the caches from
//! each other. The time per event is processor time.
//!
//! # What it came to
//!
//! Two processors, Linux 6.18, six to ten other processes wanting to run at any time, processor time:
//!
//! | | not observed | observed | ratio | events | per event |
//! |---|---|---|---|---|---|
//! | `make -j2` of Redis, -O2 (bar: 1.10) | 45.3 s | 48.8 s | 1.08 | 191,000 | 18 us |
//! | `configure` of GNU hello (bar: 1.25) | 10.3 s | 11.9 s | 1.16 | 56,000 | 29 us |
//! | `make` of Linux, tinyconfig, nothing to do (bar: 1.15) | 2.85 s | 3.32 to 3.41 s | 1.16 to 1.20 | 11,600 | 40 to 48 us |
//! | `make` of git, nothing to do | 328 ms | 358 ms | 1.09 | 1,060 | 28 us |
//! | 20 small compiles, -O2 | 483 ms | 573 ms | 1.19 | 4,520 | 20 us |
//! | 1000 x `/bin/true` from a shell | 560 ms | 713 ms | 1.27 | 4,000 | 38 us |
//! | opening what is mounted read-only | | | | | 10 us |
//! | opening what is in the tree | | | | | 12.5 us |
//! | opening at a descriptor | | | | | 16.5 us |
//!
//! Since look-ups in the tree are kept, and descriptors are asked what they are, with 12 to 20 processes wanting to run; before and
//! after by turns, processor time (`/bin/true` when all descriptors were asked; the first one is again looked up by name):
//!
//! | | ratio before | after | per event before | after |
//! |---|---|---|---|---|
//! | opening what is in the tree | | | 12.8 to 13.2 us | 9.9 to 10.2 us |
//! | opening what is not in the tree | | | 11.7 us | 9.7 us |
//! | opening through `..` | | | 13.3 us | 10.4 us |
//! | opening at a descriptor | | | 17.4 us | 13.6 us |
//! | opening what is mounted read-only | | | 11.1 to 11.5 us | 10 to 11 us |
//! | 1000 x `/bin/true` from a shell | 1.33 to 1.49 | 1.32 to 1.34 | 50 to 73 us | 47 to 51 us |
//! | 20 small compiles, -O0 | 1.24 | 1.21 | 26 us | 24 us |
//! | `make -j2` of Linux, tinyconfig, `lib/` (21.5 s of work, 5,900 processes; one run of each) | 1.19 | 1.17 | 36 us | 34 us |
//!
//! Since who had to queue for the observer is woken where it ran before (`recorder.rs`, `answer`); on a quiet machine, by the
//! clock and in processor time:
//!
//! | | ratio before | after |
//! |---|---|---|
//! | `make -j2` of Linux, tinyconfig, nothing to do | 1.39 to 1.42, 1.16 | 1.24 to 1.33, 1.16 |
//! | the same with `-j1` | 1.07 to 1.14, 1.14 | the same |
//! | `make -j2` of Redis, -O2 | 1.148, 1.10 | 1.144, 1.08 |
//! | `make -j2` of Redis, -O0 | 1.37, 1.16 | 1.35, 1.20 |
//! | 1000 x `/bin/true` from a shell | | 1.48, 1.41 |
//! | 200 x what `configure` does | | 1.33, 1.34 |
//!
//! Since it is looked up how many want to run, instead of whether anybody had to queue (`recorder/turns.rs`); quiet, by the clock and in
//! processor time, before and after in one hour. An observer that only received and answered, so that nothing was left but the switches,
//! made it 1.26 to 1.36 before, and 0.97 to 1.08 after:
//!
//! | | ratio before | after |
//! |---|---|---|
//! | `make -j2` of Linux, tinyconfig, nothing to do | 1.31 to 1.41, 1.17 to 1.20 | 1.14 to 1.19, 1.14 to 1.17 |
//! | the same with `-j1` | 1.10 to 1.19, 1.15 | 1.11, 1.15 to 1.17 |
//! | 1000 x `/bin/true` from a shell | 1.41, 1.37 | 1.36, 1.39 |
//! | 200 x what `configure` does | 1.42, 1.42 | 1.30, 1.33 |
//! | 20 small compiles, -O2 | 1.13, 1.10 | 1.10, 1.10 |
//!
//! On a quiet, faster machine, where opening costs 8.4 us (the parts `configure`, `null` and `storm`, two runs of each, by the
//! clock). The third column is a filter that lets all opens for reading pass unheard, so that they cost nothing and are not recorded:
//! what an observer inside the processes could win at most.
//!
//! | | observed | but for opens |
//! |---|---|---|
//! | `configure` of GNU hello (bar: 1.25) | 1.14, 1.16 | 1.055, 1.09 |
//! | `make -j2` of Linux, tinyconfig, nothing to do (bar: 1.15) | 1.156, 1.189 | 1.123 |
//! | the same with `-j1` | 1.09, 1.14 | 1.08 |
//! | `make` of git, nothing to do | 1.09, 1.10 | 1.03 |
//! | 1000 x `/bin/true` from a shell | 1.33, 1.35 | 1.23, 1.28 |
//! | 200 x what `configure` does | 1.26, 1.32 | 1.21, 1.22 |
//!
//! Such an observer is a library that each process loads, which finds the calls of the C library and writes others in their place. Loading
//! an empty one takes 30 us for each program (1000 x `/bin/true`, not observed: 549 to 578 ms), as much as it could win for
//! programs that open three or four files; static programs, Go's and the loader itself would go on as now. So it was not built: what a
//! short program costs is its start and its end.
//!
//! Another day, quiet, two or three runs of each part (`configure` one), by the clock and in processor time. `configure` is observed by
//! a build with what is looked for without opening it, as it may be passed over the next time; the figures above are without that:
//!
//! | | ratio | events | per event |
//! |---|---|---|---|
//! | `make -j2` of Redis, -O2 (bar: 1.10) | 1.08 to 1.09, 1.06 to 1.09 | 191,000 | 13 to 18 us |
//! | `make -j2` of git, -O2 (bar: 1.10) | 1.12, 1.09 | 537,000 | 17 us |
//! | only its library | 1.12 to 1.14, 1.08 to 1.10 | 267,000 | 18 to 22 us |
//! | `ninja -j2` of yaml-cpp, Release (bar: 1.10) | 1.035 to 1.05, 1.03 to 1.04 | 41,500 | 12 to 20 us |
//! | `cargo build -j2` of hexyl (bar: 1.10) | 0.94, 1.00 | 13,800 | |
//! | `configure` of GNU hello (bar: 1.25) | 1.31, 1.36 | 263,000 | 13 us |
//! | the same, but for lookups | 1.135, 1.16 | 56,000 | 25 us |
//! | `make -j2` of Linux, tinyconfig, nothing to do (bar: 1.15) | 1.17 to 1.20, 1.17 | 11,600 | 36 us |
//!
//! Of each of git's events, 10 us are the observer's own, by a profile. Much of the rest is idle: a processor has nothing to do for 3.5 % of
//! the time, where it is 1.3 % when nothing is observed. The two processors share no cache, so the kernel wakes who called where it
//! was, even if another waits there. An observer was tried that saw two call by turns from one processor, and went to the other one with
//! the one that it answered: it did so 70 times a second, and idle time and ratios stayed as they were.
//!
//! In that part of the kernel's build the observer itself makes few calls but those that it cannot do without: to receive,
//! to read the path, to answer. Of 34 us, 10 are spent by the two switches and these calls; a process that starts and ends
//! costs another 150 to 190 us; the rest, so far as the figures show, is what a compiler takes longer, as it comes back to
//! caches that others have filled meanwhile. That is worst where others want the processors: by the clock each call then
//! may wait for somebody else's turn, twice, so that 1,000 x `/bin/true` took 1.6 to 3.8 times as long.

#![expect(clippy::print_stdout, reason = "printing is all it is for")]

mod comparison;
mod worlds;

use std::fs;
use std::process::Command;

use rekindle_sandbox::{Observe, Sandbox, Spec};

use comparison::{compare, in_copies, run};
use worlds::{Program, Scratch, corpus, shell, view};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What is left out of git.
const GIT: &str = "NO_CURL=1 NO_OPENSSL=1 NO_EXPAT=1 NO_GETTEXT=1 NO_TCLTK=1 NO_PERL=1 NO_PYTHON=1";
/// What commands print goes nowhere.
const QUIET: &str = "> /dev/null 2>&1 < /dev/null";

/// Measures something and prints it.
type Part = fn(&Sandbox) -> Result<()>;

fn main() -> Result<()> {
    // Being its own helper, as the real program is.
    rekindle_sandbox::child_main();
    let sandbox = Sandbox::new()?;
    let parts: [(&str, Part); 9] = [
        ("opens", opens),
        ("storm", storm),
        ("compile", compile),
        ("configure", configure),
        ("make", make),
        ("cargo", cargo),
        ("linux", linux),
        ("vmlinux", vmlinux),
        ("null", null),
    ];
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    println!(
        "{:<34} {:>9} {:>9} {:>7} {:>9} {:>9} {:>7} {:>9} {:>9}  {:>9}",
        "", "ms", "observed", "ratio", "cpu ms", "observed", "ratio", "events", "us/event", "records"
    );
    parts.iter().filter(|(name, _)| is_wanted(name)).try_for_each(|(_, part)| part(&sandbox))
}

/// A program that opens files in a loop: what a single event costs.
fn opens(sandbox: &Sandbox) -> Result<()> {
    let program = Program::new()?;
    for (name, args) in [
        ("open what is read-only", "open /usr/include/stdio.h 200000"),
        ("open what is not there", "open /usr/include/none.h 200000"),
        ("open what is in the tree", "open dir/file 200000"),
        ("open what is not in the tree", "open dir/none 200000"),
        ("open through `..`", "open dir/../dir/file 200000"),
        ("open at a descriptor", "openat dir/file 200000"),
        ("create and remove", "remake dir/new 50000"),
        ("rename", "rename dir/file 50000"),
    ] {
        let tree = Scratch::new(|dir| {
            fs::create_dir(dir.join("dir"))?;
            Ok(fs::write(dir.join("dir/file"), "content")?)
        })?;
        compare(sandbox, name, 3, || Ok(program.spec(args, &tree)))?;
    }
    Ok(())
}

/// Processes that do next to nothing.
fn storm(sandbox: &Sandbox) -> Result<()> {
    let program = Program::new()?;
    let tree = Scratch::new(|_| Ok(()))?;
    compare(sandbox, "2000 forks", 3, || Ok(program.spec("fork x 2000", &tree)))?;
    compare(sandbox, "1000 execs of a static program", 3, || Ok(program.spec("exec x 1000", &tree)))?;
    let script = "i=0; while [ $i -lt 1000 ]; do /bin/true; i=$((i+1)); done";
    compare(sandbox, "1000 x /bin/true from a shell", 7, || Ok(shell(script, &tree)))?;
    let script = "i=0; while [ $i -lt 200 ]; do echo $i | sed s/1/2/ > out; x=`cat out`; i=$((i+1)); done";
    compare(sandbox, "200 x configure-like lines", 3, || Ok(shell(script, &tree)))
}

/// One compiler run, small.
fn compile(sandbox: &Sandbox) -> Result<()> {
    let tree = Scratch::new(|dir| {
        let source =
            "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nint main(void) { puts(\"\"); }\n";
        Ok(fs::write(dir.join("t.c"), source)?)
    })?;
    for level in ["-O0", "-O2"] {
        let script = format!("i=0; while [ $i -lt 20 ]; do gcc {level} -c t.c; i=$((i+1)); done");
        compare(sandbox, &format!("20 x gcc {level} of a small file"), 3, || Ok(shell(&script, &tree)))?;
    }
    Ok(())
}

/// As a build observes it, with what is looked for without opening it, and as a build tool is observed, without.
fn configure(sandbox: &Sandbox) -> Result<()> {
    let Some(source) = corpus("hello") else { return Ok(()) };
    for (name, lookups) in
        [("configure of GNU hello (bar: 1.25)", true), ("the same, but for lookups", false)]
    {
        let script = format!("./configure --quiet {QUIET}");
        let observe = Some(Observe { lookups, ..Observe::new() });
        let spec = |tree: &Scratch| Spec { observe: observe.clone(), ..shell(&script, tree) };
        in_copies(sandbox, name, 3, || Scratch::copy(&source), spec)?;
    }
    Ok(())
}

/// Programs in C, and one in C++: many compilers.
fn make(sandbox: &Sandbox) -> Result<()> {
    for (name, level) in [("make -j2 of Redis, -O2 (bar: 1.10)", "-O2"), ("make -j2 of Redis, -O0", "-O0")] {
        let command = format!("make -j2 MALLOC=libc OPTIMIZATION={level}");
        project(sandbox, name, "redis", "true", &command)?;
    }
    let command = format!("make -j2 {GIT}");
    project(sandbox, "make -j2 of git, -O2 (bar: 1.10)", "git", "true", &command)?;
    let prepare = "cmake -S . -B b -GNinja -DCMAKE_BUILD_TYPE=Release -DYAML_CPP_BUILD_TESTS=OFF";
    project(sandbox, "ninja -j2 of yaml-cpp (bar: 1.10)", "yaml-cpp", prepare, "ninja -C b -j2")
}

/// A program in Rust: few compilers, that run for long.
fn cargo(sandbox: &Sandbox) -> Result<()> {
    let Some(source) = corpus("hexyl") else { return Ok(()) };
    let prepared = Scratch::copy(&source)?;
    let mut vendor = Command::new("cargo");
    let vendor = vendor.args(["vendor", "--offline", "--locked"]).current_dir(prepared.path()).output()?;
    if !vendor.status.success() {
        return Err(String::from_utf8_lossy(&vendor.stderr).into());
    }
    let config = prepared.path().join(".cargo");
    fs::create_dir(&config)?;
    fs::write(config.join("config.toml"), vendor.stdout)?;
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output()?.stdout;
    let sysroot = String::from_utf8(sysroot)?.trim().to_owned();
    let script = format!(
        "export PATH={sysroot}/bin:/usr/bin:/bin CARGO_HOME=/build/.home; cargo build --release --offline -j2 {QUIET}"
    );
    let spec = |tree: &Scratch| {
        let mut spec = shell(&script, tree);
        spec.mounts.push(view(&sysroot));
        spec
    };
    let name = "cargo build -j2 of hexyl (bar: 1.10)";
    in_copies(sandbox, name, 3, || Scratch::copy(prepared.path()), spec)
}

/// Many short compilations that all read the same few hundred headers: a part of a small kernel.
fn linux(sandbox: &Sandbox) -> Result<()> {
    kernel(sandbox, "make -j2 of Linux, tinyconfig, lib/", "make prepare", "lib/", 3)
}

/// All of a small kernel, from nothing.
fn vmlinux(sandbox: &Sandbox) -> Result<()> {
    kernel(sandbox, "make -j2 of Linux, tinyconfig", "true", "vmlinux", 1)
}

fn kernel(sandbox: &Sandbox, name: &str, prepare: &str, goal: &str, rounds: usize) -> Result<()> {
    let Some(source) = corpus("linux") else { return Ok(()) };
    let prepared = Scratch::copy(&source)?;
    run(sandbox, &shell(&format!("make tinyconfig {QUIET} && {prepare} {QUIET}"), &prepared))?;
    let command = format!("make -j2 KBUILD_BUILD_TIMESTAMP=x {goal} {QUIET}");
    in_copies(sandbox, name, rounds, || Scratch::link(prepared.path()), |tree| shell(&command, tree))
}

/// A command in copies of a tree that another one has prepared.
fn project(sandbox: &Sandbox, name: &str, source: &str, prepare: &str, command: &str) -> Result<()> {
    let Some(source) = corpus(source) else { return Ok(()) };
    let prepared = Scratch::copy(&source)?;
    run(sandbox, &shell(&format!("{prepare} {QUIET}"), &prepared))?;
    let command = format!("{command} {QUIET}");
    in_copies(sandbox, name, 3, || Scratch::copy(prepared.path()), |tree| shell(&command, tree))
}

/// `make` with nothing to do, in trees that were built before.
fn null(sandbox: &Sandbox) -> Result<()> {
    for (project, prepare, command) in [
        ("redis", "true", "make -j2 MALLOC=libc OPTIMIZATION=-O0"),
        ("git", "true", &format!("make -j2 CFLAGS=-O0 {GIT}")),
        ("linux", "make tinyconfig", "make -j2 KBUILD_BUILD_TIMESTAMP=x"),
    ] {
        let Some(source) = corpus(project) else { continue };
        let tree = Scratch::copy(&source)?;
        run(sandbox, &shell(&format!("{prepare} {QUIET} && {command} {QUIET}"), &tree))?;
        let spec = shell(&format!("{command} {QUIET}"), &tree);
        // The first one may still find something to do.
        run(sandbox, &spec)?;
        compare(sandbox, &format!("null make of {project} (bar: 1.15)"), 5, || Ok(spec.clone()))?;
        if project == "linux" {
            // Where nothing runs beside it, nothing has to wait for its turn to be observed.
            let spec = shell(&format!("{} {QUIET}", command.replace("-j2", "-j1")), &tree);
            compare(sandbox, "the same one by one, -j1", 5, || Ok(spec.clone()))?;
        }
    }
    Ok(())
}
