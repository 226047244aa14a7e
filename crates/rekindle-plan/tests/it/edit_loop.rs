//! Random edits of a package that exists in memory only: what the plan takes from earlier builds must add up to
//! what a clean build makes.
//!
//! The steps are functions over a map from path to content that say what they look at, as an observer would. What
//! the engine does with a verdict is done here in its plainest form.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rekindle_plan::{
    Attribute, BaseStep, Before, Candidate, Chain, ChangeKind, Distance, Effect, Facts, Observations,
    ObservationsBuilder, Placement, Recipe, RecipeKey, Seedable, SourceChange, StepList, Unusable, Verdict,
    choose, differences, judge,
};

const CHAIN_LIMIT: u32 = 3;

const PHASES: [&str; 4] = ["patchPhase", "configurePhase", "buildPhase", "installPhase"];

type Tree = BTreeMap<String, String>;

/// A tree and who looks at it.
struct Watched {
    tree: Tree,
    seen: ObservationsBuilder,
    /// In a seeded step: the paths that changed, as a build tool sees by their times.
    changed: Option<BTreeSet<String>>,
}

impl Watched {
    fn read(&mut self, path: &str) -> Option<String> {
        let content = self.tree.get(path).cloned();
        match content {
            Some(_) => self.seen.opened(path.as_bytes()),
            None => self.seen.looked_for(path.as_bytes()),
        }
        content
    }

    fn list(&mut self, directory: &str) -> Vec<String> {
        self.seen.listed(directory.as_bytes());
        let names = self.tree.keys().filter_map(|path| path.strip_prefix(directory)?.strip_prefix('/'));
        names.filter(|name| !name.contains('/')).map(str::to_owned).collect()
    }

    fn write(&mut self, path: &str, content: String) {
        self.seen.looked_for(path.as_bytes());
        self.tree.insert(path.to_owned(), content);
    }

    /// Runs a phase and returns the state that it leaves, or `None` if it fails.
    fn run(&mut self, phase: &str, flag: &str, state: &str) -> Option<String> {
        match phase {
            "patchPhase" => {
                if let Some(version) = self.read("VERSION") {
                    self.write("VERSION", format!("{version} patched"));
                }
            }
            "configurePhase" => {
                let option = self.read("config.local").or_else(|| self.read("config")).unwrap_or_default();
                self.write("config.h", format!("option {}", option.len() / 2));
                // Nothing but the last step looks at this.
                self.write("configure.log", option.clone());
                return Some(if option.is_empty() { "plain" } else { "configured" }.to_owned());
            }
            "buildPhase" => {
                let config = self.read("config.h")?;
                let sources = self.list("src");
                // An exact incremental make: what is out of date, or has no source any more, goes first.
                for product in self.list("out") {
                    let inputs = [format!("src/{product}"), format!("out/{product}"), "config.h".to_owned()];
                    let is_fresh =
                        |changed: &BTreeSet<String>| !inputs.iter().any(|path| changed.contains(path));
                    if !sources.contains(&product) || !self.changed.as_ref().is_some_and(is_fresh) {
                        self.tree.remove(&inputs[1]);
                    }
                }
                for name in sources {
                    if self.tree.contains_key(&format!("out/{name}")) {
                        continue;
                    }
                    let source = self.read(&format!("src/{name}"))?;
                    if source == "broken" {
                        return None;
                    }
                    self.write(&format!("out/{name}"), format!("{source} {config} {flag} {state}"));
                }
            }
            _ => {
                let products = self.list("out");
                let all: Vec<_> =
                    products.iter().filter_map(|name| self.read(&format!("out/{name}"))).collect();
                let version = self.read("VERSION").unwrap_or_default();
                let log = self.read("configure.log").unwrap_or_default();
                self.write("installed", format!("{version}: {} {log}", all.join(", ")));
            }
        }
        Some(state.to_owned())
    }
}

