//! Comparing trees and merging changes, against a model of path by path, with the kernel as the judge.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rekindle_layers::{
    Node, NodeKind, Snapshot, Timestamp, TreeChange, TreeChangeKind, View, difference, merge, remove_tree,
};

use crate::kernel::{Overlay, Workshop, assert_same};
use crate::namespace;
use crate::seed::{Rng, seeds};

const MTIME: Timestamp = Timestamp { secs: 5_000_000_000, nanos: 123_456_789 };

#[test]
fn differences_and_merges_are_those_of_the_model() {
    namespace::with_mounts("merge::inner_random_trees");
}

#[test]
fn inner_random_trees() {
    if !namespace::is_part() {
        return;
    }
    for seed in seeds() {
        random_case(seed);
    }
}

fn random_case(seed: u64) {
    let mut rng = Rng::new(seed);
    let workshop = Workshop::new();
    let stack = |rng: &mut Rng, mut stack: Vec<PathBuf>, layers: usize, most: usize| {
        for _ in 0..layers {
            let edits = 1 + rng.below(most);
            stack = workshop.edited(rng, &stack, edits);
        }
        stack
    };
    let base = vec![workshop.base(&mut rng, 50)];
    let (depth, rest) = (rng.below(3), rng.below(3));
    let then = stack(&mut rng, base, depth, 15);
    let after = stack(&mut rng, then.clone(), 1 + rest % 2, 20);
    let now = match rng.below(8) {
        0 => then.clone(),
        1 => vec![workshop.base(&mut rng, 50)],
        // From then, or from something that it was made from.
        _ => {
            let common = then[rng.below(then.len())..].to_vec();
            stack(&mut rng, common, 1 + rest % 2, 12)
        }
    };
    let [seen_then, seen_now, seen_after] = [&then, &now, &after].map(|stack| workshop.show(stack));
    let sub = sub(&mut rng, [&seen_then, &seen_now, &seen_after]);
    let what = |part: &str| format!("REKINDLE_SEED={seed}, below {sub:?}, {part}");

    let expected = expected_changes(&seen_then, &seen_now, &sub);
    let changes = difference(&then, &now, &sub).unwrap();
    assert_eq!(changes, expected, "{}", what("difference"));
    assert_eq!(difference(&now, &now, &sub).unwrap(), [], "{}", what("no difference"));

    let draft = workshop.store.begin().unwrap();
    let merged = merge(&changes, &now, &after, draft.upper(), &sub, MTIME).unwrap();
    let model = model(&changes, &seen_now, &seen_after, &sub);
    let stacked = [&[draft.upper().to_owned()], &after[..]].concat();
    let shown = workshop.show(&stacked);
    assert_model(&model, &shown, &what("as a layer"));
    let view = Snapshot::of_view(&View::of_layers(&stacked, Path::new("")).unwrap()).unwrap();
    assert_same(&shown, &view, &what("view"));
    if changes.is_empty() {
        assert_eq!(fs::read_dir(draft.upper()).unwrap().count(), 0, "{}", what("nothing to do"));
        assert_eq!(merged, rekindle_layers::Merged::default());
    }
    let _overlay = Overlay::new(&workshop.at, &after, Some((draft.upper(), draft.work())));
    assert_model(&model, &Snapshot::of_path(&workshop.at).unwrap(), &what("as what a build begins on"));
}

/// The whole tree, or a place in it, which need not be there or be a directory.
fn sub(rng: &mut Rng, trees: [&Snapshot; 3]) -> PathBuf {
    if rng.one_in(2) {
        return PathBuf::new();
    }
    let paths: Vec<_> = trees.iter().flat_map(|tree| tree.nodes()).map(|(path, _)| path).collect();
    paths[rng.below(paths.len())].to_owned()
}

