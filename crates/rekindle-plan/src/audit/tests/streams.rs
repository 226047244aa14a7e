//! What passes through pipes, and what makes are asked.

use super::builds::{Case, is_clean, redoes, settles};
use super::without;
use crate::audit::{Rule, Rules};

const SOURCES: &str = "b/Makefile=m b/a=A b/v=v b/phase=x";
const LEFT: &str = "b/Makefile=m b/a=a b/v=v b/out=o b/other=p b/phase=x";
const AFTER: &str = "b/Makefile=m b/a=A b/v=v b/out=o b/other=p b/phase=x";

/// What a step did then, and does again now that `b/a` is another one.
fn case<'a>(then: &'a str, rounds: &'a [(&'a str, &'a str, &'a str)]) -> Case<'a> {
    Case { sources: SOURCES, then: (then, LEFT), rounds, removed: &[] }
}

#[test]
fn who_made_the_pipe_hears_what_is_written_to_it() {
    let then = "bash: <b/phase\n\tmake: <b/Makefile\n\t\tsh tell: |>1 <b/a >b/other\n\t\tcp v: <b/v >b/out";
    let now = "bash: <b/phase\n\tmake: <b/Makefile\n\t\tsh tell: |>1 <b/a >b/other";
    let rounds = [("b/a", now, AFTER)];
    is_clean(&case(then, &rounds), Rules::ALL, Rule::Orchestrator);
    settles(&case(then, &rounds), without("heard"));
}

#[test]
fn who_has_the_same_output_prints_messages() {
    let then =
        "bash: <b/phase\n\tmake: |>1 <b/Makefile\n\t\tcp a: <b/a >b/other\n\t\tcp v: <b/v >b/out\n\tcat: |<1";
    let now = "bash: <b/phase\n\tmake: |>1 <b/Makefile\n\t\tcp a: <b/a >b/other\n\tcat: |<1";
    settles(&case(then, &[("b/a", now, AFTER)]), Rules::ALL);
}

#[test]
fn a_line_that_left_nothing_may_leave_something_now() {
    let recipe = |post: &str| format!("bash: <b/phase\n\tmake: <b/Makefile\n\t\tcp v: <b/v >b/out{post}");
    let then = recipe("\n\t\tsh post: <b/a");
    let none = "bash: <b/phase\n\tmake: <b/Makefile";
    let rounds = [("b/a", none, AFTER)];
    is_clean(&case(&then, &rounds), Rules::ALL, Rule::Silent);
    settles(&case(&then, &rounds), without("silent"));
    // It ran again, and left nothing again.
    let now = format!("{none}\n\t\tsh post: <b/a");
    settles(&case(&then, &[("b/a", &now, AFTER)]), Rules::ALL);
    // What looked at nothing that is another has no reason to.
    let then = recipe("\n\t\tsh post: <b/v");
    settles(&case(&then, &rounds), Rules::ALL);
    // What make itself asks is heard by it.
    let then = "bash: <b/phase\n\tmake: <b/Makefile\n\t\tsh tell: |>1 <b/a\n\t\tcp v: <b/v >b/out";
    is_clean(&case(then, &rounds), Rules::ALL, Rule::Orchestrator);
}

#[test]
fn who_reads_from_a_pipe_is_told_by_who_writes_to_it() {
    let then = "bash: <b/phase\n\tcat a: |>1 <b/a\n\tmake: |<1 <b/Makefile\n\t\tcp v: <b/v >b/out";
    let now = "bash: <b/phase\n\tcat a: |>1 <b/a\n\tmake: |<1 <b/Makefile";
    let rounds = [("b/a", now, AFTER)];
    is_clean(&case(then, &rounds), Rules::ALL, Rule::Orchestrator);
    let now = "bash: <b/phase\n\tcat a: |>1 <b/a";
    let rounds = [("b/a", now, AFTER)];
    let then = "bash: <b/phase\n\tcat a: |>1 <b/a\n\ttr: |<1 >b/out";
    redoes(&case(then, &rounds), Rules::ALL, &["b/out"]);
    // What a part of the shell reads, it decides by.
    let then = "bash: <b/phase\n\tcat a: |>1 <b/a\n\tfork:\n\t\ttr: |<1 >b/out";
    is_clean(&case(then, &rounds), Rules::ALL, Rule::Orchestrator);
}

