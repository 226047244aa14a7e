use super::*;
use crate::observation::{ChangeKind, How, ObservationsBuilder};
use crate::recipe::tests::recipe;
use crate::recipe::{Field, Recipe};

fn seen(path: &str) -> Seen {
    let change = SourceChange { path: path.as_bytes().to_owned(), kind: ChangeKind::Content };
    Seen { change, how: How::Opened }
}

fn other_recipe() -> Difference {
    let old = recipe();
    let new = Recipe { sandbox: 9, ..recipe() };
    new.difference(&old).expect("it differs")
}

/// A step of which nothing changed.
fn unchanged() -> Facts {
    Facts {
        clean: false,
        base: BaseStep::Succeeded,
        recipe: None,
        before: Before::AllKept,
        sources: Effect::Unchanged,
        seedable: true,
        observed: true,
        outputs_written: false,
        chain: Chain { depth: 0, limit: 8 },
    }
}

const UNUSABLE: [Unusable; 8] = [
    Unusable::Absent,
    Unusable::NotReached,
    Unusable::Quarantined,
    Unusable::Damaged,
    Unusable::OtherVersion,
    Unusable::OtherArchitecture,
    Unusable::SeedFailed,
    Unusable::TimeInOutput,
];

#[test]
fn each_fact_by_itself() {
    let check = |edit: &dyn Fn(&mut Facts), expect: &str| {
        let mut facts = unchanged();
        edit(&mut facts);
        assert_eq!(judge(facts).to_string(), expect);
    };
    let ran = |same_state, tree| Before::SomeRan { same_state, tree };
    check(&|_| (), "reuse: nothing changed");
    check(&|f| f.clean = true, "run: a clean build was asked for");
    for unusable in UNUSABLE {
        check(&|f| f.base = BaseStep::Unusable(unusable), &format!("run: {unusable}"));
    }
    check(&|f| f.base = BaseStep::Failed, "seed: it failed in the checkpoint");
    check(
        &|f| f.recipe = Some(other_recipe()),
        "run: another recipe: the version of the sandbox: 2 became 9",
    );
    check(&|f| f.sources = Effect::Unseen, "skip: it looked at nothing that changed");
    check(
        &|f| f.sources = Effect::Seen(seen("a.c")),
        r#"seed: source "a.c" has other content, and it was read"#,
    );
    check(&|f| f.before = ran(true, Effect::Unchanged), "reuse: steps before it ran and left the same");
    check(&|f| f.before = ran(true, Effect::Unseen), "skip: it looked at nothing that changed");
    check(
        &|f| f.before = ran(true, Effect::Seen(seen("config.h"))),
        r#"seed: the steps before it left another tree: "config.h" has other content, and it was read"#,
    );
    check(&|f| f.before = ran(false, Effect::Unchanged), "run: the steps before it left another state");
    check(&|f| f.seedable = false, "reuse: nothing changed");
    check(&|f| f.chain.depth = 8, "reuse: nothing changed");
    let changed = |f: &mut Facts| f.sources = Effect::Seen(seen("a.c"));
    check(
        &|f| {
            changed(f);
            f.seedable = false;
        },
        r#"run: source "a.c" has other content, and it was read"#,
    );
    check(
        &|f| {
            changed(f);
            f.chain.depth = 8;
        },
        "run: 8 builds went on from one another up to the checkpoint",
    );
    check(
        &|f| {
            f.base = BaseStep::Failed;
            f.seedable = false;
        },
        "run: it failed in the checkpoint",
    );
    check(
        &|f| {
            changed(f);
            f.observed = false;
        },
        "run: what its processes did is not known",
    );
    check(
        &|f| {
            f.sources = Effect::Seen(seen("source"));
            f.outputs_written = true;
        },
        "run: it writes into the outputs, and would find what it wrote",
    );
}

/// All combinations of facts.
fn matrix() -> Vec<Facts> {
    let effects = |name: &str| [Effect::Unchanged, Effect::Unseen, Effect::Seen(seen(name))];
    let bases: Vec<_> =
        [BaseStep::Succeeded, BaseStep::Failed].into_iter().chain(UNUSABLE.map(BaseStep::Unusable)).collect();
    let mut befores = vec![Before::AllKept];
    for same_state in [true, false] {
        befores.extend(effects("tree").map(|tree| Before::SomeRan { same_state, tree }));
    }
    let mut matrix = Vec::new();
    let mut add = |base, before: &Before, sources: &Effect, bits: u32, depth| {
        let is_set = |bit: u32| bits & (1 << bit) != 0;
        matrix.push(Facts {
            clean: is_set(0),
            base,
            recipe: is_set(1).then(other_recipe),
            before: before.clone(),
            sources: sources.clone(),
            seedable: is_set(2),
            outputs_written: is_set(3),
            observed: is_set(4),
            chain: Chain { depth, limit: 8 },
        });
    };
    for base in bases {
        for before in &befores {
            for sources in effects("source") {
                for bits in 0..32 {
                    (7..10).for_each(|depth| add(base, before, &sources, bits, depth));
                }
            }
        }
    }
    matrix
}

