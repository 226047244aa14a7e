//! Checkpoints on disk: what was written comes back, what is damaged does not, and nothing that is named goes away.

use std::collections::{BTreeMap, BTreeSet};

use rekindle_layers::{Digest, LayerId, Survey, Timestamp, remove_tree};
use rekindle_plan::audit::Removal;
use rekindle_plan::{Observations, Placement, Recipe};

use super::collect::KEPT;
use super::*;

const SURVEY: Survey = Survey { bytes: 10, files: 1, look: Digest::from_bytes([3; 32]) };

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
    let lost = |path: &str| Removal { path: path.into(), is_tracked: false, maker: (usize::MAX, 0) };
    let step = StepRecord {
        key: recipe.key(),
        recipe,
        state: b"declare -x a=\"b\"\n".to_vec(),
        tree: layers.to_vec(),
        own: layers.first().map(|layer| vec![*layer]),
        observations: Observations::everything(),
        newest: Timestamp { secs: 5, nanos: 6 },
        traces: Some(vec!["0123456789abcdfghijklmnpqrsvwxyz".to_owned()]),
        traces_now: 1,
        open: Some(Open { runs: 2, alike: 1, lost: ["build/a", "build/b"].map(lost).into() }),
    };
    Record {
        id: id.to_owned(),
        package: "hello".to_owned(),
        system: "s".to_owned(),
        drv: "x.drv".to_owned(),
        failed: None,
        source_dir: Some("source".to_owned()),
        created: rekindle_layers::Timestamp { secs: created, nanos: 0 },
        depth: 2,
        boot: boot_id(),
        phases: vec!["buildPhase".to_owned()],
        canaries: vec![Timestamp { secs: 7, nanos: 8 }],
        source: layers.to_vec(),
        steps: vec![step],
        told: vec![Told {
            phase: "buildPhase".to_owned(),
            why: "so".to_owned(),
            made_again: vec![b"build/\xff".to_vec()],
            findings: vec!["something".to_owned()],
            ..Told::default()
        }],
        base: Some("0f".to_owned()),
        surveys: layers.iter().map(|layer| (*layer, SURVEY)).collect(),
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
    place.checkpoints.write(&written, None, &[]).expect("written");
    let (found, wrong) = place.checkpoints.of_package("hello", "s", &place.layers);
    assert_eq!((found.len(), wrong.len()), (1, 0));
    assert_eq!(found[0].record, written);
    assert_eq!(place.checkpoints.of_package("other", "s", &place.layers).0.len(), 0);
}

#[test]
fn what_was_made_for_another_platform_is_said_and_not_used() {
    let place = Place::new();
    let foreign = Record { system: "other".to_owned(), ..record("0a", 3, &[place.layer()]) };
    place.checkpoints.write(&foreign, None, &[]).expect("written");
    assert_eq!(place.ids(), [""; 0]);
    assert_eq!(
        place.checkpoints.of_package("hello", "s", &place.layers).1,
        [""; 0],
        "it is in its own place"
    );
    fs::create_dir_all(place.checkpoints.package_dir("hello", "s")).expect("our own directory");
    let own = place.checkpoints.package_dir("hello", "other").join("0a");
    fs::rename(own, place.checkpoints.package_dir("hello", "s").join("0a")).expect("our own directory");
    let (found, wrong) = place.checkpoints.of_package("hello", "s", &place.layers);
    assert_eq!((found.len(), wrong.len()), (0, 1));
    assert!(wrong[0].ends_with("is not used: it is one of hello for other"), "{wrong:?}");
}

#[test]
fn damage_is_noticed_and_said_once_for_each() {
    let place = Place::new();
    place.checkpoints.write(&record("0a", 3, &[place.layer()]), None, &[]).expect("written");
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
    place.checkpoints.write(&record("0a", 3, &[layer]), None, &[]).expect("written");
    place
        .checkpoints
        .write(&Record { boot: "earlier".to_owned(), ..record("0b", 4, &[]) }, None, &[])
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
        place
            .checkpoints
            .write(&record(&format!("{at:02}"), at as i64, &[*layer]), None, &[])
            .expect("written");
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
        (3..KEPT + 3).rev().map(|at| format!("{at:02}")).chain(["00".to_owned()]).collect();
    assert_eq!(place.ids(), expected);
    let left: Vec<bool> = layers.iter().map(|layer| place.layers.contains(*layer)).collect();
    assert_eq!(left.iter().filter(|kept| **kept).count(), KEPT + 1);
    assert!(!place.layers.contains(orphan) && draft.upper().exists());
}

