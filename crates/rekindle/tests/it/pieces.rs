//! Programs with a compiled-in path: however a compiler cuts it, what is built at a scratch path is what is built at the
//! final one, and says the final one. The oracle is the same compiler, at the final path.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::oracle::first_difference;
use crate::project::{Finished, Place, full_run};

/// A program for each way of optimising.
const FLAGS: &[(&str, &str)] = &[
    ("o0", "-O0"),
    ("o1", "-O1"),
    ("o2", "-O2"),
    ("o3", "-O3"),
    ("os", "-Os"),
    ("v3", "-O2 -march=x86-64-v3"),
    ("pie", "-O2 -fPIE -fno-builtin-memcmp"),
    ("no-sse4", "-O3 -mno-sse4"),
];

fn report(finished: &Finished) -> serde_json::Value {
    assert!(finished.success(), "{}{}", finished.stdout(), finished.stderr());
    serde_json::from_str(&finished.stdout()).expect("JSON")
}

/// Builds at a scratch path and at the final one, and compares. Returns where the output is on disk, its path, and why
/// the first build began again.
fn check(root: &Path, place: &Place) -> (std::path::PathBuf, String, Vec<String>) {
    let report = report(&place.rekindle(&["build", "--no-link", "--json"]).arg(root).run());
    let path = report["goals"][0]["outputs"]["out"]["path"].as_str().expect("an output").to_owned();
    let exact = Place::new();
    assert_eq!(exact.build(root, &["--exact-path"]), [path.as_str()]);
    let difference = first_difference(place.store(), exact.store(), &path);
    assert_eq!(difference, "", "{path}, built at a scratch path, differs in more than build ids");
    let restarts = report["builds"][0]["restarts"].as_array().expect("restarts");
    (place.physical(&path), path, restarts.iter().map(ToString::to_string).collect())
}

/// What each program below `bin` prints: the path and some more, line by line.
fn check_printed(output: &Path, path: &str) {
    let has_v3 = fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains(" avx2 "));
    let mut count = 0;
    for program in fs::read_dir(output.join("bin")).expect("programs") {
        let program = program.expect("a program").path();
        if program.ends_with("v3") && !has_v3 {
            continue;
        }
        let ran = Command::new(&program).output().expect("it starts");
        assert!(ran.status.success(), "{}: {ran:?}", program.display());
        let printed = String::from_utf8(ran.stdout).expect("text");
        for line in printed.lines() {
            assert!(line.contains(path), "{} prints {line}, not {path}", program.display());
            count += 1;
        }
    }
    assert!(count > 0, "nothing is printed");
}

/// A project with one program for each of these sets of flags.
fn c_project(
    place: &Place,
    name: &str,
    source: &str,
    (file, compiler): (&str, &str),
    flags: &[(&str, &str)],
) -> std::path::PathBuf {
    let manifest = format!("[package]\nname = \"{name}\"\nversion = \"1.0\"\n");
    let mut makefile = String::from("all:\n");
    for (program, flags) in flags {
        makefile += &format!("\t{compiler} {flags} -DPREFIX='\"'$(PREFIX)'\"' -o {program} {file} \n");
    }
    makefile += "install: all\n\tmkdir -p $(PREFIX)/bin\n";
    for (program, _) in flags {
        makefile += &format!("\tcp {program} $(PREFIX)/bin/\n");
    }
    // Whoever builds tells `make` the prefix only when it installs.
    let makefile = format!("PREFIX = $(out)\n{makefile}");
    place.write(name, "rekindle.toml", manifest);
    place.write(name, "Makefile", makefile);
    place.write(name, file, source)
}

/// A program that copies its path in each way, with as many characters behind it as `lengths` say, and some before it.
fn c_source(lengths: impl Iterator<Item = usize>) -> String {
    let mut source = String::from(
        "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n\
         static void say(const char *s) { puts(s); }\n\
         struct two { int n; char a[256]; char b[3]; };\n",
    );
    let mut calls = String::new();
    for len in lengths {
        let before: String = "what-is-before:=".chars().take(len * 7 % 16).collect();
        let behind: String = "/share/locale/of/this/program/".chars().cycle().take(len).collect();
        let text = format!("\"{before}\" PREFIX \"{behind}\"");
        source += &format!(
            "__attribute__((noinline)) void automatic_{len}(void) {{ char a[] = {text}; __asm__ volatile(\"\" :: \"r\"(a) : \"memory\"); say(a); }}\n\
             __attribute__((noinline)) void fixed_{len}(void) {{ static char a[] = {text}; say(a); }}\n\
             __attribute__((noinline)) void copied_{len}(void) {{ char *a = malloc(512); strcpy(a, {text}); say(a); free(a); }}\n\
             __attribute__((noinline)) void moved_{len}(void) {{ char *a = malloc(512); memcpy(a + 1, {text}, sizeof({text})); say(a + 1); free(a); }}\n\
             __attribute__((noinline)) void printed_{len}(void) {{ char a[512]; snprintf(a, sizeof a, \"%s\", {text}); say(a); }}\n\
             __attribute__((noinline)) void in_struct_{len}(void) {{ struct two t = {{ 7, {text}, \"x\" }}; __asm__ volatile(\"\" :: \"r\"(&t) : \"memory\"); say(t.a); }}\n\
             __attribute__((noinline)) int compared_{len}(const char *s) {{ return memcmp(s, {text}, sizeof({text}) - 1) == 0; }}\n"
        );
        calls += &format!(
            "automatic_{len}(); fixed_{len}(); copied_{len}(); moved_{len}(); printed_{len}(); in_struct_{len}(); \
             if (!compared_{len}({text})) return 1;\n"
        );
    }
    source + &format!("int main(void) {{ {calls} return 0; }}\n")
}

