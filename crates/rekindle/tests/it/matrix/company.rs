//! Several who build with one store: work trees, users, and builds at the same time.

use std::process::Stdio;

use super::edit::{self, replace, write};
use super::make::project;
use super::{Built, equal, verify};
use crate::project::Place;

#[test]
fn two_work_trees_have_their_own_edits() {
    let (place, clean) = (Place::new(), Place::new());
    let (one, other) = (place.path().join("one"), place.path().join("other"));
    edit::make(&one, &project());
    edit::make(&other, &project());
    place.build(&one, &[]);
    for round in 0..3 {
        write("a.h", format!("#define A {}\n", 10 + round)).apply(&one);
        write(&format!("share/one{round}"), "one\n").apply(&one);
        write("b.c", format!("int b(void) {{ return {}; }}\n", 20 + round)).apply(&other);
        assert!(equal(&place, &clean, &one).takes_something());
        assert!(equal(&place, &clean, &other).takes_something());
    }
    verify(&place);
}

#[test]
fn builds_at_once_of_the_same_and_of_different_sources() {
    let (place, clean) = (Place::new(), Place::new());
    let roots = ["one", "other", "third"].map(|name| place.path().join(name));
    for root in &roots {
        edit::make(root, &project());
    }
    place.build(&roots[0], &[]);
    for round in 0..3 {
        // The third has the sources of the first.
        for (root, value) in roots.iter().zip([1, 2, 1]) {
            write("b.c", format!("int b(void) {{ return {value} + 10 * {round}; }}\n")).apply(root);
        }
        let start = |root| {
            let mut command = place.rekindle(&["build", "--no-link"]).arg(root).command();
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
        };
        let running: Vec<_> = roots.iter().map(start).collect();
        for build in running {
            let ended = build.wait_with_output().expect("it ends");
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        }
        for root in &roots {
            equal(&place, &clean, root);
        }
    }
    assert_eq!(place.leftovers(), Vec::<String>::new());
    verify(&place);
}

/// A store belongs to whoever made it. Another user is told so in one line, and nothing is changed.
#[test]
fn two_users_of_one_store() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    for user_first in [true, false] {
        let place = Place::new();
        let root = place.path().join("project");
        edit::make(&root, &project());
        let build = |as_user: bool| {
            let args = ["build", "--no-link", "--json"];
            let invocation = if as_user { place.rekindle_as_user(&args) } else { place.rekindle(&args) };
            invocation.arg(&root).run()
        };
        Built::from(&build(user_first)).good();
        replace("b.c", "2", "3").apply(&root);
        let refused = build(!user_first);
        let told = refused.stderr();
        assert_eq!(refused.code(), Some(1), "{told}");
        assert_eq!(told.lines().filter(|line| line.starts_with("error:")).count(), 1, "{told}");
        assert!(told.contains(place.store().to_str().expect("a plain path")), "the path is named: {told}");
        assert!(Built::from(&build(user_first)).good().takes_something(), "nothing is lost");
    }
}
