//! Tests of what ninja is told, of which ninja itself is asked the same, if it is there.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use proptest::prelude::*;

use super::budget::{FOR_A_BYTE, LOOK_UP};
use super::*;

type Files<'a> = &'a [(&'a str, &'a str)];

const COPY: &str = "rule c\n  command = cp $in $out\n";

fn as_map<'a>(files: Files<'a>) -> BTreeMap<&'a [u8], &'a [u8]> {
    files.iter().map(|(path, text)| (path.as_bytes(), text.as_bytes())).collect()
}

/// What it is told in this directory by these files.
fn told(arguments: &[&str], cwd: &str, files: Files<'_>) -> Instructions {
    let files = as_map(files);
    let arguments = ["ninja"].iter().chain(arguments).map(|argument| argument.as_bytes());
    Instructions::new(arguments, cwd.as_bytes(), &|path| Some(files.get(path)?.to_vec()))
}

/// What is made, in order.
fn made(told: &Instructions) -> Vec<String> {
    let made = told.made.as_ref().expect("it can be read");
    let paths = made.compared.iter().chain(made.generated.keys());
    let mut made: Vec<_> = paths.map(|path| String::from_utf8_lossy(path).into_owned()).collect();
    made.sort();
    made
}

/// The commands that make something, in order.
fn commands(arguments: &[&str], files: Files<'_>) -> Vec<String> {
    let files = as_map(files);
    let arguments = ["ninja"].iter().chain(arguments).map(|argument| argument.as_bytes());
    let request = Request::read(arguments).expect("it is a build");
    let read = &mut |path: &[u8]| Some(files.get(path)?.to_vec());
    let plan = Plan::new(&request, Budget::default(), read).expect("it can be read");
    let command = |edge: &EdgeId| plan.manifest.command(*edge).expect("it can be expanded")[0].clone();
    let command = |edge| String::from_utf8_lossy(&command(edge)).into_owned();
    let mut commands: Vec<_> = plan.edges.iter().map(command).collect();
    commands.sort();
    commands
}

/// These are the commands, in order, and ninja says the same.
#[track_caller]
fn check(arguments: &[&str], files: Files<'_>, expected: &[&str]) {
    assert_eq!(commands(arguments, files), expected);
    let place = tempfile::tempdir().expect("a place for temporary files");
    for (path, text) in files {
        let path = place.path().join(path);
        fs::create_dir_all(path.parent().expect("it is in the place")).expect("it can be made");
        fs::write(path, text).expect("it can be written");
    }
    let mut ninja = Command::new("ninja");
    ninja.args(["-n", "-v"]).args(arguments).current_dir(place.path()).env("NINJA_STATUS", "");
    let Ok(output) = ninja.output() else { return };
    let text = String::from_utf8(output.stdout).expect("it is text");
    assert!(output.status.success(), "{text}");
    let told_by = |line: &&str| !line.starts_with("ninja: ");
    let mut lines: Vec<_> = text.lines().filter(told_by).collect();
    lines.sort_unstable();
    assert_eq!(lines, expected, "as ninja sees it");
}

#[track_caller]
fn check_text(text: &str, expected: &[&str]) {
    check(&[], &[("build.ninja", text), ("a", ""), ("b", ""), ("c d", "")], expected);
}

#[track_caller]
fn check_unknown(arguments: &[&str], text: &str) {
    assert!(!told(arguments, "", &[("build.ninja", text)]).are_known(), "{text}");
}

#[test]
fn paths_are_read_as_ninja_reads_them() {
    let text =
        "build ./x//y: c c$ d ./a\nbuild $\n    p/../q$:r | s: c $\n      b | a || x/y\n# build n: c a\n";
    check_text(&format!("{COPY}{text}"), &["cp 'c d' a x/y", "cp b 'q:r'"]);
    let all = told(&[], "w/d", &[("w/d/build.ninja", &format!("{COPY}build ../x /w/y d/: c a"))]);
    assert_eq!(made(&all), ["w/d/d", "w/x", "w/y"]);
}