/// Runs a phase on a tree. `changed` is what differs from the tree that it started from last time, if it goes on
/// from there.
fn run(
    phase: &str,
    flag: &str,
    state: &str,
    tree: Tree,
    changed: Option<&[SourceChange]>,
) -> (Tree, Observations, Option<String>) {
    let path =
        |change: &SourceChange| String::from_utf8(change.path.clone()).expect("all names here are text");
    let changed = changed.map(|changed| changed.iter().map(path).collect());
    let mut watched = Watched { tree, seen: ObservationsBuilder::new(), changed };
    let state = watched.run(phase, flag, state);
    (watched.tree, watched.seen.finish(), state)
}

/// The differences, directories included.
fn changes(old: &Tree, new: &Tree) -> Vec<SourceChange> {
    let directories = |tree: &Tree| -> BTreeSet<String> {
        tree.keys()
            .filter_map(|path| path.rsplit_once('/'))
            .map(|(directory, _)| directory.to_owned())
            .collect()
    };
    let change = |path: &String, kind| SourceChange { path: path.clone().into_bytes(), kind };
    let added =
        new.keys().filter(|path| !old.contains_key(*path)).map(|path| change(path, ChangeKind::Added));
    let (old_directories, new_directories) = (directories(old), directories(new));
    let mut changes: Vec<_> = added.collect();
    changes.extend(new_directories.difference(&old_directories).map(|path| change(path, ChangeKind::Added)));
    changes
        .extend(old_directories.difference(&new_directories).map(|path| change(path, ChangeKind::Removed)));
    for (path, content) in old {
        match new.get(path) {
            None => changes.push(change(path, ChangeKind::Removed)),
            Some(now) if now != content => changes.push(change(path, ChangeKind::Content)),
            Some(_) => {}
        }
    }
    changes
}

/// Makes the differences between two trees in a third.
fn apply(old: &Tree, new: &Tree, to: &Tree) -> Tree {
    let mut tree = to.clone();
    tree.retain(|path, _| !old.contains_key(path) || new.contains_key(path));
    tree.extend(
        new.iter()
            .filter(|(path, content)| old.get(*path) != Some(content))
            .map(|(path, content)| (path.clone(), content.clone())),
    );
    tree
}

#[derive(Clone)]
struct Done {
    recipe: Recipe,
    before: Tree,
    after: Tree,
    state: Option<String>,
    seen: Observations,
}

#[derive(Clone)]
struct Checkpoint {
    sources: Tree,
    depth: u32,
    keys: Vec<RecipeKey>,
    steps: Vec<Done>,
}

fn recipes(flag: &str) -> Vec<Recipe> {
    let mut recipes: Vec<Recipe> = Vec::new();
    for phase in PHASES {
        let sees_flag = phase == "buildPhase" || phase == "installPhase";
        let flag = sees_flag.then(|| (b"flag".to_vec(), Attribute::Value(flag.into())));
        recipes.push(Recipe {
            format: 1,
            phase: Some(phase.to_owned()),
            placement: Placement::Scratch,
            system: Vec::new(),
            builder: Vec::new(),
            arguments: Vec::new(),
            toolchain: Vec::new(),
            sandbox: 1,
            inputs: BTreeSet::new(),
            attributes: flag.into_iter().collect(),
            before: recipes.last().map(Recipe::key),
        });
    }
    recipes
}

