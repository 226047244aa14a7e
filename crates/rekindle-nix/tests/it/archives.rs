//! Archives of made-up trees, there and back, and against the crate `nix-nar`.

use std::io::Read;

use proptest::prelude::*;
use rekindle_nix::nar;

use crate::tree::{self, Node};

proptest! {
    #[test]
    fn any_tree_round_trips(tree in tree::any_tree()) {
        let archive = tree.to_nar();
        prop_assert_eq!(Node::from_nar(&archive).unwrap(), tree.clone());
        prop_assert!(tree.to_nar_by_paths() == archive);
        prop_assert!(copied(&archive).unwrap() == archive);
    }

    /// A bounded run of what the fuzz target does without end: a damaged archive is refused, or it is the one
    /// archive of another tree.
    #[test]
    fn a_damaged_archive_is_refused_or_copied_as_it_is(
        tree in tree::any_tree(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..4),
    ) {
        let mut archive = tree.to_nar();
        for (at, byte, how) in damage {
            let at = at.index(archive.len());
            match how {
                0 => archive[at] = byte,
                1 => archive[at] ^= 1 << (byte % 8),
                _ => drop(archive.drain(at..at + usize::from(byte).min(archive.len() - at - 1))),
            }
        }
        if let Ok(copy) = copied(&archive) {
            prop_assert!(copy == archive);
        }
    }
}

fn copied(archive: &[u8]) -> Result<Vec<u8>, rekindle_nix::Error> {
    let mut writer = nar::Writer::new(Vec::new());
    nar::Reader::new(archive).copy_to(&mut writer)?;
    writer.finish()
}

/// Both crates agree on ordinary trees; on others `nix-nar` is known to differ from Nix.
#[test]
fn ordinary_trees_are_as_another_implementation_has_them() {
    let dir = tempfile::tempdir().unwrap();
    for (number, tree) in tree::samples(tree::ordinary_tree(), 100).into_iter().enumerate() {
        let path = dir.path().join(number.to_string());
        tree.make(&path);
        let mut theirs = Vec::new();
        nix_nar::Encoder::new(&path).unwrap().read_to_end(&mut theirs).unwrap();
        assert!(tree.to_nar() == theirs, "{tree:?}");
        assert_eq!(Node::from_nar(&theirs).unwrap(), tree);
    }
}
