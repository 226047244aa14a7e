//! Small builds, written down in few characters, and what the audit says of them.
//!
//! A tree is a list of `path=content`; a program is one whose content ends with `!`, a link one whose content begins with `->`.
//! What ends with `.d` may be advice: `target:name,name;target:name;remark`. A run is told line by line: a number of tabs for how deep in the tree of processes, the
//! command, and what it does, in the order of time: `<path` reads, `?path` looks for and does not find, `/path` lists, `>path`
//! makes, `^path` makes where nothing is, `+path` writes into, `-path` removes, `a>>b` renames. `%path` empties what has to be there, `!path` what has another
//! mode than it would have been made with, `~path` gives a mode. `#code` is how it ends, if not well; `#?` if nobody saw that.
//! `@2-5` says when it began and ended, otherwise all do everything at one moment. `|>1` says that it writes to a pipe of this
//! number, `|<1` that it reads from it; otherwise it has what it was started with.

use std::collections::BTreeMap;

use super::super::*;
use crate::observation::ChangeKind;
use crate::trace::{Access, Arguments, Exec, Move, PathId, Process, ProcessId, Stream, Touch, name_of};

type Tree = BTreeMap<Vec<u8>, String>;

pub(super) fn tree(text: &str) -> Tree {
    let words = text.split_whitespace().map(|word| word.split_once('=').expect("path=content"));
    words.map(|(path, content)| (path.into(), content.to_owned())).collect()
}

