//! What is left of an old product in one that was made since, or left alone, or is in its way.

use super::super::Rules;
use super::builds::{Case, redoes, settles};
use super::without;

#[test]
fn what_is_given_its_name_only_if_it_is_another_may_stay() {
    let check = |then: &str, now: &str, stays: bool| {
        let ninja = "bash: <b/phase\n\tninja: <b/build.ninja >b/.ninja_log\n\t\tsh -c gen:\n";
        let (then, now) = (format!("{ninja}{then}"), format!("{ninja}{now}"));
        let rounds = [("b/in", &*now, "b/build.ninja=b/out b/in=I b/out=o b/.ninja_log=L b/phase=x")];
        let case = Case {
            sources: "b/build.ninja=b/out b/in=I b/phase=x",
            then: (&then, "b/build.ninja=b/out b/in=i b/out=o b/.ninja_log=l b/phase=x"),
            rounds: &rounds,
            removed: &[],
        };
        match stays {
            true => settles(&case, Rules::ALL),
            false => redoes(&case, Rules::ALL, &["b/out"]),
        }
    };
    let gen_then = "\t\t\tgen in: <b/in ^b/tmp\n\t\t\tmv: b/tmp>>b/out";
    check(gen_then, "\t\t\tgen in: <b/in ^b/tmp\n\t\t\tcmp: <b/tmp <b/out\n\t\t\trm: -b/tmp", true);
    // Here it only looks whether it has something to do.
    check(gen_then, "\t\t\tgrep x out: <b/out", false);
    check("\t\t\tgen in: <b/in ^b/out", "\t\t\tgen in: <b/in <b/out", false);
}

#[test]
fn what_a_program_of_kbuild_compared_in_memory_may_stay() {
    let check = |now: &str, stays: bool| {
        let make =
            "bash: <b/phase\n\tmake: <b/Makefile <b/scripts/Kbuild.include <b/.o.cmd\n\t\tsh -c modpost:\n";
        let then = format!("{make}\t\t\tmodpost o: <b/o ^b/out.c");
        let now = format!("{make}{now}");
        let case = Case {
            sources: "b/Makefile=m b/scripts/Kbuild.include=k b/o=O b/phase=x",
            then: (&then, "b/Makefile=m b/scripts/Kbuild.include=k b/o=o b/out.c=c b/phase=x"),
            rounds: &[("b/o", &now, "b/Makefile=m b/scripts/Kbuild.include=k b/o=O b/out.c=c b/phase=x")],
            removed: &[],
        };
        match stays {
            true => settles(&case, Rules::ALL),
            false => redoes(&case, Rules::ALL, &["b/out.c"]),
        }
    };
    check("\t\t\tmodpost o: <b/o <b/out.c", true);
    check("\t\t\tmodpost o: <b/o <b/out.c #1", false);
    check("\t\t\tmodpost o: <b/o", false);
    check("\t\t\tgrep x out.c: <b/out.c", false);
}

#[test]
fn an_archive_that_is_updated_in_place_is_made_anew() {
    let then = "
bash: <b/phase
\tmake: <b/Makefile
\t\tcc -c a.c: <b/a.c >b/a.o
\t\tar r l.a: ?b/l.a <b/a.o >b/l.a
";
    let case = Case {
        sources: "b/Makefile=m b/a.c=A b/phase=x",
        then: (then, "b/Makefile=m b/a.c=a b/a.o=a b/l.a=a b/phase=x"),
        rounds: &[(
            "b/a.c",
            "bash: <b/phase\n\tmake: <b/Makefile\n\t\tcc -c a.c: <b/a.c >b/a.o\n\t\tar r l.a: <b/l.a <b/a.o >b/l.a",
            "b/Makefile=m b/a.c=A b/a.o=A b/l.a=aA b/phase=x",
        )],
        removed: &[],
    };
    redoes(&case, Rules::ALL, &["b/l.a"]);
    settles(&case, without("old-product"));
}

