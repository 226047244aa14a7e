//! Ctrl-C, and two builds at once.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::project::Place;

/// Waits until something is so. It is always so in the end, or the test would never end well.
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..12_000 {
        if condition() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{what} did not happen in two minutes");
}

fn package(place: &Place, script: &str) -> std::path::PathBuf {
    let manifest = format!(
        "[package]\nname = \"x\"\nversion = \"1\"\nbuild-system = \"custom\"\n\
         [phases]\nbuild = '''\n{script}\n'''\ninstall = \"touch $out\"\n"
    );
    place.write("x", "file", "");
    place.write("x", "rekindle.toml", manifest)
}

#[test]
fn an_interrupted_build_leaves_nothing() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let place = Place::new();
        let dir =
            package(&place, "mkdir -p a/b; (sleep 1000 &); setsid sleep 1000 & echo it runs; sleep 1000");
        let build = place.rekindle(&["build", "-L", "--no-link"]).arg(&dir);
        let finished = build.run_until("it runs", signal);
        let said = finished.stderr();
        assert_eq!(finished.code(), Some(130), "{signal:?}: {said}");
        assert!(said.contains("error: x-1 was stopped"), "{said}");
        assert_eq!(place.processes(), Vec::<String>::new());
        assert_eq!(place.leftovers(), Vec::<String>::new());
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        assert!(!mounts.contains(place.path().to_str().expect("UTF-8")));
        package(&place, "true");
        place.build(&dir, &[]);
    }
}

#[test]
fn a_second_signal_ends_the_program_at_once() {
    let place = Place::new();
    let dir = package(&place, "trap '' TERM INT; echo it runs; sleep 1000");
    let mut child = place
        .rekindle(&["build", "--no-link"])
        .arg(&dir)
        .command()
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    wait_until("the start of the builder", || place.processes().len() > 1);
    let pid = Pid::from_child(&child);
    // Signals that arrive together count as one, and the first may have been enough already.
    wait_until("the end of the program", || {
        let _ = kill_process(pid, Signal::INT);
        child.try_wait().expect("a child").is_some()
    });
    wait_until("the end of the sandbox", || place.processes().is_empty());
}

#[test]
fn two_builds_of_one_package_at_once_share_the_work() {
    let place = Place::new();
    let dir = package(&place, "sleep 1");
    let builds: Vec<_> = (0..3)
        .map(|_| {
            place
                .rekindle(&["build", "--no-link", "--json"])
                .arg(&dir)
                .command()
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the program starts")
        })
        .collect();
    let mut results = Vec::new();
    for build in builds {
        let output = build.wait_with_output().expect("a child to wait for");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert!(report["goals"][0]["outputs"]["out"]["path"].is_string());
        // One that began after the end of another finds nothing to do.
        results.push(report["builds"][0]["result"].as_str().unwrap_or("nothing").to_owned());
    }
    assert_eq!(results.iter().filter(|result| *result == "built").count(), 1, "{results:?}");
    assert!(
        results.iter().all(|result| ["built", "already-valid", "nothing"].contains(&result.as_str())),
        "{results:?}"
    );
}
