//! What is kept of a step that failed, and what is asked of the build that goes on from it.

use super::super::*;
use super::builds::{Case, judge_after, keeps, keeps_clean};

/// One object is made, the next fails.
const RUN: &str = "
bash: <b/phase #2
\tmake: <b/Makefile #2
\t\tcc a: <b/a.c <b/h.h >b/a.o
\t\tcc b: <b/b.c <b/h.h #1
";
const SOURCES: &str = "b/Makefile=m b/a.c=a b/b.c=b b/h.h=h b/phase=x";

fn paths<'a>(all: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<String> {
    all.into_iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect()
}

#[track_caller]
fn check(run: &str, left: &str, said: &str, remove: &[&str], lost: &[&str]) -> Unfinished {
    let kept = keeps_clean(SOURCES, run, &format!("{SOURCES} {left}"), said).expect("it can be kept");
    assert_eq!(paths(&kept.remove), remove, "{run}");
    assert_eq!(paths(kept.lost.iter().map(|lost| &lost.path)), lost, "{run}");
    kept
}

#[track_caller]
fn refuses(run: &str, left: &str, said: &str, why: &str) {
    let refused =
        keeps_clean(SOURCES, run, &format!("{SOURCES} {left}"), said).expect_err("it is not certain");
    assert!(refused.contains(why), "{refused}");
}

#[test]
fn what_a_failed_command_made_goes_and_the_rest_stays() {
    let kept = check(RUN, "b/a.o=ah", "0:b.o", &[], &[]);
    let failed: Vec<bool> = kept.trace.processes().iter().map(|process| process.failed).collect();
    assert_eq!(failed, [false, false, false, true]);
    check(
        &format!("{}\n\t\t\tas: >b/b.o ^b/b.tmp #1", RUN.trim_end()),
        "b/a.o=ah b/b.o=? b/b.tmp=?",
        "0:b.o",
        &["b/b.o", "b/b.tmp"],
        &[],
    );
    // A directory that holds nothing else.
    let mkdir = RUN.replace("#1", "^b/d ^b/d/b.o #1");
    check(&mkdir, "b/a.o=ah b/d=dir b/d/b.o=?", "0:b.o", &["b/d", "b/d/b.o"], &[]);
    check(&mkdir, "b/a.o=ah b/d=dir b/d/b.o=? b/d/other=x", "0:b.o", &["b/d/b.o"], &[]);
}

#[test]
fn what_an_earlier_line_of_the_recipe_made_goes() {
    let run = RUN.replace("cc b: <b/b.c <b/h.h #1", "cc b: <b/b.c <b/h.h >b/b.o\n\t\tstrip: <b/phase #1");
    check(&run, "b/a.o=ah b/b.o=bh", "0:b.o", &["b/b.o"], &["b/b.o"]);
    check(&run, "b/a.o=ah b/b.o=bh", "0:./b.o", &["b/b.o"], &["b/b.o"]);
    // Nobody says of which recipe it is.
    refuses(&run, "b/a.o=ah b/b.o=bh", "", "what make says");
    refuses(&run, "b/a.o=ah b/b.o=bh", "0:lib.a(b.o)", "archive");
}

#[test]
fn what_was_there_before_has_to_come_back() {
    let run = RUN.replace("#1", "-b/a.o #1");
    check(&run, "", "0:b.o", &[], &["b/a.o"]);
    let run = RUN.replace("#1", "+b/a.o #1");
    check(&run, "b/a.o=?", "0:b.o", &["b/a.o"], &["b/a.o"]);
}

#[test]
fn what_is_not_certain_is_not_kept() {
    let with = |deed: &str| RUN.replace("#1", &format!("{deed} #1"));
    refuses(&with("+b/a.c"), "b/a.o=ah", "0:b.o", "source");
    refuses(&with("~b/h.h"), "b/a.o=ah", "0:b.o", "source");
    refuses(&with("b/a.o>>b/c.o"), "b/c.o=ah", "0:b.o", "another name");
    refuses(RUN, "b/a.o=ah", "0:b.o 0:c.o", "what make says");
    refuses(&RUN.replace("#1", "#?"), "b/a.o=ah", "0:b.o", "seen to end");
    refuses("\nbash: <b/phase >b/log #1\n\tcc a: <b/a.c >b/a.o #1", "b/log=l", "", "a build tool");
    // Another one read what it wrote, or saw that it is there.
    for deed in ["<b/b.tmp", "/b"] {
        let run = format!("{}\n\t\tcc c: {deed} >b/c.o", RUN.replace("#1", "^b/b.tmp #1").trim_end());
        refuses(&run, "b/a.o=ah b/b.tmp=? b/c.o=c", "0:b.o", "may have looked");
    }
}

