//! Our `verify` finds each kind of damage, also those that real Nix takes for good.

use std::os::unix::fs::PermissionsExt;

use rekindle_nix::{Hash, StorePath, aterm};
use rekindle_store::{ErrorKind, Problem, Store};

use crate::sample::{self, Sample, Scratch, sample, scratch};

/// Damages a sample store and returns what `verify` finds.
fn damaged(damage: impl FnOnce(&Sample)) -> (Vec<Problem>, Sample, Scratch) {
    let dir = scratch();
    let sample = sample(dir.path());
    assert_eq!(sample.store.verify(true).unwrap(), []);
    damage(&sample);
    (sample.store.verify(true).unwrap(), sample, dir)
}

fn sql(store: &Store, statement: &str, values: &[&dyn rusqlite::ToSql]) {
    let connection = rusqlite::Connection::open(store.root().join("nix/var/nix/db/db.sqlite")).unwrap();
    connection.pragma_update(None, "foreign_keys", 0).unwrap();
    assert_ne!(connection.execute(statement, values).unwrap(), 0);
}

fn writable(store: &Store, path: &StorePath, inner: &str) -> std::path::PathBuf {
    let mut file = store.real_path(path);
    if !inner.is_empty() {
        file.push(inner);
    }
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    file
}

#[test]
fn a_missing_schema_file() {
    let (problems, sample, dir) =
        damaged(|sample| std::fs::remove_file(sample.store.root().join("nix/var/nix/db/schema")).unwrap());
    assert!(matches!(&problems[..], [Problem::NoSchemaFile { .. }]), "{problems:?}");
    assert!(problems[0].is_harmless());
    // As in Nix, the next one who opens it makes the file again.
    assert_eq!(sample::open(&dir.path().join("root")).verify(false).unwrap(), []);
    drop(sample);
}

#[test]
fn other_ways_to_write_a_hash_are_none() {
    for form in [Hash::to_sri, Hash::to_string as fn(&Hash) -> String] {
        let (problems, ..) = damaged(|sample| {
            let hash = form(&sample.store.require(&sample.out).unwrap().nar_hash);
            let path = sample.shown(&sample.out);
            sql(&sample.store, "update ValidPaths set hash = ?1 where path = ?2", &[&hash, &path]);
        });
        assert_eq!(problems, []);
    }
}

#[test]
fn records_that_make_no_sense() {
    let check = |column: &str, value: &str| {
        let (problems, sample, _dir) = damaged(|sample| {
            let path = sample.shown(&sample.source);
            let statement = format!("update ValidPaths set {column} = ?1 where path = ?2");
            sql(&sample.store, &statement, &[&value, &path]);
        });
        assert!(
            problems.iter().any(
                |problem| matches!(problem, Problem::BadRecord { path, .. } if *path == sample.shown(&sample.source))
            ),
            "{problems:?}"
        );
        assert_eq!(sample.store.path_info(&sample.source).unwrap_err().kind(), ErrorKind::Damaged);
    };
    check("hash", "sha256:nonsense");
    check("deriver", "/somewhere/else");
    check("ca", "fixed:nonsense");
    check("sigs", "nonsense");
}

#[test]
fn an_unknown_size() {
    let (problems, sample, _dir) = damaged(|sample| {
        let path = sample.shown(&sample.out);
        sql(&sample.store, "update ValidPaths set narSize = null where path = ?1", &[&path]);
    });
    assert_eq!(problems, [Problem::NoSize { path: sample.out }]);
}

#[test]
fn a_wrong_size() {
    let (problems, sample, _dir) = damaged(|sample| {
        let path = sample.shown(&sample.out);
        sql(&sample.store, "update ValidPaths set narSize = 17 where path = ?1", &[&path]);
    });
    assert!(
        matches!(&problems[..], [Problem::WrongSize { path, expected: 17, .. }] if *path == sample.out),
        "{problems:?}"
    );
}

#[test]
fn files_that_are_not_sealed() {
    let (problems, sample, _dir) = damaged(|sample| {
        writable(&sample.store, &sample.source, "sub/file");
    });
    let file = sample.store.real_path(&sample.source).join("sub/file");
    assert!(
        matches!(&problems[..], [Problem::Unsealed { file: found, .. }, ..] if *found == file),
        "{problems:?}"
    );

    let (problems, sample, _dir) = damaged(|sample| {
        let file = writable(&sample.store, &sample.dev, "");
        let opened = std::fs::File::options().write(true).open(&file).unwrap();
        opened.set_modified(std::time::SystemTime::now()).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o444)).unwrap();
    });
    let file = sample.store.real_path(&sample.dev);
    assert!(
        matches!(&problems[..], [Problem::Unsealed { file: found, why }] if *found == file && why.contains("time")),
        "{problems:?}"
    );
}