fn expected_changes(old: &Snapshot, new: &Snapshot, sub: &Path) -> Vec<TreeChange> {
    let mut changes = BTreeMap::new();
    for (path, _) in old.nodes().chain(new.nodes()) {
        let Ok(relative) = path.strip_prefix(sub) else { continue };
        let kind = match (old.get(path), new.get(path)) {
            (None, _) => TreeChangeKind::Added,
            (_, None) => TreeChangeKind::Removed,
            (Some(old), Some(new)) => match (&old.kind, &new.kind) {
                (one, other) if std::mem::discriminant(one) != std::mem::discriminant(other) => {
                    TreeChangeKind::Kind
                }
                (one @ NodeKind::File { .. }, other) if one != other => TreeChangeKind::Content,
                (one @ NodeKind::Symlink { .. }, other) if one != other => TreeChangeKind::Target,
                _ if old.mode != new.mode => TreeChangeKind::Mode,
                _ => continue,
            },
        };
        changes.insert(relative.to_owned(), kind);
    }
    changes.into_iter().map(|(path, kind)| TreeChange { path, kind }).collect()
}

/// What each path has to be: what it is now if it changed, else what it is after then; and then what makes it a tree.
fn model(changes: &[TreeChange], now: &Snapshot, after: &Snapshot, sub: &Path) -> BTreeMap<PathBuf, Node> {
    // The hard links of each tree are links among each other only.
    let taken = |node: &Node, tree: &str| Node {
        link_group: node.link_group.as_ref().map(|first| Path::new(tree).join(first)),
        ..node.clone()
    };
    let new = |node: &Node| Node { mtime: MTIME, ..taken(node, "now") };
    let is_directory = |node: Option<&Node>| node.is_some_and(|node| node.kind == NodeKind::Directory);
    let mut tree: BTreeMap<PathBuf, Node> =
        after.nodes().map(|(path, node)| (path.to_owned(), taken(node, "after"))).collect();
    let mut touched = Vec::new();
    for TreeChange { path, kind } in changes {
        let path: PathBuf = sub.components().chain(path.components()).collect();
        match now.get(&path) {
            Some(node) => drop(tree.insert(path.clone(), new(node))),
            None => drop(tree.remove(&path)),
        }
        if matches!(kind, TreeChangeKind::Added | TreeChangeKind::Removed | TreeChangeKind::Kind) {
            touched.extend(path.parent().map(Path::to_owned));
        }
    }
    for TreeChange { path, .. } in changes {
        let path: PathBuf = sub.components().chain(path.components()).collect();
        for above in path.ancestors().skip(1).filter(|_| now.get(&path).is_some()) {
            if !is_directory(tree.get(above)) {
                tree.insert(above.to_owned(), new(now.get(above).unwrap()));
                touched.extend(above.parent().map(Path::to_owned));
            }
        }
    }
    let whole = tree.clone();
    tree.retain(|path, _| path.ancestors().skip(1).all(|above| is_directory(whole.get(above))));
    for path in touched {
        if let Some(node) = tree.get_mut(&path).filter(|node| node.kind == NodeKind::Directory) {
            node.mtime = MTIME;
        }
    }
    let mut groups: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for (path, node) in &mut tree {
        groups.entry(node.link_group.take().unwrap_or_default()).or_default().push(path.clone());
    }
    for (id, group) in groups {
        if !id.as_os_str().is_empty() && group.len() > 1 {
            for path in &group {
                tree.get_mut(path).unwrap().link_group = Some(group[0].clone());
            }
        }
    }
    tree
}

fn assert_model(model: &BTreeMap<PathBuf, Node>, shown: &Snapshot, what: &str) {
    let mut told = Vec::new();
    let shown: BTreeMap<_, _> = shown.nodes().map(|(path, node)| (path.to_owned(), node.clone())).collect();
    for path in model.keys().chain(shown.keys()) {
        let (expected, got) = (model.get(path), shown.get(path));
        if expected != got {
            let tell = |node: Option<&Node>| node.map_or("nothing".to_owned(), ToString::to_string);
            told.push(format!("{}: {}, but {}", path.display(), tell(expected), tell(got)));
        }
    }
    assert!(told.is_empty(), "{what}:\n{}", told.join("\n"));
}

