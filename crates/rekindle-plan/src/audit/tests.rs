//! The audit, as a table of small builds.

mod advice;
mod builds;
mod failures;
mod forgotten;
mod old_products;
mod overwritten;
mod streams;
mod unfinished;

use std::collections::BTreeSet;

use super::renewal::MOST_RUNS;
use super::{Rule, Rules, Run, Verdict, needed};
use builds::{Case, audit_of_nothing, is_clean, redoes, run, settles, tree};

/// Two objects and a program, of which make knows the sources and nothing else.
const THEN: &str = "
bash: <b/phase
\tmake: <b/Makefile ?b/a.o ?b/b.o
\t\tcc -c a.c: <b/a.c ?b/inc/h.h <b/h.h >b/a.o
\t\tcc -c b.c: <b/b.c >b/b.o
\t\tcc -o p: <b/a.o <b/b.o >b/p
";
const LEFT: &str = "b/Makefile=m b/a.c=a b/b.c=b b/h.h=h b/a.o=ah b/b.o=b b/p=ahb b/phase=x";

fn without(name: &str) -> Rules {
    Rules::without(name).expect("there is such a rule")
}

#[test]
fn every_rule_can_be_switched_off() {
    let all = [
        Rule::Producer,
        Rule::OldProduct,
        Rule::Printed,
        Rule::AskedOtherwise,
        Rule::Moment,
        Rule::Orchestrator,
        Rule::Overwritten,
        Rule::Nested,
        Rule::Forgotten,
        Rule::NotMadeAgain,
        Rule::NotRunAgain,
        Rule::Silent,
        Rule::Link,
        Rule::SourceMade,
    ];
    for rule in all {
        assert!(Rules::without(rule.name()).is_some_and(|rules| rules != Rules::ALL), "{}", rule.name());
    }
    assert_eq!(Rules::without("other"), None);
}

#[test]
fn what_make_did_again_rightly_is_settled() {
    let case = Case {
        sources: "b/Makefile=m b/a.c=a b/b.c=B b/h.h=h b/phase=x",
        then: (THEN, LEFT),
        rounds: &[(
            "b/b.c",
            "bash: <b/phase\n\tmake: <b/Makefile\n\t\tcc -c b.c: <b/b.c >b/b.o\n\t\tcc -o p: <b/a.o <b/b.o >b/p",
            "b/Makefile=m b/a.c=a b/b.c=B b/h.h=h b/a.o=ah b/b.o=B b/p=ahB b/phase=x",
        )],
        removed: &[],
    };
    settles(&case, Rules::ALL);
}

#[test]
fn a_header_that_nobody_declared_is_found() {
    let case = Case {
        sources: "b/Makefile=m b/a.c=a b/b.c=b b/h.h=H b/phase=x",
        then: (THEN, LEFT),
        rounds: &[(
            "b/h.h",
            "bash: <b/phase\n\tmake: <b/Makefile",
            "b/Makefile=m b/a.c=a b/b.c=b b/h.h=H b/a.o=ah b/b.o=b b/p=ahb b/phase=x",
        )],
        removed: &[],
    };
    redoes(&case, Rules::ALL, &["b/a.o"]);
    settles(&case, without("producer"));
}

#[test]
fn after_it_was_made_again_it_is_settled() {
    let again = "bash: <b/phase\n\tmake: <b/Makefile\n\t\tcc -c a.c: <b/a.c ?b/inc/h.h <b/h.h >b/a.o\n\t\tcc -o p: <b/a.o <b/b.o >b/p";
    let case = Case {
        sources: "b/Makefile=m b/a.c=a b/b.c=b b/h.h=H b/phase=x",
        then: (THEN, LEFT),
        rounds: &[
            (
                "b/h.h",
                "bash: <b/phase\n\tmake: <b/Makefile",
                "b/Makefile=m b/a.c=a b/b.c=b b/h.h=H b/a.o=ah b/b.o=b b/p=ahb b/phase=x",
            ),
            ("b/a.o", again, "b/Makefile=m b/a.c=a b/b.c=b b/h.h=H b/a.o=aH b/b.o=b b/p=aHb b/phase=x"),
        ],
        removed: &[&["b/a.o"]],
    };
    settles(&case, Rules::ALL);
    // It was not made again: nobody knows whether a clean build would make it.
    let missing = Case {
        rounds: &[
            (case.rounds[0].0, case.rounds[0].1, case.rounds[0].2),
            (
                "b/a.o",
                "bash: <b/phase\n\tmake: <b/Makefile",
                "b/Makefile=m b/a.c=a b/b.c=b b/h.h=H b/b.o=b b/p=ahb b/phase=x",
            ),
        ],
        ..case
    };
    is_clean(&missing, Rules::ALL, Rule::NotMadeAgain);
    redoes(&missing, without("not-made-again"), &["b/p"]);
}

