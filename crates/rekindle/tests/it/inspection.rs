//! The commands that look at things: `init`, `log`, `drv`, `store`, `doctor`, `build --dry-run`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::project::{Finished, Place, example};

fn json(finished: &Finished) -> Value {
    assert!(finished.success(), "{}", finished.stderr());
    serde_json::from_str(&finished.stdout()).expect("JSON")
}

#[test]
fn init_writes_what_a_build_would_go_by() {
    let place = Place::new();
    let dir = place.write("zlib-1.3", "Makefile", "all:\ninstall:\n\tinstall -D Makefile $(PREFIX)/a\n");
    let before = place.build(&dir, &[]);
    let finished = place.rekindle(&["init"]).current_dir(&dir).run();
    assert!(finished.success(), "{}", finished.stderr());
    assert!(
        finished.stdout().contains("zlib-1.3") && finished.stdout().contains("Makefile"),
        "{}",
        finished.stdout()
    );
    assert_eq!(place.build(&dir, &[]), before, "the manifest says the same");
    let manifest = fs::read_to_string(dir.join("rekindle.toml")).expect("a manifest");
    fs::write(dir.join("rekindle.toml"), "# mine\n").expect("written");
    let again = place.rekindle(&["init"]).arg(&dir).run();
    assert_eq!(again.code(), Some(1));
    assert!(again.stderr().contains("--force"), "{}", again.stderr());
    assert_eq!(fs::read_to_string(dir.join("rekindle.toml")).expect("a manifest"), "# mine\n");
    assert!(place.rekindle(&["init", "--force"]).arg(&dir).run().success());
    assert_eq!(fs::read_to_string(dir.join("rekindle.toml")).expect("a manifest"), manifest);
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_not_do_it() {
    let place = Place::new();
    let dry = || place.rekindle(&["build", "--dry-run"]).arg(example("two-packages")).run();
    let before = dry();
    assert!(before.stdout().starts_with("2 would be built:\n"), "{}", before.stdout());
    assert!(!place.path().join("result-greeting").exists());
    place.build(&example("two-packages"), &["-p", "greeting"]);
    let report = json(&place.rekindle(&["build", "--dry-run", "--json"]).arg(example("two-packages")).run());
    assert_eq!(report["toBuild"].as_array().expect("a list").len(), 1);
    assert!(report["toBuild"][0].as_str().expect("a path").ends_with("-hello-two-1.0.drv"));
    place.build(&example("two-packages"), &[]);
    assert_eq!(dry().stdout(), "nothing would be built\n");
}

#[test]
fn a_derivation_is_shown_before_anything_is_written() {
    let place = Place::new();
    let shown = place.rekindle(&["drv", "show"]).arg(example("hello-make")).run();
    assert!(shown.success(), "{}", shown.stderr());
    for part in ["hello-make\n", "system      ", "builder     /bin/bash -e ", "output      out  /nix/store/"]
    {
        assert!(shown.stdout().contains(part), "no {part:?} in {}", shown.stdout());
    }
    let names = fs::read_dir(place.store().join("nix/store")).expect("a store").flatten();
    let names: Vec<_> = names
        .map(|entry| entry.file_name())
        .filter(|name| !name.to_string_lossy().starts_with('.'))
        .collect();
    assert!(names.is_empty(), "{names:?}");
    let value = json(&place.rekindle(&["drv", "show", "--json"]).arg(example("hello-make")).run());
    let (path, drv) = value.as_object().expect("an object").iter().next().expect("a derivation");
    let written = place.rekindle(&["drv", "show", "--drv"]).arg(example("hello-make")).run().line();
    assert_eq!(*path, written);
    assert_eq!(drv["env"]["pname"], "hello-make");
    let from_store = json(&place.rekindle(&["drv", "show", "--json", &written]).run());
    assert_eq!(from_store, value);
}

#[test]
fn store_paths_are_described() {
    let place = Place::new();
    let finished = place.rekindle(&["build", "--print-out-paths"]).arg(example("hello-make")).run();
    let out = finished.line();
    let info = json(&place.rekindle(&["store", "path-info", "--json", &out]).run());
    assert_eq!(info[0]["path"], out.as_str());
    assert!(info[0]["narHash"].as_str().expect("a hash").starts_with("sha256-"));
    assert!(info[0]["deriver"].as_str().expect("a path").ends_with("-hello-make.drv"));
    // By a link, by the place on the disk, by the base name: always the same.
    let physical = place.physical(&out).display().to_string();
    for name in ["result", &physical, out.trim_start_matches("/nix/store/")] {
        let text = place.rekindle(&["store", "path-info", name]).run().stdout();
        assert!(text.starts_with(&format!("{out}\n")), "{name}: {text}");
    }
    let drv = info[0]["deriver"].as_str().expect("a path");
    // A build leaves no derivation behind; who wants it writes it.
    let written = place.rekindle(&["drv", "show", "--drv"]).arg(example("hello-make")).run().line();
    assert_eq!(written, drv);
    let closure = json(&place.rekindle(&["store", "path-info", "-r", "--json", drv]).run());
    assert_eq!(
        closure.as_array().expect("a list").len(),
        3,
        "itself, the source, the setup script: {closure}"
    );
    let unknown =
        place.rekindle(&["store", "path-info", "/nix/store/0c3z9kq4wvj5h8ya1xlrmnb7dfgps2i6-x"]).run();
    assert_eq!(unknown.code(), Some(1));
}

#[test]
fn the_files_of_a_store_path_are_listed() {
    let place = Place::new();
    assert!(place.rekindle(&["build"]).arg(example("hello-make")).run().success());
    let list = |args: &[&str]| place.rekindle(&["store", "ls"]).args(args).run();
    assert_eq!(list(&["result"]).stdout(), "bin\n");
    assert_eq!(list(&["result/bin"]).stdout(), "hello-make\n");
    assert_eq!(list(&["-R", "result"]).stdout(), "bin\nbin/hello-make\n");
    assert!(list(&["-l", "result/bin"]).stdout().starts_with("-r-xr-xr-x "));
    let files = json(&list(&["-R", "--json", "result"]));
    assert_eq!(files[1]["path"], "bin/hello-make");
    assert_eq!(files[1]["executable"], true);
    assert_eq!(list(&["result/nothing"]).code(), Some(1));
    assert_eq!(list(&["/etc"]).code(), Some(1));
}

#[test]
fn what_a_link_keeps_is_not_collected() {
    let place = Place::new();
    // A package of its own: what any process of the machine has in use is kept too, by its path.
    let makefile = "# For the test of collections.\nall:\ninstall:\n\tinstall -D Makefile $(PREFIX)/a\n";
    let dir = place.write("x", "Makefile", makefile);
    let build = || place.rekindle(&["build"]).arg(&dir).run();
    assert!(build().success());
    let gc = |args: &[&str]| json(&place.rekindle(&["store", "gc", "--json"]).args(args).run());
    let deleted = |report: &Value| -> BTreeSet<String> {
        let deleted = report["deleted"].as_array().expect("a list");
        let deleted = deleted.iter().map(|path| path.as_str().expect("a path").to_owned());
        // The builds of other tests have the same set-up scripts in use, now and then.
        deleted.filter(|path| !path.ends_with("-rekindle-stdenv")).collect()
    };
    let roots = json(&place.rekindle(&["store", "roots", "--json"]).run());
    let out = roots[0]["path"].as_str().expect("a path");
    assert_eq!(roots[0]["link"], place.path().join("result").display().to_string());
    assert!(!deleted(&gc(&[])).contains(out));
    assert!(place.path().join("result/a").exists());
    fs::remove_file(place.path().join("result")).expect("removed");
    let planned = gc(&["--dry-run"]);
    assert!(deleted(&planned).contains(out), "{planned}");
    assert!(place.physical(out).exists());
    let collected = gc(&[]);
    assert_eq!(deleted(&collected), deleted(&planned));
    assert!(collected["bytes"].as_u64().expect("a number") > 0);
    assert!(!place.physical(out).exists());
    assert!(build().success());
}

#[test]
fn damage_is_found() {
    let place = Place::new();
    let finished = place.rekindle(&["build", "--print-out-paths"]).arg(example("hello-make")).run();
    let file = place.physical(&finished.line()).join("bin/hello-make");
    let sound = place.rekindle(&["store", "verify"]).run();
    assert!(sound.success() && sound.stdout().contains("the store is sound"), "{}", sound.stdout());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("ours");
    let mut bytes = fs::read(&file).expect("a file");
    bytes[1000] ^= 1;
    fs::write(&file, bytes).expect("written");
    let damaged = place.rekindle(&["store", "verify"]).run();
    assert_eq!(damaged.code(), Some(1));
    assert!(damaged.stdout().contains("-hello-make"), "{}", damaged.stdout());
    let damaged = place.rekindle(&["store", "verify", "--json"]).run();
    let value: Value = serde_json::from_str(&damaged.stdout()).expect("JSON");
    assert_eq!(value["sound"], false);
    assert!(place.rekindle(&["store", "verify", "--no-contents"]).run().success());
}

#[test]
fn commands_that_look_make_no_store() {
    let place = Place::new();
    for args in
        [["store", "path-info", "--all"].as_slice(), &["store", "verify"], &["store", "gc"], &["log", "x"]]
    {
        let finished = place.rekindle(args).run();
        assert_eq!(finished.code(), Some(1), "{args:?}");
        assert!(finished.stderr().contains("there is no store in"), "{args:?}: {}", finished.stderr());
    }
    let doctor = place.rekindle(&["doctor"]).run();
    assert!(doctor.success(), "{}", doctor.stdout());
    assert!(!place.store().exists());
}

#[test]
fn the_doctor_tries_whether_the_store_can_be_written() {
    let place = Place::new();
    let doctor = |says: &[&str]| {
        let finished = place.rekindle_as_user(&["doctor"]).run();
        let stdout = finished.stdout();
        assert_eq!(finished.code(), Some(1), "{stdout}");
        assert!(stdout.ends_with("builds cannot work here\n"), "{stdout}");
        assert!(says.iter().all(|said| stdout.contains(said)), "{stdout}");
    };
    let built = place.rekindle_as_user(&["build", "--no-link"]).arg(example("hello-make")).run();
    assert!(built.success(), "{}", built.stderr());
    assert!(place.rekindle_as_user(&["doctor"]).run().success());
    for part in ["nix/store", "nix/var/nix/db", "rekindle-1"] {
        let dir = place.store().join(part);
        let mode = fs::metadata(&dir).expect("a part of a store").permissions();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o555)).expect("ours");
        doctor(&[&dir.display().to_string(), "--store"]);
        fs::set_permissions(&dir, mode).expect("ours");
    }
    if rustix::process::geteuid().is_root() {
        let mine = Place::new();
        mine.build(&example("hello-make"), &[]);
        let doctor = mine.rekindle_as_user(&["doctor"]).run();
        assert_eq!(doctor.code(), Some(1));
        assert!(doctor.stdout().contains("belongs to the user with the number 0"), "{}", doctor.stdout());
    }
}

#[test]
fn the_doctor_says_what_works() {
    for as_user in [false, true] {
        let place = Place::new();
        let args = ["doctor", "--json"];
        let doctor = if as_user { place.rekindle_as_user(&args) } else { place.rekindle(&args) };
        let report = json(&doctor.run());
        assert_eq!(report["works"], true, "{report}");
        let checks = report["checks"].as_array().expect("a list");
        for name in [
            "namespaces",
            "seccomp",
            "overlay",
            "watch",
            "observe",
            "store",
            "disk space",
            "bash",
            "C compiler",
            "cargo",
        ] {
            let check =
                checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}"));
            let sound = check["state"] == "good" || !check["mend"].as_str().expect("a text").is_empty();
            assert!(sound, "what is wrong comes with what to do: {check}");
        }
    }
}
