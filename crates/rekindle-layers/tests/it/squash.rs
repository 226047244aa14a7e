//! A squashed layer in place of those it was made from, with the kernel as the judge.

use std::fs;
use std::path::{Path, PathBuf};

use rekindle_layers::{Snapshot, View, newest_mtime, squash, survey};

use crate::kernel::{Overlay, Workshop, assert_same};
use crate::namespace;
use crate::seed::{Rng, seeds};

#[test]
fn a_squashed_layer_means_the_same() {
    namespace::with_mounts("squash::inner_random_stacks");
}

#[test]
fn inner_random_stacks() {
    if !namespace::is_part() {
        return;
    }
    for seed in seeds() {
        let mut rng = Rng::new(seed);
        let workshop = Workshop::new();
        let mut stack = vec![workshop.base(&mut rng, 40)];
        for _ in 0..2 + rng.below(3) {
            let edits = 1 + rng.below(20);
            stack = workshop.edited(&mut rng, &stack, edits);
        }
        let expected = workshop.show(&stack);
        let first = rng.below(stack.len());
        let end = first + 1 + rng.below(stack.len() - first);
        let what = format!("REKINDLE_SEED={seed}, layers {first}..{end} of {}", stack.len());

        let draft = workshop.store.begin().unwrap();
        squash(&stack[first..end], &draft).unwrap();
        let squashed = workshop.store.path(draft.commit().unwrap());
        let shorter = [&stack[..first], &[squashed], &stack[end..]].concat();
        assert_same(&expected, &workshop.show(&shorter), &what);
        let view = Snapshot::of_view(&View::of_layers(&shorter, Path::new("")).unwrap()).unwrap();
        assert_same(&expected, &view, &format!("{what}, view"));

        // Over whatever else is below, too.
        let elsewhere = [workshop.base(&mut rng, 40)];
        let before = workshop.show(&[&stack[first..end], &elsewhere].concat());
        let after = workshop.show(&[&shorter[first..=first], &elsewhere].concat());
        assert_same(&before, &after, &format!("{what}, elsewhere"));

        check_survey(&shorter[first], &what);
    }
}

/// The kernel looks for whiteouts only where it has reason to: a directory that no other layer has is listed as it stands,
/// unless it says that it was copied up.
#[test]
fn what_went_from_a_new_directory_is_not_listed() {
    namespace::with_mounts("squash::inner_new_directory");
}

#[test]
fn inner_new_directory() {
    if !namespace::is_part() {
        return;
    }
    let workshop = Workshop::new();
    let edited = |stack: &[PathBuf], edit: &dyn Fn(&Path)| {
        let draft = workshop.store.begin().unwrap();
        {
            let _overlay = Overlay::new(&workshop.at, stack, Some((draft.upper(), draft.work())));
            edit(&workshop.at);
        }
        [&[workshop.store.path(draft.commit().unwrap())], stack].concat()
    };
    let base = workshop.store.path(workshop.store.begin().unwrap().commit().unwrap());
    let stack = edited(&[base], &|at| {
        fs::create_dir_all(at.join("new/deeper")).unwrap();
        ["new/x", "new/y", "new/deeper/z"].iter().for_each(|file| fs::write(at.join(file), "").unwrap());
    });
    let stack = edited(&stack, &|at| {
        ["new/x", "new/deeper/z"].iter().for_each(|file| fs::remove_file(at.join(file)).unwrap());
    });
    let expected = workshop.show(&stack);
    let draft = workshop.store.begin().unwrap();
    squash(&stack[..2], &draft).unwrap();
    let squashed = [workshop.store.path(draft.commit().unwrap()), stack[2].clone()];
    assert_same(&expected, &workshop.show(&squashed), "squashed");
}

/// What is said of a layer as a whole agrees with its parts.
fn check_survey(layer: &Path, what: &str) {
    let visible = Snapshot::of_view(&View::of_layers(&[layer], Path::new("")).unwrap()).unwrap();
    let newest = visible.nodes().map(|(_, node)| node.mtime).max();
    assert_eq!(Some(newest_mtime(layer).unwrap()), newest, "{what}");
    let leaves = visible.nodes().filter(|(path, node)| {
        let first = node.link_group.as_deref().is_none_or(|first| first == *path);
        first && node.kind != rekindle_layers::NodeKind::Directory
    });
    assert_eq!(survey(layer).unwrap().files, leaves.count() as u64, "{what}");
}