pub(super) fn run(text: &str, after: &Tree) -> Run {
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
        let argv: Arguments = command.split_whitespace().collect();
        let mut digest = [0; 32];
        command.bytes().enumerate().for_each(|(at, byte)| digest[at % 32] ^= byte.rotate_left(at as u32 % 7));
        let name = String::from_utf8_lossy(argv.first().expect("a command")).into_owned();
        let exec = (name != "fork").then(|| Exec {
            program: id(&format!("/bin/{name}")),
            cwd: id("b"),
            argv,
            argv_digest: digest,
            env_digest: [0; 32],
        });
        let mut accesses: Vec<Access> = Vec::new();
        let mut exit = Some(0);
        let mut span = [0; 2];
        let above = parent.map(|parent| &processes[parent.at()]);
        let mut output = above.map_or(Stream::Pipe(0), |above| above.output);
        let mut input = above.map_or(Stream::Other, |above| above.input);
        for deed in deeds.split_whitespace() {
            if let Some(code) = deed.strip_prefix('#') {
                exit = code.parse().ok();
                continue;
            }
            if let Some((end, number)) = deed.strip_prefix('|').and_then(|rest| rest.split_at_checked(1)) {
                let pipe = Stream::Pipe(number.parse().expect("a number"));
                *(if end == ">" { &mut output } else { &mut input }) = pipe;
                continue;
            }
            if let Some((from, to)) = deed.strip_prefix('@').and_then(|span| span.split_once('-')) {
                span = [from, to].map(|moment| moment.parse().expect("a number"));
                continue;
            }
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
                b'^' => {
                    note(path, Touch::ABSENT.and(Touch::CREATED));
                    accesses.last_mut().expect("just noted").observed = clock;
                }
                b'%' | b'!' => {
                    let is_told = deed.starts_with('!');
                    note(path, Touch::REPLACED.and(if is_told { Touch::MODE_KEPT } else { Touch::PRESENT }));
                    accesses.last_mut().expect("just noted").observed = clock;
                }
                b'~' => note(path, Touch::MODE),
                b'+' => {
                    note(path, Touch::UPDATED);
                    accesses.last_mut().expect("just noted").observed = clock;
                }
                b'-' => {
                    note(path, Touch::REMOVED.and(Touch::PRESENT));
                    accesses.last_mut().expect("just noted").observed = clock;
                }
                other => panic!("no such deed: {other}"),
            }
        }
        let [started, ended] = span;
        processes.push(Process {
            parent,
            exec,
            exit,
            input,
            output,
            started,
            ended,
            accesses,
            ..Process::default()
        });
    }
    Run::new(Trace::new(&paths, processes, moves, |path| after.contains_key(path)))
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

    fn existed(&self, round: usize, path: &[u8]) -> bool {
        self.after[round].contains_key(path)
    }

    fn is_directory(&self, path: &[u8]) -> bool {
        self.after.last().and_then(|last| last.get(path)).is_some_and(|content| content == "dir")
    }

    fn names_in(&self, path: &[u8]) -> Vec<Vec<u8>> {
        let all = self.after.last().into_iter().flatten();
        let name = |(other, _): (&Vec<u8>, _)| {
            let name = other.strip_prefix(path)?.strip_prefix(b"/")?;
            (!name.contains(&b'/')).then(|| name.to_vec())
        };
        all.filter_map(name).collect()
    }

    fn is_empty(&self, path: &[u8]) -> bool {
        self.after.last().and_then(|last| last.get(path)).is_some_and(String::is_empty)
    }

    fn has_same_mode(&self, round: usize, path: &[u8]) -> bool {
        let is_program = |tree: &Tree| tree.get(path).map(|content| content.ends_with('!'));
        let (then, now) = (is_program(&self.after[round]), self.after.last().and_then(is_program));
        then.is_some() && then == now
    }

    fn is_in_sources(&self, path: &[u8]) -> bool {
        self.before.contains_key(path)
    }

    fn is_book(&self, _: &[u8]) -> bool {
        false
    }

    fn advice(&self, round: usize, path: &[u8]) -> Option<Advice> {
        let content = self.after[round].get(path).map_or("", String::as_str);
        let rules = content.split(';').filter_map(|rule| rule.split_once(':')).map(|(target, names)| {
            (target.into(), names.split(',').map(|name| name.as_bytes().to_vec()).collect())
        });
        let remarks = content.split(';').filter(|part| !part.contains(':')).flat_map(str::bytes);
        path.ends_with(b".d").then(|| Advice { rules: rules.collect(), remarks: remarks.collect() })
    }

    fn says_what_is_newer(&self, _: &[&[u8]]) -> bool {
        false
    }

    fn speaks_of_prerequisites(&self, makefiles: &[&[u8]], _: &[&[u8]]) -> bool {
        makefiles.iter().any(|makefile| self.before.get(*makefile).is_some_and(|text| text.contains('^')))
    }

    fn has_other_recipe(&self, _: &[&[u8]], _: &[u8]) -> bool {
        false
    }

    fn tells_ninja(&self, _: usize, _: Call<'_>, path: &[u8]) -> bool {
        path == b"b/build.ninja"
    }

    fn is_asked_of_ninja(&self, _: Call<'_>, path: &[u8]) -> bool {
        let manifest = self.after.last().and_then(|last| last.get(&b"b/build.ninja"[..]));
        manifest.is_some_and(|text| text.contains(&*String::from_utf8_lossy(path)))
    }

    fn is_meant(&self, makefiles: &[&[u8]], path: &[u8], made: &LeftNames<'_>) -> bool {
        let has_glob = |path: &&[u8]| self.before.get(*path).is_some_and(|content| content.contains('*'));
        makefiles.iter().any(has_glob) || (made.has_kin(name_of(path)) && path.ends_with(b".c"))
    }

    fn reads_alike(&self, _: &[u8]) -> bool {
        false
    }

    fn asked_for<'p>(&self, _: &[&[u8]], _: &[&'p [u8]]) -> Option<&'p [u8]> {
        None
    }
}

/// What the audit says of a round after these runs, in which everything was as it is.
pub(super) fn audit_of_nothing(then: &[Run], round: &str, tree: &Tree) -> Verdict {
    let (after, rounds) = (vec![tree.clone(); 2], [run(round, tree)]);
    let facts = Trees { before: tree.clone(), after, changed: vec![Vec::new()], prepared: vec![Vec::new()] };
    let evidence = Evidence { then, rounds: &rounds, removed: &[], open: Open::default() };
    audit(evidence, &facts, Rules::ALL)
}

