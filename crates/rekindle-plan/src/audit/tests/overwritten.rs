//! Several that write the same file.

use super::builds::{Case, redoes, settles};
use super::without;
use crate::audit::Rules;

/// Two commands of which the second overwrites what the first wrote, each with a note of its own.
const THEN: &str = "
bash: <b/phase
\tninja: <b/build.ninja
\t\tcp a: <b/a >b/both >b/one
\t\tcp z: <b/z >b/both >b/two
";
const LEFT: &str = "b/a=a b/z=z b/both=z b/one=1 b/two=2 b/phase=x b/build.ninja=n";
const FIRST_AGAIN: &str = "bash: <b/phase\n\tninja: <b/build.ninja\n\t\tcp a: <b/a >b/both >b/one";
const FIRST_LEFT: &str = "b/a=A b/z=z b/both=A b/one=1 b/two=2 b/phase=x b/build.ninja=n";

#[test]
fn who_wrote_last_has_to_write_again() {
    let case = Case {
        sources: "b/a=A b/z=z b/phase=x b/build.ninja=n",
        then: (THEN, LEFT),
        rounds: &[("b/a", FIRST_AGAIN, FIRST_LEFT)],
        removed: &[],
    };
    redoes(&case, Rules::ALL, &["b/two"]);
    settles(&case, without("overwritten"));
}

#[test]
fn who_wrote_last_has_written_again() {
    let again = "bash: <b/phase\n\tninja: <b/build.ninja\n\t\tcp z: <b/z >b/both >b/two";
    let case = Case {
        sources: "b/a=A b/z=z b/phase=x b/build.ninja=n",
        then: (THEN, LEFT),
        rounds: &[
            ("b/a", FIRST_AGAIN, FIRST_LEFT),
            ("b/two", again, "b/a=A b/z=z b/both=z b/one=1 b/two=2 b/phase=x b/build.ninja=n"),
        ],
        removed: &[&["b/two"]],
    };
    settles(&case, Rules::ALL);
}

/// Who found nothing there would have added to it.
#[test]
fn what_is_the_same_again_counts_for_who_found_nothing() {
    let case = Case {
        sources: "b/a=a b/z=Z b/phase=x b/build.ninja=n",
        then: (THEN, "b/a=a b/z=z b/both=az b/one=1 b/two=2 b/phase=x b/build.ninja=n"),
        rounds: &[
            (
                "b/z b/both",
                "bash: <b/phase\n\tninja: <b/build.ninja\n\t\tcp z: <b/z ^b/both >b/two",
                "b/a=a b/z=Z b/both=a b/one=1 b/two=2 b/phase=x b/build.ninja=n",
            ),
            ("b/one", FIRST_AGAIN, "b/a=a b/z=Z b/both=a b/one=1 b/two=2 b/phase=x b/build.ninja=n"),
        ],
        removed: &[&["b/one"]],
    };
    redoes(&case, Rules::ALL, &["b/two"]);
}

/// The first to write again need not have been first: what a round made is overwritten in the next one, too.
#[test]
fn what_an_earlier_round_wrote_counts() {
    let both = "bash: <b/phase\n\tninja: <b/build.ninja\n\t\tcp z: <b/z ^b/both >b/two";
    let case = Case {
        sources: "b/a=A b/z=Z b/phase=x b/build.ninja=n",
        then: (THEN, LEFT),
        rounds: &[
            ("b/z b/both", both, "b/a=A b/z=Z b/both=Z b/one=1 b/two=2 b/phase=x b/build.ninja=n"),
            ("b/one", FIRST_AGAIN, "b/a=A b/z=Z b/both=A b/one=1 b/two=2 b/phase=x b/build.ninja=n"),
        ],
        removed: &[&["b/one"]],
    };
    redoes(&case, Rules::ALL, &["b/two"]);
    settles(&case, without("overwritten"));
}

/// Who gave it a mode is not asked what was in it.
#[test]
fn who_gave_it_a_mode_has_to_give_it_again() {
    let then = "
bash: <b/phase
\tninja: <b/build.ninja
\t\tcp a: <b/a >b/both >b/one
\t\tchmod: ~b/both >b/two
";
    let case = Case {
        sources: "b/a=A b/phase=x b/build.ninja=n",
        then: (then, "b/a=a b/both=a b/one=1 b/two=2 b/phase=x b/build.ninja=n"),
        rounds: &[("b/a", FIRST_AGAIN, "b/a=A b/both=A b/one=1 b/two=2 b/phase=x b/build.ninja=n")],
        removed: &[],
    };
    redoes(&case, Rules::ALL, &["b/two"]);
    settles(&case, without("overwritten"));
}

/// Neither looks whether anything is there.
#[test]
fn who_took_something_away_has_to_take_it_away_again() {
    let then = "
bash: <b/phase
\tninja: <b/build.ninja
\t\tcp a: <b/a >b/other >b/both >b/one
\t\tunlink: -b/both >b/two
";
    let case = Case {
        sources: "b/a=A b/phase=x b/build.ninja=n",
        then: (then, "b/a=a b/other=a b/one=1 b/two=2 b/phase=x b/build.ninja=n"),
        rounds: &[(
            "b/a",
            "bash: <b/phase\n\tninja: <b/build.ninja\n\t\tcp a: <b/a >b/other >b/both >b/one",
            "b/a=A b/other=A b/both=A b/one=1 b/two=2 b/phase=x b/build.ninja=n",
        )],
        removed: &[],
    };
    redoes(&case, Rules::ALL, &["b/two"]);
    settles(&case, without("overwritten"));
}

#[test]
fn what_another_one_took_away_has_to_come_back() {
    let then = "
bash: <b/phase
\tninja: <b/build.ninja
\t\tclear: <b/a >b/one
\t\tcp z: <b/z >b/both >b/two
";
    let case = Case {
        sources: "b/a=A b/z=z b/phase=x b/build.ninja=n",
        then: (then, "b/a=a b/z=z b/both=z b/one=1 b/two=2 b/phase=x b/build.ninja=n"),
        rounds: &[(
            "b/a",
            "bash: <b/phase\n\tninja: <b/build.ninja\n\t\tclear: <b/a >b/one -b/both",
            "b/a=A b/z=z b/one=1 b/two=2 b/phase=x b/build.ninja=n",
        )],
        removed: &[],
    };
    redoes(&case, Rules::ALL, &["b/two"]);
    settles(&case, without("overwritten"));
}
