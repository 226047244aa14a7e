//! Checkpoints on disk: what was written comes back, what is damaged does not, and nothing that is named goes away.

use std::collections::{BTreeMap, BTreeSet};

use rekindle_plan::Placement;

use super::*;

fn record(id: &str, created: i64, layers: &[LayerId]) -> Record {
    let recipe = Recipe {
        format: 1,
        phase: Some("buildPhase".to_owned()),
        placement: Placement::Scratch,
        system: b"s".to_vec(),
        builder: b"b".to_vec(),
        arguments: vec![b"-e".to_vec()],
        toolchain: Vec::new(),
        sandbox: 1,
        inputs: BTreeSet::new(),
        attributes: BTreeMap::new(),
        before: None,
    };
    let step = StepRecord {
        key: recipe.key(),
        recipe,
        state: b"declare -x a=\"b\"\n".to_vec(),
        tree: layers.to_vec(),
        own: layers.first().map(|layer| vec![*layer]),
        observations: Observations::everything(),
        newest: Timestamp { secs: 5, nanos: 6 },
    };
    Record {
        id: id.to_owned(),
        package: "hello".to_owned(),
        system: "s".to_owned(),
        drv: "x.drv".to_owned(),
        failed: None,
        source_dir: Some("source".to_owned()),
        created,
        depth: 2,
        boot: boot_id(),
        phases: vec!["buildPhase".to_owned()],
        canaries: vec![Timestamp { secs: 7, nanos: 8 }],
        source: layers.to_vec(),
        steps: vec![step],
    }
}

struct Place {
    _dir: tempfile::TempDir,
    checkpoints: Checkpoints,
    layers: LayerStore,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Place {
            checkpoints: Checkpoints::open(dir.path().join("checkpoints")).expect("our own directory"),
            layers: LayerStore::open(&dir.path().join("layers")).expect("our own directory"),
            _dir: dir,
        }
    }

    fn layer(&self) -> LayerId {
        self.layers.begin().and_then(rekindle_layers::Draft::commit).expect("a layer")
    }

    fn ids(&self) -> Vec<String> {
        let (found, _) = self.checkpoints.of_package("hello", "s", &self.layers);
        found.into_iter().map(|found| found.record.id).collect()
    }

    fn file(&self, id: &str) -> PathBuf {
        self.checkpoints.package_dir("hello", "s").join(id).join("record")
    }
}

#[test]
fn what_was_written_comes_back() {
    let place = Place::new();
    let layer = place.layer();
    let written = record("0a", 3, &[layer]);
    place.checkpoints.write(&written, None).expect("written");
    let (found, wrong) = place.checkpoints.of_package("hello", "s", &place.layers);
    assert_eq!((found.len(), wrong.len()), (1, 0));
    assert_eq!(found[0].record, written);
    assert_eq!(place.checkpoints.of_package("other", "s", &place.layers).0.len(), 0);
}

#[test]
fn damage_is_noticed_and_said_once_for_each() {
    let place = Place::new();
    place.checkpoints.write(&record("0a", 3, &[place.layer()]), None).expect("written");
    let good = fs::read(place.file("0a")).expect("readable");
    for at in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        for bytes in [&bad[..], &good[..at]] {
            fs::write(place.file("0a"), bytes).expect("our own file");
            let (found, wrong) = place.checkpoints.of_package("hello", "s", &place.layers);
            assert_eq!((found.len(), wrong.len()), (0, 1), "at {at}");
        }
    }
}

#[test]
fn what_names_a_missing_layer_or_another_start_is_not_used() {
    let place = Place::new();
    let layer = place.layer();
    place.checkpoints.write(&record("0a", 3, &[layer]), None).expect("written");
    place
        .checkpoints
        .write(&Record { boot: "earlier".to_owned(), ..record("0b", 4, &[]) }, None)
        .expect("written");
    assert_eq!(place.ids(), ["0a"]);
    fs::write(place.file("0b").with_file_name("settled"), "").expect("our own file");
    assert_eq!(place.ids(), ["0b", "0a"]);
    place.layers.remove(layer).expect("removed");
    assert_eq!(place.ids(), ["0b"]);
}

#[test]
fn pruning_keeps_the_newest_the_pinned_and_their_layers() {
    let place = Place::new();
    let layers: Vec<LayerId> = (0..KEPT + 3).map(|_| place.layer()).collect();
    for (at, layer) in layers.iter().enumerate() {
        place.checkpoints.write(&record(&format!("{at:02}"), at as i64, &[*layer]), None).expect("written");
    }
    fs::write(place.file("00").with_file_name("pinned"), "").expect("our own file");
    let orphan = place.layer();
    let draft = place.layers.begin().expect("a draft");
    let in_use = place.checkpoints.use_them().expect("nobody removes");
    place.checkpoints.prune(&place.layers).expect("pruned");
    assert!(place.layers.contains(orphan), "somebody uses checkpoints");
    drop(in_use);
    place.checkpoints.prune(&place.layers).expect("pruned");
    let expected: Vec<String> =
        (4..KEPT + 3).rev().map(|at| format!("{at:02}")).chain(["00".to_owned()]).collect();
    assert_eq!(place.ids(), expected);
    let left: Vec<bool> = layers.iter().map(|layer| place.layers.contains(*layer)).collect();
    assert_eq!(left.iter().filter(|kept| **kept).count(), KEPT);
    assert!(!place.layers.contains(orphan) && draft.upper().exists());
}