#[test]
fn what_would_be_made_later_is_not_to_be_found() {
    let then = "
bash: <b/phase
\tmake: <b/Makefile
\t\tsh -c cat: ?b/late <b/in >b/out
\t\tcp late: <b/late.txt >b/late
";
    let case = Case {
        sources: "b/Makefile=m b/in=I b/late.txt=l b/phase=x",
        then: (then, "b/Makefile=m b/in=i b/late.txt=l b/late=l b/out=i b/phase=x"),
        rounds: &[(
            "b/in",
            "bash: <b/phase\n\tmake: <b/Makefile\n\t\tsh -c cat: <b/late <b/in >b/out",
            "b/Makefile=m b/in=I b/late.txt=l b/late=l b/out=lI b/phase=x",
        )],
        removed: &[],
    };
    redoes(&case, Rules::ALL, &["b/late", "b/out"]);
    settles(&case, without("order"));
    // Told otherwise, it is known by what it makes.
    let otherwise = Case {
        rounds: &[(
            case.rounds[0].0,
            "bash: <b/phase\n\tmake: <b/Makefile\n\t\tsh -c cat -u: <b/late <b/in >b/out",
            case.rounds[0].2,
        )],
        ..case
    };
    redoes(&otherwise, Rules::ALL, &["b/late", "b/out"]);
}

#[test]
fn what_is_updated_with_the_same_result_is_made_anew_if_it_would_not_be_there() {
    let then = "
bash: <b/phase
\tninja: <b/build.ninja >b/.ninja_log
\t\tar r l.a one two: <b/one <b/two ^b/l.a
";
    let left = "b/build.ninja=b/l.a b/one=1 b/two=2 b/l.a=12 b/.ninja_log=l b/phase=x";
    let ninja = "bash: <b/phase\n\tninja: <b/build.ninja <b/.ninja_log >b/.ninja_log\n\t\t";
    let check = |deeds: &str| {
        let round = format!("{ninja}ar r l.a one: {deeds}");
        let rounds = [(
            "b/build.ninja",
            &*round,
            "b/build.ninja=b/l.a. b/one=1 b/two=2 b/l.a=12 b/.ninja_log=L b/phase=x",
        )];
        let sources = "b/build.ninja=b/l.a. b/one=1 b/two=2 b/phase=x";
        let case = Case { sources, then: (then, left), rounds: &rounds, removed: &[] };
        redoes(&case, Rules::ALL, &["b/l.a"]);
        settles(&case, without("order"));
    };
    check("<b/one <b/l.a >b/l.a");
    check("<b/one +b/l.a");
}

#[test]
fn a_stamp_that_is_touched_again_is_the_same_stamp() {
    let then = "bash: <b/phase\n\tmake: <b/Makefile\n\t\ttouch: ^b/stamp";
    let case = Case {
        sources: "b/Makefile=m b/a.c=A b/phase=x",
        then: (then, "b/Makefile=m b/a.c=a b/stamp= b/phase=x"),
        rounds: &[(
            "b/a.c",
            "bash: <b/phase\n\tmake: <b/Makefile\n\t\ttouch: +b/stamp",
            "b/Makefile=m b/a.c=A b/stamp= b/phase=x",
        )],
        removed: &[],
    };
    settles(&case, Rules::ALL);
}

#[test]
fn what_is_written_anew_has_a_mode_of_its_own() {
    let then = "
bash: <b/phase
\tmake: <b/Makefile
\t\tcp -r d o: <b/d/a <b/d/b ^b/o/a ^b/o/b
";
    let left = "b/Makefile=m b/d/a=a b/d/b=b b/o/a=a b/o/b=b b/phase=x";
    let check = |now: &'static str, deeds: &str, is_wrong: bool| {
        let sources = format!("b/Makefile=m {now} b/phase=x");
        let round = format!("bash: <b/phase\n\tmake: <b/Makefile\n\t\tcp -r d o: <b/d/a <b/d/b {deeds}");
        let after = format!("{sources} b/o/a=a b/o/b=b");
        let rounds = [("b/d/a", &*round, &*after)];
        let case = Case { sources: &sources, then: (then, left), rounds: &rounds, removed: &[] };
        match is_wrong {
            true => {
                redoes(&case, Rules::ALL, &["b/o/a", "b/o/b"]);
                settles(&case, without("old-mode"));
            }
            false => settles(&case, Rules::ALL),
        }
    };
    let program = "b/d/a=a! b/d/b=b";
    check(program, "%b/o/a %b/o/b", true);
    check("b/d/a=a b/d/b=b", "!b/o/a %b/o/b", true);
    // Nothing that it read has another mode, or it says itself which one it is to be.
    check("b/d/a=a b/d/b=b", "%b/o/a %b/o/b", false);
    check(program, "%b/o/a ~b/o/a %b/o/b ~b/o/b", false);
    check(program, ">b/o/a >b/o/b", false);
}

