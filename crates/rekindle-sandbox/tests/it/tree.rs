//! Overlays and plain trees.

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use rekindle_sandbox::{ErrorKind, Mount, Overlay, Spec, Tree, TreeBind, TreeRoot};
use tempfile::{TempDir, tempdir};

use crate::fixture::{chain, output, refusal, shell};

/// Directories for the layers of one overlay.
pub(crate) struct Layers {
    pub(crate) dir: TempDir,
    pub(crate) lowers: Vec<PathBuf>,
}

impl Layers {
    pub(crate) fn new() -> Self {
        let dir = tempdir().expect("a directory");
        ["upper", "work"].iter().for_each(|name| fs::create_dir(dir.path().join(name)).expect("room"));
        Layers { dir, lowers: Vec::new() }
    }

    /// Adds a layer on top of those that are there.
    pub(crate) fn add(&mut self, name: impl AsRef<Path>, files: &[(&str, &str)]) {
        let path = self.dir.path().join("lowers").join(name);
        fs::create_dir_all(&path).expect("room");
        for (name, content) in files {
            let file = path.join(name);
            fs::create_dir_all(file.parent().expect("below the layer")).expect("room");
            fs::write(file, content).expect("room");
        }
        self.lowers.insert(0, path);
    }

    pub(crate) fn upper(&self) -> PathBuf {
        self.dir.path().join("upper")
    }

    pub(crate) fn tree(&self) -> Tree {
        let overlay =
            Overlay { lowers: self.lowers.clone(), upper: self.upper(), work: self.dir.path().join("work") };
        Tree { root: TreeRoot::Overlay(overlay), binds: vec![bind("build", "/build")] }
    }

    /// Makes the upper layer another lower one, and begins a new upper layer.
    fn next(&mut self) {
        let path = self.dir.path().join(format!("old{}", self.lowers.len()));
        fs::rename(self.upper(), &path).expect("the same file system");
        fs::create_dir(self.upper()).expect("room");
        self.lowers.insert(0, path);
    }
}

pub(crate) fn bind(dir: &str, target: &str) -> TreeBind {
    TreeBind { dir: dir.into(), target: target.into() }
}