/// Builds, from one of the checkpoints if there is a good one, and says what became of each step.
fn build(sources: &Tree, flag: &str, checkpoints: &[Checkpoint]) -> (Checkpoint, Vec<Verdict>) {
    let seedable = Seedable::default();
    let list = StepList::phased(&PHASES.map(str::to_owned), false);
    let recipes = recipes(flag);
    let keys: Vec<_> = recipes.iter().map(Recipe::key).collect();
    let candidates: Vec<_> = checkpoints
        .iter()
        .enumerate()
        .map(|(index, checkpoint)| Candidate {
            id: index,
            keys: &checkpoint.keys,
            succeeded: checkpoint.steps.last().is_some_and(|step| step.state.is_some()),
            is_last: checkpoint.depth >= CHAIN_LIMIT,
            age: (checkpoints.len() - index) as u64,
            unusable: None,
        })
        .collect();
    let distance = |index: &usize| {
        let differences = changes(&checkpoints[*index].sources, sources).len() as u64;
        Ok(Distance { differences, bytes: 0 })
    };
    let base = choose(&keys, list.decisive(&seedable), &candidates, distance).ok();
    let base = base.map(|choice| &checkpoints[choice.index]);
    let old_recipes: Vec<_> =
        base.iter().flat_map(|base| &base.steps).map(|step| step.recipe.clone()).collect();
    let mut differing = differences(&recipes, &old_recipes).into_iter();
    let chain = Chain { depth: base.map_or(0, |base| base.depth), limit: CHAIN_LIMIT };
    let mut made = Checkpoint { sources: sources.clone(), depth: 0, keys: Vec::new(), steps: Vec::new() };
    let mut verdicts = Vec::new();
    let mut tree = sources.clone();
    let mut some_ran = false;
    for (index, (recipe, step)) in recipes.into_iter().zip(list.steps()).enumerate() {
        let then = base.and_then(|base| base.steps.get(index));
        let before = match (some_ran, then, made.steps.last()) {
            (true, Some(then), Some(before)) => Before::SomeRan {
                same_state: base.map(|base| &base.steps[index - 1].state) == Some(&before.state),
                tree: Effect::of(&changes(&then.before, &tree), &then.seen),
            },
            _ => Before::AllKept,
        };
        let sources_then = base.map(|base| changes(&base.sources, sources)).unwrap_or_default();
        let judged = judge(Facts {
            clean: false,
            base: match then {
                None => {
                    BaseStep::Unusable(if base.is_some() { Unusable::NotReached } else { Unusable::Absent })
                }
                Some(then) if then.state.is_some() => BaseStep::Succeeded,
                Some(_) => BaseStep::Failed,
            },
            recipe: differing.next().flatten(),
            before,
            sources: then.map_or(Effect::Unchanged, |then| Effect::of(&sources_then, &then.seen)),
            seedable: seedable.allows(step.phase.as_deref()),
            observed: true,
            outputs_written: false,
            chain,
        });
        let phase = PHASES[index];
        let state = made.steps.last().and_then(|step| step.state.clone()).unwrap_or_default();
        let (after, seen, state) = match (judged.verdict, then) {
            (Verdict::Reuse | Verdict::Skip, Some(then)) => {
                (apply(&then.before, &then.after, &tree), then.seen.clone(), then.state.clone())
            }
            (Verdict::Seed, Some(then)) => {
                made.depth = chain.depth + 1;
                let changed = changes(&then.before, &tree);
                let merged = apply(&then.before, &tree, &then.after);
                let (after, seen, state) = run(phase, flag, &state, merged, Some(&changed));
                (after, seen.union(&then.seen), state)
            }
            _ => run(phase, flag, &state, tree.clone(), None),
        };
        some_ran |= matches!(judged.verdict, Verdict::Seed | Verdict::Run);
        verdicts.push(judged.verdict);
        made.keys.push(recipe.key());
        let failed = state.is_none();
        made.steps.push(Done { recipe, before: tree, after: after.clone(), state, seen });
        tree = after;
        if failed {
            break;
        }
    }
    (made, verdicts)
}

fn result(checkpoint: &Checkpoint) -> Option<&Tree> {
    checkpoint.steps.last().filter(|step| step.state.is_some()).map(|step| &step.after)
}

fn tree(files: &[(&str, &str)]) -> Tree {
    files.iter().map(|(path, content)| (path.to_string(), content.to_string())).collect()
}

