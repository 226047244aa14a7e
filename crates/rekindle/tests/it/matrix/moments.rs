//! Times that cannot be trusted, and sources that change while they are read or built.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::edit::{self, Edit, replace, write};
use super::make::{MANIFEST, project};
use super::{Built, Case, Suite, check, doubts, equal, verify};
use crate::project::Place;

#[test]
fn a_checkpoint_from_the_future_is_a_clean_build() {
    let (place, clean) = (Place::new(), Place::new());
    let root = place.path().join("project");
    edit::make(&root, &project());
    let ahead = format!("{MANIFEST}[package.phases]\npost-build = \"touch -d 2199-01-01 b.o\"\n");
    write("rekindle.toml", ahead).apply(&root);
    place.build(&root, &[]);
    replace("b.c", "2", "3").apply(&root);
    let built = equal(&place, &clean, &root);
    assert_eq!(built.verdict("buildPhase"), "run", "{}", built.told);
    let lines: Vec<&str> = built.told.lines().filter(|line| line.contains("the clock is behind")).collect();
    assert_eq!(lines.len(), 1, "{}", built.told);
}

/// Python's bytecode knows the second in which its source was changed, and no more.
#[test]
fn two_edits_in_one_second_are_two() {
    let (place, clean) = (Place::new(), Place::new());
    let root = place.path().join("project");
    let manifest = "\
[package]
name = \"probe\"
version = \"1\"
build-system = \"custom\"
[package.phases]
build = 'unset SOURCE_DATE_EPOCH; PYTHONPATH=. python3 generate.py > generated'
install = 'install -D -m 644 generated $out/generated'
";
    let files = [
        write("rekindle.toml", manifest),
        write("value.py", "V = 0\n"),
        write("generate.py", "import value\nprint(value.V)\n"),
    ];
    edit::make(&root, &files);
    place.build(&root, &[]);
    for value in 1..8 {
        write("value.py", format!("V = {value}\n")).apply(&root);
        let built = Built::of(&place, &root, &[]).good();
        let generated = built.outputs(&place).expect("built").remove(0).join("generated");
        assert_eq!(fs::read_to_string(generated).expect("built"), format!("{value}\n"));
        assert_eq!(built.verdict("buildPhase"), "seed", "{}", built.told);
    }
    write("value.py", "V = 8\n").apply(&root);
    equal(&place, &clean, &root);
}

/// A product that has the time of an edited source in it is not taken, in whatever form.
#[test]
fn times_of_sources_are_written() {
    let writes = [
        "date -r in > out/x",
        "echo \"char *when = __TIMESTAMP__;\" > t.c; touch -r in t.c; gcc -E -P t.c > out/x",
        // In a zip, stored and deflated.
        "python3 -c 'import zipfile; zipfile.ZipFile(\"out/x\", \"w\", strict_timestamps=False).write(\"in\")'",
        "python3 -c 'import zipfile; zipfile.ZipFile(\"out/x\", \"w\", 8, strict_timestamps=False).write(\"in\")'",
        "python3 -c 'import marshal, os; marshal.dump([int(os.stat(\"in\").st_mtime)], open(\"out/x\", \"wb\"))'",
        "python3 -c 'import pickle, os; pickle.dump([int(os.stat(\"in\").st_mtime)], open(\"out/x\", \"wb\"))'",
        "python3 -c 'import pickle, os; pickle.dump([os.stat(\"in\").st_mtime], open(\"out/x\", \"wb\"))'",
    ];
    for write_time in writes {
        let makefile = format!("out/x: in\n\t{write_time}; cat in >> out/x\n");
        let files = [("Makefile", &*makefile), ("in", "1\n")];
        for (differences, built) in doubts::differences("mkdir -p out; make", &files, &[write("in", "2\n")]) {
            assert!(differences.is_empty(), "{differences:?}\n{}", built.told);
            assert!(built.told.contains("time of a changed source"), "{}", built.told);
        }
    }
}

#[test]
fn times_of_sources_mean_nothing() {
    let odd =
        |seconds| vec![write("a.h", format!("#define A {}\n", seconds % 89)), edit::age("a.h", seconds)];
    let cases = vec![
        Case::equal("as old as can be", odd(0)).seeds(),
        Case::equal("of another century", odd(5_000_000_000)).seeds(),
        Case::equal(
            "one older, one newer",
            vec![replace("b.c", "2", "3"), edit::age("b.c", 7), replace("a.c", "1", "4")],
        )
        .seeds(),
        Case::equal("the same size and time", vec![Edit::Sneak("a.h".into(), b"#define A 7\n".to_vec())])
            .seeds(),
    ];
    check([Suite { project: project(), cases }]);
}