#[test]
fn a_header_that_now_stands_before_another_is_found() {
    let case = Case {
        sources: "b/Makefile=m b/a.c=a b/b.c=b b/h.h=h b/inc/h.h=N b/phase=x",
        then: (THEN, LEFT),
        rounds: &[(
            "b/inc/h.h",
            "bash: <b/phase\n\tmake: <b/Makefile",
            "b/Makefile=m b/a.c=a b/b.c=b b/h.h=h b/inc/h.h=N b/a.o=ah b/b.o=b b/p=ahb b/phase=x",
        )],
        removed: &[],
    };
    redoes(&case, Rules::ALL, &["b/a.o"]);
    settles(&case, without("absence"));
}

#[test]
fn an_edited_makefile_asks_for_a_clean_run_unless_its_reader_keeps_book() {
    let case = Case {
        sources: "b/Makefile=M b/a.c=a b/b.c=b b/h.h=h b/phase=x",
        then: (THEN, LEFT),
        rounds: &[(
            "b/Makefile",
            "bash: <b/phase\n\tmake: <b/Makefile",
            "b/Makefile=M b/a.c=a b/b.c=b b/h.h=h b/a.o=ah b/b.o=b b/p=ahb b/phase=x",
        )],
        removed: &[],
    };
    is_clean(&case, Rules::ALL, Rule::Orchestrator);
    settles(&case, without("orchestrator"));
    let kbuild = "
bash: <b/phase
\tmake: <b/Makefile <b/scripts/Kbuild.include
\t\tcc -c a.c: <b/a.c >b/a.o
";
    // What is called so may be another one's.
    is_clean(&Case { then: (kbuild, LEFT), ..case }, Rules::ALL, Rule::Orchestrator);
    let kbuild = kbuild.replace(">b/a.o", ">b/a.o >b/.a.o.cmd");
    settles(&Case { then: (&kbuild, &format!("{LEFT} b/.a.o.cmd=cc")), ..case }, Rules::ALL);
}

#[test]
fn what_ninja_is_told_no_more_to_make_goes() {
    let then = "
bash: <b/phase
\tninja: <b/build.ninja >b/.ninja_log
\t\tcp a: <b/a >b/a.out
\t\tcp c: <b/c >b/c.out
";
    let case = Case {
        sources: "b/build.ninja=b/a.out b/a=a b/c=c b/phase=x",
        then: (
            then,
            "b/build.ninja=b/a.out,b/c.out b/a=a b/c=c b/a.out=a b/c.out=c b/.ninja_log=l b/phase=x",
        ),
        rounds: &[(
            "b/build.ninja",
            "bash: <b/phase\n\tninja: <b/build.ninja <b/.ninja_log >b/.ninja_log",
            "b/build.ninja=b/a.out b/a=a b/c=c b/a.out=a b/c.out=c b/.ninja_log=L b/phase=x",
        )],
        removed: &[],
    };
    redoes(&case, Rules::ALL, &["b/c.out"]);
    settles(&case, without("forgotten"));
    // Nor what its command had another program make.
    let inner = "
bash: <b/phase
\tninja: <b/build.ninja >b/.ninja_log
\t\tcp a: <b/a >b/a.out
\t\tsh -c make:
\t\t\tmake: <b/inner.mk
\t\t\t\tcp c: <b/c >b/c.out
";
    redoes(&Case { then: (inner, case.then.1), ..case }, Rules::ALL, &["b/c.out"]);
}

#[test]
fn what_a_makefile_asks_a_program_counts_as_read_by_make() {
    let then = "
bash: <b/phase
\tmake: <b/Makefile
\t\tsh -c cat: <b/version
\t\tcc -c a.c -DV=1: <b/a.c >b/a.o
";
    let case = Case {
        sources: "b/Makefile=m b/a.c=a b/version=2 b/phase=x",
        then: (then, "b/Makefile=m b/a.c=a b/version=1 b/a.o=a1 b/phase=x"),
        rounds: &[(
            "b/version",
            "bash: <b/phase\n\tmake: <b/Makefile\n\t\tsh -c cat: <b/version",
            "b/Makefile=m b/a.c=a b/version=2 b/a.o=a1 b/phase=x",
        )],
        removed: &[],
    };
    is_clean(&case, Rules::ALL, Rule::Orchestrator);
    settles(&case, without("informer"));
}