#[test]
fn each_edit_costs_what_it_touches() {
    use Verdict::{Reuse, Run, Seed, Skip};
    let start =
        tree(&[("README", "x"), ("VERSION", "1"), ("config", "a"), ("src/a.c", "a"), ("src/b.c", "b")]);
    let first = build(&start, "-O2", &[]).0;
    let check = |path: &str, content: Option<&str>, flag: &str, expect: [Verdict; 4]| {
        let mut edited = start.clone();
        match content {
            Some(content) => _ = edited.insert(path.to_owned(), content.to_owned()),
            None => _ = edited.remove(path),
        }
        let (made, verdicts) = build(&edited, flag, std::slice::from_ref(&first));
        assert_eq!(verdicts, expect, "{path}");
        assert_eq!(result(&made), result(&build(&edited, flag, &[]).0), "{path}");
    };
    check("README", Some("x"), "-O2", [Reuse, Reuse, Reuse, Reuse]);
    check("README", Some("y"), "-O2", [Skip, Skip, Skip, Skip]);
    check("NEWS", Some("y"), "-O2", [Skip, Skip, Skip, Skip]);
    check("src/a.c", Some("c"), "-O2", [Skip, Skip, Seed, Run]);
    check("src/c.c", Some("c"), "-O2", [Skip, Skip, Seed, Run]);
    check("src/b.c", None, "-O2", [Skip, Skip, Seed, Run]);
    check("VERSION", Some("2"), "-O2", [Run, Skip, Skip, Run]);
    // It configures again, and all that the build looks at is the same.
    check("config", Some("b"), "-O2", [Skip, Run, Skip, Run]);
    check("config", Some("long"), "-O2", [Skip, Run, Seed, Run]);
    // A name that it looked for appears; or the state that it leaves is another.
    check("config.local", Some("a"), "-O2", [Skip, Run, Skip, Skip]);
    check("config", Some(""), "-O2", [Skip, Run, Run, Run]);
    check("config.local", Some("b"), "-O2", [Skip, Run, Skip, Run]);
    check("README", Some("x"), "-O3", [Reuse, Reuse, Run, Run]);
}

#[test]
fn a_failed_build_goes_on_where_it_stopped() {
    let start = tree(&[("config", "a"), ("src/a.c", "a"), ("src/b.c", "b")]);
    let broken = tree(&[("config", "a"), ("src/a.c", "new"), ("src/b.c", "broken")]);
    let mended = tree(&[("config", "a"), ("src/a.c", "new"), ("src/b.c", "b2")]);
    let mut checkpoints = vec![build(&start, "", &[]).0];
    checkpoints.push(build(&broken, "", &checkpoints).0);
    assert!(result(&checkpoints[1]).is_none());
    let (made, verdicts) = build(&mended, "", &checkpoints);
    assert_eq!(verdicts, [Verdict::Skip, Verdict::Skip, Verdict::Seed, Verdict::Run]);
    // It went on from the failed one, which is nearer: one step deeper than that.
    assert_eq!(made.depth, 2);
    assert_eq!(result(&made), result(&build(&mended, "", &[]).0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is edited, and whichever of all earlier builds is the base: the result is that of a clean build.
    #[test]
    fn any_edits_end_in_what_a_clean_build_makes(
        edits in proptest::collection::vec(
            (
                proptest::sample::select(&["README", "VERSION", "config", "config.local", "src/a", "src/b", "src/c/d", "out/a", "config.h"][..]),
                proptest::option::weighted(0.7, proptest::sample::select(&["", "1", "2", "33", "broken"][..])),
                proptest::sample::select(&["-O2", "-O2", "-O3"][..]),
            ),
            1..12,
        ),
    ) {
        let mut sources = tree(&[("config", "a"), ("src/a", "1"), ("src/b", "2")]);
        let mut checkpoints = Vec::new();
        for (path, content, flag) in edits {
            match content {
                Some(content) => _ = sources.insert(path.to_owned(), content.to_owned()),
                None => _ = sources.remove(path),
            }
            let (made, verdicts) = build(&sources, flag, &checkpoints);
            let clean = build(&sources, flag, &[]).0;
            prop_assert_eq!(result(&made), result(&clean), "{:?}", verdicts);
            prop_assert!(made.depth <= 3);
            checkpoints.push(made);
        }
    }
}
