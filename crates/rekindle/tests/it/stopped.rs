//! Builds that were stopped, by Ctrl-C or by a limit, and the next one, which goes on from where they came to. The judges are
//! the log of what the build tool ran, and a clean build in another store.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use crate::project::Invocation;
use crate::slips::{Built, Project};

/// Three sources, of which the second takes for ever as long as there is a file `slow`: half of what it makes is there by then.
const RULES: &str = "prog: f1.o f2.o f3.o\n\t@echo LINK; gcc -o $@ $^\n\
    %.o: %.c\n\t@echo COMPILE $<; echo half > $@\n\
    \t@if test $@ = f2.o && test -e slow; then echo it hangs; sleep 1000; fi\n\tgcc -c -o $@ $<\n\
    install: prog\n\tinstall -D prog $(PREFIX)/prog\n";

fn project(makefile: &str) -> Project {
    Project::of(&[
        ("Makefile", makefile),
        ("slow", ""),
        ("f1.c", "int f1(void) { return 0; }\n"),
        ("f2.c", "int f2(void) { return 0; }\n"),
        ("f3.c", "int f1(void), f2(void);\nint main(void) { return f1() + f2(); }\n"),
    ])
}

/// Has a build tool of one's own choice.
fn custom(project: &Project, build: &str) {
    let manifest = format!(
        "[package]\nname = \"p\"\nversion = \"1\"\nbuild-system = \"custom\"\n[phases]\n\
         build = \"{build}\"\ninstall = \"install -D prog $out/prog\"\n"
    );
    project.put("rekindle.toml", &manifest);
}

fn stopped(project: &Project) -> Built {
    let stopped = project.built(&["-L"], |build| build.run_until("it hangs", Signal::INT));
    assert_eq!(stopped.code, Some(130), "{}", stopped.errors);
    assert!(stopped.errors.contains("p-1 was stopped in buildPhase"), "{}", stopped.errors);
    assert_eq!(project.place.processes(), Vec::<String>::new());
    stopped
}

fn is_kept(stopped: &Built) {
    assert_eq!(stopped.failure["goesOn"], true, "{}\n{}", stopped.failure, stopped.errors);
    assert!(stopped.errors.contains("the next build goes on from there"), "{}", stopped.errors);
}

fn stopped_and_kept(project: &Project) -> Built {
    let built = stopped(project);
    is_kept(&built);
    built
}

/// What is built of it once nothing takes for ever any more.
fn goes_on(project: &Project) -> Built {
    fs::remove_file(project.root.join("slow")).expect("our own file");
    project.builds()
}

/// The same where several jobs run, in any order.
fn goes_on_with(project: &Project) -> Vec<String> {
    let mut work = goes_on(project).work;
    work.sort_unstable();
    work
}

#[test]
fn what_was_compiled_before_ctrl_c_is_not_compiled_again() {
    let project = project(RULES);
    let first = stopped_and_kept(&project);
    assert_eq!(first.work, ["f1.c", "f2.c"], "{}", first.errors);
    // It takes as long the next time, and nothing else is compiled until then.
    let second = stopped_and_kept(&project);
    assert_eq!(second.work, ["f2.c"], "{}", second.errors);
    assert_eq!(goes_on(&project).work, ["f2.c", "f3.c", "LINK"]);
}

#[test]
fn what_was_compiled_before_a_limit_is_not_compiled_again() {
    let project = project(RULES);
    for limit in ["--timeout", "--max-silent-time"] {
        let failed = project.built(&[limit, "2"], Invocation::run);
        assert_eq!(failed.code, Some(101), "{}", failed.errors);
        is_kept(&failed);
    }
    assert_eq!(goes_on(&project).work, ["f2.c", "f3.c", "LINK"]);
}

#[test]
fn an_edit_that_is_stopped_loses_nothing() {
    let project = project(RULES);
    fs::remove_file(project.root.join("slow")).expect("our own file");
    project.builds();
    project.put("slow", "");
    project.put("f1.c", "int f1(void) { return 1; }\n");
    project.put("f2.c", "int f2(void) { return 1; }\n");
    let edited = stopped_and_kept(&project);
    assert_eq!(edited.work, ["f1.c", "f2.c"], "{}", edited.errors);
    assert_eq!(goes_on(&project).work, ["f2.c", "LINK"]);
}

