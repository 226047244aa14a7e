//! Captured sources: what is in the layer, and that a layer of changes is as good as a whole one.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rekindle_layers::{
    Error, Manifest, NodeKind, ScanOptions, Snapshot, StatIndex, Timestamp, View, capture_source,
    newest_mtime, scan, survey,
};

use crate::kernel::{Workshop, assert_same};
use crate::namespace;
use crate::seed::{Rng, seeds};
use crate::tree::edit;

const MTIME: Timestamp = Timestamp { secs: 1, nanos: 0 };

fn manifest(root: &Path) -> Manifest {
    let options = ScanOptions { gitignore: false, exclude: Vec::new() };
    scan(root, &options, &StatIndex::default()).unwrap().manifest
}

/// Captures into a new layer.
fn capture(
    workshop: &Workshop,
    root: &Path,
    manifest: &Manifest,
    previous: Option<&Manifest>,
) -> Result<PathBuf, Error> {
    let draft = workshop.store.begin()?;
    capture_source(root, manifest, previous, &draft, Path::new("build/source"), MTIME)?;
    Ok(workshop.store.path(draft.commit()?))
}

#[test]
fn changes_on_what_was_captured_are_as_good_as_all() {
    namespace::with_mounts("capture::inner_random_sources");
}

#[test]
fn inner_random_sources() {
    if !namespace::is_part() {
        return;
    }
    for seed in seeds() {
        let mut rng = Rng::new(seed);
        let workshop = Workshop::new();
        let root = workshop.temp.path().join("root");
        fs::create_dir(&root).unwrap();
        let mut stack: Vec<PathBuf> = Vec::new();
        let mut previous: Option<Manifest> = None;
        for edits in [40, 15, 0] {
            for _ in 0..edits {
                edit(&mut rng, &root);
            }
            remove_what_cannot_be_a_source(&root);
            let manifest = manifest(&root);
            let layer = capture(&workshop, &root, &manifest, previous.as_ref()).unwrap();
            stack.insert(0, layer);
            let whole = [capture(&workshop, &root, &manifest, None).unwrap()];
            let what = format!("REKINDLE_SEED={seed}, layer {}", stack.len());
            let shown = workshop.show(&whole);
            assert_same(&shown, &workshop.show(&stack), &what);
            check_canonical(&shown, &what);
            assert_eq!(newest_mtime(&stack[0]).unwrap(), MTIME, "{what}");
            assert_eq!(self::manifest(&whole[0].join("build/source")), manifest, "{what}");
            previous = Some(manifest);
        }
    }
}