#[test]
fn who_used_half_of_what_failed_goes_with_it() {
    // One reads what another is making, a third what that one makes; a fourth lists where all of it is.
    let run = "
bash: @0-9 <b/phase #1
\tninja: @0-9 <b/build.ninja >b/.ninja_log #1
\t\tcc a: @1-9 <b/a.c ^b/d/a.half #1
\t\tcc b: @2-3 <b/d/a.half ^b/d/b.tmp b/d/b.tmp>>b/d/b.o
\t\tcc c: @4-5 <b/d/b.o ^b/c.o
\t\tcc d: @6-7 /b/d ^b/d.o
";
    let left = "b/build.ninja=b/c.o b/.ninja_log=l b/d=dir b/d/a.half=? b/d/b.o=b b/c.o=c b/d.o=d";
    let kept = check(run, left, "", &["b/c.o", "b/d/a.half", "b/d/b.o"], &["b/c.o", "b/d/b.o"]);
    let failed: Vec<bool> = kept.trace.processes().iter().map(|process| process.failed).collect();
    assert_eq!(failed, [false, false, true, true, true, false]);
    // Make does not notice that one line of a recipe has to run again.
    let make = run.replace("ninja:", "make:").replace("<b/build.ninja >b/.ninja_log", "<b/Makefile");
    refuses(&make, left, "0:a.o", "may have looked");
    // Who has only said something is not noticed to be missing.
    refuses(&format!("{}\n\t\tcc e: @7-8 <b/d/a.half", run.trim_end()), left, "", "`cc e` may have looked");
    // Who lists it when that one has failed finds what no clean build has there.
    let later = run.replace("@1-9", "@1-6");
    check(&later, left, "", &["b/c.o", "b/d.o", "b/d/a.half", "b/d/b.o"], &["b/c.o", "b/d.o", "b/d/b.o"]);
}

#[test]
fn what_failed_without_harm_still_counts() {
    let run = RUN.replace("\t\tcc a", "\t\tgrep x: <b/h.h #1\n\t\tcc a");
    let kept = check(&run, "b/a.o=ah", "0:b.o", &[], &[]);
    assert!(!kept.trace.processes()[2].failed && kept.trace.processes()[4].failed);
}

#[test]
fn what_is_old_in_the_tree_of_a_step_that_went_on_goes_too() {
    let then =
        "\nbash: <b/phase\n\tmake: <b/Makefile\n\t\tcc a: <b/a.c <b/h.h >b/a.o\n\t\tcc b: <b/b.c >b/b.o";
    let left = "b/Makefile=m b/a.c=a b/b.c=b b/h.h=h b/phase=x b/a.o=ah b/b.o=b";
    // Nobody says that a.o depends on h.h, and b.o is not made again.
    let after = "b/Makefile=m b/a.c=a b/b.c=B b/h.h=H b/phase=x b/a.o=ah b/b.o=b";
    let case = Case {
        sources: "b/Makefile=m b/a.c=a b/b.c=B b/h.h=H b/phase=x",
        then: (then, left),
        rounds: &[("b/h.h b/b.c", "bash: <b/phase #2\n\tmake: <b/Makefile #2\n\t\tcc b: <b/b.c #1", after)],
        removed: &[],
    };
    let kept = keeps(&case, "0:b.o").expect("it can be kept");
    assert_eq!(paths(&kept.remove), ["b/a.o", "b/b.o"]);
    assert_eq!(paths(kept.lost.iter().map(|lost| &lost.path)), ["b/a.o", "b/b.o"]);
    // Its makefile is another one.
    let prepared = Case { rounds: &[("b/Makefile", case.rounds[0].1, case.rounds[0].2)], ..case };
    let other = after.replace("b/Makefile=m", "b/Makefile=M");
    let edited = Case { rounds: &[("b/Makefile", prepared.rounds[0].1, &other)], ..prepared };
    assert!(keeps(&edited, "0:b.o").is_err());
}

