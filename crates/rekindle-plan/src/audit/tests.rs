//! The audit, as a table of small builds.
//!
//! A tree is a list of `path=content`. A run is told line by line: a number of tabs for how deep in the tree of processes, the
//! command, and what it does, in the order of time: `<path` reads, `?path` looks for and does not find, `/path` lists, `>path`
//! makes, `+path` writes into, `-path` removes, `a>>b` renames.

use std::collections::BTreeMap;

use super::*;
use crate::trace::{Access, Exec, Move, PathId, Process, ProcessId, Touch};

type Tree = BTreeMap<Vec<u8>, String>;

fn tree(text: &str) -> Tree {
    let words = text.split_whitespace().map(|word| word.split_once('=').expect("path=content"));
    words.map(|(path, content)| (path.into(), content.to_owned())).collect()
}

fn run(text: &str, after: &Tree) -> Trace {
    let mut paths: Vec<Vec<u8>> = Vec::new();
    let mut processes: Vec<Process> = Vec::new();
    let mut moves = Vec::new();
    let mut above: Vec<ProcessId> = Vec::new();
    let mut clock = 0;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let depth = line.len() - line.trim_start_matches('\t').len();
        let (command, deeds) = line.trim().split_once(':').expect("command: deeds");
        let mut id = |name: &str| {
            let at = paths.iter().position(|path| *path == name.as_bytes()).unwrap_or_else(|| {
                paths.push(name.into());
                paths.len() - 1
            });
            PathId(at as u32)
        };
        let me = ProcessId(processes.len() as u32);
        above.truncate(depth);
        let parent = above.last().copied();
        above.push(me);
        let argv: Vec<Vec<u8>> = command.split_whitespace().map(Into::into).collect();
        let mut digest = [0; 32];
        command.bytes().enumerate().for_each(|(at, byte)| digest[at % 32] ^= byte.rotate_left(at as u32 % 7));
        let name = String::from_utf8_lossy(&argv[0]).into_owned();
        let exec = (name != "fork").then(|| Exec {
            program: id(&format!("/bin/{name}")),
            cwd: id("b"),
            argv,
            argv_digest: digest,
            env_digest: [0; 32],
        });
        let mut accesses: Vec<Access> = Vec::new();
        for deed in deeds.split_whitespace() {
            clock += 1;
            let mut note = |path: PathId, touch: Touch| {
                let (observed, changed) = match touch.changes() {
                    true => (0, clock),
                    false => (clock, 0),
                };
                accesses.push(Access { path, touch, observed, changed, changed_last: changed });
            };
            if let Some((from, to)) = deed.split_once(">>") {
                let (from, to) = (id(from), id(to));
                note(from, Touch::REMOVED);
                note(to, Touch::REPLACED);
                moves.push(Move { process: me, from, to, at: clock });
                continue;
            }
            let path = id(&deed[1..]);
            match deed.as_bytes()[0] {
                b'<' => note(path, Touch::READ),
                b'?' => note(path, Touch::ABSENT),
                b'/' => note(path, Touch::LISTED),
                b'>' => note(path, Touch::REPLACED),
                b'+' => note(path, Touch::UPDATED),
                b'-' => {
                    note(path, Touch::REMOVED.and(Touch::PRESENT));
                    accesses.last_mut().expect("just noted").observed = clock;
                }
                other => panic!("no such deed: {other}"),
            }
        }
        processes.push(Process { parent, exec, accesses, ..Process::default() });
    }
    Trace::new(&paths, processes, moves, |path| after.contains_key(path))
}

/// The trees of a build as the audit sees them.
struct Trees {
    /// Before the step, today.
    before: Tree,
    after: Vec<Tree>,
    changed: Vec<Vec<SourceChange>>,
    prepared: Vec<Vec<Vec<u8>>>,
}

impl Facts for Trees {
    fn changed_since(&self, round: usize) -> &[SourceChange] {
        &self.changed[round]
    }

    fn was_prepared(&self, round: usize, path: &[u8]) -> bool {
        self.prepared[round - 1].iter().any(|other| other == path)
    }

    fn is_source(&self, round: usize, path: &[u8]) -> bool {
        self.before.contains_key(path) && self.before.get(path) == self.after[round].get(path)
    }

    fn exists(&self, path: &[u8]) -> bool {
        self.after.last().is_some_and(|last| last.contains_key(path))
    }

    fn is_directory(&self, _: &[u8]) -> bool {
        false
    }

    fn is_in_sources(&self, path: &[u8]) -> bool {
        self.before.contains_key(path)
    }

    fn is_book(&self, _: &[u8]) -> bool {
        false
    }

    fn is_advice(&self, path: &[u8]) -> bool {
        path.ends_with(b".d")
    }

    fn has_other_recipe(&self, _: &[&[u8]], _: &[u8]) -> bool {
        false
    }

    fn is_named(&self, descriptions: &[&[u8]], path: &[u8]) -> bool {
        let last = self.after.last().expect("one at least");
        let name = String::from_utf8_lossy(path).into_owned();
        descriptions.iter().any(|path| last.get(*path).is_some_and(|text| text.contains(&name)))
    }