/// Three stacks on one base, written by hand; nothing is mounted.
struct Trees {
    temp: tempfile::TempDir,
    then: Vec<PathBuf>,
    now: Vec<PathBuf>,
    after: Vec<PathBuf>,
}

impl Trees {
    fn new() -> Trees {
        let temp = tempfile::tempdir().unwrap();
        let [base, now, after, upper] = ["base", "now", "after", "upper"].map(|name| temp.path().join(name));
        for dir in [&base, &now, &after, &upper] {
            fs::create_dir_all(dir.join("build")).unwrap();
        }
        remove_tree(&upper.join("build")).unwrap();
        Trees { then: vec![base.clone()], now: vec![now, base.clone()], after: vec![after, base], temp }
    }

    fn merge(&self) -> (Vec<TreeChange>, Snapshot) {
        let upper = self.temp.path().join("upper");
        let changes = difference(&self.then, &self.now, Path::new("build")).unwrap();
        merge(&changes, &self.now, &self.after, &upper, Path::new("build"), MTIME).unwrap();
        let stack = [&[upper], &self.after[..]].concat();
        (changes, Snapshot::of_view(&View::of_layers(&stack, Path::new("build")).unwrap()).unwrap())
    }
}

#[test]
fn only_what_changed_is_new() {
    let trees = Trees::new();
    let [base, now, after] =
        [&trees.then[0], &trees.now[0], &trees.after[0]].map(|layer| layer.join("build"));
    for file in ["edited.c", "same.c", "rewritten.c"] {
        fs::write(base.join(file), "then").unwrap();
    }
    fs::create_dir(base.join("sub")).unwrap();
    fs::write(base.join("sub/deep.c"), "then").unwrap();
    // A build writes products, and over two of its sources.
    fs::write(after.join("product"), "product").unwrap();
    fs::hard_link(after.join("product"), after.join("alias")).unwrap();
    fs::write(after.join("rewritten.c"), "by the build").unwrap();
    fs::write(after.join("edited.c"), "by the build").unwrap();
    fs::create_dir(now.join("sub")).unwrap();
    for file in ["edited.c", "sub/deep.c"] {
        fs::write(now.join(file), "now").unwrap();
    }
    fs::write(now.join("added.c"), "now").unwrap();
    fs::hard_link(now.join("added.c"), now.join("sub/linked.c")).unwrap();

    let before = Snapshot::of_view(&View::of_layers(&trees.after, Path::new("build")).unwrap()).unwrap();
    let (changes, merged) = trees.merge();
    let paths: Vec<_> = changes.iter().map(|change| change.path.to_str().unwrap()).collect();
    assert_eq!(paths, ["added.c", "edited.c", "sub/deep.c", "sub/linked.c"]);
    for path in ["product", "alias", "same.c", "rewritten.c"].map(Path::new) {
        assert_eq!(merged.get(path), before.get(path), "{path:?}");
    }
    for path in ["edited.c", "added.c", "sub/deep.c", "sub/linked.c", "sub", ""].map(Path::new) {
        assert_eq!(merged.get(path).unwrap().mtime, MTIME, "{path:?}");
    }
    assert_eq!(merged.get(Path::new("sub/linked.c")).unwrap().link_group, Some("added.c".into()));
    let upper = trees.temp.path().join("upper/build");
    assert_eq!(fs::read(upper.join("edited.c")).unwrap(), b"now");
    let original = fs::metadata(now.join("added.c")).unwrap().ino();
    assert_ne!(fs::metadata(upper.join("added.c")).unwrap().ino(), original, "no hard link to a layer");
}

