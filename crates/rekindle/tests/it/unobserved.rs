//! Questions about a build of which a part was not observed: what is not known is said to be so.

use crate::checkpoints::json;
use crate::project::{Finished, Place};
use crate::why::project;

fn ask(place: &Place, args: &[&str]) -> Finished {
    place.rekindle(args).current_dir(&place.path().join("p")).run()
}

#[track_caller]
fn check_error(finished: &Finished, says: &[&str]) {
    let stderr = finished.stderr();
    assert_eq!((finished.code(), finished.stdout()), (Some(1), String::new()), "{stderr}");
    for said in says {
        assert!(stderr.contains(said), "{said:?} is not in {stderr}");
    }
}

#[test]
fn a_phase_that_was_not_observed_is_named() {
    let place = Place::new();
    project(&place);
    let build = |args: &[&str]| {
        let built = ask(&place, &[&["build", "-q"], args].concat());
        assert!(built.success(), "{}", built.stderr());
        json(&ask(&place, &["why", "--json"]))["checkpoint"].as_str().expect("an identity").to_owned()
    };
    let first = build(&[]);
    assert_eq!(json(&ask(&place, &["why", "--json"]))["unobserved"], serde_json::json!([]));
    place.write("p", "src/f.c", "int f(void) { return 3; }\n");
    let id = build(&["--no-observe"]);
    let which =
        format!("buildPhase, installPhase were not observed in the build of the checkpoint {}", &id[..8]);
    for file in ["src/f.o", "src/f.c"] {
        check_error(&ask(&place, &["why", file]), &[&which, "hint: --checkpoint"]);
        check_error(&ask(&place, &["graph", "--of", file]), &[&which, "hint: --checkpoint"]);
    }
    let earlier = ask(&place, &["why", "src/f.o", "--checkpoint", &first]);
    assert!(earlier.stdout().contains("gcc -c -o src/f.o src/f.c"), "{}", earlier.stderr());
    // Installing was observed, and it looked at what was built.
    place.write("p", "src/f.c", "int f(void) { return 4; }\n");
    build(&["--clean"]);
    place.write("p", "src/f.c", "int f(void) { return 4; } // the same\n");
    let id = build(&["--no-observe"]);
    let which = format!("buildPhase was not observed in the build of the checkpoint {}", &id[..8]);
    check_error(&ask(&place, &["why", "libx.b"]), &[&which, "did you mean libx.a?", "hint: --checkpoint"]);
    let known = ask(&place, &["why", "prog"]).stdout();
    assert!(known.contains(&which) && !known.contains("no process made it"), "{known}");
    assert!(known.contains("--checkpoint"), "{known}");
    let whole = ask(&place, &["why"]).stdout();
    assert!(whole.contains("of buildPhase were not observed"), "{whole}");
    let value = json(&ask(&place, &["why", "prog", "--json"]));
    assert_eq!(value["unobserved"], serde_json::json!(["buildPhase"]));
    let graph = ask(&place, &["graph"]);
    assert!(graph.success() && graph.stderr().starts_with("warning: "), "{}", graph.stderr());
    assert!(graph.stderr().contains(&which) && graph.stderr().contains("--checkpoint"), "{}", graph.stderr());
    // Behind a phase that went on nothing is observed, and there is no word about it.
    place.write("p", "src/f.c", "int f(void) { return 5; }\n");
    build(&["--clean"]);
    place.write("p", "src/f.c", "int f(void) { return 6; }\n");
    build(&[]);
    let graph = ask(&place, &["graph"]);
    assert_eq!((graph.code(), graph.stderr()), (Some(0), String::new()));
}

#[test]
fn a_graph_of_nothing_is_an_error() {
    let place = Place::new();
    let root = place.write("p", "rekindle.toml", "[package]\nname = \"probe\"\n");
    let makefile = "x: x.txt\n\tcp x.txt x\ninstall: x\n\tinstall -D x $(PREFIX)/x\n";
    place.write("p", "Makefile", makefile);
    place.write("p", "x.txt", "1");
    let prepare = |args: &[&str]| {
        let prepared = place.rekindle(&["prepare", "-q"]).args(args).arg(&root).run();
        prepared.line()
    };
    prepare(&[]);
    place.write("p", "x.txt", "2");
    prepare(&["--no-observe"]);
    check_error(&ask(&place, &["graph"]), &["nothing to draw", "buildPhase", "--checkpoint"]);
}