/// A build: its sources today, what the step left then, and the rounds of today.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) sources: &'a str,
    pub(super) then: (&'a str, &'a str),
    /// What was changed before it, what it did, and the tree that it left.
    pub(super) rounds: &'a [(&'a str, &'a str, &'a str)],
    pub(super) removed: &'a [&'a [&'static str]],
}

fn with<T>(case: &Case<'_>, ask: impl FnOnce(Evidence<'_>, &Trees) -> T) -> T {
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
            (Some(a), Some(b)) if a != b && a.trim_end_matches('!') == b.trim_end_matches('!') => {
                Some(ChangeKind::Mode)
            }
            (Some(a), Some(b)) if a != b && a.starts_with("->") && b.starts_with("->") => {
                Some(ChangeKind::Link)
            }
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
    let rounds: Vec<Run> = case.rounds.iter().map(|(_, text, after)| run(text, &tree(after))).collect();
    let evidence = Evidence {
        then: &[run(case.then.0, &then)],
        rounds: &rounds,
        removed: &removed,
        open: Open::default(),
    };
    ask(evidence, &trees)
}

/// What makes say: `level:target` for each recipe that failed.
/// That make said this, `level:target` each.
fn failed(text: &str) -> HowItFailed {
    let read = |word: &str| {
        let (level, target) = word.split_once(':').expect("level:target");
        Said { level: level.parse().expect("a number"), target: target.into() }
    };
    HowItFailed { said: text.split_whitespace().map(read).collect(), stopped_at: None }
}

pub(super) fn judge(case: &Case<'_>, rules: Rules) -> Verdict {
    with(case, |evidence, trees| audit(evidence, trees, rules))
}

/// Why a clean build may not fail as the last round did, of which make said this.
pub(super) fn doubts(case: &Case<'_>, told: &str) -> Option<String> {
    with(case, |evidence, trees| doubt(evidence, trees, Rules::ALL, &failed(told)))
}

/// What can be kept of the last round, of which make said this.
pub(super) fn keeps(case: &Case<'_>, told: &str) -> Result<Unfinished, String> {
    with(case, |evidence, trees| unfinished(evidence, trees, Rules::ALL, &failed(told)))
}

/// The same of a step that ran clean on these sources, and left this.
pub(super) fn keeps_clean(sources: &str, text: &str, left: &str, told: &str) -> Result<Unfinished, String> {
    let (before, after) = (tree(sources), tree(left));
    let rounds = [run(text, &after)];
    let facts = Trees {
        before: before.clone(),
        changed: vec![Vec::new()],
        prepared: vec![Vec::new()],
        after: vec![before, after],
    };
    let evidence = Evidence { then: &[], rounds: &rounds, removed: &[], open: Open::default() };
    unfinished(evidence, &facts, Rules::ALL, &failed(told))
}

/// What is said of rounds that go on from a run that failed, as it was kept, with what it had lost.
pub(super) fn judge_after(case: &Case<'_>, failed: &Trace, lost: &[Removal]) -> Verdict {
    with(case, |evidence, trees| {
        let then = [Run::new(failed.clone())];
        audit(Evidence { then: &then, open: Open { runs: 1, alike: 1, lost }, ..evidence }, trees, Rules::ALL)
    })
}

#[track_caller]
pub(super) fn redoes(case: &Case<'_>, rules: Rules, expected: &[&str]) {
    match judge(case, rules) {
        Verdict::Redo { remove, .. } => {
            let paths: Vec<_> = remove.iter().map(|removal| String::from_utf8_lossy(&removal.path)).collect();
            assert_eq!(paths, expected);
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(super) fn is_clean(case: &Case<'_>, rules: Rules, rule: Rule) {
    match judge(case, rules) {
        Verdict::Clean(finding) => assert_eq!(finding.rule, rule, "{finding}"),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(super) fn settles(case: &Case<'_>, rules: Rules) {
    assert_eq!(judge(case, rules), Verdict::Settled);
}
