//! What a sandbox costs: `/bin/true` in one, against `/bin/true` without, in one run; and what observing adds to that.
//!
//! Run with `cargo bench -p rekindle-sandbox --bench start`, followed by `-- start`, `set-up`, `reading` or `storms` for
//! just that part. Times are medians of wall time. The ratio says little for `true`, which
//! does nothing; the difference is what every command pays. For commands that read many files it is the ratio that counts.

#![expect(clippy::print_stdout, reason = "printing is all it is for")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rekindle_sandbox::{
    Cancel, Mount, Network, Observed, Overlay, Sandbox, Spec, Tree, TreeBind, TreeRoot, Watch,
};
use tempfile::TempDir;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Measures something and prints it.
type Part = fn(&Sandbox) -> Result<()>;

const ROUNDS: usize = 300;

fn main() -> Result<()> {
    // Being its own helper, as the real program is.
    rekindle_sandbox::child_main();
    let sandbox = Sandbox::new()?;
    let parts: [(&str, Part); 4] = [
        ("start", start),
        ("set-up", watch_set_up),
        ("reading", watched_reading),
        ("storms", watched_storms),
    ];
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    parts.iter().filter(|(name, _)| is_wanted(name)).try_for_each(|(_, part)| part(&sandbox))
}

fn base() -> Spec {
    Spec { mounts: ["/usr", "/bin", "/lib", "/lib64"].map(view).into(), ..Spec::new("/bin/true") }
}

fn view(path: &str) -> Mount {
    Mount { source: path.into(), target: path.into(), read_only: true, optional: true }
}

/// What every command pays.
fn start(sandbox: &Sandbox) -> Result<()> {
    let cancel = Cancel::new()?;
    let spec = base();
    let scratch = tempfile::tempdir()?;
    let layered = |count: usize| -> std::io::Result<Spec> {
        let dirs = (0..count + 2).map(|index| scratch.path().join(format!("{count}/{index}")));
        let mut dirs: Vec<PathBuf> = dirs.collect();
        dirs.iter().try_for_each(fs::create_dir_all)?;
        let (work, upper) = (dirs.remove(0), dirs.remove(0));
        let root = TreeRoot::Overlay(Overlay { lowers: dirs, upper, work });
        let binds = vec![TreeBind { dir: PathBuf::new(), target: "/build".into() }];
        Ok(Spec { tree: Some(Tree { root, binds }), ..spec.clone() })
    };
    let many =
        (0..100).map(|index| Mount { target: format!("/nix/store/{index}").into(), ..view("/usr/bin") });
    let cases = [
        ("sandbox, host network", Spec { network: Network::Host, ..spec.clone() }),
        ("sandbox", spec.clone()),
        ("sandbox, overlay of 1", layered(1)?),
        ("sandbox, overlay of 60", layered(60)?),
        ("sandbox, overlay of 300", layered(300)?),
        (
            "sandbox, 100 mounts more",
            Spec { mounts: spec.mounts.iter().cloned().chain(many).collect(), ..spec.clone() },
        ),
    ];

    let mut plain = Vec::new();
    let mut times = vec![Vec::new(); cases.len()];
    // Taken in turns, so that a slow moment of the machine hits all alike.
    for _ in 0..ROUNDS {
        let start = Instant::now();
        assert!(Command::new("/bin/true").status()?.success());
        plain.push(start.elapsed());
        for ((_, spec), times) in cases.iter().zip(&mut times) {
            let start = Instant::now();
            assert!(sandbox.run(spec, &mut |_| {}, &cancel)?.status.success());
            times.push(start.elapsed());
        }
    }

    let base = median(&mut plain);
    println!("{:<28} {:>8} {:>8} {:>8}", "/bin/true", "ms", "ratio", "+ ms");
    let line = |name: &str, time: Duration| {
        let (ms, base) = (time.as_secs_f64() * 1e3, base.as_secs_f64() * 1e3);
        println!("{name:<28} {ms:>8.2} {:>8.1} {:>8.2}", ms / base, ms - base);
    };
    line("plain", base);
    for ((name, _), times) in cases.iter().zip(&mut times) {
        line(name, median(times));
    }
    let usage = sandbox.run(&spec, &mut |_| {}, &cancel)?.usage;
    let ours = fs::read_to_string("/proc/self/status")?;
    let peak = ours.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("?").trim();
    println!("peak memory: caller {peak}, largest process of a sandbox {} kB", usage.peak_rss_bytes / 1024);
    Ok(())
}

/// What marks on directories cost before the command starts, and when they go.
fn watch_set_up(sandbox: &Sandbox) -> Result<()> {
    println!("\n{:<28} {:>8} {:>8} {:>8}", "/bin/true, tree of", "ms", "watched", "+ ms");
    for dirs in [1, 100, 1_000, 5_000] {
        let project = Project::new(dirs, 15)?;
        let (mut plain, mut watched) = (Vec::new(), Vec::new());
        for _ in 0..20 {
            plain.push(project.run(sandbox, "true", false)?.0);
            watched.push(project.run(sandbox, "true", true)?.0);
        }
        let [plain, watched] =
            [median(&mut plain), median(&mut watched)].map(|time| time.as_secs_f64() * 1e3);
        let name = format!("{dirs} directories");
        println!("{name:<28} {plain:>8.2} {watched:>8.2} {:>8.2}", watched - plain);
    }
    Ok(())
}