#[test]
fn variables_are_expanded_where_ninja_does_it() {
    let text = "v = 1\nw = $v$${v}\nrule c\n  command = echo $in $v $w $description ${x.y}$x.y $$ a$ b $\n    c\n  description = rule $f\n\
        build p: c\n  v = own $v\n  f = $v\nbuild q: c a\nbuild $v: c\nv = 2\nx.y = dot\nx = short\n";
    check_text(
        text,
        &[
            "echo  2 1${v} rule  dotshort.y $ a b c",
            "echo  own 1 1${v} rule 1 dotshort.y $ a b c",
            "echo a 2 1${v} rule  dotshort.y $ a b c",
        ],
    );
    // What the file binds goes before the rule where the edge binds nothing.
    let text = "command = echo file\nrule c\n  command = echo rule\nbuild p: c\nbuild q: c\n  x = 1\n";
    check_text(text, &["echo file", "echo rule"]);
    check_text(&format!("{COPY}build $o: c a\n  o = p\n"), &["cp a p"]);
}

#[test]
fn files_have_scopes() {
    let main = "v = main\nrule c\n  command = echo $v $in $out\ninclude in$v.ninja\nsubninja sub/s.ninja\nbuild x: c\n";
    let files = [
        ("build.ninja", main),
        ("inmain.ninja", "v = included\n"),
        ("sub/s.ninja", "build y: c\nv = inner\nrule c\n  command = touch $out\nbuild z: c\n"),
    ];
    check(&[], &files, &["echo included  x", "echo inner  y", "touch z"]);
    let told = told(&[], "", &files);
    assert!(["build.ninja", "inmain.ninja", "sub/s.ninja"].iter().all(|path| told.are_by(path.as_bytes())));
    assert!(!told.are_by(b"x"));
}

#[test]
fn what_is_asked_for_is_what_leads_to_it() {
    let text = format!(
        "{COPY}build o: c a\nbuild i: c a\nbuild v: c o\nbuild x: c a | i || o |@ v\nbuild y: c b\nbuild all: phony x\n\
         build none: phony a\nbuild deep: c y\n"
    );
    let files = [("build.ninja", &*text), ("a", ""), ("b", "")];
    let x = ["cp a i", "cp a o", "cp a x", "cp o v"];
    check(&["all"], &files, &x);
    check(&["-j4", "-k", "0", "./y"], &files, &["cp b y"]);
    check(&["--", "none"], &files, &[]);
    check(&["b^"], &files, &["cp b y"]);
    check(&[], &files, &["cp a i", "cp a o", "cp a x", "cp b y", "cp o v", "cp y deep"]);
    let text = format!("{text}default all $\n  none\ndefault y\n");
    check(&[], &[("build.ninja", &text), ("a", ""), ("b", "")], &[&x[..3], &["cp b y"], &x[3..]].concat());
}

#[test]
fn a_validation_is_nothing_that_something_is_made_from() {
    check_text(&format!("{COPY}build x: c a |@ v\nbuild v: c b\n"), &["cp a x", "cp b v"]);
}

#[test]
fn arguments_are_told_from_targets() {
    let text = "rule c\n  command = cp $in $out\nbuild x: c\nbuild y: c\n";
    let files = [("w/sub/b.ninja", text)];
    let all = [
        &["-C", "sub", "-f", "b.ninja", "x"][..],
        &["-Csub", "x", "-fb.ninja", "-vn", "-d", "stats"],
        &["--quiet", "-nC", "./sub/../sub", "-f", "../sub/b.ninja", "-w", "dupbuild=warn", "--", "x"],
    ];
    for arguments in all {
        let told = told(arguments, "w", &files);
        assert_eq!(made(&told), ["w/sub/x"], "{arguments:?}");
        assert!(told.are_by(b"w/sub/b.ninja"));
    }
    for arguments in [&["-t", "clean"][..], &["-C"], &["--version"], &["-h"], &["none"], &["none^"]] {
        check_unknown(arguments, text);
    }
    assert!(!Instructions::new(std::iter::empty(), b"", &|_| Some(text.into())).are_known());
}