#[test]
fn what_lists_a_directory_sees_a_new_name() {
    let then = "
bash: <b/phase
\tmake: <b/Makefile
\t\tsh -c gen: /b/data <b/data/x >b/all
\t\tcc -c a.c: <b/a.c >b/a.o
";
    let case = Case {
        sources: "b/Makefile=m b/a.c=a b/data/x=x b/data/y=y b/phase=x",
        then: (then, "b/Makefile=m b/a.c=a b/data/x=x b/all=x b/a.o=a b/phase=x"),
        rounds: &[(
            "b/data/y",
            "bash: <b/phase\n\tmake: <b/Makefile",
            "b/Makefile=m b/a.c=a b/data/x=x b/data/y=y b/all=x b/a.o=a b/phase=x",
        )],
        removed: &[],
    };
    redoes(&case, Rules::ALL, &["b/all"]);
    settles(&case, without("listing"));
}

#[test]
fn a_directory_that_a_compiler_was_told_of_counts_when_it_comes() {
    let then = "
bash: <b/phase
\tmake: <b/Makefile
\t\tcc -Ifirst -c a.c: <b/a.c <b/h.h >b/a.o
";
    let case = Case {
        sources: "b/Makefile=m b/a.c=a b/h.h=h b/first=dir b/first/h.h=H b/phase=x",
        then: (then, "b/Makefile=m b/a.c=a b/h.h=h b/a.o=ah b/phase=x"),
        rounds: &[(
            "b/first b/first/h.h",
            "bash: <b/phase\n\tmake: <b/Makefile",
            "b/Makefile=m b/a.c=a b/h.h=h b/first=dir b/first/h.h=H b/a.o=ah b/phase=x",
        )],
        removed: &[],
    };
    redoes(&case, Rules::ALL, &["b/a.o"]);
    settles(&case, without("absence"));
}

#[test]
fn of_all_names_in_a_listed_directory_each_counts() {
    // What is new there is the round's own; what is gone was an old product when it was listed.
    let then = "
bash: <b/phase
\tmake: <b/Makefile
\t\tcc a: <b/a.c >b/o/a
\t\tcc z: <b/z.c >b/o/m
\t\tsh -c all: /b/o >b/all
";
    let case = Case {
        sources: "b/Makefile=m b/a.c=A b/z.c=z b/phase=x",
        then: (then, "b/Makefile=m b/a.c=a b/z.c=z b/o=dir b/o/a=a b/o/m=z b/all=am b/phase=x"),
        rounds: &[(
            "b/a.c",
            "bash: <b/phase\n\tmake: <b/Makefile\n\t\tsh -c all: /b/o >b/all\n\t\trm: -b/o/m\n\t\tcc a: <b/a.c >b/o/a >b/o/zz",
            "b/Makefile=m b/a.c=A b/z.c=z b/o=dir b/o/a=A b/o/zz=new b/all=amx b/phase=x",
        )],
        removed: &[],
    };
    redoes(&case, Rules::ALL, &["b/all"]);
    settles(&case, without("listing"));
}

#[test]
fn what_make_lists_counts_if_it_can_have_meant_the_name() {
    let then = "
bash: <b/phase
\tmake: <b/Makefile /b
\t\tcc -c a.c: <b/a.c >b/a.o
";
    let round = (
        "b/new.c b/a.S",
        "bash: <b/phase\n\tmake: <b/Makefile /b",
        "b/Makefile=m b/a.c=a b/new.c=n b/a.o=a b/phase=x",
    );
    let case = Case {
        sources: "b/Makefile=m b/a.c=a b/new.c=n b/phase=x",
        then: (then, "b/Makefile=m b/a.c=a b/a.o=a b/phase=x"),
        rounds: &[round],
        removed: &[],
    };
    settles(&case, Rules::ALL);
    let globs = Case {
        sources: "b/Makefile=*.c b/a.c=a b/new.c=n b/phase=x",
        then: (then, "b/Makefile=*.c b/a.c=a b/a.o=a b/phase=x"),
        rounds: &[(round.0, round.1, "b/Makefile=*.c b/a.c=a b/new.c=n b/a.o=a b/phase=x")],
        ..case
    };
    is_clean(&globs, Rules::ALL, Rule::Orchestrator);
    settles(&globs, without("listing"));
}