fn remove_what_cannot_be_a_source(root: &Path) {
    for entry in fs::read_dir(root).unwrap().map(Result::unwrap) {
        let file_type = entry.file_type().unwrap();
        if file_type.is_dir() {
            remove_what_cannot_be_a_source(&entry.path());
        } else if file_type.is_fifo() || file_type.is_socket() {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

fn check_canonical(shown: &Snapshot, what: &str) {
    for (path, node) in shown.nodes() {
        let modes: &[u32] = match node.kind {
            NodeKind::Directory => &[0o755],
            NodeKind::File { .. } => &[0o644, 0o755],
            _ => &[0o777],
        };
        assert!(modes.contains(&node.mode) && node.mtime == MTIME, "{what}, {path:?}: {node}");
        assert_eq!(node.link_group, None, "{what}, {path:?}");
    }
}

#[test]
fn only_what_differs_is_written() {
    let workshop = Workshop::new();
    let root = workshop.temp.path().join("root");
    fs::create_dir_all(root.join("a/b")).unwrap();
    for file in ["a/b/one", "a/b/two", "a/three", "four"] {
        fs::write(root.join(file), file).unwrap();
    }
    let before = manifest(&root);
    fs::write(root.join("a/b/two"), "edited").unwrap();
    fs::remove_file(root.join("four")).unwrap();
    let after = manifest(&root);
    let draft = workshop.store.begin().unwrap();
    let captured = capture_source(&root, &after, Some(&before), &draft, Path::new(""), MTIME).unwrap();
    assert_eq!((captured.written.files, captured.written.directories, captured.removed), (1, 2, 1));
    let view = View::of_layers(&[draft.upper()], Path::new("")).unwrap();
    let shown = Snapshot::of_view(&view).unwrap();
    let paths: Vec<_> = shown.nodes().map(|(path, _)| path.to_str().unwrap()).collect();
    assert_eq!(paths, ["", "a", "a/b", "a/b/two"]);
    let usage = survey(draft.upper()).unwrap();
    assert!(usage.files == 1 && usage.bytes > 0, "{usage:?}");
}

/// Something that somebody does to a layer.
type Write = (&'static str, fn(&Path));

#[test]
fn who_writes_to_a_layer_changes_its_look() {
    const WRITES: [Write; 6] = [
        ("content", |layer| fs::write(layer.join("a/file"), "CONTENT").unwrap()),
        ("mode", |layer| {
            fs::set_permissions(layer.join("a/file"), fs::Permissions::from_mode(0o600)).unwrap();
        }),
        ("new", |layer| fs::write(layer.join("a/b/new"), "").unwrap()),
        ("gone", |layer| fs::remove_file(layer.join("link")).unwrap()),
        ("renamed", |layer| fs::rename(layer.join("a/b"), layer.join("a/c")).unwrap()),
        ("retargeted", |layer| {
            fs::remove_file(layer.join("link")).unwrap();
            symlink("b", layer.join("link")).unwrap();
        }),
    ];
    for (what, write) in WRITES {
        let temp = tempfile::tempdir().unwrap();
        let layer = temp.path();
        fs::create_dir_all(layer.join("a/b")).unwrap();
        fs::write(layer.join("a/file"), "content").unwrap();
        symlink("a", layer.join("link")).unwrap();
        // What is written in the same tick of the clock has the same time.
        std::thread::sleep(std::time::Duration::from_millis(20));
        let before = survey(layer).unwrap();
        fs::hard_link(layer.join("a/file"), temp.path().with_extension("other")).unwrap();
        fs::remove_file(temp.path().with_extension("other")).unwrap();
        assert_eq!(survey(layer).unwrap().look, before.look, "another name elsewhere is no write");
        write(layer);
        assert_ne!(survey(layer).unwrap().look, before.look, "{what}");
    }
}

/// Something that happens to a source between the scan and the capture.
type Accident = (&'static str, fn(&Path));

#[test]
fn what_changed_since_the_scan_is_noticed() {
    const ACCIDENTS: [Accident; 9] = [
        ("d/file", |root| fs::write(root.join("d/file"), "CONTENT").unwrap()),
        ("d/file", |root| fs::write(root.join("d/file"), "content and more").unwrap()),
        ("d/file", |root| fs::write(root.join("d/file"), "").unwrap()),
        ("d/file", |root| fs::remove_file(root.join("d/file")).unwrap()),
        ("d/file", |root| {
            fs::remove_file(root.join("d/file")).unwrap();
            fs::create_dir(root.join("d/file")).unwrap();
        }),
        ("d/file", |root| {
            fs::rename(root.join("d/file"), root.join("other")).unwrap();
            symlink("../other", root.join("d/file")).unwrap();
        }),
        ("d", |root| {
            fs::rename(root.join("d"), root.join("other")).unwrap();
            symlink("other", root.join("d")).unwrap();
        }),
        ("link", |root| {
            fs::remove_file(root.join("link")).unwrap();
            symlink("elsewhere", root.join("link")).unwrap();
        }),
        ("link", |root| {
            fs::remove_file(root.join("link")).unwrap();
            fs::write(root.join("link"), "a file now").unwrap();
        }),
    ];
    for (number, (path, happens)) in ACCIDENTS.into_iter().enumerate() {
        let workshop = Workshop::new();
        let root = workshop.temp.path().join("root");
        fs::create_dir_all(root.join("d")).unwrap();
        fs::write(root.join("d/file"), "content").unwrap();
        symlink("somewhere", root.join("link")).unwrap();
        let scanned = manifest(&root);
        happens(&root);
        let error = capture(&workshop, &root, &scanned, None).unwrap_err();
        assert!(error.is_unsteady(), "{number}: {error}");
        assert_eq!(error.path(), Some(&*root.join(path)), "{number}");
        assert_eq!(workshop.store.layers().unwrap(), [], "{number}: nothing is committed");
    }
}

#[test]
fn modes_do_not_come_from_the_user() {
    let workshop = Workshop::new();
    let root = workshop.temp.path().join("root");
    fs::create_dir_all(root.join("d")).unwrap();
    for (file, mode) in [("d/private", 0o600), ("d/program", 0o700), ("d/odd", 0o4766), ("d/group", 0o670)] {
        fs::write(root.join(file), "content").unwrap();
        fs::set_permissions(root.join(file), PermissionsExt::from_mode(mode)).unwrap();
    }
    fs::set_permissions(root.join("d"), PermissionsExt::from_mode(0o2770)).unwrap();
    let layer = capture(&workshop, &root, &manifest(&root), None).unwrap();
    let mode = |path: &str| {
        fs::metadata(layer.join("build/source").join(path)).unwrap().permissions().mode() & 0o7777
    };
    assert_eq!(
        ["d", "d/private", "d/program", "d/odd", "d/group"].map(mode),
        [0o755, 0o644, 0o755, 0o755, 0o644]
    );
}
