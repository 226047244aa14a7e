//! Tests of what ninja is told, of which ninja itself is asked the same, if it is there.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use proptest::prelude::*;

use super::*;

type Files<'a> = &'a [(&'a str, &'a str)];

const COPY: &str = "rule c\n  command = cp $in $out\n";

/// What it is told in this directory by these files.
fn told(arguments: &[&str], cwd: &str, files: Files<'_>) -> Told {
    let files: BTreeMap<_, _> = files.iter().map(|(path, text)| (path.as_bytes(), text.as_bytes())).collect();
    let arguments = ["ninja"].iter().chain(arguments).map(|argument| argument.as_bytes());
    Told::new(arguments, cwd.as_bytes(), &|path| Some(files.get(path)?.to_vec()))
}

/// What is made, in order.
fn made(told: &Told) -> Vec<String> {
    let plan = told.plan.as_ref().expect("it can be read");
    let mut made: Vec<_> = plan.made.keys().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
    made.sort();
    made
}

/// The commands that make something, in order.
fn commands(told: &Told) -> Vec<String> {
    let plan = told.plan.as_ref().expect("it can be read");
    let edges: HashSet<EdgeId> = plan.made.values().copied().collect();
    let command = |edge: EdgeId| plan.manifest.command(edge).expect("it can be expanded")[0].clone();
    let command = |edge| String::from_utf8_lossy(&command(edge)).into_owned();
    let mut commands: Vec<_> = edges.into_iter().map(command).collect();
    commands.sort();
    commands
}

/// These are the commands, in order, and ninja says the same.
#[track_caller]
fn check(arguments: &[&str], files: Files<'_>, expected: &[&str]) {
    assert_eq!(commands(&told(arguments, "", files)), expected);
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
    assert!(!told(arguments, "", &[("build.ninja", text)]).is_known(), "{text}");
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
    assert!(["build.ninja", "inmain.ninja", "sub/s.ninja"].iter().all(|path| told.is_by(path.as_bytes())));
    assert!(!told.is_by(b"x"));
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
        assert!(told.is_by(b"w/sub/b.ninja"));
    }
    for arguments in [&["-t", "clean"][..], &["-C"], &["--version"], &["-h"], &["none"], &["none^"]] {
        check_unknown(arguments, text);
    }
    assert!(!Told::new(std::iter::empty(), b"", &|_| Some(text.into())).is_known());
}

#[test]
fn what_is_made_is_made_by_the_first_edge_of_it() {
    let told =
        told(&[], "", &[("build.ninja", &format!("{COPY}build x: c a\nbuild x: c b\nbuild y: c b\n"))]);
    assert_eq!(commands(&told), ["cp a x", "cp b y"]);
    assert_eq!(made(&told), ["x", "y"]);
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
    let keeps_up = |text: &str| ["x", "y", "z", "a"].map(|path| told(text).keeps_up(&then, path.as_bytes()));
    assert_eq!(keeps_up(&text("one", "m")), [true, true, false, false]);
    assert_eq!(keeps_up(&text("two", "m")), [false, true, false, false]);
    assert_eq!(keeps_up(&text("one", "n")), [false, true, false, false]);
    assert_eq!(keeps_up("nothing"), [false; 4]);
    let unknown = told("nothing");
    assert!(
        !told(&text("one", "m")).keeps_up(&unknown, b"x") && told(&text("one", "m")).keeps_up(&unknown, b"y")
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
    assert!(!told(&["all"], "", &files[..1]).is_known());
    assert!(told(&["m.dd"], "", &files[..1]).is_known());
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
        let text = format!("rule c\n{rule}  generator = 1\nbuild x: c\n");
        let told = told(&[], "", &[("build.ninja", &text)]);
        assert!(told.is_known() && !told.keeps_up(&told, b"x"));
    }
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
        prop_assert!(!told.keeps_up(&told, b"none"));
    }
}
