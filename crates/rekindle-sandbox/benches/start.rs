//! What a sandbox costs: `/bin/true` in one, against `/bin/true` without, in one run.
//!
//! Run with `cargo bench -p rekindle-sandbox`. Times are medians of wall time. The ratio says little here, as `true`
//! does nothing; the difference is what every command pays.

#![expect(clippy::print_stdout, reason = "printing is all it is for")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rekindle_sandbox::{Cancel, Mount, Network, Overlay, Sandbox, Spec, Tree, TreeBind, TreeRoot};

const ROUNDS: usize = 300;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Being its own helper, as the real program is.
    rekindle_sandbox::child_main();
    let sandbox = Sandbox::new()?;
    let cancel = Cancel::new()?;
    let view =
        |path: &str| Mount { source: path.into(), target: path.into(), read_only: true, optional: true };
    let spec = Spec { mounts: ["/usr", "/bin", "/lib", "/lib64"].map(view).into(), ..Spec::new("/bin/true") };
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

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