#[test]
fn what_failed_has_to_run_again_and_what_was_lost_to_come_back() {
    let kept = check(RUN, "b/a.o=ah", "0:b.o", &[], &[]);
    let left = format!("{SOURCES} b/a.o=ah");
    let mended = SOURCES.replace("b/b.c=b", "b/b.c=B");
    let after = format!("{mended} b/a.o=ah b/b.o=B");
    let again = "bash: <b/phase\n\tmake: <b/Makefile\n\t\tcc b: <b/b.c <b/h.h >b/b.o";
    let case = |round| Case { sources: &mended, then: ("sh:", &left), rounds: round, removed: &[] };
    let rounds = [("b/b.c", again, &*after)];
    let lost = |path: &str| Removal { path: path.into(), is_tracked: false, maker: (usize::MAX, 0) };
    // What the command that failed had read is another now: make was told nothing by it.
    assert_eq!(judge_after(&case(&rounds), &kept.trace, &[]), Verdict::Settled);
    assert_eq!(judge_after(&case(&rounds), &kept.trace, &[lost("b/a.o")]), Verdict::Settled);
    let rule = |verdict| match verdict {
        Verdict::Clean(finding) => finding.rule,
        other => panic!("{other:?}"),
    };
    assert_eq!(rule(judge_after(&case(&rounds), &kept.trace, &[lost("b/c.o")])), Rule::NotMadeAgain);
    let idle = [("b/b.c", "bash: <b/phase\n\tmake: <b/Makefile", &*after)];
    assert_eq!(rule(judge_after(&case(&idle), &kept.trace, &[])), Rule::NotRunAgain);
    // What the one that ended well had read still counts.
    let changed = mended.replace("b/h.h=h", "b/h.h=H");
    let after = format!("{changed} b/a.o=ah b/b.o=BH");
    let rounds = [("b/b.c b/h.h", again, &*after)];
    let other = Case { sources: &changed, then: ("sh:", &left), rounds: &rounds, removed: &[] };
    assert!(matches!(judge_after(&other, &kept.trace, &[]), Verdict::Redo { .. }));
}

#[test]
fn a_run_that_failed_is_needed_until_what_failed_ran_again() {
    let kept = check(RUN.replace("\t\tcc a: <b/a.c <b/h.h >b/a.o\n", "").as_str(), "", "0:b.o", &[], &[]);
    let failed = Run::new(kept.trace);
    let nothing = Run::new(super::builds::run("bash:\n\tmake:", &super::builds::tree("")).trace().clone());
    assert_eq!(needed(&[&failed, &nothing], 0), [false, false]);
    assert_eq!(needed(&[&failed, &nothing], 2), [true, true]);
    assert_eq!(needed(&[&nothing, &failed], 2), [false, true]);
    assert_eq!(needed(&[&failed, &failed], 2), [false, true]);
}

#[test]
fn who_ran_before_it_failed_does_not_find_what_comes_later() {
    let lists = RUN.replace("<b/h.h >b/a.o", "<b/h.h /b ?b/b.o >b/a.o");
    let kept = check(&lists, "b/a.o=ah", "0:b.o", &[], &[]);
    let left = format!("{SOURCES} b/a.o=ah");
    let again = "bash: <b/phase\n\tmake: <b/Makefile\n\t\tcc b: <b/b.c <b/h.h >b/b.o";
    let judge = |sources: &str, prepared: &str, again: &str| {
        let after = format!("{sources} b/a.o=ah b/b.o=B");
        let rounds = [(prepared, again, &*after)];
        let case = Case { sources, then: ("sh:", &left), rounds: &rounds, removed: &[] };
        judge_after(&case, &kept.trace, &[])
    };
    let mended = SOURCES.replace("b/b.c=b", "b/b.c=B");
    assert_eq!(judge(&mended, "b/b.c", again), Verdict::Settled);
    // A source that is new would be there from the beginning.
    let with_new = format!("{mended} b/new.c=n");
    assert!(matches!(judge(&with_new, "b/b.c b/new.c", again), Verdict::Redo { .. }));
    // Who keeps book may run in another order, now that it was told otherwise.
    let ninja = |run: &str| run.replace("make: <b/Makefile", "ninja: <b/Makefile +b/.ninja_log");
    let kept =
        keeps_clean(SOURCES, &ninja(&lists), &format!("{left} b/.ninja_log=l"), "").expect("it can be kept");
    let told = mended.replace("b/Makefile=m", "b/Makefile=b/a.o,b/b.o");
    for (sources, prepared, is_settled) in [(&mended, "b/b.c", true), (&told, "b/b.c b/Makefile", false)] {
        let after = format!("{sources} b/a.o=ah b/b.o=B b/.ninja_log=l");
        let again = ninja(again);
        let rounds = [(prepared, &*again, &*after)];
        let left = format!("{left} b/.ninja_log=l");
        let case = Case { sources, then: ("sh:", &left), rounds: &rounds, removed: &[] };
        let verdict = judge_after(&case, &kept.trace, &[]);
        assert_eq!(verdict == Verdict::Settled, is_settled, "{verdict:?}");
    }
}