#[test]
fn what_an_older_program_wrote_goes_and_what_a_newer_one_wrote_stays() {
    let place = Place::new();
    let layer = place.layer();
    place.checkpoints.write(&record("0a", 3, &[layer]), None, &[]).expect("written");
    let of_version = |id: &str, version: &str| {
        place.checkpoints.write(&record(id, 4, &[]), None, &[]).expect("written");
        fs::write(place.file(id), format!("rekindle checkpoint v{version}\nwhatever")).expect("our own file");
    };
    of_version("0b", "1");
    of_version("0c", "99");
    let orphan = place.layer();
    place.checkpoints.prune(&place.layers).expect("nothing done");
    assert!(place.file("0b").exists() && place.layers.contains(orphan), "a newer one may need it");
    remove_tree(place.file("0c").parent().expect("a directory")).expect("removed");
    place.checkpoints.prune(&place.layers).expect("pruned");
    assert!(!place.file("0b").exists() && !place.layers.contains(orphan));
    assert_eq!(place.ids(), ["0a"]);
}

#[test]
fn what_was_made_from_something_wrong_is_wrong() {
    let place = Place::new();
    let made = |id: &str, base: Option<&str>| Record { base: base.map(str::to_owned), ..record(id, 1, &[]) };
    place.checkpoints.write(&made("0a", None), None, &[]).expect("written");
    assert_eq!(place.checkpoints.quarantine("hello", "s").expect("marked"), 1);
    assert_eq!(place.checkpoints.quarantine("hello", "s").expect("marked"), 0);
    place.checkpoints.write(&made("0b", Some("0a")), None, &[]).expect("written");
    place.checkpoints.write(&made("0c", None), None, &[]).expect("written");
    let (found, _) = place.checkpoints.of_package("hello", "s", &place.layers);
    let marks: Vec<_> = found.iter().map(|found| (&found.record.id[..], found.quarantined)).collect();
    assert_eq!(marks, [("0c", false), ("0b", true), ("0a", true)]);
}

#[test]
fn an_identity_has_several_names() {
    let place = Place::new();
    for id in ["abcd1", "abcd2", "abce1"] {
        place.checkpoints.write(&record(id, 1, &[]), None, &[]).expect("written");
    }
    let store = CheckpointStore { checkpoints: place.checkpoints.clone(), layers: place.layers.clone() };
    let check = |prefix: &str, expect: Result<&str, &str>| {
        let found = store.resolve(prefix).map_err(|error| error.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expect);
    };
    check("abce", Ok("abce1"));
    check("abcd2", Ok("abcd2"));
    check("abcd", Err("abcd stands for several checkpoints: abcd1, abcd2"));
    check("abc", Err("\"abc\" is too short for a checkpoint; give at least 4 digits of it"));
    check("ffff", Err("there is no checkpoint ffff; `rekindle checkpoint list` says which there are"));
}

#[test]
fn removing_frees_only_what_no_other_needs() {
    let place = Place::new();
    let (shared, own) = (place.layer(), place.layer());
    place.checkpoints.write(&record("000a", 1, &[shared]), None, &[]).expect("written");
    place.checkpoints.write(&record("000b", 2, &[own, shared]), None, &[]).expect("written");
    let store = CheckpointStore { checkpoints: place.checkpoints.clone(), layers: place.layers.clone() };
    let records = fs::metadata(place.file("000b")).expect("a file").len();
    let info = &store.list()[0];
    assert_eq!((info.bytes, info.own_bytes), (records + 20, records + 10));
    store.pin("000b", true).expect("pinned");
    assert!(store.list()[0].pinned);
    let ids = BTreeSet::from(["000b".to_owned()]);
    let removed = store.remove(&ids, &mut || panic!("nobody uses them")).expect("removed");
    assert_eq!(
        (removed.checkpoints, removed.layers, removed.bytes),
        (vec!["000b".to_owned()], 1, records + 10)
    );
    assert!(place.layers.contains(shared) && !place.layers.contains(own));
}