pub(crate) fn with_tree(script: &str, tree: Tree) -> Spec {
    Spec { tree: Some(tree), cwd: "/build".into(), ..shell(script) }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("it is there");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn changes_end_up_in_the_upper_layer() {
    let mut layers = Layers::new();
    layers.add("0", &[("build/kept", "old"), ("build/changed", "old"), ("build/removed", "old")]);
    let before = fs::metadata(layers.lowers[0].join("build/kept")).expect("it is there");
    let text =
        "cat kept; echo new > changed; rm removed; mkdir -p sub/dir; echo x > sub/dir/new; stat -c %.Y kept";
    let seen = output(&with_tree(text, layers.tree()));
    let (seconds, nanos) = (before.mtime(), before.mtime_nsec());
    assert_eq!(seen, format!("old{seconds}.{nanos:09}\n"));

    let upper = layers.upper().join("build");
    assert_eq!(names(&upper), ["changed", "removed", "sub"]);
    assert!(fs::metadata(upper.join("removed")).expect("a whiteout").file_type().is_char_device());
    assert_eq!(fs::read_to_string(upper.join("changed")).expect("readable"), "new\n");
    assert_eq!(fs::read_to_string(layers.lowers[0].join("build/changed")).expect("readable"), "old");
    assert_eq!(names(&layers.dir.path().join("work")), [""; 0]);

    // The removal holds in the layer above, too, and the same work directory serves again.
    layers.next();
    assert_eq!(output(&with_tree("ls; cat changed", layers.tree())), "changed\nkept\nsub\nnew\n");
}

#[test]
fn any_number_of_layers() {
    for count in [1, 60, 300, Overlay::MAX_LOWERS] {
        let mut layers = Layers::new();
        for index in 0..count {
            let (own, content) = (format!("build/file{index}"), index.to_string());
            layers.add(index.to_string(), &[(own.as_str(), ""), ("build/common", content.as_str())]);
        }
        let text = "ls | wc -l; cat common; rm -rf * && echo x > common && ls";
        assert_eq!(output(&with_tree(text, layers.tree())), format!("{}\n{}common\n", count + 1, count - 1));
    }
    let mut layers = Layers::new();
    layers.add("0", &[]);
    layers.lowers = vec![layers.lowers[0].clone(); Overlay::MAX_LOWERS + 1];
    assert!(chain(&refusal(&with_tree("true", layers.tree()))).contains("501 lower layers"));
}

#[test]
fn directories_of_lower_layers_can_be_replaced() {
    let mut layers = Layers::new();
    layers.add("0", &[("build/dir/sub/file", "old"), ("build/other/file", "old")]);
    layers.add("1", &[("build/dir/more", "old")]);
    let text = "rm -rf dir && mkdir dir && echo new > dir/file && ls dir && rm -r other && ln -s dir other && ls other/";
    assert_eq!(output(&with_tree(text, layers.tree())), "file\nfile\n");
    layers.next();
    assert_eq!(
        output(&with_tree("find . | sort; mkdir dir/sub; ls dir/sub", layers.tree())),
        ".\n./dir\n./dir/file\n./other\n"
    );
    layers.next();
    assert_eq!(output(&with_tree("find dir | sort", layers.tree())), "dir\ndir/file\ndir/sub\n");
}

#[test]
fn names_may_hold_anything() {
    let mut layers = Layers::new();
    let long = "x".repeat(200);
    for name in [&b"a:b,c\\d"[..], b"new\nline \t", b"\xff\xfe=\"'", format!("{long}/{long}").as_bytes()] {
        layers.add(std::ffi::OsString::from_vec(name.to_vec()), &[("build/\u{e9}:,\n", "content")]);
    }
    layers.add("last", &[("build/last", "")]);
    assert_eq!(output(&with_tree("ls | wc -l; cat '\u{e9}:,\n'", layers.tree())), "3\ncontent");
}

#[test]
fn several_parts_of_a_tree() {
    let mut layers = Layers::new();
    layers.add("0", &[("build/a", "a"), ("nix/store/here/x", ""), ("hidden/x", "")]);
    let mut tree = layers.tree();
    tree.binds.push(bind("nix/store", "/nix/store"));
    let mut spec = with_tree("ls /nix/store /; echo x > /nix/store/out; ls /nix/store/here", tree);
    let host = tempdir().expect("a directory");
    fs::write(host.path().join("input"), "").expect("room");
    // An input goes on top of the tree; its mount point has to be there.
    let target = "/nix/store/here".into();
    spec.mounts.push(Mount { source: host.path().into(), target, read_only: true, optional: false });
    let text = output(&spec);
    assert!(text.starts_with("/:\n") && !text.contains("hidden") && !text.contains(".tree"), "{text}");
    assert!(text.ends_with("/nix/store:\nhere\ninput\n"), "{text}");
    assert_eq!(names(&layers.upper().join("nix/store")), ["out"]);
}

#[test]
fn a_whole_tree() {
    let mut layers = Layers::new();
    layers.add("0", &[("file", "")]);
    let tree = Tree { binds: vec![bind("", "/build")], ..layers.tree() };
    assert_eq!(output(&with_tree("touch new; ls", tree)), "file\nnew\n");
    assert_eq!(names(&layers.upper()), ["new"]);
}

#[test]
fn plain_trees() {
    let host = tempdir().expect("a directory");
    fs::create_dir_all(host.path().join("build/sub")).expect("room");
    let tree =
        |dir: &str| Tree { root: TreeRoot::Plain(host.path().into()), binds: vec![bind(dir, "/build")] };
    output(&with_tree("echo x > sub/new && mv sub moved", tree("build")));
    assert_eq!(names(&host.path().join("build/moved")), ["new"]);

    // A command could have left a link that leads out of the tree.
    symlink("/usr", host.path().join("trap")).expect("room");
    let text = chain(&refusal(&with_tree("true", tree("trap"))));
    assert!(text.contains("cannot bind `trap` of the tree at /build"), "{text}");
    let text = chain(&refusal(&with_tree("true", tree("none"))));
    assert!(text.contains("the tree has no such directory"), "{text}");
    let text = chain(&refusal(&with_tree("true", tree("../x"))));
    assert!(text.contains("tree directory ../x"), "{text}");
}

#[test]
fn bad_layers_are_named() {
    let mut layers = Layers::new();
    layers.add("0", &[("build/x", "")]);
    let refused = |change: &dyn Fn(&mut Overlay)| {
        let mut tree = layers.tree();
        let TreeRoot::Overlay(overlay) = &mut tree.root else { unreachable!("it is one") };
        change(overlay);
        refusal(&with_tree("true", tree))
    };
    let text = chain(&refused(&|overlay| overlay.lowers.push("/nonexistent/layer".into())));
    assert!(text.contains("cannot open the lower layer /nonexistent/layer"), "{text}");
    let text = chain(&refused(&|overlay| overlay.upper = "/nonexistent/upper".into()));
    assert!(text.contains("cannot open the upper layer /nonexistent/upper"), "{text}");
    let error = refused(&|overlay| overlay.work = "/proc/self".into());
    assert_eq!(error.kind(), ErrorKind::NoOverlay);
    assert!(chain(&error).contains("upper and work must be on one file system"), "{}", chain(&error));
}