#[test]
fn what_is_made_is_made_by_the_first_edge_of_it() {
    let text = format!("{COPY}build x: c a\nbuild x: c b\nbuild y: c b\n");
    let files = [("build.ninja", &*text)];
    assert_eq!(commands(&[], &files), ["cp a x", "cp b y"]);
    assert_eq!(made(&told(&[], "", &files)), ["x", "y"]);
}

#[test]
fn the_manifest_is_made_whatever_is_asked_for() {
    let text = format!("{COPY}build build.ninja: c a\nbuild x: c a\nbuild y: c a\n");
    assert_eq!(made(&told(&["x"], "", &[("build.ninja", &text)])), ["build.ninja", "x"]);
}

#[test]
fn a_generator_does_not_keep_up() {
    let text = |command: &str, more: &str| {
        format!(
            "rule g\n  command = {command} $in\n  generator = 1\n  rspfile = r\n  rspfile_content = $more\n\
             rule c\n  command = {command}\nbuild x: g a\n  more = {more}\nbuild y: c\nbuild z: phony y\n"
        )
    };
    let told = |text: &str| told(&[], "", &[("build.ninja", text)]);
    let then = told(&text("one", "m"));
    let keeps_up = |text: &str| ["x", "y", "z", "a"].map(|path| told(text).keep_up(&then, path.as_bytes()));
    assert_eq!(keeps_up(&text("one", "m")), [true, true, false, false]);
    assert_eq!(keeps_up(&text("two", "m")), [false, true, false, false]);
    assert_eq!(keeps_up(&text("one", "n")), [false, true, false, false]);
    assert_eq!(keeps_up("nothing"), [false; 4]);
    let unknown = told("nothing");
    assert!(
        !told(&text("one", "m")).keep_up(&unknown, b"x") && told(&text("one", "m")).keep_up(&unknown, b"y")
    );
}

#[test]
fn dependencies_that_are_found_later_count() {
    let text = format!(
        "{COPY}build m.dd: c d\nbuild one: c a || m.dd\n  dyndep = m.dd\nbuild two: c b || m.dd\n  dyndep = m.dd\n\
         build all: phony two\n"
    );
    let dyndep =
        "ninja_dyndep_version = 1\nbuild one | one.mod: dyndep\nbuild two: dyndep | one.mod\n  restat = 1\n";
    let files = [("build.ninja", &*text), ("m.dd", dyndep)];
    assert_eq!(made(&told(&["all"], "", &files)), ["m.dd", "one", "one.mod", "two"]);
    assert!(!told(&["all"], "", &files[..1]).are_known());
    assert!(told(&["m.dd"], "", &files[..1]).are_known());
}

#[test]
fn what_ninja_would_not_take_is_not_known() {
    for text in [
        "build x: none a\n",
        "rule c\nrule c\n",
        " v = 1\n",
        "v 1\n",
        "v = $",
        "v = ${x\n",
        "v = $%\n",
        "\tv = 1\n",
        "build x: phony \0\n",
        "include missing\n",
        "build x phony a\n",
        "build $none: phony a\n",
    ] {
        check_unknown(&[], text);
    }
}

#[test]
fn who_means_harm_is_not_known() {
    check_unknown(&[], "include build.ninja\n");
    check_unknown(&[], "subninja build.ninja\ninclude build.ninja\n");
    let doubled: String = (0..60).map(|n| format!("v{} = $v{n}$v{n}\n", n + 1)).collect();
    check_unknown(&[], &format!("v0 = xxxxxxxxxxxxxxxx\n{doubled}"));
    // Of nothing there can be much, too.
    let doubled: String = (0..31).map(|n| format!("  v{n} = $v{m}$v{m}\n", m = n + 1)).collect();
    for rule in ["  command = $command\n".to_owned(), format!("  command = $v0\n{doubled}")] {
        check_unknown(&[], &format!("rule c\n{rule}  generator = 1\nbuild x: c\n"));
    }
    check_unknown(&[], &format!("build {}: phony\n", "x/".repeat(1 << 16)));
}