#[test]
fn a_source_that_the_build_writes_into_goes_back() {
    let then = "
bash: <b/phase
\tmake: <b/Makefile
\t\tsed -i: <b/v.h >b/v.h
";
    let case = Case {
        sources: "b/Makefile=m b/a.c=A b/v.h=1 b/phase=x",
        then: (then, "b/Makefile=m b/a.c=a b/v.h=2 b/phase=x"),
        rounds: &[(
            "b/a.c",
            "bash: <b/phase\n\tmake: <b/Makefile\n\t\tsed -i: <b/v.h >b/v.h",
            "b/Makefile=m b/a.c=A b/v.h=3 b/phase=x",
        )],
        removed: &[],
    };
    redoes(&case, Rules::ALL, &["b/v.h"]);
}

#[test]
fn a_source_that_the_build_made_for_its_time_alone_asks_for_a_clean_run() {
    let then = "bash: <b/phase\n\tmake: <b/Makefile\n\t\tcc: <b/y.c >b/y.o";
    let case = Case {
        sources: "b/Makefile=m b/y.y=Y b/y.c=y b/phase=x",
        then: (then, "b/Makefile=m b/y.y=y b/y.c=y b/y.o=y b/phase=x"),
        rounds: &[(
            "b/y.y",
            "bash: <b/phase\n\tmake: <b/Makefile\n\t\tyacc: <b/y.y >b/y.c\n\t\tcc: <b/y.c >b/y.o",
            "b/Makefile=m b/y.y=Y b/y.c=Y b/y.o=Y b/phase=x",
        )],
        removed: &[],
    };
    is_clean(&case, Rules::ALL, Rule::SourceMade);
    settles(&case, without("source-made"));
}

#[test]
fn data_that_looks_like_advice_is_data() {
    let then = "bash: <b/phase\n\tmake: <b/Makefile\n\t\tcat: <b/in >b/out.d";
    let case = Case {
        sources: "b/Makefile=m b/in=I b/phase=x",
        then: (then, "b/Makefile=m b/in=i b/out.d=i b/phase=x"),
        rounds: &[("b/in", "bash: <b/phase\n\tmake: <b/Makefile", "b/Makefile=m b/in=I b/out.d=i b/phase=x")],
        removed: &[],
    };
    redoes(&case, Rules::ALL, &["b/out.d"]);
}

#[test]
fn what_passes_through_a_pipe_or_a_file_that_is_gone_counts() {
    let check = |then: &'static str, through_a_file: bool| {
        let case = Case {
            sources: "b/Makefile=m b/list=L b/phase=x",
            then: (then, "b/Makefile=m b/list=l b/out=l b/phase=x"),
            rounds: &[(
                "b/list",
                "bash: <b/phase\n\tmake: <b/Makefile",
                "b/Makefile=m b/list=L b/out=l b/phase=x",
            )],
            removed: &[],
        };
        redoes(&case, Rules::ALL, &["b/out"]);
        if through_a_file {
            settles(&case, without("handed-on"));
        }
    };
    check(
        "bash: <b/phase\n\tmake: <b/Makefile\n\t\tsh -c:\n\t\t\tcat list: <b/list\n\t\t\tsed s: >b/out",
        false,
    );
    check(
        "bash: <b/phase\n\tmake: <b/Makefile\n\t\tcat: <b/list >b/tmp\n\t\tsed s: <b/tmp >b/out\n\t\trm: -b/tmp",
        true,
    );
    check("bash: <b/phase\n\tmake: <b/Makefile\n\t\tcat: <b/list >b/tmp\n\t\tmv: b/tmp>>b/out", false);
}

#[test]
fn a_makefile_of_a_part_concerns_that_part() {
    let then = "
bash: <b/phase
\tmake: <b/Makefile
\t\tsh -c make: >b/part/log
\t\t\tmake: <b/part/Makefile
\t\t\t\tcc -c p.c: <b/part/p.c >b/part/p.o
\t\tcc -o p: <b/part/p.o >b/p
";
    let left = "b/Makefile=m b/part/Makefile=m b/part/p.c=p b/part/p.o=p b/part/log=x b/p=p b/phase=x";
    let case = Case {
        sources: "b/Makefile=m b/part/Makefile=M b/part/p.c=p b/phase=x",
        then: (then, left),
        rounds: &[(
            "b/part/Makefile",
            "bash: <b/phase\n\tmake: <b/Makefile\n\t\tsh -c make: >b/part/log\n\t\t\tmake: <b/part/Makefile",
            "b/Makefile=m b/part/Makefile=M b/part/p.c=p b/part/p.o=p b/part/log=x b/p=p b/phase=x",
        )],
        removed: &[],
    };
    redoes(&case, Rules::ALL, &["b/part/p.o"]);
}

