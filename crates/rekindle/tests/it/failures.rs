//! Builds that fail: what is said, what is kept, which exit code.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::project::{Finished, Place, example};

/// A package that runs this script in its build phase.
fn package(place: &Place, name: &str, script: &str) -> PathBuf {
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"1\"\nbuild-system = \"custom\"\n\
         [phases]\nbuild = '''\n{script}\n'''\ninstall = \"touch $out\"\n"
    );
    place.write(name, "file", "");
    place.write(name, "rekindle.toml", manifest)
}

fn build(place: &Place, dir: &Path, args: &[&str]) -> Finished {
    place.rekindle(&["build", "--no-link"]).args(args).arg(dir).run()
}

#[test]
fn a_failure_says_where_and_what_and_how_to_go_on() {
    let place = Place::new();
    let dir = package(
        &place,
        "x",
        "for n in $(seq 40); do echo line $n; done; printf '\\033[31mred\\033[0m\\n' >&2; exit 3",
    );
    let finished = build(&place, &dir, &[]);
    let stderr = finished.stderr();
    assert_eq!(finished.code(), Some(100), "{stderr}");
    for part in [
        "error: x-1 failed in buildPhase: the builder ended with exit code 3",
        "last 25 lines",
        " line 40\n",
        " red\n",
        "line 17\n",
    ] {
        assert!(stderr.contains(part), "no {part:?} in: {stderr}");
    }
    assert!(!stderr.contains("line 16\n") && !stderr.contains('\u{1b}'), "{stderr}");
    let advice = |start: &str| {
        let line = stderr.lines().find(|line| line.trim_start().starts_with(start)).expect("advice");
        line.split_once(": ").expect("a command").1.trim().to_owned()
    };
    assert!(Path::new(&advice("the whole log")).exists(), "{stderr}");
    // The advice can be followed as it stands.
    let words = advice("to read it");
    let words: Vec<_> = words.split(' ').skip(3).collect();
    let log = place.rekindle(&words).run();
    assert!(log.success(), "{}", log.stderr());
    assert!(log.stdout().contains("line 1\n") && log.stdout().contains("\u{1b}[31mred"), "{}", log.stdout());
    for target in ["x", "x-1"] {
        assert_eq!(
            place.rekindle(&["log", target]).current_dir(Path::new("/")).run().stdout(),
            log.stdout(),
            "{target}"
        );
    }
    assert_eq!(place.rekindle(&["log"]).current_dir(&dir).run().stdout(), log.stdout());
    let words = advice("to look closer");
    assert!(words.ends_with(&format!("build --keep-failed {}", dir.display())), "{words}");
}