/// Whether this manifest can be read and asked within a budget, and how much of it that takes.
fn costs(text: &str, budget: usize) -> Option<usize> {
    let request = Request::read([&b"ninja"[..]].into_iter()).expect("it is a build");
    let plan = Plan::new(&request, Budget::new(budget), &mut |_| Some(text.into()))?;
    plan.made(b"")?;
    Some(budget + text.len() * FOR_A_BYTE - plan.manifest.budget.left())
}

#[test]
fn all_questions_are_paid_for_out_of_one_budget() {
    // Each edge takes more than 2^12 look-ups to be asked once.
    let doubled: String = (0..12).map(|n| format!("  v{n} = $v{m}$v{m}\n", m = n + 1)).collect();
    for name in ["generator", "dyndep"] {
        let text = |edges: usize| {
            let edges: String = (0..edges).map(|n| format!("build x{n}: c\n")).collect();
            format!("rule c\n  {name} = $v0\n{doubled}{edges}")
        };
        let (one, budget) = ((1 << 12) * LOOK_UP, 10 * (1 << 12) * LOOK_UP);
        assert!(costs(&text(1), budget).is_some_and(|cost| cost > one), "{name}");
        assert_eq!(costs(&text(100), budget), None, "{name}");
        assert!(costs(&text(100), 100 * budget).is_some_and(|cost| cost > 100 * one), "{name}");
        if name == "generator" {
            check_unknown(&[], &text(100_000));
        }
    }
    // What an edge binds is looked through from one end to the other.
    let bound: String = (0..1000).map(|n| format!("  v{n} = \n")).collect();
    let text = |paths: usize| format!("rule c\nbuild x: c {}\n{bound}", "$v0/a ".repeat(paths));
    let cost = |paths| costs(&text(paths), 1 << 30).expect("it is enough");
    assert!(cost(101) - cost(1) > 100 * 1000);
}

#[test]
fn large_projects_are_known() {
    let first: String = (0..20_000).map(|n| format!("subninja t{n}.ninja\n")).collect();
    let told = Instructions::new([&b"ninja"[..]].into_iter(), b"", &|path| {
        let name = String::from_utf8_lossy(path);
        Some(if name == "build.ninja" { first.clone() } else { format!("build {name}.x: phony\n") }.into())
    });
    assert!(told.are_known() && told.are_by(b"t19999.ninja"));
    // What is read pays for what a usual edge costs.
    let edge = |n: usize| {
        format!(
            "build obj/base/allocator/shim/file_{n}.o: cxx ../../base/allocator/shim/file_{n}.cc || phony/base_deps\n  \
             source_file_part = file_{n}.cc\n  source_name_part = file_{n}\n  flags = $flags -DNAME=file_{n}\n"
        )
    };
    let edges: String = (0..1000).map(edge).collect();
    let rule = "flags = -O2 -Wall -Wextra -Ibase -Iother\nrule cxx\n  command = cxx $flags -c $in -o $out\n";
    let text = format!("{rule}{edges}");
    let cost = costs(&text, 0).expect("it is enough");
    assert!(cost < text.len() * 7, "{} for a byte", cost / text.len());
}

#[test]
fn arguments_that_may_be_cut_off_are_not_known() {
    let text = "build x: phony\n";
    let targets = |count: usize| vec!["x"; count];
    assert!(told(&targets(30_000), "", &[("build.ninja", text)]).are_known());
    check_unknown(&targets(32_766), text);
}

proptest! {
    #[test]
    fn nothing_that_is_written_makes_it_fall(
        words in proptest::collection::vec(
            prop_oneof![
                "build |rule |default |include |subninja |pool |phony |[ab] ",
                ": ?|\\| ?|\\|\\| ?|\\|@ ?|\n|\n  |= ?|\\$[ab \n{}$:]|dyndep|command|generator",
            ],
            0..60,
        ),
    ) {
        let text = words.concat();
        let files = [("build.ninja", &*text), ("a", &*text)];
        let told = told(&[], "", &files);
        prop_assert!(!told.keep_up(&told, b"none"));
    }
}
