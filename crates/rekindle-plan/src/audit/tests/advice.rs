//! What of what make reads may be old.

use super::super::{Rule, Rules};
use super::builds::{Case, is_clean, redoes, settles};

/// What two makes did then, of which the second reads `b/x.d`, and do now. `then` and `now` are what it says.
#[track_caller]
fn check(makes: [&str; 2], again: [&str; 2], [then, now]: [&str; 2], is_advice: bool) {
    let all = |makes: [&str; 2]| {
        let [one, two] = makes;
        format!("bash: <b/phase\n\tmake one: <b/Makefile\n{one}\tmake two: <b/Makefile <b/x.d\n{two}")
    };
    let rest = "b/Makefile=m b/y=y b/phase=x";
    let other = "\t\tcc other: <b/y >b/other\n";
    let (then_left, now_left) = (
        format!("{rest} b/in=1 b/x.o=1 b/sub/x.o=1 b/g=1 b/other=1 b/x.d={then}"),
        format!("{rest} b/in=2 b/x.o=2 b/sub/x.o=2 b/g=1 b/other=1 b/x.d={now}"),
    );
    let case = Case {
        sources: &format!("{rest} b/in=2"),
        then: (&(all(makes) + other), &then_left),
        rounds: &[("b/in", &all(again), &now_left)],
        removed: &[],
    };
    if is_advice {
        settles(&case, Rules::ALL);
    } else {
        is_clean(&case, Rules::ALL, Rule::Orchestrator);
    }
}

#[test]
fn who_writes_targets_writes_advice() {
    let says = ["x.o:in,y", "x.o:in"];
    let compiles = "\t\tcc -MD: <b/in >b/x.o >b/x.d\n";
    // A compiler.
    check([compiles, ""], [compiles, ""], says, true);
    let moves = "\t\tcc -MD: <b/in >b/x.o >b/x.t\n\t\tmv: b/x.t>>b/x.d\n";
    // It is renamed.
    check([moves, ""], [moves, ""], says, true);
    let lists = "\t\tsed: <b/in >b/x.d\n\t\tcat: <b/in >b/x.o\n";
    // Another.
    check([lists, ""], [lists, ""], says, false);
    // Another now.
    check([compiles, ""], [lists, ""], says, false);
    // What configures has written nothing yet.
    check([compiles, ""], [compiles, ""], ["#dummy", "x.o:in"], true);
    let says = ["x.o:in,y;g:y", "x.o:in"];
    // Not all.
    check([compiles, ""], [compiles, ""], says, false);
}

#[test]
fn what_is_made_as_it_is_told_is_right() {
    let [lists, makes] = ["\t\tsed: <b/in >b/x.d\n", "\t\tcat: <b/in >b/x.o\n"];
    let check = |again: [&str; 2], says: [&str; 2], is_advice| {
        check([lists, makes], again, says, is_advice);
    };
    // Made again.
    check([lists, makes], ["x.o:in", "x.o:in,y"], true);
    // Before it was told.
    check([&format!("{makes}{lists}"), ""], ["x.o:in", "x.o:in,y"], false);
    // Not made again.
    check([lists, ""], ["g:in", "g:in,y"], false);
    // Elsewhere.
    check([lists, makes], ["sub/x.o:in", "sub/x.o:in,y"], false);
    // A source less.
    check([lists, makes], ["x.o:in,y", "x.o:in"], true);
    // What is left over.
    check([lists, makes], ["x.o:in,g", "x.o:in"], false);
    // A target that nobody made.
    check([lists, makes], ["x.o:in", "x.o:in;y:in"], false);
}

#[test]
fn a_remark_is_what_it_is() {
    let writes = ["\t\tsed: <b/in >b/x.d\n", ""];
    check(writes, writes, ["#one", "#two"], false);
    check(writes, writes, ["#one", ""], false);
    check(["\t\tcc -MD: <b/in >b/x.o >b/x.d\n", ""], writes, ["x.o:in;#one", "x.o:in;#two"], false);
}

/// Another command may say what something is made from, and nobody knows whether it is installed.
#[test]
fn what_only_make_reads_is_made_again() {
    let check = |maker: &str, made: &str, expected: &[&str]| {
        let then = format!("bash: <b/phase\n\tmake: <b/Makefile\n\t\t{maker}\n\tmake: <b/Makefile <b/x.d");
        let rest = "b/Makefile=m b/phase=x";
        let case = Case {
            sources: &format!("{rest} b/in=2"),
            then: (&then, &format!("{rest} b/in=1 {made}")),
            rounds: &[(
                "b/in",
                "bash: <b/phase\n\tmake: <b/Makefile <b/x.d",
                &format!("{rest} b/in=2 {made}"),
            )],
            removed: &[],
        };
        redoes(&case, Rules::ALL, expected);
    };
    check("sh gendeps: <b/in >b/x.d", "b/x.d=x:in", &["b/x.d"]);
    // All of it goes with the object.
    check("cc: <b/in >b/x.o >b/x.d", "b/x.o=1 b/x.d=x.o:in", &["b/x.d", "b/x.o"]);
}
