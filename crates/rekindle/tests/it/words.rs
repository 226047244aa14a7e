//! Small things that people read: what is wrong with a value, how many there were, and that there was nothing.

use std::process::Command;

use crate::checkpoints::{list, program};
use crate::project::Place;

#[test]
fn a_time_that_is_too_long_is_said_to_be_so() {
    let place = Place::new();
    for args in [["gc", "--older-than", "99999999999999w"], ["build", "--timeout", "99999999999999999999"]] {
        let finished = place.rekindle(&args).run();
        assert_eq!(finished.code(), Some(1));
        assert!(finished.stderr().contains("too long a time"), "{}", finished.stderr());
    }
}

#[test]
fn an_empty_variable_is_no_store() {
    let place = Place::new();
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
        command.args(args).env("HOME", place.path()).env_remove("XDG_DATA_HOME").env("REKINDLE_STORE", "");
        let output = command.output().expect("the program starts");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let place_of_default = place.path().join(".local/share/rekindle").display().to_string();
    for args in [["store", "roots"], ["checkpoint", "list"]] {
        let stderr = run(&args);
        assert!(stderr.contains(&place_of_default), "{stderr}");
    }
    assert!(run(&["--store", "", "store", "roots"]).contains("the name of the store is empty"));
}

#[test]
fn checkpoints_are_counted_and_none_is_said() {
    let place = Place::new();
    place.rekindle(&["prepare", "-q"]).arg(program(&place, "probe")).run().line();
    let none = |args: &[&str], says: &str| {
        let finished = place.rekindle(args).run();
        assert_eq!(
            (finished.code(), finished.stdout(), finished.stderr()),
            (Some(0), String::new(), says.to_owned())
        );
    };
    none(&["checkpoint", "list", "-p", "nope"], "there are no checkpoints of the package \"nope\"\n");
    let empty = place.rekindle(&["checkpoint", "list", "-p", "nope", "--json"]).run();
    assert!(empty.success() && empty.stderr().is_empty(), "{}", empty.stderr());
    let id = list(&place)[0]["id"].as_str().expect("an identity").to_owned();
    // Digits are digits, whoever wrote them.
    let shown = place.rekindle(&["checkpoint", "show", &id[..12].to_ascii_uppercase()]).run();
    assert!(shown.stdout().contains(&id), "{}", shown.stderr());
    assert!(shown.stdout().contains("; 0 directories, 0 links"), "{}", shown.stdout());
    let removed = place.rekindle(&["checkpoint", "rm", &id]).run();
    assert!(removed.stdout().starts_with("1 checkpoint with "), "{}{}", removed.stdout(), removed.stderr());
    none(&["checkpoint", "list"], "there are no checkpoints\n");
}

#[test]
fn help_is_wrapped_at_the_width_of_the_terminal() {
    let place = Place::new();
    let help = place.rekindle(&["gc", "--help"]).env("COLUMNS", "70").run().stdout();
    let prose = help.lines().skip_while(|line| !line.starts_with("Of the checkpoints of a package"));
    let prose: Vec<&str> = prose.take_while(|line| !line.is_empty()).collect();
    assert!(prose.len() > 3, "{help}");
    for pair in prose.windows(2) {
        let next = pair[1].split(' ').next().expect("a word");
        let width = help.lines().map(str::len).max().expect("lines");
        assert!(pair[0].len() + 1 + next.len() > width.min(70), "{:?} is broken early", pair[0]);
    }
}
