//! Views and written-out trees against what the kernel shows of the same layers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rekindle_layers::{Error, LayerStore, MaterialiseOptions, Snapshot, View, materialise, remove_tree};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::namespace;
use crate::seed::{Rng, seeds};
use crate::tree::edit;

#[test]
fn views_show_what_the_kernel_shows() {
    namespace::with_mounts("overlay::inner_random_layers");
}

#[test]
fn marks_are_understood() {
    namespace::with_mounts("overlay::inner_marks");
}

/// An overlay mount; lower layers topmost first.
struct Overlay<'a>(&'a Path);

impl<'a> Overlay<'a> {
    fn new(at: &'a Path, lower: &[PathBuf], upper: Option<(&Path, &Path)>) -> Overlay<'a> {
        let lower: Vec<_> = lower.iter().map(|path| path.to_str().unwrap()).collect();
        let mut options = format!("userxattr,lowerdir={}", lower.join(":"));
        if let Some((upper, work)) = upper {
            options += &format!(",upperdir={},workdir={}", upper.display(), work.display());
        }
        let options = std::ffi::CString::new(options).unwrap();
        mount("overlay", at, "overlay", MountFlags::empty(), options.as_c_str()).expect("mount an overlay");
        Overlay(at)
    }
}

impl Drop for Overlay<'_> {
    fn drop(&mut self) {
        unmount(self.0, UnmountFlags::empty()).expect("nothing uses it");
    }
}

/// What the kernel shows. It wants two lower layers at least.
fn kernel_view(at: &Path, layers: &[PathBuf], empty: &Path) -> Snapshot {
    let mut layers = layers.to_vec();
    if layers.len() == 1 {
        // Beneath, it does not show.
        layers.push(empty.to_owned());
    }
    let _overlay = Overlay::new(at, &layers, None);
    Snapshot::of_path(at).unwrap()
}

fn assert_same(kernel: &Snapshot, ours: &Snapshot, what: &str) {
    let differences: Vec<_> = kernel.differences(ours).iter().map(ToString::to_string).collect();
    assert!(differences.is_empty(), "{what}:\n{}", differences.join("\n"));
}

#[test]
#[ignore = "run in a namespace by another test"]
fn inner_random_layers() {
    if !namespace::is_part() {
        return;
    }
    for seed in seeds() {
        let mut rng = Rng::new(seed);
        let temp = tempfile::tempdir().unwrap();
        let [at, empty] = ["at", "empty"].map(|name| temp.path().join(name));
        fs::create_dir(&at).unwrap();
        fs::create_dir(&empty).unwrap();
        let store = LayerStore::open(&temp.path().join("store")).unwrap();
        let base = store.begin().unwrap();
        for _ in 0..40 {
            edit(&mut rng, base.upper());
        }
        let mut layers = vec![store.path(base.commit().unwrap())];
        for depth in 0..1 + rng.below(4) {
            let draft = store.begin().unwrap();
            {
                let _overlay = Overlay::new(&at, &layers, Some((draft.upper(), draft.work())));
                for _ in 0..rng.below(25) {
                    edit(&mut rng, &at);
                }
            }
            layers.insert(0, store.path(draft.commit().unwrap()));

            let what = |part: &str| format!("REKINDLE_SEED={seed}, layer {depth}, {part}");
            let kernel = kernel_view(&at, &layers, &empty);
            let view = View::of_layers(&layers, Path::new("")).unwrap();
            assert_same(&kernel, &Snapshot::of_view(&view).unwrap(), &what("view"));
            check_lookups(&view, &kernel);

            let dest = temp.path().join("dest");
            materialise(&view, &dest, &MaterialiseOptions::default()).unwrap();
            assert_same(&kernel, &Snapshot::of_path(&dest).unwrap(), &what("written out"));
            remove_tree(&dest).unwrap();
            check_parts(&layers, &kernel, &what("part"));
        }
    }
}

/// Single lookups agree with the walk.
fn check_lookups(view: &View, kernel: &Snapshot) {
    for (path, node) in kernel.nodes() {
        let metadata = view.metadata(path).unwrap().expect("the walk found it");
        assert_eq!((metadata.mode, metadata.mtime), (node.mode, node.mtime), "{path:?}");
        let below = view.metadata(&path.join("no such name")).unwrap();
        assert_eq!(below, None);
    }
}

