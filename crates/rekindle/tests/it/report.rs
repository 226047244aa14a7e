//! `rekindle build --report`: the page is there, says what happened, and is nothing but a page. That it is well-formed
//! whatever builders write is tested beside the code that writes it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::checkpoints::json;
use crate::project::{Finished, Place};
use crate::why::project;

fn build(place: &Place, args: &[&str]) -> Finished {
    let dir = place.path().join("p");
    place.rekindle(&["build", "--no-link", "--report", "../page.html"]).args(args).current_dir(&dir).run()
}

fn page(place: &Place) -> String {
    let page = fs::read_to_string(place.path().join("page.html")).expect("a page");
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    // One script, ours, and nothing that is loaded.
    assert_eq!((page.matches("<script").count(), page.matches("<style").count()), (1, 1));
    for loads in [" src=\"", " href=\"", "url(", "@import", "<link", "<iframe", "<object"] {
        assert!(!page.contains(loads), "{loads}");
    }
    page
}

/// The text of the elements of a name.
fn texts(page: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}"), format!("</{name}>"));
    let parts = page.split(&open[..]).skip(1).filter(|part| part.starts_with(['>', ' ']));
    let inside = parts
        .filter_map(|part| part.split_once('>')?.1.split_once(&close[..]).map(|(text, _)| text.to_owned()));
    inside.collect()
}

/// What a tile says.
fn tile(page: &str, name: &str) -> String {
    let at =
        texts(page, "dt").iter().position(|text| text == name).unwrap_or_else(|| panic!("a tile {name}"));
    texts(page, "dd")[at].clone()
}

fn verdicts(report: &Value) -> Vec<(String, String)> {
    let verdicts = report["builds"][0]["verdicts"].as_array().expect("verdicts");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    verdicts.iter().map(|verdict| (text(&verdict["phase"]), text(&verdict["verdict"]))).collect()
}

#[test]
fn the_page_says_what_was_done_and_why() {
    let place = Place::new();
    project(&place);
    let finished = build(&place, &["--json"]);
    assert!(finished.success(), "{}", finished.stderr());
    let clean = page(&place);
    assert_eq!(texts(&clean, "h1"), ["Build of probe-1"]);
    let phases = verdicts(&json(&finished));
    assert_eq!(tile(&clean, "phases run"), phases.len().to_string());
    assert_eq!(
        (tile(&clean, "phases taken over"), tile(&clean, "files taken over")),
        ("0".into(), "0".into())
    );
    for (phase, _) in &phases {
        assert!(texts(&clean, "th").contains(phase), "{phase}");
    }
    // Each compiler is in it once, and what it compiled.
    let commands = texts(&clean, "code");
    assert!(commands.iter().any(|text| text.contains("cc1") && text.contains("src/main.c")), "{commands:?}");
    assert!(clean.contains("class=\"bar "), "no timeline");
    place.write("p", "src/x.h", "#define X 7\n");
    let finished = build(&place, &["--json"]);
    assert!(finished.success(), "{}", finished.stderr());
    let again = page(&place);
    let count = |wanted: &[&str]| {
        let verdicts = verdicts(&json(&finished));
        verdicts.iter().filter(|(_, verdict)| wanted.contains(&&verdict[..])).count().to_string()
    };
    assert_eq!(tile(&again, "phases taken over"), count(&["reuse", "skip"]));
    assert_eq!((tile(&again, "phases continued"), count(&["seed"])), ("1".into(), "1".into()));
    // The object and the program; the header, the other object and the archive were there.
    assert_eq!((tile(&again, "files made"), tile(&again, "files taken over")), ("2".into(), "3".into()));
    assert!(texts(&again, "li").contains(&"src/x.h has other content".to_owned()));
    let reasons: Vec<String> =
        texts(&again, "summary").into_iter().filter(|text| text.contains("<code>")).collect();
    assert_eq!(
        reasons,
        ["prog", "src/main.o"]
            .map(|path| format!("<code>{path}</code> the source src/x.h has other content"))
    );
    assert!(again.contains("Not observed: installPhase, fixupPhase."));
    // Nothing to do is a page, too.
    assert!(build(&place, &[]).success());
    assert!(page(&place).contains("Nothing had to be done"));
}

#[test]
fn a_build_that_fails_leaves_a_page() {
    let place = Place::new();
    place.write("p", "rekindle.toml", "[package]\nname = \"probe\"\n");
    place.write("p", "Makefile", "all:\n\techo '</pre><img src=x>' && exit 3\n");
    let finished = build(&place, &[]);
    assert_eq!(finished.code(), Some(100));
    let page = page(&place);
    assert!(page.contains("exit code 100") && page.contains("failed in buildPhase"));
    assert!(page.contains("&lt;/pre&gt;&lt;img src=x&gt;") && !page.contains("<img"));
}

#[test]
fn hostile_names_stay_names() {
    let place = Place::new();
    let name = "</script><img src=x onerror='alert(1)'>\"";
    let makefile = "all:\n\tsh make.sh\ninstall:\n\tinstall -D out $(PREFIX)/out\n";
    place.write("p", "rekindle.toml", "[package]\nname = \"probe\"\n");
    place.write("p", "Makefile", makefile);
    place.write("p", "make.sh", "for file in in/*/*; do cat \"$file\"; sleep 0.02; done > out\n");
    place.write("p", &format!("in/{name}"), "text");
    assert!(build(&place, &[]).success());
    // Its name is in a command line, and among the sources that changed.
    place.write("p", &format!("in/{name}"), "other text");
    assert!(build(&place, &[]).success());
    let page = page(&place);
    assert!(
        page.contains("img src=x onerror=&#39;alert(1)&#39;&gt;&quot;") && !page.contains("<img"),
        "{page}"
    );
}

#[test]
fn without_observations_the_rest_is_there() {
    let place = Place::new();
    project(&place);
    for args in [&["--no-observe"][..], &["--clean", "--no-phases"]] {
        let finished = build(&place, args);
        assert!(finished.success(), "{}", finished.stderr());
        place.write("p", "src/x.h", "#define X 7\n");
        let page = page(&place);
        assert!(!page.contains("class=\"bar ") && page.contains("Phases"), "{args:?}");
    }
}

#[test]
fn what_cannot_be_written_is_said_before_the_build() {
    let place = Place::new();
    let root = project(&place);
    for (file, says) in [("nowhere/page.html", "there is no directory nowhere"), (".", "it is a directory")] {
        let finished = place.rekindle(&["build", "--report", file]).current_dir(&root).run();
        assert_eq!(finished.code(), Some(1));
        assert!(
            finished.stderr().contains(says) && !finished.stderr().contains("buildPhase"),
            "{}",
            finished.stderr()
        );
    }
    assert!(!Path::new(place.store()).exists(), "nothing was begun");
}