#[test]
fn what_is_thrown_away_first_may_be_there() {
    let then = "
bash: <b/phase
\tmake: <b/Makefile
\t\tcc -c a.c: <b/a.c >b/a.o
\t\tsh -c rm,ar:
\t\t\trm -f l.a: ?b/l.a
\t\t\tar q l.a: <b/a.o >b/l.a
";
    let case = Case {
        sources: "b/Makefile=m b/a.c=A b/phase=x",
        then: (then, "b/Makefile=m b/a.c=a b/a.o=a b/l.a=a b/phase=x"),
        rounds: &[(
            "b/a.c",
            "bash: <b/phase\n\tmake: <b/Makefile\n\t\tcc -c a.c: <b/a.c >b/a.o\n\t\tsh -c rm,ar:\n\t\t\trm -f l.a: -b/l.a\n\t\t\tar q l.a: <b/a.o >b/l.a",
            "b/Makefile=m b/a.c=A b/a.o=A b/l.a=A b/phase=x",
        )],
        removed: &[],
    };
    settles(&case, Rules::ALL);
}

#[test]
fn a_directory_goes_with_all_that_was_made_in_it() {
    let then = "
bash: <b/phase
\tninja: <b/build.ninja >b/.ninja_log
\t\tcp -r a o: <b/a/x ^b/o ^b/o/a ^b/o/a/x >b/stamp.a
\t\tcp -r c o: <b/c ^b/o/c >b/stamp.c
";
    let left = "b/a=dir b/a/x=x b/c=c b/o=dir b/o/a=dir b/o/a/x=x b/o/c=c b/stamp.a= b/stamp.c= b/.ninja_log=l b/phase=x";
    let check = |ninja: &str, round: &str, now: &str, remove: &[&str]| {
        let sources = format!("b/build.ninja={ninja} {now} b/c=c b/phase=x");
        let after =
            format!("{sources} b/o=dir b/o/a=dir b/o/a/x=x b/o/c=c b/stamp.a= b/stamp.c= b/.ninja_log=l");
        let then_left = format!("b/build.ninja=b/stamp.a,b/stamp.c {left}");
        let round = format!("bash: <b/phase\n\tninja: <b/build.ninja <b/.ninja_log >b/.ninja_log{round}");
        let rounds = [("b/build.ninja b/a b/a/x", &*round, &*after)];
        let case = Case { sources: &sources, then: (then, &then_left), rounds: &rounds, removed: &[] };
        redoes(&case, Rules::ALL, remove);
    };
    check("b/stamp.c", "", "b/a=dir b/a/x=x", &["b/o/a", "b/o/a/x", "b/stamp.a"]);
    // It was run again, and found the old directory there.
    let again = "\n\t\tcp -r a o: <b/a >b/stamp.a";
    check("b/stamp.a,b/stamp.c", again, "b/a=file", &["b/o/a", "b/o/a/x", "b/stamp.a"]);
}

/// `touch` does not empty it, but nothing is in it.
#[test]
fn an_empty_product_is_made_again_by_touching_it() {
    let check = |stamp: &str, command: &str, removed: &[&str]| {
        let then = "bash: <b/phase\n\tmake: <b/Makefile\n\t\tsh a: <b/a >b/x ^b/stamp";
        let left = format!("b/Makefile=m b/a=a b/x=a b/stamp={stamp} b/phase=x");
        let again = format!("bash: <b/phase\n\tmake: <b/Makefile\n\t\t{command}: <b/a >b/x +b/stamp");
        let now = format!("b/Makefile=m b/a=A b/x=A b/stamp={stamp} b/phase=x");
        let rounds = [("b/a", &*again, &*now)];
        let sources = "b/Makefile=m b/a=A b/phase=x";
        let case = Case { sources, then: (then, &left), rounds: &rounds, removed: &[] };
        if removed.is_empty() { settles(&case, Rules::ALL) } else { redoes(&case, Rules::ALL, removed) }
    };
    check("", "sh a", &[]);
    // Something is in it, which may be from then.
    check("a", "sh a", &["b/stamp", "b/x"]);
    // Another command need not do all that the first one did, such as give it a mode.
    check("", "sh b", &["b/stamp", "b/x"]);
}
