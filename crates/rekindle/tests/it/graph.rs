//! `rekindle graph`: what was made from what, in the language of Graphviz and as JSON. The judges are a parser of that
//! language (and `dot` itself, where it is installed), and what the makefile says.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::checkpoints::json;
use crate::project::{Finished, Place};
use crate::why::project;

fn graph(place: &Place, args: &[&str]) -> Finished {
    let finished = place.rekindle(&["graph"]).args(args).current_dir(&place.path().join("p")).run();
    assert!(finished.success(), "{}", finished.stderr());
    finished
}

/// The nodes, by their names, and the edges between them.
fn named(value: &Value) -> (Vec<String>, BTreeSet<String>) {
    let name = |node: &Value| match node["path"].as_str() {
        Some(path) => path.trim_start_matches("build/source/").to_owned(),
        None => {
            let words = node["command"].as_array().expect("a command").iter();
            words.map(|word| word.as_str().expect("a word")).collect::<Vec<_>>().join(" ")
        }
    };
    let nodes: Vec<String> = value["nodes"].as_array().expect("nodes").iter().map(name).collect();
    let at = |end: &Value| &nodes[end.as_u64().expect("a number") as usize];
    let edges = value["edges"].as_array().expect("edges").iter();
    let edges = edges.map(|edge| format!("{} -> {}", at(&edge["from"]), at(&edge["to"]))).collect();
    (nodes, edges)
}

/// Reads a graph as the grammar of the language has it: node and edge statements with lists of attributes. Returns how many
/// of each there are.
fn parse(dot: &str) -> (usize, usize) {
    let mut tokens = Vec::new();
    let mut chars = dot.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' => {
                let mut text = String::from("\"");
                loop {
                    match chars.next().expect("a string ends") {
                        '"' => break,
                        '\\' => text.extend(['\\', chars.next().expect("something is escaped")]),
                        '\n' => panic!("a line break in {text}"),
                        other => text.push(other),
                    }
                }
                tokens.push(text);
            }
            '-' if chars.peek() == Some(&'>') => {
                chars.next();
                tokens.push("->".to_owned());
            }
            '{' | '}' | '[' | ']' | ';' | ',' | '=' => tokens.push(char.to_string()),
            char if char.is_whitespace() => {}
            char => {
                assert!(char.is_ascii_alphanumeric() || char == '_', "{char:?} outside of a string");
                let mut word = String::from(char);
                while let Some(next) = chars.next_if(|next| next.is_ascii_alphanumeric() || *next == '_') {
                    word.push(next);
                }
                tokens.push(word);
            }
        }
    }
    assert_eq!((&tokens[0][..], &tokens[2][..]), ("digraph", "{"), "{dot}");
    assert_eq!(tokens.last().map(String::as_str), Some("}"));
    let (mut nodes, mut edges) = (0, 0);
    for statement in tokens[3..tokens.len() - 1].split(|token| token == ";") {
        let (head, attributes) = match statement.iter().position(|token| token == "[") {
            Some(open) => (&statement[..open], &statement[open + 1..statement.len() - 1]),
            None => (statement, &statement[..0]),
        };
        for attribute in attributes.split(|token| token == ",").filter(|attribute| !attribute.is_empty()) {
            assert!(attribute.len() == 3 && attribute[1] == "=", "{attribute:?}");
        }
        match head {
            [] => {}
            [name] if name.starts_with('n') && name[1..].parse::<u32>().is_ok() => nodes += 1,
            [defaults] if defaults == "node" || defaults == "edge" => {}
            [_, equals, _] if equals == "=" => {}
            [_, arrow, _] if arrow == "->" => edges += 1,
            other => panic!("no statement: {other:?}"),
        }
    }
    (nodes, edges)
}