#[test]
fn a_missing_reference() {
    let (problems, sample, _dir) = damaged(|sample| {
        let (out, dev) = (sample.shown(&sample.out), sample.shown(&sample.dev));
        sql(
            &sample.store,
            "delete from Refs where referrer = (select id from ValidPaths where path = ?1)
             and reference = (select id from ValidPaths where path = ?2)",
            &[&out, &dev],
        );
    });
    assert_eq!(problems, [Problem::UndeclaredReference { path: sample.out, reference: sample.dev }]);
}

#[test]
fn missing_and_wrong_outputs_of_a_derivation() {
    for statement in [
        "delete from DerivationOutputs where id = 'dev'",
        "update DerivationOutputs set path = 'x' where id = 'dev'",
    ] {
        let (problems, sample, _dir) = damaged(|sample| sql(&sample.store, statement, &[]));
        let found = match &problems[..] {
            [Problem::WrongOutputRecord { drv, output }] => *drv == sample.drv && output == "dev",
            [Problem::BadRecord { path, .. }] => *path == sample.shown(&sample.drv),
            _ => false,
        };
        assert!(found, "{problems:?}");
    }
}

#[test]
fn changed_content() {
    let (problems, sample, _dir) = damaged(|sample| {
        std::fs::write(writable(&sample.store, &sample.source, "sub/file"), b"Content\n").unwrap();
    });
    assert!(
        problems
            .iter()
            .any(|problem| matches!(problem, Problem::Modified { path, .. } if *path == sample.source)),
        "{problems:?}"
    );
    // Without a look at the contents it cannot be seen.
    assert_eq!(sample.store.verify(false).unwrap(), []);
}

#[test]
fn missing_files() {
    let (problems, sample, _dir) = damaged(|sample| {
        let dev = sample.store.real_path(&sample.dev);
        std::fs::remove_file(dev).unwrap();
    });
    assert_eq!(problems, [Problem::Missing { path: sample.dev }]);
    assert!(!problems[0].is_harmless());
}

#[test]
fn a_wrong_content_address() {
    let (problems, sample, _dir) = damaged(|sample| {
        let (source, text) = (sample.shown(&sample.source), sample.shown(&sample.text));
        sql(
            &sample.store,
            "update ValidPaths set ca = (select ca from ValidPaths where path = ?1) where path = ?2",
            &[&source, &text],
        );
    });
    assert!(
        matches!(&problems[..], [Problem::WrongAddress { path, .. }] if *path == sample.text),
        "{problems:?}"
    );
}

#[test]
fn an_unregistered_derivation() {
    let (problems, sample, _dir) = damaged(|sample| {
        let path = sample.shown(&sample.drv);
        sql(&sample.store, "delete from ValidPaths where path = ?1", &[&path]);
        sql(&sample.store, "delete from Refs where referrer not in (select id from ValidPaths)", &[]);
    });
    assert_eq!(problems, [Problem::Unregistered { path: sample.drv.clone() }]);
    assert_eq!(sample.store.read_derivation(&sample.drv).unwrap_err().kind(), ErrorKind::NotValid);
}

#[test]
fn a_reference_to_nothing() {
    let (problems, sample, _dir) = damaged(|sample| {
        let path = sample.shown(&sample.dev);
        sql(&sample.store, "delete from ValidPaths where path = ?1", &[&path]);
    });
    let out = sample.shown(&sample.out);
    assert!(
        problems.iter().any(|problem| matches!(problem, Problem::BadRecord { path, .. } if *path == out)),
        "{problems:?}"
    );
}

/// Real Nix would build the recipe under the path of another.
#[test]
fn a_derivation_with_wrong_output_paths() {
    let dir = scratch();
    let sample = sample(dir.path());
    let mut derivation = sample.store.read_derivation(&sample.drv).unwrap();
    derivation.args.push(b"changed".to_vec());
    let error = sample.store.add_derivation(&derivation).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(error.to_string().contains("sample-1.0.drv"), "{error}");

    // By a program that does not look: file and record are right, but for the outputs.
    let text = aterm::write(&derivation, sample.store.store_dir());
    let file = writable(&sample.store, &sample.drv, "");
    std::fs::write(&file, &text).unwrap();
    let problems = sample.store.verify(false).unwrap();
    assert!(
        problems
            .iter()
            .any(|problem| matches!(problem, Problem::WrongOutput { drv, .. } if *drv == sample.drv)),
        "{problems:?}"
    );
    assert!(
        problems
            .iter()
            .any(|problem| matches!(problem, Problem::WrongAddress { path, .. } if *path == sample.drv)),
        "{problems:?}"
    );
}

#[test]
fn a_derivation_that_is_none() {
    let (problems, sample, _dir) = damaged(|sample| {
        std::fs::write(writable(&sample.store, &sample.drv, ""), b"Derive(").unwrap();
    });
    assert!(
        problems
            .iter()
            .any(|problem| matches!(problem, Problem::BadDerivation { drv, .. } if *drv == sample.drv)),
        "{problems:?}"
    );
}