#[test]
fn a_symlink_of_the_build_is_never_followed() {
    let trees = Trees::new();
    let [base, now, after] =
        [&trees.then[0], &trees.now[0], &trees.after[0]].map(|layer| layer.join("build"));
    let outside = trees.temp.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "untouched").unwrap();
    fs::create_dir(base.join("dir")).unwrap();
    fs::write(base.join("dir/file"), "then").unwrap();
    fs::create_dir(now.join("dir")).unwrap();
    fs::write(now.join("dir/file"), "now").unwrap();
    symlink(&outside, after.join("dir")).unwrap();
    let (_, merged) = trees.merge();
    assert_eq!(fs::read(outside.join("file")).unwrap(), b"untouched");
    assert_eq!(merged.get(Path::new("dir")).unwrap().kind, NodeKind::Directory);
    assert_eq!(fs::read(trees.temp.path().join("upper/build/dir/file")).unwrap(), b"now");
}

#[test]
fn an_ordinary_user_merges_and_reads_only_what_may_differ() {
    namespace::as_ordinary_user("merge::inner_ordinary_user");
}

#[test]
fn inner_ordinary_user() {
    if !namespace::is_part() {
        return;
    }
    let trees = Trees::new();
    let [base, now, after] =
        [&trees.then[0], &trees.now[0], &trees.after[0]].map(|layer| layer.join("build"));
    let mode = |path: PathBuf, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    fs::create_dir(base.join("read-only")).unwrap();
    fs::write(base.join("read-only/removed"), "then").unwrap();
    fs::write(base.join("read-only/edited"), "then").unwrap();
    mode(base.join("read-only"), 0o555);
    // Nobody may look into this one, and nobody has to.
    fs::create_dir(base.join("closed")).unwrap();
    mode(base.join("closed"), 0o000);
    fs::create_dir(now.join("read-only")).unwrap();
    fs::write(now.join("read-only/edited"), "now").unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        now.join("read-only/removed"),
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::empty(),
        0,
    )
    .unwrap();
    mode(now.join("read-only"), 0o555);
    fs::write(after.join("product"), "product").unwrap();

    let changes = difference(&trees.then, &trees.now, Path::new("")).unwrap();
    let listed: Vec<_> = changes.iter().map(|change| (change.path.to_str().unwrap(), change.kind)).collect();
    assert_eq!(
        listed,
        [
            ("build/read-only/edited", TreeChangeKind::Content),
            ("build/read-only/removed", TreeChangeKind::Removed)
        ]
    );
    let upper = trees.temp.path().join("upper");
    let merged = merge(&changes, &trees.now, &trees.after, &upper, Path::new(""), MTIME).unwrap();
    assert_eq!((merged.written.files, merged.written.directories, merged.removed), (1, 2, 1));
    let stack = [std::slice::from_ref(&upper), &trees.after].concat();
    let view = View::of_layers(&stack, Path::new("build/read-only")).unwrap();
    let shown = Snapshot::of_view(&view).unwrap();
    assert_eq!(shown.nodes().map(|(path, _)| path).collect::<Vec<_>>(), [Path::new(""), Path::new("edited")]);
    assert_eq!(shown.get(Path::new("")).unwrap().mode, 0o555);
    remove_tree(trees.temp.path()).unwrap();
}

#[test]
fn changes_must_be_those_of_the_stack() {
    for path in ["none", "none/below", "../outside", "/outside", "build/../../outside"] {
        let trees = Trees::new();
        let changes = [TreeChange { path: path.into(), kind: TreeChangeKind::Added }];
        let upper = trees.temp.path().join("upper");
        let merged = merge(&changes, &trees.now, &trees.after, &upper, Path::new("build"), MTIME);
        assert!(merged.unwrap_err().is_not_found(), "{path}");
    }
    assert!(difference(&[Path::new("/no/such/layer")], &[Path::new("/")], Path::new("")).is_err());
}