    fn is_meant(&self, makefiles: &[&[u8]], path: &[u8], has_kin: bool) -> bool {
        let has_glob = |path: &&[u8]| self.before.get(*path).is_some_and(|content| content.contains('*'));
        makefiles.iter().any(has_glob) || (has_kin && path.ends_with(b".c"))
    }
}

/// A build: its sources today, what the step left then, and the rounds of today.
#[derive(Clone, Copy)]
struct Case<'a> {
    sources: &'static str,
    then: (&'static str, &'static str),
    /// What was changed before it, what it did, and the tree that it left.
    rounds: &'a [(&'static str, &'static str, &'static str)],
    removed: &'a [&'a [&'static str]],
}

fn judge(case: &Case<'_>, rules: Rules) -> Verdict {
    let then = tree(case.then.1);
    let after: Vec<Tree> =
        [then.clone()].into_iter().chain(case.rounds.iter().map(|(_, _, after)| tree(after))).collect();
    let last = after.last().expect("one at least");
    let changed = after[..after.len() - 1].iter().map(|earlier| {
        let mut paths: Vec<&Vec<u8>> = earlier.keys().chain(last.keys()).collect();
        paths.sort();
        paths.dedup();
        let kind = |path: &Vec<u8>| match (earlier.get(path), last.get(path)) {
            (None, _) => Some(ChangeKind::Added),
            (_, None) => Some(ChangeKind::Removed),
            (a, b) => (a != b).then_some(ChangeKind::Content),
        };
        let change = |path: &Vec<u8>| Some(SourceChange { path: path.clone(), kind: kind(path)? });
        paths.into_iter().filter_map(change).collect()
    });
    let changed = changed.collect();
    let names = |text: &str| text.split_whitespace().map(Into::into).collect();
    let trees = Trees {
        before: tree(case.sources),
        changed,
        prepared: case.rounds.iter().map(|(prepared, ..)| names(prepared)).collect(),
        after,
    };
    let removal = |path: &&str| Removal { path: (*path).into(), is_tracked: false, maker: (0, 1) };
    let removed: Vec<Vec<Removal>> =
        case.removed.iter().map(|round| round.iter().map(removal).collect()).collect();
    let rounds: Vec<Trace> = case.rounds.iter().map(|(_, text, after)| run(text, &tree(after))).collect();
    let evidence = Evidence { then: &[run(case.then.0, &then)], rounds: &rounds, removed: &removed };
    audit(evidence, &trees, rules)
}

#[track_caller]
fn redoes(case: &Case<'_>, rules: Rules, expected: &[&str]) {
    match judge(case, rules) {
        Verdict::Redo { remove, .. } => {
            let paths: Vec<_> = remove.iter().map(|removal| String::from_utf8_lossy(&removal.path)).collect();
            assert_eq!(paths, expected);
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn is_clean(case: &Case<'_>, rules: Rules, rule: Rule) {
    match judge(case, rules) {
        Verdict::Clean(finding) => assert_eq!(finding.rule, rule, "{finding}"),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn settles(case: &Case<'_>, rules: Rules) {
    assert_eq!(judge(case, rules), Verdict::Settled);
}

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
    settles(&Case { then: (kbuild, LEFT), ..case }, Rules::ALL);
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
    settles(&case, without("orchestrator"));
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
fn advice_about_what_was_made_again_may_be_old() {
    let then = "
bash: <b/phase
\tmake: <b/Makefile
\t\tcc -c a.c: <b/a.c >b/a.o >b/a.d
";
    let case = Case {
        sources: "b/Makefile=m b/a.c=A b/phase=x",
        then: (then, "b/Makefile=m b/a.c=a b/a.o=a b/a.d=a b/phase=x"),
        rounds: &[(
            "b/a.c",
            "bash: <b/phase\n\tmake: <b/Makefile <b/a.d\n\t\tcc -c a.c: <b/a.c >b/a.o >b/a.d",
            "b/Makefile=m b/a.c=A b/a.o=A b/a.d=A b/phase=x",
        )],
        removed: &[],
    };
    settles(&case, Rules::ALL);
}

#[test]
fn what_passes_through_a_pipe_or_a_file_that_is_gone_counts() {
    let check = |then: &'static str| {
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
    };
    check("bash: <b/phase\n\tmake: <b/Makefile\n\t\tsh -c:\n\t\t\tcat list: <b/list\n\t\t\tsed s: >b/out");
    check(
        "bash: <b/phase\n\tmake: <b/Makefile\n\t\tcat: <b/list >b/tmp\n\t\tsed s: <b/tmp >b/out\n\t\trm: -b/tmp",
    );
    check("bash: <b/phase\n\tmake: <b/Makefile\n\t\tcat: <b/list >b/tmp\n\t\tmv: b/tmp>>b/out");
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
fn runs_of_which_all_was_made_again_are_not_needed() {
    let left = tree("b/a.o=1 b/b.o=1");
    let first = run("bash:\n\tmake: <b/m\n\t\tcc: >b/a.o\n\t\tcc: >b/b.o", &left);
    let second = run("bash:\n\tmake: <b/m\n\t\tcc: >b/a.o", &left);
    assert_eq!(needed(&[&first, &second, &second]), [true, false, true]);
    assert_eq!(needed(&[&second, &first]), [false, true]);
}