#[test]
fn what_a_make_printed_is_not_kept() {
    let then = "bash: <b/phase\n\tmake: |>1 <b/Makefile\n\t\tcp v: <b/v >b/out\n\tgrep: |<1 |>2\n\ttee: |<2 >b/other";
    let now = "bash: <b/phase\n\tmake: |>1 <b/Makefile\n\tgrep: |<1 |>2\n\ttee: |<2 >b/other";
    let rounds = [("b/a", now, AFTER)];
    is_clean(&case(then, &rounds), Rules::ALL, Rule::Printed);
    settles(&case(then, &rounds), without("printed"));
    // One that starts nothing says what it always says, unless it is to say what it would do.
    let says =
        |argv: &str| format!("bash: <b/phase\n\t{argv}: |>1\n\ttee: |<1 >b/other\n\tcp v: <b/v >b/out");
    for (argv, is_kept) in [("make --version", true), ("make -sn", false), ("make --dry-run", false)] {
        let text = says(argv);
        let rounds = [("b/a", &*text, AFTER)];
        match is_kept {
            true => settles(&case(&text, &rounds), Rules::ALL),
            false => is_clean(&case(&text, &rounds), Rules::ALL, Rule::Printed),
        }
    }
}

#[test]
fn a_make_has_to_be_asked_for_the_same() {
    let asks = |words: &[&str]| {
        let makes = words.iter().map(|words| format!("\tmake {words}: <b/Makefile\n"));
        format!("bash: <b/phase\n{}", makes.collect::<String>())
    };
    let makes =
        |word: &str, product: &str| format!("\tmake {word}: <b/Makefile\n\t\tcp {word}: <b/v >b/{product}\n");
    let then = format!("bash: <b/phase\n{}{}", makes("x -j 4", "out"), makes("y", "other"));
    let judge = |now: &[&str], rules: Rules, is_right: bool| {
        let text = asks(now);
        let rounds = [("b/a", &*text, AFTER)];
        match is_right {
            true => settles(&case(&then, &rounds), rules),
            false => is_clean(&case(&then, &rounds), rules, Rule::AskedOtherwise),
        }
    };
    judge(&["x -j 4", "y"], Rules::ALL, true);
    judge(&["x -j8", "z", "y"], Rules::ALL, true);
    for other in [["x", "z"].as_slice(), &["x V=1", "y"], &["x"]] {
        judge(other, Rules::ALL, false);
        judge(other, without("asked-otherwise"), true);
    }
}

#[test]
fn makes_beside_each_other_have_no_order() {
    let made = |word: &str, span: &str, product: &str| {
        format!("\tmake {word}: @{span} <b/Makefile\n\t\tcp {word}: @{span} <b/v >b/{product}\n")
    };
    let asked = |word: &str, span: &str| format!("\tmake {word}: @{span} <b/Makefile\n");
    let then = format!("bash: @0-9 <b/phase\n{}{}", made("x", "1-2", "out"), made("y", "3-4", "other"));
    for (x, y, is_right) in [("3-4", "1-2", false), ("3-5", "1-4", true), ("2-3", "1-4", true)] {
        let now = format!("bash: @0-9 <b/phase\n{}{}", asked("y", y), asked("x", x));
        let rounds = [("b/a", &*now, AFTER)];
        match is_right {
            true => settles(&case(&then, &rounds), Rules::ALL),
            false => is_clean(&case(&then, &rounds), Rules::ALL, Rule::AskedOtherwise),
        }
    }
}