#[test]
fn the_tree_of_a_failed_build_can_be_kept() {
    let place = Place::new();
    let dir = package(&place, "x", "echo half-made >product; exit 1");
    let finished = build(&place, &dir, &["--keep-failed"]);
    assert_eq!(finished.code(), Some(100));
    let stderr = finished.stderr();
    let line = stderr.lines().find(|line| line.contains("its tree:")).expect("a line that says where");
    let kept = Path::new(line.split_once("its tree:").expect("a path").1.trim());
    let mut found = Vec::new();
    let mut pending = vec![kept.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir).expect("a directory").flatten() {
            match entry.file_type().expect("a kind").is_dir() {
                true => pending.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
    }
    let product = found.iter().find(|path| path.ends_with("product")).expect("the product was kept");
    assert_eq!(fs::read_to_string(product).expect("a file"), "half-made\n");
}

#[test]
fn limits_of_time_have_an_exit_code_of_their_own() {
    let place = Place::new();
    let endless = package(&place, "endless", "while :; do echo; sleep 0.1; done");
    let finished = build(&place, &endless, &["--timeout", "1"]);
    assert_eq!(finished.code(), Some(101), "{}", finished.stderr());
    assert!(
        finished.stderr().contains("longer than 1.0 s, the limit set by --timeout"),
        "{}",
        finished.stderr()
    );
    let silent = package(&place, "silent", "sleep 1000");
    let finished = build(&place, &silent, &["--max-silent-time", "1"]);
    assert_eq!(finished.code(), Some(101), "{}", finished.stderr());
    assert!(finished.stderr().contains("printed nothing for 1.0 s"), "{}", finished.stderr());
    assert_eq!(place.processes(), Vec::<String>::new());
    assert_eq!(place.leftovers(), Vec::<String>::new());
}

#[test]
fn an_output_that_was_not_made_is_named() {
    let place = Place::new();
    let manifest = "[package]\nname = \"x\"\nsource = false\nbuild-system = \"custom\"\noutputs = [\"out\", \"dev\"]\n\
                    [phases]\ncommand = \"touch $out\"\n";
    let finished = build(&place, &place.write("x", "rekindle.toml", manifest), &[]);
    assert_eq!(finished.code(), Some(100));
    assert!(finished.stderr().contains("did not make the output `dev`"), "{}", finished.stderr());
}

#[test]
fn a_failure_stops_what_needs_it_and_no_more_with_keep_going() {
    let place = Place::new();
    let package = |name: &str, inputs: &str, command: &str| {
        format!(
            "[packages.{name}]\nsource = false\nbuild-system = \"custom\"\ninputs = [{inputs}]\nphases.command = \"{command}\"\n"
        )
    };
    let manifest = [
        package("bad", "", "exit 1"),
        package("needs-bad", "\"bad\"", "touch $out"),
        package("good", "", "sleep 0.2; touch $out"),
        package("needs-good", "\"good\"", "touch $out"),
    ];
    let dir = place.write("x", "rekindle.toml", manifest.concat());
    let finished = build(&place, &dir, &["--json", "-k", "-j", "1"]);
    assert_eq!(finished.code(), Some(100), "{}", finished.stderr());
    let report: Value = serde_json::from_str(&finished.stdout()).expect("JSON");
    let builds = report["builds"].as_array().expect("builds");
    let result = |name: &str| {
        let build = builds.iter().find(|build| build["name"] == name);
        build.map_or("not there", |build| build["result"].as_str().expect("a word")).to_owned()
    };
    assert_eq!(
        ["bad", "needs-bad", "good", "needs-good"].map(result),
        ["failed", "abandoned", "built", "built"]
    );
    assert_eq!(report["exitCode"], 100);
    assert_eq!(report["success"], false);
    let outputs = |package: &str| {
        let goals = report["goals"].as_array().expect("goals");
        goals.iter().find(|goal| goal["package"] == package).expect("the goal")["outputs"].clone()
    };
    assert_eq!(outputs("bad"), Value::Null);
    assert!(outputs("needs-good")["out"]["realPath"].is_string());
    let bad = builds.iter().find(|build| build["name"] == "bad").expect("the build");
    assert_eq!(bad["failure"]["kind"], "exit");
    assert_eq!(bad["failure"]["exitCode"], 1);
}

/// Who may only read a store finds the newest log of a package in it, and is told that this is all that is known.
#[test]
fn a_log_is_read_where_nothing_can_be_written() {
    let place = Place::new();
    let root = place.write(
        "p",
        "rekindle.toml",
        "[package]\nname = \"p\"\nversion = \"1\"\nbuild-system = \"custom\"\n[phases]\ninstall = 'echo said; mkdir $out'\n",
    );
    place.build(&root, &[]);
    let log = place.rekindle_as_user(&["log"]).current_dir(&root).run();
    assert!(log.success() && log.stdout().contains("said"), "{}", log.stderr());
    if rustix::process::geteuid().is_root() {
        assert!(log.stderr().contains("where the store can be written"), "{}", log.stderr());
    }
}

/// A caller's mask for new files says what others may do. Directories that we may not enter ourselves would be of no use.
#[test]
fn any_mask_and_any_variable_of_the_caller_will_do() {
    for (mask, name, value) in
        [("777", "LD_PRELOAD", "/nowhere.so"), ("277", "LD_DEBUG", "libs"), ("077", "A", "b")]
    {
        let place = Place::new();
        let command = place.rekindle_as_user(&["build", "--no-link"]).arg(example("hello-make")).command();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("umask {mask}; exec \"$@\""), "sh"]).arg(command.get_program());
        shell.args(command.get_args()).current_dir(place.path()).env("HOME", place.path()).env(name, value);
        let built = shell.output().expect("the program starts");
        assert!(built.status.success(), "{mask} {name}: {}", String::from_utf8_lossy(&built.stderr));
        let mode = std::fs::metadata(place.store().join("rekindle-1")).expect("a directory").mode();
        assert_eq!(mode & 0o077, 0, "{mask}: {mode:o}");
    }
}
