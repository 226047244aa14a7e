//! Read-only stacks of directories.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;

use rekindle_sandbox::{Overlay, Spec, Stack, Watch};

use crate::fixture::{chain, output, refusal, run, shell};
use crate::tree::{Layers, with_tree};

fn with_stack(script: &str, layers: Vec<PathBuf>, target: &str) -> Spec {
    Spec { stacks: vec![Stack { layers, target: target.into() }], ..shell(script) }
}

/// A tree with an empty `build/source`, and the layers of a stack for that place: `kept`, `sub/deep` and `new` remain,
/// `gone` was removed, and `replaced` has another directory in its place.
fn source() -> (Layers, Layers) {
    let mut tree = Layers::new();
    tree.add("0", &[("build/other", "other")]);
    fs::create_dir(tree.lowers[0].join("build/source")).expect("room");

    let mut stack = Layers::new();
    let old = [("kept", "old"), ("gone", "old"), ("sub/deep", "old"), ("replaced/old", "old")];
    stack.add(
        "0",
        &old.map(|(name, content)| (format!("build/{name}"), content))
            .each_ref()
            .map(|(n, c)| (n.as_str(), *c)),
    );
    // The kernel itself says how a removal is written.
    let script = "rm gone && rm -r replaced && mkdir replaced && echo new > replaced/file && echo new > new && echo new > sub/deep";
    output(&with_tree(script, stack.tree()));
    let old = stack.lowers[0].join("build");
    stack.lowers = vec![stack.upper().join("build"), old];
    (tree, stack)
}

#[test]
fn several_directories_are_one() {
    let (_, stack) = source();
    let kept = fs::metadata(stack.lowers[1].join("kept")).expect("it is there");
    let text = output(&with_stack(
        "cd /in/source; find . | sort; cat sub/deep; stat -c %.Y kept; touch kept 2>&1 || echo read-only",
        stack.lowers.clone(),
        "/in/source",
    ));
    let (seconds, nanos) = (kept.mtime(), kept.mtime_nsec());
    let (seen, refused) = text.split_at(text.find("touch").expect("it is refused"));
    let tree = ".\n./kept\n./new\n./replaced\n./replaced/file\n./sub\n./sub/deep\n";
    assert_eq!(seen, format!("{tree}new\n{seconds}.{nanos:09}\n"));
    assert!(refused.ends_with("Read-only file system\nread-only\n"), "{refused}");
}

#[test]
fn one_directory_is_bound() {
    let (_, stack) = source();
    let script = "cd /in/source; ls; touch kept 2>/dev/null || echo read-only";
    let text = output(&with_stack(script, vec![stack.lowers[1].clone()], "/in/source"));
    assert_eq!(text, "gone\nkept\nreplaced\nsub\nread-only\n");
}

#[test]
fn inside_a_tree() {
    for count in [1, 2] {
        let (tree, stack) = source();
        let layers = stack.lowers[2 - count..].to_vec();
        let stacks = vec![Stack { layers, target: "/build/source".into() }];
        let script = "cp source/kept copy && echo x > new && rm other; cat copy; ls source | wc -l";
        let text = output(&Spec { stacks, ..with_tree(script, tree.tree()) });
        assert_eq!(text, "old4\n");
        // What is mounted leaves nothing in the tree's changes.
        let changed: Vec<_> = fs::read_dir(tree.upper().join("build"))
            .expect("it has changed")
            .map(|entry| entry.expect("readable").file_name())
            .collect();
        assert!(changed.len() == 3 && !changed.contains(&"source".into()), "{changed:?}");
    }
}

#[test]
fn it_is_watched_like_any_directory() {
    for count in [1, 2] {
        let (tree, stack) = source();
        let layers = stack.lowers[2 - count..].to_vec();
        let spec = Spec {
            stacks: vec![Stack { layers, target: "/build/source".into() }],
            watch: Some(Watch { roots: vec!["/build".into(), "/build/source".into()] }),
            ..with_tree("cat source/sub/deep other >/dev/null; echo x > made", tree.tree())
        };
        let ran = run(&spec);
        let seen = ran.exit.observed.expect("it was asked for");
        assert!(seen.complete, "{}", seen.reason);
        let opened: Vec<_> = seen.opened.iter().map(|path| path.to_str().expect("plain names")).collect();
        assert!(opened.contains(&"/build/source/sub/deep") && opened.contains(&"/build/other"), "{opened:?}");
        assert!(!opened.contains(&"/build/source/kept"), "{opened:?}");
    }
}

#[test]
fn the_deepest_stack() {
    let mut stack = Layers::new();
    for index in 0..Overlay::MAX_LOWERS {
        stack
            .add(format!("{index},:"), &[(format!("file{index}").as_str(), ""), ("top", &index.to_string())]);
    }
    let text = output(&with_stack("cd /in; ls | wc -l; cat top", stack.lowers.clone(), "/in"));
    assert_eq!(text, format!("{}\n{}", Overlay::MAX_LOWERS + 1, Overlay::MAX_LOWERS - 1));
}

#[test]
fn bad_stacks_are_named() {
    let (tree, stack) = source();
    let refused =
        |layers: &[PathBuf], target: &str| chain(&refusal(&with_stack("true", layers.to_vec(), target)));
    assert!(refused(&[], "/in").contains("0 lower layers"));
    assert!(
        refused(&vec![stack.lowers[0].clone(); Overlay::MAX_LOWERS + 1], "/in").contains("501 lower layers")
    );
    let missing = [stack.lowers[0].clone(), "/nonexistent/layer".into()];
    assert!(refused(&missing, "/in").contains("cannot open the layer /nonexistent/layer"));
    assert!(refused(&["relative".into()], "/in").contains("layer relative is not an absolute path"));
    assert!(refused(&stack.lowers, "/").contains("stack target / cannot be the root itself"));

    // A link in the tree leads nowhere but inside; a place that the tree does not have is not made in it.
    let stacks = |target: &str| vec![Stack { layers: stack.lowers.clone(), target: target.into() }];
    let spec = Spec { stacks: stacks("/build/none"), ..with_tree("true", tree.tree()) };
    assert!(chain(&refusal(&spec)).contains("/build/none does not exist in the sandbox"));
    symlink("/usr", tree.upper().join("trap")).expect("room");
    let mut whole = tree.tree();
    whole.binds[0].dir = "".into();
    let spec = Spec { stacks: stacks("/build/trap/none"), ..with_tree("true", whole) };
    let text = chain(&refusal(&spec));
    assert!(text.contains("/build/trap does not exist in the sandbox"), "{text}");
}
