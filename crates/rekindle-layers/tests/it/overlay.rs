//! Views and written-out trees against what the kernel shows of the same layers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rekindle_layers::{Error, MaterialiseOptions, Snapshot, View, materialise, remove_tree};

use crate::kernel::{Overlay, Workshop, assert_same};
use crate::namespace;
use crate::seed::{Rng, seeds};

#[test]
fn views_show_what_the_kernel_shows() {
    namespace::with_mounts("overlay::inner_random_layers");
}

#[test]
fn marks_are_understood() {
    namespace::with_mounts("overlay::inner_marks");
}

#[test]
fn inner_random_layers() {
    if !namespace::is_part() {
        return;
    }
    for seed in seeds() {
        let mut rng = Rng::new(seed);
        let workshop = Workshop::new();
        let mut layers = vec![workshop.base(&mut rng, 40)];
        for depth in 0..1 + rng.below(4) {
            let edits = rng.below(25);
            layers = workshop.edited(&mut rng, &layers, edits);

            let what = |part: &str| format!("REKINDLE_SEED={seed}, layer {depth}, {part}");
            let kernel = workshop.show(&layers);
            let view = View::of_layers(&layers, Path::new("")).unwrap();
            assert_same(&kernel, &Snapshot::of_view(&view).unwrap(), &what("view"));
            check_lookups(&view, &kernel);

            let dest = workshop.temp.path().join("dest");
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
fn inner_marks() {
    if !namespace::is_part() {
        return;
    }
    let workshop = Workshop::new();
    let temp = &workshop.temp;
    let layers = ["top", "middle", "bottom"].map(|name| temp.path().join(name));
    for dir in &layers {
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
        let _overlay = Overlay::new(&workshop.at, std::slice::from_ref(bottom), Some((middle, &work)));
        fs::remove_file(workshop.at.join("gone")).unwrap();
    }
    fs::write(top.join("again"), "").unwrap();

    let kernel = workshop.show(&layers);
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
        materialise(
            &View::of_path(middle).unwrap(),
            &temp.path().join("dest"),
            &MaterialiseOptions::default()
        )
        .is_err()
    );

    attribute(top.join("plain"), "user.overlay.redirect", "/x");
    let error: Error = Snapshot::of_view(&view).unwrap_err();
    assert!(error.to_string().contains("redirect_dir"), "{error}");
}