/// What Graphviz says of it, where it is installed.
fn drawn(dot: &str) -> Option<String> {
    let mut child =
        Command::new("dot").arg("-Tsvg").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    child.stdin.take().expect("a pipe").write_all(dot.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn the_graph_has_what_the_makefile_says() {
    let place = Place::new();
    project(&place);
    place.build(&place.path().join("p"), &[]);
    let (_, edges) = named(&json(&graph(&place, &["--of", "prog", "--json"])));
    let main = "gcc -c -o src/main.o src/main.c";
    let generator = "/bin/sh -c sh gen.sh > config.tmp && mv config.tmp config.h";
    let archive = "/bin/sh -c rm -f libx.a && ar cr libx.a src/f.o";
    let expected = [
        ("gen.sh".to_owned(), generator),
        (generator.to_owned(), "config.h"),
        ("config.h".to_owned(), main),
        ("src/main.c".to_owned(), main),
        ("src/x.h".to_owned(), main),
        (main.to_owned(), "src/main.o"),
        ("src/f.c".to_owned(), "gcc -c -o src/f.o src/f.c"),
        ("gcc -c -o src/f.o src/f.c".to_owned(), "src/f.o"),
        ("src/f.o".to_owned(), archive),
        (archive.to_owned(), "libx.a"),
        ("libx.a".to_owned(), "gcc -o prog src/main.o libx.a"),
        ("src/main.o".to_owned(), "gcc -o prog src/main.o libx.a"),
        ("gcc -o prog src/main.o libx.a".to_owned(), "prog"),
    ];
    assert_eq!(edges, expected.iter().map(|(from, to)| format!("{from} -> {to}")).collect());
    let (files, edges) = named(&json(&graph(&place, &["--of", "prog", "--files", "--json"])));
    assert_eq!(files.len(), 9, "{files:?}");
    assert!(edges.contains("src/x.h -> src/main.o") && edges.contains("libx.a -> prog"), "{edges:?}");
    let (tasks, edges) = named(&json(&graph(&place, &["--of", "prog", "--processes", "--json"])));
    assert_eq!((tasks.len(), edges.len()), (5, 4), "{edges:?}");
    // From what is installed, too, although installing is not watched after a build that went on.
    let check_installed = || {
        let built = place.rekindle(&["build"]).current_dir(&place.path().join("p")).run();
        assert!(built.success(), "{}", built.stderr());
        let (_, edges) = named(&json(&graph(&place, &["--of", "result/bin/tool", "--json"])));
        assert!(edges.iter().any(|edge| edge.starts_with("prog -> install -D prog ")), "{edges:?}");
        assert!(edges.contains("src/f.o -> /bin/sh -c rm -f libx.a && ar cr libx.a src/f.o"), "{edges:?}");
    };
    check_installed();
    // Without a wish what is installed is in it, too, and what is made again by the next build is told.
    let (all, edges) = named(&json(&graph(&place, &["--json"])));
    assert!(
        all.iter().any(|name| name.starts_with("store/") && name.ends_with("-probe-1/bin/tool")),
        "{all:?}"
    );
    assert!(edges.iter().any(|edge| edge.starts_with("prog -> install -D prog ")), "{edges:?}");
    place.write("p", "src/x.h", "#define X 7\n");
    place.build(&place.path().join("p"), &[]);
    check_installed();
    let value = json(&graph(&place, &["probe", "--of", "prog", "--json"]));
    let origin = |path: &str| {
        let nodes = value["nodes"].as_array().expect("nodes");
        let node = nodes.iter().find(|node| node["path"] == path);
        node.unwrap_or_else(|| panic!("{path}"))["origin"].as_str().expect("a word").to_owned()
    };
    assert_eq!(
        ["src/x.h", "src/f.o", "src/main.o"].map(|path| origin(&format!("build/source/{path}"))),
        ["source", "kept", "made"]
    );
}

#[test]
fn the_example_of_the_help_finds_what_was_made_from_a_header() {
    let place = Place::new();
    project(&place);
    place.build(&place.path().join("p"), &[]);
    let value = json(&graph(&place, &["--files", "--json"]));
    let nodes = value["nodes"].as_array().expect("nodes");
    assert!(nodes.iter().enumerate().all(|(at, node)| node["id"] == at), "{nodes:?}");
    let help = place.rekindle(&["graph", "--help"]).run().stdout();
    let documented = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/json.md"));
    for text in [help, documented.expect("a document")] {
        let (_, filter) = text.split_once("graph --files --json | jq -r '").expect("the example");
        let (filter, _) = filter.split_once('\'').expect("its end");
        let mut jq = Command::new("jq");
        jq.args(["-r", &filter.replace("src/a.h", "src/x.h")]).stdin(Stdio::piped()).stdout(Stdio::piped());
        // As with `dot`: where it is installed.
        let Ok(mut child) = jq.spawn() else { continue };
        child.stdin.take().expect("a pipe").write_all(value.to_string().as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "build/source/src/main.o\n", "{filter}");
    }
}

#[test]
fn any_name_gives_a_graph_that_can_be_drawn() {
    let place = Place::new();
    let makefile = "all:\n\tsh make.sh\ninstall:\n\tinstall -D out/plain $(PREFIX)/plain\n";
    place.write("p", "rekindle.toml", "[package]\nname = \"probe\"\n");
    place.write("p", "Makefile", makefile);
    let script =
        "mkdir out\ncp in/plain out/plain\nfor name in in/*; do cat \"$name\" > \"out/${name#in/}x\"; done\n";
    place.write("p", "make.sh", script);
    let hostile = [
        "plain",
        "quo\"te",
        "back\\slash",
        "end\\",
        "]; evil -> graph [label=\"",
        "<b>bold",
        "line\nbreak",
        "esc\u{1b}[31m",
        "&amp;",
        "größe",
    ];
    for name in hostile {
        place.write("p", &format!("in/{name}"), "text");
    }
    place.build(&place.path().join("p"), &[]);
    for args in [&[][..], &["--files"], &["--processes"]] {
        let dot = graph(&place, args).stdout();
        let value = json(&graph(&place, &[args, &["--json"]].concat()));
        let count = |of: &str| value[of].as_array().expect("a list").len();
        assert_eq!(parse(&dot), (count("nodes"), count("edges")), "{dot}");
        assert!(!dot.contains('\u{1b}'), "{dot}");
        if let Some(svg) = drawn(&dot) {
            assert_eq!(svg.matches("class=\"node\"").count(), count("nodes"));
        }
    }
    let (nodes, _) = named(&json(&graph(&place, &["--json"])));
    for name in hostile {
        assert!(nodes.contains(&format!("in/{name}")), "{name:?} is not in {nodes:?}");
    }
}

#[test]
fn a_large_graph_is_cut_and_says_so() {
    let place = Place::new();
    let makefile = "all:\n\tmkdir out && for n in $$(seq 2100); do echo > out/$$n; done\ninstall:\n\tinstall -D out/1 $(PREFIX)/1\n";
    place.write("p", "rekindle.toml", "[package]\nname = \"probe\"\n");
    place.write("p", "Makefile", makefile);
    place.build(&place.path().join("p"), &[]);
    let cut = graph(&place, &[]);
    assert_eq!(parse(&cut.stdout()).0, 2000);
    assert!(cut.stderr().starts_with("warning: ") && cut.stderr().contains("--all"), "{}", cut.stderr());
    let whole = graph(&place, &["--all"]);
    assert!(parse(&whole.stdout()).0 > 2100 && whole.stderr().is_empty(), "{}", whole.stderr());
    assert_eq!(json(&graph(&place, &["--all", "--json"]))["leftOut"], 0);
}

#[test]
fn mistakes_are_one_line() {
    let place = Place::new();
    project(&place);
    place.build(&place.path().join("p"), &[]);
    let check = |args: &[&str], says: &[&str]| {
        let finished =
            place.rekindle(&["graph"]).args(args).current_dir(Path::new(&place.path().join("p"))).run();
        let stderr = finished.stderr();
        assert_eq!((finished.code(), finished.stdout()), (Some(1), String::new()), "{stderr}");
        assert_eq!(stderr.lines().filter(|line| line.starts_with("error:")).count(), 1, "{stderr}");
        assert!(says.iter().all(|said| stderr.contains(said)), "{stderr}");
    };
    check(&["src/main.o"], &["src/main.o is no package", "--of src/main.o"]);
    check(&["--of", "src/mian.o"], &["did you mean src/main.o?"]);
    check(&["--of", "unused.txt"], &["unused.txt"]);
    check(&["nonsense"], &["nonsense is no package"]);
    check(&["nonsense", "-p", "probe"], &["nonsense is no directory"]);
}

/// Two packages in one manifest: `one` makes a file `first`, `two` makes `second`.
pub(crate) fn several(place: &Place) -> PathBuf {
    let mut manifest = String::new();
    for (name, made) in [("one", "first"), ("two", "second")] {
        let makefile =
            format!("{made}: x.txt\n\tcp x.txt $@\ninstall:\n\tinstall -D {made} $(PREFIX)/{made}\n");
        manifest += &format!("[packages.{name}]\nversion = \"1\"\nsource = \"{name}\"\n");
        place.write("p", &format!("{name}/Makefile"), makefile);
        place.write("p", &format!("{name}/x.txt"), "text");
    }
    place.write("p", "rekindle.toml", manifest)
}

#[test]
fn one_of_several_packages_can_be_named() {
    let place = Place::new();
    let root = several(&place);
    place.build(&root, &[]);
    let unnamed = place.rekindle(&["graph"]).current_dir(&root).run();
    assert_eq!(unnamed.code(), Some(1));
    assert!(unnamed.stderr().contains("-p NAME names the package"), "{}", unnamed.stderr());
    for (args, made) in [(["-p", "one"], "first"), (["--package", "two-1"], "second")] {
        let (nodes, _) = named(&json(&graph(&place, &[&args[..], &["--json"]].concat())));
        assert!(nodes.contains(&made.to_owned()), "{nodes:?}");
    }
    // The other commands understand the same names, and leave none aside.
    for args in [["why", "-p", "two"], ["why", "-p", "two-1"], ["log", "-p", "two"]] {
        let finished = place.rekindle(&args).current_dir(&root).run();
        assert!(finished.success(), "{}", finished.stderr());
    }
    for name in ["one", "one-1"] {
        let listed = json(&place.rekindle(&["checkpoint", "list", "--json", "-p", name]).run());
        assert_eq!(listed["checkpoints"][0]["package"], "one", "{listed}");
    }
    for args in [["log", "two-1", "-p", "one"], ["verify", "two-1", "-p", "one"]] {
        let finished = place.rekindle(&args).current_dir(&root).run();
        assert_eq!(finished.code(), Some(1));
        assert!(
            finished.stderr().contains("-p one says which package of a directory"),
            "{}",
            finished.stderr()
        );
    }
}
