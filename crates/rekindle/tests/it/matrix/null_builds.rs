//! What a build tool does again after an edit, counted by a wrapper around the compiler.
//!
//! The wrapper says each source that it is called for right where the step prints, past the build tool. The phase also copies a note, so that it runs again when the note is edited, although
//! the build tool needs nothing of that.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::edit::{self, Edit, dir, mode, replace, write};
use super::make::c_files;
use super::{Built, cargo, equal};
use crate::project::Place;

/// Where the step prints: the output of its shell.
const PRINTED: &str = "/proc/2/fd/1";

/// Counts and goes on.
fn wrapper(compiler: &str, counts: &str) -> Vec<Edit> {
    let text = format!(
        "#!/bin/bash\nfor word; do\n    case $word in\n        {counts}) echo \"compiled $word\" > {PRINTED} ;;\n    esac\n\
         done\nexec {compiler} \"$@\"\n"
    );
    vec![write("wrapper", text), mode("wrapper", 0o755), write("note", "some\n")]
}

fn manifest(system: &str, env: &str, phases: &str) -> Edit {
    write(
        "rekindle.toml",
        format!(
            "\
[package]
name = \"probe\"
version = \"1\"
build-system = \"{system}\"
[package.env]
{env}
[package.phases]
pre-build = 'cp /build/source/note /build/noted 2> /dev/null || true'
{phases}
"
        ),
    )
}

/// What was compiled.
fn compiled(built: &Built) -> Vec<String> {
    let lines = built.told.lines().filter_map(|line| line.strip_prefix("probe-1> compiled "));
    let names: BTreeSet<&str> = lines.map(|path| path.rsplit('/').next().unwrap_or(path)).collect();
    names.into_iter().map(str::to_owned).collect()
}

struct Counted {
    place: Place,
    clean: Place,
    root: PathBuf,
    all: usize,
}

impl Counted {
    fn new(project: &[Edit]) -> Counted {
        let place = Place::new();
        let root = place.path().join("project");
        edit::make(&root, project);
        let first = Built::of(&place, &root, &[]).good();
        let all = compiled(&first).len();
        assert!(all > 0, "nothing is counted: {}", first.told);
        Counted { place, clean: Place::new(), root, all }
    }

    #[track_caller]
    fn after(&self, edits: &[Edit], expect: &[&str]) {
        edits.iter().for_each(|edit| edit.apply(&self.root));
        let built = equal(&self.place, &self.clean, &self.root);
        assert_eq!(compiled(&built), expect, "{edits:?}: {}", built.told);
        assert_eq!(built.verdict("buildPhase"), "seed", "{edits:?}: {}", built.told);
    }

    /// Nothing is compiled when nothing that the tool needs changed, and one file when one did.
    #[track_caller]
    fn check(&self, one: &[Edit], expect: &[&str]) {
        assert!(self.all > expect.len());
        self.after(&[write("note", "other\n")], &[]);
        // Every step sees that something is there now, and all but the build runs again.
        self.after(&[write("new note", "new\n"), dir("new directory")], &[]);
        self.after(one, expect);
        self.after(&[write("note", "third\n")], &[]);
    }
}

const COMPILE: &str = "CC = \"/build/source/wrapper\"";

fn c_project(system: &str, phases: &str, build: (&str, &str)) -> Vec<Edit> {
    let mut project = vec![manifest(system, COMPILE, phases), write(build.0, build.1)];
    project.extend(wrapper("gcc", "*[abn].c"));
    project.extend(c_files());
    project
}

#[test]
fn make() {
    let makefile = "\
CFLAGS = -O1 -MMD
prog: main.o a.o b.o
\t$(CC) -o $@ $^
install: prog
\tinstall -D prog $(PREFIX)/bin/prog
-include *.d
";
    let counted = Counted::new(&c_project("make", "", ("Makefile", makefile)));
    counted.check(&[replace("b.c", "2", "3")], &["b.c"]);
    counted.after(&[write("a.h", "#define A 7\n")], &["a.c", "main.c"]);
    // A file that is as long, and whose time says that it is old.
    let hidden = Edit::Sneak("b.c".into(), b"int b(void) { return 4; }\n".to_vec());
    counted.after(&[hidden], &["b.c"]);
    counted.after(&[replace("b.c", "4", "5"), edit::age("b.c", 1)], &["b.c"]);
    counted.after(&[edit::age("a.c", 4_000_000_000), write("note", "fourth\n")], &[]);
}

#[test]
fn ninja() {
    let rules = "\
rule cc
  command = /build/source/wrapper -O1 -MMD -MF $out.d -c -o $out $in
  depfile = $out.d
  deps = gcc
rule link
  command = gcc -o $out $in
build main.o: cc main.c
build a.o: cc a.c
build b.o: cc b.c
build prog: link main.o a.o b.o
";
    let phases = "configure = 'true'\nbuild = '''\nrunHook preBuild\nninja\nrunHook postBuild\n'''\n\
                  install = 'install -D prog $out/bin/prog'";
    let counted = Counted::new(&c_project("custom", phases, ("build.ninja", rules)));
    counted.check(&[replace("b.c", "2", "3")], &["b.c"]);
    counted.after(&[replace("build.ninja", "-O1", "-O2")], &["a.c", "b.c", "main.c"]);
}