/// The rules of the design, each by itself: exactly one of them fits every combination.
#[test]
fn the_whole_matrix() {
    let matrix = matrix();
    assert_eq!(matrix.len(), 2 * 10 * 2 * 7 * 3 * 2 * 2 * 2 * 3);
    let mut counts = [0; 4];
    for facts in matrix {
        let (same_state, tree) = match &facts.before {
            Before::AllKept => (true, &Effect::Unchanged),
            Before::SomeRan { same_state, tree } => (*same_state, tree),
        };
        let comparable = !facts.clean
            && !matches!(facts.base, BaseStep::Unusable(_))
            && facts.recipe.is_none()
            && same_state;
        let succeeded = facts.base == BaseStep::Succeeded;
        let effects = [&facts.sources, tree];
        let saw = effects.iter().any(|effect| matches!(effect, Effect::Seen(_)));
        let changed = effects.iter().any(|effect| **effect != Effect::Unchanged);
        let can_go_on = facts.seedable && facts.observed && !facts.outputs_written && facts.chain.depth < 8;
        let rules = [
            (comparable && succeeded && !changed, Verdict::Reuse),
            (comparable && succeeded && changed && !saw, Verdict::Skip),
            (comparable && (saw || !succeeded) && can_go_on, Verdict::Seed),
            (!comparable || ((saw || !succeeded) && !can_go_on), Verdict::Run),
        ];
        let fitting: Vec<_> = rules.iter().filter(|rule| rule.0).map(|rule| rule.1).collect();
        let judged = judge(facts.clone());
        assert_eq!(fitting, [judged.verdict], "{facts:?}");
        counts[judged.verdict as usize] += 1;
        assert!(reason_is_true(&facts, &judged), "{judged} from {facts:?}");
    }
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}

/// Whether the reason is one of the facts, and fits the verdict.
fn reason_is_true(facts: &Facts, Judged { verdict, reason }: &Judged) -> bool {
    let ran = |same, wanted: Option<&Effect>| {
        matches!(&facts.before, Before::SomeRan { same_state, tree }
            if *same_state == same && wanted.is_none_or(|wanted| tree == wanted))
    };
    let redone = [Verdict::Seed, Verdict::Run].contains(verdict);
    match reason {
        Reason::Unchanged => facts.before == Before::AllKept && *verdict == Verdict::Reuse,
        Reason::LeftTheSame => ran(true, Some(&Effect::Unchanged)) && *verdict == Verdict::Reuse,
        Reason::Unobserved => *verdict == Verdict::Skip,
        Reason::Source(seen) => facts.sources == Effect::Seen(seen.clone()) && redone,
        Reason::Tree(seen) => ran(true, Some(&Effect::Seen(seen.clone()))) && redone,
        Reason::State => ran(false, None) && *verdict == Verdict::Run,
        Reason::Recipe(difference) => facts.recipe.as_ref() == Some(difference) && *verdict == Verdict::Run,
        Reason::FailedBefore => facts.base == BaseStep::Failed && redone,
        Reason::TooDeep { depth } => {
            *depth == facts.chain.depth && *depth >= 8 && facts.seedable && *verdict == Verdict::Run
        }
        Reason::OutputsWritten => facts.outputs_written && facts.seedable && *verdict == Verdict::Run,
        Reason::NotObserved => !facts.observed && facts.seedable && *verdict == Verdict::Run,
        Reason::Clean => facts.clean && *verdict == Verdict::Run,
        Reason::Base(unusable) => facts.base == BaseStep::Unusable(*unusable) && *verdict == Verdict::Run,
    }
}

#[test]
fn names_for_machines_differ() {
    let mut names = vec![
        Reason::Unchanged.name(),
        Reason::LeftTheSame.name(),
        Reason::Unobserved.name(),
        Reason::Source(seen("a")).name(),
        Reason::Tree(seen("a")).name(),
        Reason::State.name(),
        Reason::Recipe(other_recipe()).name(),
        Reason::FailedBefore.name(),
        Reason::OutputsWritten.name(),
        Reason::NotObserved.name(),
        Reason::TooDeep { depth: 1 }.name(),
        Reason::Clean.name(),
    ];
    names.extend(UNUSABLE.map(|unusable| Reason::Base(unusable).name()));
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    assert_eq!(other_recipe().field(), Field::Sandbox);
}

#[test]
fn changes_have_an_effect_only_where_they_were_seen() {
    let mut builder = ObservationsBuilder::new();
    builder.opened(b"a");
    let observations = builder.finish();
    let change = |path: &str| SourceChange { path: path.into(), kind: ChangeKind::Content };
    assert_eq!(Effect::of(&[], &observations), Effect::Unchanged);
    assert_eq!(Effect::of(&[change("b")], &observations), Effect::Unseen);
    assert_eq!(Effect::of(&[change("b"), change("a")], &observations), Effect::Seen(seen("a")));
    assert_eq!(Effect::of(&[], &Observations::everything()), Effect::Unchanged);
}