#[test]
fn sources_that_change_during_the_build_are_those_of_the_next() {
    let (place, clean) = (Place::new(), Place::new());
    let root = place.path().join("project");
    edit::make(&root, &project());
    let slow = format!("{MANIFEST}[package.phases]\npre-build = \"echo started; sleep 1\"\n");
    write("rekindle.toml", slow).apply(&root);
    place.build(&root, &[]);
    write("b.c", "int b(void) { return 30; }\n").apply(&root);
    let mut command = place.rekindle(&["build", "--no-link", "--print-out-paths", "-L"]).arg(&root).command();
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut told = std::io::BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.contains("started") {
        line.clear();
        assert_ne!(std::io::BufRead::read_line(&mut told, &mut line).expect("text"), 0, "it never started");
    }
    for edit in [write("b.c", "int b(void) { return 40; }\n"), write("a.h", "#define A 40\n")] {
        edit.apply(&root);
    }
    std::io::copy(&mut told, &mut std::io::sink()).expect("text");
    let ended = child.wait_with_output().expect("it ends");
    assert!(ended.status.success());
    let path = String::from_utf8_lossy(&ended.stdout).trim().to_owned();
    let run = std::process::Command::new(place.physical(&path).join("bin/prog")).output().expect("it runs");
    assert_eq!(String::from_utf8_lossy(&run.stdout), "1 2 30\n");
    equal(&place, &clean, &root);
    verify(&place);
}

/// A file is written over and over while the sources are read: what is built has all of one version of it, or nothing is
/// built.
#[test]
fn a_file_that_changes_while_it_is_read_is_never_a_mixture() {
    const SIZE: usize = 3_000_000;
    let place = Place::new();
    let root = place.path().join("project");
    let makefile = "all:\ninstall:\n\tinstall -D -m 644 big $(PREFIX)/big\n";
    edit::make(&root, &[write("rekindle.toml", MANIFEST), write("Makefile", makefile)]);
    fs::write(root.join("big"), vec![b'a'; SIZE]).expect("our own file");
    place.build(&root, &[]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for byte in (b'b'..=b'z').cycle() {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let file = fs::File::options().write(true).open(root.join("big")).expect("our own file");
                for part in 0..30 {
                    let at = part * (SIZE as u64 / 30);
                    std::os::unix::fs::FileExt::write_all_at(&file, &vec![byte; SIZE / 30], at)
                        .expect("written");
                }
                std::thread::sleep(Duration::from_millis(u64::from(byte) % 90));
            }
        });
        for _ in 0..8 {
            let finished = place.rekindle(&["build", "--no-link", "--print-out-paths"]).arg(&root).run();
            if !finished.success() {
                assert_eq!(finished.code(), Some(1), "{}", finished.stderr());
                assert!(
                    finished.stderr().contains(root.to_str().expect("a plain path")),
                    "{}",
                    finished.stderr()
                );
                continue;
            }
            let built = fs::read(place.physical(finished.line().trim()).join("big")).expect("built");
            assert_eq!(built.len(), SIZE);
            assert!(built.iter().all(|byte| *byte == built[0]), "a mixture");
        }
        done.store(true, Ordering::Relaxed);
    });
    verify(&place);
}

#[test]
fn a_source_that_cannot_be_read_is_named() {
    let place = Place::new();
    let root = place.path().join("project");
    edit::make(&root, &project());
    let build = || place.rekindle_as_user(&["build", "--no-link", "--json"]).arg(&root).run();
    Built::from(&build()).good();
    let secret = write("share/secret", "secret\n");
    secret.apply(&root);
    fs::set_permissions(root.join("share/secret"), fs::Permissions::from_mode(0o000)).expect("our own file");
    let refused = build();
    assert_eq!(refused.code(), Some(1), "{}", refused.stderr());
    assert!(refused.stderr().contains("share/secret"), "{}", refused.stderr());
    fs::set_permissions(root.join("share/secret"), fs::Permissions::from_mode(0o644)).expect("our own file");
    assert!(Built::from(&build()).good().takes_something());
}
