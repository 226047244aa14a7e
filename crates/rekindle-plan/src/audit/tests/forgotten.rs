//! What ninja is told no more to make, by manifests that are made in the step.

use super::super::{Rule, Rules};
use super::builds::{Case, is_clean, redoes, settles};

const SOURCES: &str = "b/a=a b/c=c b/list=2 b/phase=x";
const MADE: &str = "b/a=a b/c=c b/a.out=a b/c.out=c b/.ninja_log=l b/phase=x";

#[test]
fn a_manifest_that_is_made_in_the_step_counts_as_one_that_is_edited() {
    let script = "bash: <b/phase\n\tsh gen: <b/list >b/build.ninja\n\tninja: <b/build.ninja >b/.ninja_log";
    let then = format!("{script}\n\t\tcp a: <b/a >b/a.out\n\t\tcp c: <b/c >b/c.out\n");
    let left = format!("{MADE} b/list=1 b/build.ninja=b/a.out,b/c.out");
    let check = |manifest: &str, test: &dyn Fn(&Case<'_>)| {
        let after = format!("{MADE} b/list=2 b/build.ninja={manifest}");
        test(&Case {
            sources: SOURCES,
            then: (&then, &left),
            rounds: &[("b/list", script, &after)],
            removed: &[],
        });
    };
    check("b/a.out", &|case| redoes(case, Rules::ALL, &["b/c.out"]));
    // Nothing is made again for it that it still asks for.
    check("b/c.out,b/a.out,other", &|case| settles(case, Rules::ALL));
}

#[test]
fn without_its_manifest_ninja_makes_nothing() {
    let then = "bash: <b/phase\n\tninja: <b/build.ninja >b/.ninja_log\n\
        \t\tsh gen: <b/list >b/build.ninja >b/beside\n\t\tcp a: <b/a >b/a.out\n";
    let left = format!("{MADE} b/list=2 b/beside=1 b/build.ninja=b/a.out");
    let check = |round: &str, manifest: &str, test: &dyn Fn(&Case<'_>)| {
        let after = format!("{MADE} b/list=2 b/beside=1 b/build.ninja={manifest}");
        let round = format!("bash: <b/phase\n\tninja: <b/build.ninja >b/.ninja_log{round}");
        let rounds = [("", &*round, &*after)];
        test(&Case { sources: SOURCES, then: (then, &left), rounds: &rounds, removed: &[] });
    };
    // Made anew by its maker, it is what it is told, and so is all beside it.
    check("\n\t\tsh gen: <b/list >b/build.ninja", "b/a.out,other", &|case| settles(case, Rules::ALL));
    // It is as it was, and nobody is asked to make it so.
    check("", "b/a.out,", &|case| is_clean(case, Rules::ALL, Rule::Forgotten));
}