/// Commands that do little but open files, of 20,000 in 1,000 directories.
fn watched_reading(sandbox: &Sandbox) -> Result<()> {
    println!("\n{:<28} {:>8} {:>8} {:>8}", "20,000 files", "ms", "watched", "ratio");
    let project = Project::new(1_000, 20)?;
    let cases = [
        ("find", "find . -type f | wc -l"),
        ("cat", "find . -type f -print0 | xargs -0 cat | wc -c"),
        ("cat, 2 at once", "find . -type f -print0 | xargs -0 -n 1000 -P 2 cat | wc -c"),
        ("one process per 5 files", "find . -type f -print0 | xargs -0 -n 5 -P 2 cat | wc -c"),
        ("write each anew", "for i in 1 2 3 4; do find . -name \"*$i\" -exec touch {} +; done"),
    ];
    for (name, text) in cases {
        let (mut plain, mut watched) = (Vec::new(), Vec::new());
        let mut last = Observed::default();
        for _ in 0..9 {
            plain.push(project.run(sandbox, text, false)?.0);
            let (time, observed) = project.run(sandbox, text, true)?;
            watched.push(time);
            last = observed;
        }
        let [plain, watched] =
            [median(&mut plain), median(&mut watched)].map(|time| time.as_secs_f64() * 1e3);
        println!("{name:<28} {plain:>8.1} {watched:>8.1} {:>8.2}  {}", watched / plain, summary(&last));
    }
    Ok(())
}

/// Whether the queue holds what programs do that do nothing but open, or write, as fast as they can.
fn watched_storms(sandbox: &Sandbox) -> Result<()> {
    let mut project = Project::new(1_000, 20)?;
    let source = project.dir.path().join("storm.c");
    fs::write(&source, STORM)?;
    let program = project.dir.path().join("storm");
    if !Command::new("cc").args(["-static", "-O", "-o"]).args([&program, &source]).status()?.success() {
        return Err("the storm program does not compile".into());
    }
    project.program = Some(program);
    let most = 2 * std::thread::available_parallelism()?.get();
    println!("\n{:<28} {:>8} {:>8} {:>8}  complete", "storm", "ms", "watched", "ratio");
    for (how, count) in [("open", 200_000), ("write", 1_000_000)] {
        for processes in [1, 2, most] {
            let text = format!("/storm {how} {processes} {count}");
            let (mut plain, mut watched, mut complete) = (Vec::new(), Vec::new(), 0);
            for _ in 0..STORMS {
                plain.push(project.run(sandbox, &text, false)?.0);
                let (time, observed) = project.run(sandbox, &text, true)?;
                watched.push(time);
                complete += usize::from(observed.complete);
            }
            let [plain, watched] =
                [median(&mut plain), median(&mut watched)].map(|time| time.as_secs_f64() * 1e3);
            let name = format!("{processes} x {count} {how}s");
            println!("{name:<28} {plain:>8.0} {watched:>8.0} {:>8.2}  {complete}/{STORMS}", watched / plain);
        }
    }
    Ok(())
}

const STORMS: usize = 10;

/// Every process opens all files in turn, or writes single bytes to two.
const STORM: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv) {
    int processes = atoi(argv[2]), count = atoi(argv[3]);
    char path[64];
    for (int process = 0; process < processes; process++) {
        if (fork())
            continue;
        int fds[2];
        if (!strcmp(argv[1], "write"))
            for (int i = 0; i < 2; i++) {
                snprintf(path, sizeof path, "dir%04d/some-file-%02d", process, i);
                fds[i] = open(path, O_WRONLY);
            }
        for (int i = 0; i < count; i++) {
            if (!strcmp(argv[1], "open")) {
                snprintf(path, sizeof path, "dir%04d/some-file-%02d", i % 1000, (i / 1000 + process * 5) % 20);
                int fd = open(path, O_RDONLY);
                if (fd < 0)
                    return 1;
                close(fd);
            } else if (write(fds[i % 2], "x", 1) != 1)
                return 1;
        }
        return 0;
    }
    while (wait(NULL) > 0)
        ;
    return 0;
}
"#;

fn summary(observed: &Observed) -> String {
    match observed.complete {
        true => format!("{} opened, {} written", observed.opened.len(), observed.written.len()),
        false => format!("incomplete: {}", observed.reason),
    }
}

/// A tree in a lower layer.
struct Project {
    dir: TempDir,
    program: Option<PathBuf>,
}

impl Project {
    fn new(dirs: usize, files: usize) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        for index in 0..dirs {
            let dir = dir.path().join(format!("lower/dir{index:04}"));
            fs::create_dir_all(&dir)?;
            (0..files).try_for_each(|file| fs::write(dir.join(format!("some-file-{file:02}")), "content"))?;
        }
        Ok(Project { dir, program: None })
    }

    /// Runs a script in the tree, as it was before.
    fn run(&self, sandbox: &Sandbox, text: &str, watched: bool) -> Result<(Duration, Observed)> {
        let [lower, upper, work] = ["lower", "upper", "work"].map(|name| self.dir.path().join(name));
        for dir in [&upper, &work] {
            let _ = fs::remove_dir_all(dir);
            fs::create_dir(dir)?;
        }
        let root = TreeRoot::Overlay(Overlay { lowers: vec![lower], upper, work });
        let binds = vec![TreeBind { dir: PathBuf::new(), target: "/build".into() }];
        let mut spec = Spec {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), text.into()],
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            cwd: "/build".into(),
            tree: Some(Tree { root, binds }),
            watch: watched.then(|| Watch { roots: vec!["/build".into()] }),
            ..base()
        };
        spec.mounts.extend(self.program.iter().map(|program| Mount {
            source: program.clone(),
            target: "/storm".into(),
            ..view("/")
        }));
        let start = Instant::now();
        let exit = sandbox.run(&spec, &mut |_| {}, &Cancel::new()?)?;
        let time = start.elapsed();
        if !exit.status.success() {
            return Err(format!("{text}: {:?}", exit.status).into());
        }
        Ok((time, exit.observed.unwrap_or_default()))
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