/// The view of a part is that part of the view.
fn check_parts(layers: &[PathBuf], kernel: &Snapshot, what: &str) {
    for (path, node) in kernel.nodes() {
        let part = Snapshot::of_view(&View::of_layers(layers, path).unwrap()).unwrap();
        assert_eq!(part.get(Path::new("")).map(|root| &root.kind), Some(&node.kind), "{what} {path:?}");
        for (inner, node) in part.nodes() {
            assert_eq!(
                Some(&node.kind),
                kernel.get(&path.join(inner)).map(|node| &node.kind),
                "{what} {inner:?}"
            );
        }
        let names = kernel.nodes().filter(|(other, _)| other.starts_with(path)).count();
        assert_eq!(part.nodes().count(), names, "{what} {path:?}");
    }
}

#[test]
#[ignore = "run in a namespace by another test"]
fn inner_marks() {
    if !namespace::is_part() {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let [at, empty] = ["at", "empty"].map(|name| temp.path().join(name));
    let layers = ["top", "middle", "bottom"].map(|name| temp.path().join(name));
    for dir in layers.iter().chain([&at, &empty]) {
        fs::create_dir(dir).unwrap();
    }
    let [top, middle, bottom] = &layers;
    let attribute = |path: PathBuf, name: &str, value: &str| {
        rustix::fs::setxattr(path, name, value.as_bytes(), rustix::fs::XattrFlags::empty()).unwrap();
    };
    // A whiteout made of a file and an attribute, as inside an overlay within an overlay.
    for name in ["x/hidden", "x/empty", "opaque/below", "plain/below", "gone"] {
        fs::create_dir_all(bottom.join(name).parent().unwrap()).unwrap();
        fs::write(bottom.join(name), "bottom").unwrap();
    }
    fs::create_dir(middle.join("x")).unwrap();
    attribute(middle.join("x"), "user.overlay.opaque", "x");
    fs::write(middle.join("x/hidden"), "").unwrap();
    attribute(middle.join("x/hidden"), "user.overlay.whiteout", "y");
    fs::write(middle.join("x/empty"), "").unwrap();
    // Opaque in the middle layer: what is above merges with it, what is below does not.
    for layer in [top, middle] {
        fs::create_dir(layer.join("opaque")).unwrap();
        fs::create_dir(layer.join("plain")).unwrap();
    }
    fs::write(top.join("opaque/above"), "top").unwrap();
    fs::write(middle.join("opaque/here"), "middle").unwrap();
    attribute(middle.join("opaque"), "user.overlay.opaque", "y");
    attribute(middle.join("plain"), "user.overlay.origin", "whatever");
    fs::set_permissions(middle.join("opaque"), PermissionsExt::from_mode(0o700)).unwrap();
    // Only a real mount can make this device without privilege.
    {
        let work = temp.path().join("work");
        fs::create_dir(&work).unwrap();
        let _overlay = Overlay::new(&at, std::slice::from_ref(bottom), Some((middle, &work)));
        fs::remove_file(at.join("gone")).unwrap();
    }
    fs::write(top.join("again"), "").unwrap();

    let kernel = kernel_view(&at, &layers, &empty);
    assert!(kernel.get(Path::new("x/hidden")).is_none() && kernel.get(Path::new("gone")).is_none());
    assert!(
        kernel.get(Path::new("opaque/below")).is_none() && kernel.get(Path::new("plain/below")).is_some()
    );
    let view = View::of_layers(&layers, Path::new("")).unwrap();
    assert_same(&kernel, &Snapshot::of_view(&view).unwrap(), "marks");

    // As a plain directory, marks are files like others.
    let plain = Snapshot::of_path(middle).unwrap();
    assert!(plain.get(Path::new("gone")).is_some() && plain.get(Path::new("x/hidden")).is_some());
    assert!(
        materialise(&View::of_path(middle).unwrap(), &at.join("dest"), &MaterialiseOptions::default())
            .is_err()
    );

    attribute(top.join("plain"), "user.overlay.redirect", "/x");
    let error: Error = Snapshot::of_view(&view).unwrap_err();
    assert!(error.to_string().contains("redirect_dir"), "{error}");
}