#[test]
fn a_source_that_leads_elsewhere() {
    let then = "bash: <b/phase\n\tmake: <b/Makefile\n\t\treadlink l: >b/o";
    let check = |sources: &str, judge: &dyn Fn(&Case<'_>)| {
        judge(&Case {
            sources,
            then: (then, "b/Makefile=m b/l=->a b/o=a b/phase=x"),
            rounds: &[("b/l", "bash: <b/phase\n\tmake: <b/Makefile", "b/Makefile=m b/l=->b b/o=a b/phase=x")],
            removed: &[],
        });
    };
    let link = "b/Makefile=m b/l=->b b/phase=x";
    check(link, &|case| is_clean(case, Rules::ALL, Rule::Link));
    check(link, &|case| settles(case, without("link")));
    // The build made it itself, and it is told what that one had read.
    check("b/Makefile=m b/phase=x", &|case| settles(case, Rules::ALL));
}

#[test]
fn what_the_shell_does_after_make_says_nothing_about_make() {
    let then = "
bash: <b/phase
\tmake: <b/Makefile
\t\tcc -o p: <b/a.c >b/p
\t\tcc -o q: <b/q.c >b/q
\tcp p r: <b/p >b/r
\tcmp p q: <b/p <b/q
";
    let case = Case {
        sources: "b/Makefile=m b/a.c=A b/q.c=q b/phase=x",
        then: (then, "b/Makefile=m b/a.c=a b/q.c=q b/p=a b/q=q b/r=a b/phase=x"),
        rounds: &[(
            "b/a.c",
            "bash: <b/phase\n\tmake: <b/Makefile\n\t\tcc -o p: <b/a.c >b/p\n\tcp p r: <b/p >b/r\n\tcmp p q: <b/p <b/q",
            "b/Makefile=m b/a.c=A b/q.c=q b/p=A b/q=q b/r=A b/phase=x",
        )],
        removed: &[],
    };
    settles(&case, Rules::ALL);
}

#[test]
fn what_is_left_of_too_many_runs_is_made_again() {
    let names: Vec<String> = (0..=MOST_RUNS).map(|at| format!("b/{at}.o")).collect();
    let left = tree(&names.iter().map(|name| format!("{name}=x")).collect::<Vec<_>>().join(" "));
    let make = |name: &String| run(&format!("bash:\n\tmake: <b/m\n\t\tcc {name}: >{name}"), &left);
    let all: Vec<Run> = names.iter().map(make).collect();
    let verdict = |then: &[Run]| audit_of_nothing(then, "bash:\n\tmake: <b/m", &left);
    assert_eq!(verdict(&all[1..]), Verdict::Settled);
    let Verdict::Redo { remove, findings } = verdict(&all) else { panic!("too many") };
    let removed: BTreeSet<&[u8]> = remove.iter().map(|removal| &removal.path[..]).collect();
    let oldest = names[1..=MOST_RUNS / 2].iter().map(String::as_bytes);
    assert_eq!(removed, oldest.collect());
    assert!(findings.iter().all(|finding| finding.rule == Rule::Renewed));
}

#[test]
fn runs_of_which_all_was_made_again_are_not_needed() {
    let left = tree("b/a.o=1 b/b.o=1");
    let first = run("bash:\n\tmake: <b/m\n\t\tcc: >b/a.o\n\t\tcc: >b/b.o", &left);
    let second = run("bash:\n\tmake: <b/m\n\t\tcc: >b/a.o", &left);
    assert_eq!(needed(&[&first, &second, &second], 0), [true, false, true]);
    assert_eq!(needed(&[&second, &first], 0), [false, true]);

    // What the one adds to its own book, and another to a file of its own.
    let left = tree("b/.ninja_log=1 b/a.o=1 b/log=1");
    let first = run("bash:\n\tninja: >b/.ninja_log\n\t\tcc: >b/a.o", &left);
    let second = run("bash:\n\tninja: +b/.ninja_log\n\t\tcc: >b/a.o", &left);
    let noting = run("bash:\n\tninja: +b/.ninja_log\n\t\tcc: +b/log >b/a.o", &left);
    assert_eq!(needed(&[&first, &second, &second], 0), [true, false, true]);
    assert_eq!(needed(&[&first, &noting, &second], 0), [true, true, true]);
}