#[test]
fn cmake() {
    let lists = "\
cmake_minimum_required(VERSION 3.16)
project(probe C)
add_executable(prog main.c a.c b.c)
install(TARGETS prog DESTINATION bin)
";
    for system in ["cmake", "cmake-make"] {
        let counted = Counted::new(&c_project(system, "", ("CMakeLists.txt", lists)));
        counted.check(&[replace("b.c", "2", "3")], &["b.c"]);
    }
}

#[test]
fn meson() {
    let build = "project('probe', 'c')\nexecutable('prog', 'main.c', 'a.c', 'b.c', install: true)\n";
    let counted = Counted::new(&c_project("meson", "", ("meson.build", build)));
    counted.check(&[replace("b.c", "2", "3")], &["b.c"]);
}

#[test]
fn cargo() {
    let mut project = cargo::project();
    project.push(manifest("cargo", "RUSTC_WRAPPER = \"/build/source/wrapper\"", ""));
    // Cargo calls the wrapper with the compiler as its first word.
    project.extend(wrapper("env", "library/*.rs|prog/*.rs"));
    let counted = Counted::new(&project);
    counted.check(&[replace("prog/src/main.rs", "{} {} {}", "{}, {}, {}")], &["main.rs"]);
    counted.after(&[replace("library/src/two.rs", "    2", "    3")], &["lib.rs", "main.rs"]);
}

#[expect(clippy::print_stderr, reason = "whoever reads the output of a test wants to know what it left out")]
fn has(program: &str) -> bool {
    let found = Path::new("/usr/bin").join(program).exists();
    if !found {
        eprintln!("skipped: there is no {program}");
    }
    found
}

#[test]
fn tsc() {
    if !has("tsc") {
        return;
    }
    let phases = format!(
        "configure = 'true'\nbuild = '''\nrunHook preBuild\ntsc --listEmittedFiles | \
         sed -n 's|^TSFILE: .*/\\(.*\\.js\\)$|compiled \\1|p' > {PRINTED}\nrunHook postBuild\n'''\n\
         install = 'mkdir -p $out; cp -r out $out/'"
    );
    let options = "{ \"compilerOptions\": { \"incremental\": true, \"rootDir\": \"src\", \"outDir\": \"out\",\
                   \"tsBuildInfoFile\": \"info\", \"types\": [], \"lib\": [\"es5\"] }, \"include\": [\"src\"] }";
    let project = [
        manifest("custom", "", &phases),
        write("tsconfig.json", options),
        write("note", "some\n"),
        write("src/one.ts", "import { two } from \"./two\";\nexport const one: number = two + 1;\n"),
        write("src/two.ts", "export const two: number = 2;\n"),
        write("src/three.ts", "export const three: number = 3;\n"),
    ];
    let counted = Counted::new(&project);
    counted.after(&[write("note", "other\n")], &[]);
    // It begins with what it knows of its last run, which a clean build does not have: so all of that is done again.
    replace("src/three.ts", "= 3", "= 4").apply(&counted.root);
    equal(&counted.place, &counted.clean, &counted.root);
    counted.after(&[write("note", "third\n")], &[]);
}

#[test]
fn go() {
    if !has("go") {
        return;
    }
    // The cache is part of the tree, and knows its entries by their content.
    let phases = "configure = 'true'\nbuild = '''\nrunHook preBuild\ngo build -trimpath -toolexec /build/source/wrapper \
                  -o prog .\nrunHook postBuild\n'''\ninstall = 'install -D prog $out/bin/prog'";
    let env = "GOCACHE = \"/build/go-cache\"\nGOFLAGS = \"-mod=mod\"\nCGO_ENABLED = \"0\"";
    let mut project = vec![
        manifest("custom", env, phases),
        write("go.mod", "module probe\n\ngo 1.19\n"),
        write(
            "main.go",
            "package main\n\nimport \"probe/part\"\n\nfunc main() { println(part.Value(), other()) }\n",
        ),
        write("other.go", "package main\n\nfunc other() int { return 1 }\n"),
        write("part/part.go", "package part\n\nfunc Value() int { return 2 }\n"),
    ];
    // The tool is the first word; of the standard library nothing is counted.
    project.extend(wrapper("env", "*/source/*.go|./*.go"));
    let counted = Counted::new(&project);
    counted.check(&[replace("other.go", "1", "3")], &["main.go", "other.go"]);
}

#[test]
fn one_unit_of_many() {
    let makefile = "\
OBJECTS := $(patsubst %.c,%.o,$(wildcard *.c))
CFLAGS = -MMD
prog: $(OBJECTS)
\t$(CC) -o $@ $^
install: prog
\tinstall -D prog $(PREFIX)/bin/prog
-include *.d
";
    let mut project = c_project("make", "", ("Makefile", makefile));
    project.extend(wrapper("gcc", "*.c"));
    for number in 0..40 {
        project.push(write(
            &format!("part{number}.c"),
            format!("int part{number}(void) {{ return {number}; }}\n"),
        ));
    }
    let counted = Counted::new(&project);
    assert_eq!(counted.all, 43);
    counted.after(&[replace("part17.c", "return 17", "return 71")], &["part17.c"]);
    fs::remove_file(counted.root.join("note")).expect("our own file");
    counted.after(&[write("note", "again\n")], &[]);
}