#[test]
fn jobs_that_were_running_are_done_again() {
    let project = Project { cores: "2", ..project(&RULES.replace("test $@ = f2.o &&", "")) };
    let first = stopped_and_kept(&project);
    assert_eq!(goes_on_with(&project), ["LINK", "f1.c", "f2.c", "f3.c"], "{:?}", first.work);
}

#[test]
fn a_make_that_has_made_a_makefile_goes_on() {
    let project = project(&format!("{RULES}include made.mk\nmade.mk:\n\techo X := 1 > $@\n"));
    let first = stopped_and_kept(&project);
    assert_eq!(goes_on(&project).work, ["f2.c", "f3.c", "LINK"], "{}", first.errors);
}

#[test]
fn a_make_that_was_asking_goes_on() {
    // Before it knows its rules, and again with half of the work done, by a make in a make.
    let slow = "$(shell if test -e slow; then echo it hangs >&2; sleep 1000; fi; echo 1)";
    let project = project(&format!("X := {slow}\n{}", RULES.replace("test -e slow;", "test -e slower;")));
    let asking = stopped_and_kept(&project);
    assert_eq!(asking.work, [""; 0], "{}", asking.errors);
    let rules = "prog: f1.o f2.o f3.o\n\t@$(MAKE) --no-print-directory -f second.mk\n\t@echo LINK; gcc -o $@ $^\n\
        %.o: %.c\n\t@echo COMPILE $<; gcc -c -o $@ $<\ninstall: prog\n\tinstall -D prog $(PREFIX)/prog\n";
    project.put("Makefile", rules);
    project.put("second.mk", &format!("X := {slow}\nall:\n"));
    let below = stopped_and_kept(&project);
    assert_eq!(below.work, ["f1.c", "f2.c", "f3.c"], "{}", below.errors);
    assert_eq!(goes_on(&project).work, ["LINK"]);
}

#[test]
fn what_was_made_before_the_audit_had_something_made_again_is_not_forgotten() {
    // It hangs in the second round only, when all that was removed is there again.
    let hangs = "if grep -q edited f2.o && test -e slow; then echo it hangs; sleep 1000; fi";
    let rules =
        RULES.replace("test -e slow;", "false;").replace("@echo LINK;", &format!("@echo LINK; {hangs};"));
    let project = project(&rules);
    project.put("h.h", "#define H \"as it was\"\n");
    project.put("f2.c", "#include \"h.h\"\nint f2(void) { return *H; }\nchar h[] = H;\n");
    project.builds();
    // No rule says that anything is made of a header.
    project.put("n.h", "#define N 1\n");
    project.put("f1.c", "#include \"n.h\"\nint f1(void) { return N; }\n");
    project.put("h.h", "#define H \"edited\"\n");
    let stopped = stopped(&project);
    assert_eq!(stopped.work, ["f1.c", "LINK", "f2.c", "LINK"], "{}", stopped.errors);
    is_kept(&stopped);
    project.put("n.h", "#define N 2\n");
    assert_eq!(goes_on(&project).work, ["LINK", "f1.c", "LINK"]);
}

/// At moments that nothing was prepared for.
#[test]
fn whenever_it_is_stopped_nothing_is_wrong_of_it() {
    let rules = "objects = $(sort $(patsubst %.c,%.o,$(wildcard f*.c)))\n\
        prog: $(objects)\n\t@$(MAKE) --no-print-directory $@.list\n\t@echo LINK; gcc -o $@ $(objects)\n\
        prog.list: $(objects)\n\t@echo half > $@; sleep 0.05; cat $(^:.o=.side) > $@\n\
        %.o: %.c\n\t@echo COMPILE $<; echo half > $*.side\n\t@echo half > $@; sleep 0.02\n\
        \t@gcc -c -o $@ $<\n\t@echo whole > $*.side\n\
        install: prog\n\tinstall -D prog $(PREFIX)/prog; install prog.list $(PREFIX)\n";
    let project = Project { cores: "2", ..project(rules) };
    for round in 0..2 {
        for source in 3..9 {
            let main = if source == 3 { "int main(void) { return 0; }" } else { "" };
            project.put(&format!("f{source}.c"), &format!("int g{source}_{round};\n{main}\n"));
        }
        let says = "Running phase: buildPhase";
        for moment in [0, 30, 60, 90, 120, 150] {
            let after = Duration::from_millis(moment);
            let built = project.built(&["-L"], |build| build.run_until_after(after, says, Signal::INT));
            // What was stopped while it installed has its build phase; the first one cannot have.
            assert!(moment > 0 || built.errors.contains(says), "{}", built.errors);
            if built.success {
                break;
            }
        }
        project.builds();
    }
}