#[test]
fn c_programs() {
    let place = Place::new();
    let root = c_project(
        &place,
        "probe",
        &c_source((1..=80).step_by(if full_run() { 1 } else { 5 })),
        ("probe.c", "gcc"),
        FLAGS,
    );
    let (output, path, restarts) = check(&root, &place);
    assert_eq!(restarts, [""; 0]);
    check_printed(&output, &path);
}

#[test]
fn c_programs_with_the_shortest_name() {
    let place = Place::new();
    let root = c_project(
        &place,
        "x",
        &c_source((1..=24).step_by(if full_run() { 1 } else { 5 })),
        ("probe.c", "gcc"),
        FLAGS,
    );
    // With a name as short as this, a piece may have too few characters to be certain.
    let (output, path, _) = check(&root, &place);
    check_printed(&output, &path);
}

#[test]
fn cxx_programs() {
    let place = Place::new();
    let mut source = String::from("#include <iostream>\n#include <string>\n#include <vector>\n");
    let mut calls = String::new();
    for len in (1..=40).step_by(if full_run() { 1 } else { 5 }) {
        let behind: String = "/lib/of/this/".chars().cycle().take(len).collect();
        source += &format!(
            "__attribute__((noinline)) std::string text_{len}() {{ return PREFIX \"{behind}\"; }}\n\
             __attribute__((noinline)) std::string joined_{len}(std::string s) {{ return s + PREFIX + \"{behind}\"; }}\n\
             static const std::string global_{len} = PREFIX \"{behind}\";\n"
        );
        calls += &format!(
            "std::cout << text_{len}() << '\\n' << joined_{len}(\"a\") << '\\n' << global_{len} << '\\n';\n\
             if (global_{len} != PREFIX \"{behind}\") return 1;\n"
        );
    }
    source += &format!("int main() {{ {calls} return 0; }}\n");
    // The standard library's headers take long, each time.
    let flags: Vec<_> =
        FLAGS.iter().copied().filter(|(name, _)| full_run() || ["o0", "o2", "v3"].contains(name)).collect();
    let root = c_project(&place, "probe", &source, ("probe.cc", "g++ -static-libstdc++"), &flags);
    fs::write(
        root.join("Makefile"),
        fs::read_to_string(root.join("Makefile")).expect("ours").replace(" -mgeneral-regs-only", ""),
    )
    .expect("ours");
    let (output, path, restarts) = check(&root, &place);
    assert_eq!(restarts, [""; 0]);
    check_printed(&output, &path);
}

#[test]
fn a_rust_program() {
    let place = Place::new();
    let source = "const PREFIX: &str = env!(\"out\");\n\
         const ARRAY: [u8; 64] = { let mut a = [b'.'; 64]; let b = PREFIX.as_bytes(); let mut i = 0; \
         while i < b.len() { a[i] = b[i]; i += 1; } a };\n\
         #[inline(never)] fn owned() -> String { PREFIX.to_owned() }\n\
         #[inline(never)] fn joined() -> String { concat!(env!(\"out\"), \"/share/locale\").to_string() }\n\
         #[inline(never)] fn array() -> [u8; 64] { let mut a = ARRAY; a[63] = b'!'; std::hint::black_box(a) }\n\
         #[inline(never)] fn is(text: &str) -> bool { text == PREFIX }\n\
         fn main() { println!(\"{}\\n{}\\n{}\\n{PREFIX}\", owned(), joined(), String::from_utf8_lossy(&array())); \
         assert!(is(&owned())); }\n";
    let rules: String = ["0", "1", "2", "3", "s"]
        .iter()
        .map(|level| format!("\trustc --edition 2021 -C opt-level={level} -o r{level} main.rs\n"))
        .collect();
    place.write("rusty", "rekindle.toml", "[package]\nname = \"probe\"\nversion = \"1.0\"\n");
    place.write(
        "rusty",
        "Makefile",
        format!("all:\n{rules}install:\n\tmkdir -p $(PREFIX)/bin\n\tcp r? $(PREFIX)/bin/\n"),
    );
    let root = place.write("rusty", "main.rs", source);
    let (output, path, restarts) = check(&root, &place);
    assert_eq!(restarts, [""; 0]);
    check_printed(&output, &path);
}

#[test]
fn wide_characters_are_built_at_the_final_path() {
    for prefix in ["L", "u"] {
        let place = Place::new();
        let source = format!(
            "#include <stdio.h>\n#define WIDE_(s) {prefix}##s\n#define WIDE(s) WIDE_(s)\n\
             __attribute__((used)) static __typeof__({prefix}\"\"[0]) text[] = WIDE(PREFIX);\n\
             int main(void) {{ for (int i = 0; text[i]; i++) putchar(text[i]); putchar('\\n'); return 0; }}\n"
        );
        let root = c_project(&place, "wide", &source, ("probe.c", "gcc"), &FLAGS[..2]);
        let (output, path, restarts) = check(&root, &place);
        assert_eq!(restarts.len(), 1, "{prefix}: {restarts:?}");
        check_printed(&output, &path);
    }
}