#[test]
fn ninja_goes_on() {
    let project = project("");
    let command = "echo COMPILE $in && echo half > $out && \
        (if test $out = f2.o && test -e slow; then echo it hangs; sleep 1000; fi) && gcc -c -o $out $in";
    let rules =
        format!("rule cc\n  command = {command}\nrule link\n  command = echo LINK && gcc -o $out $in\n");
    let objects = ["f1", "f2", "f3"].map(|name| format!("build {name}.o: cc {name}.c\n")).concat();
    // Ninja shows what a command prints when that has ended, but for the console's.
    let objects = objects.replace("cc f2.c\n", "cc f2.c || f1.o\n  pool = console\n");
    project.put("build.ninja", &format!("{rules}{objects}build prog: link f1.o f2.o f3.o\n"));
    custom(&project, "ninja -v -j1");
    let first = stopped_and_kept(&project);
    let mended = goes_on(&project).work;
    let again = |name: &str| mended.iter().any(|line| line == name);
    assert!(again("f2.c") && again("LINK") && !again("f1.c"), "{:?} {mended:?}", first.work);
}

#[test]
fn cargo_goes_on() {
    let project = Project::of_cargo("build-dependencies");
    project.put("slow", "");
    // That a file has gone cargo takes for a reason to decide anew.
    let hangs = "if std::fs::read(\"slow\").unwrap().is_empty() {\n        \
        std::thread::sleep(std::time::Duration::from_secs(1000));\n    }";
    project.put("build.rs", &format!("fn main() {{\n    l::one();\n    {hangs}\n}}\n"));
    project.put("src/main.rs", "fn main() {}\n");
    // What it needs has been built by then, and its own build script, or the compiler of that, is running.
    let moment = Duration::from_secs(2);
    let stopped =
        project.built(&["-L"], |build| build.run_until_after(moment, "Compiling prog", Signal::INT));
    assert_eq!(stopped.code, Some(130), "{}", stopped.errors);
    is_kept(&stopped);
    project.put("slow", "not any more\n");
    let built = project.builds();
    assert!(project.compiles(&built, "prog") && !project.compiles(&built, "l"), "{}", built.errors);
}

#[test]
fn who_says_that_all_is_well_when_interrupted_is_not_believed() {
    // Make starts such a line itself, so nothing is around it that is interrupted as well.
    let rules = "prog: f1.o f2.o f3.o\n\t@echo LINK; gcc -o $@ $^\n\
        %.o: %.c\n\t@echo COMPILE $<\n\t@sh $*.sh\n\
        install: prog\n\tinstall -D prog $(PREFIX)/prog\n";
    let project = Project { cores: "3", ..project(rules) };
    let script = |name: &str, slow: &str| {
        let text = format!("if test -e slow; then {slow}; else gcc -c -o {name}.o {name}.c; fi\n");
        project.put(&format!("{name}.sh"), &text);
    };
    script("f1", "gcc -c -o f1.o f1.c");
    script("f2", "trap 'sleep 0.5; echo half > f2.o; exit 0' INT; sleep 1000 & wait");
    script("f3", "sleep 0.5; echo it hangs; sleep 1000");
    let first = stopped_and_kept(&project);
    let work = goes_on_with(&project);
    assert!(work.ends_with(&["f2.c".to_owned(), "f3.c".to_owned()]), "{work:?} {}", first.errors);
}

#[test]
fn who_does_not_end_is_ended_and_nothing_of_it_is_kept() {
    let project =
        project(&RULES.replace("sleep 1000", "trap '' INT TERM; sleep 1000; sleep 1000; sleep 1000"));
    let first = stopped(&project);
    assert_eq!(first.failure["goesOn"], false, "{}", first.failure);
    assert!(!first.errors.contains("goes on"), "{}", first.errors);
    assert!(first.errors.contains("nothing of this step is kept: "), "{}", first.errors);
    assert_eq!(goes_on(&project).work, ["f1.c", "f2.c", "f3.c", "LINK"]);
}
