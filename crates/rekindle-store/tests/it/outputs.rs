//! Taking in what builds leave.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use rekindle_nix::StorePath;
use rekindle_store::{ErrorKind, Registration, Store};

use crate::nix::Nix;
use crate::sample::{Scratch, derivation, install, name, open, output_path, scratch};

struct Build {
    store: Store,
    drv: StorePath,
    out: StorePath,
    dev: StorePath,
    dir: Scratch,
}

fn build() -> Build {
    let dir = scratch();
    let store = open(&dir.path().join("root"));
    let derivation = derivation(&store, "built", &[]);
    let drv = store.add_derivation(&derivation).unwrap();
    let (out, dev) = (output_path(&derivation, "out"), output_path(&derivation, "dev"));
    Build { store, drv, out, dev, dir }
}

fn set_mode(path: &std::path::Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn whatever_modes_and_attributes_the_build_left_it_ends_sealed() {
    let Build { store, drv, out, dir, .. } = build();
    let registration = install(&store, &out, &drv, &BTreeSet::new(), |built| {
        std::fs::create_dir_all(built.join("locked/inner")).unwrap();
        for (name, mode) in [("none", 0), ("setuid", 0o4755), ("open", 0o777), ("write-only", 0o200)] {
            std::fs::write(built.join("locked").join(name), name).unwrap();
            set_mode(&built.join("locked").join(name), mode);
        }
        std::fs::write(built.join("one"), b"linked").unwrap();
        std::fs::hard_link(built.join("one"), built.join("two")).unwrap();
        symlink("one", built.join("link")).unwrap();
        // Not every file system has them.
        let flags = rustix::fs::XattrFlags::empty();
        let _ = rustix::fs::setxattr(built.join("one"), "user.note", b"x", flags);
        let _ = rustix::fs::setxattr(built.join("locked"), "user.note", b"x", flags);
        set_mode(&built.join("locked/inner"), 0o000);
        set_mode(&built.join("locked"), 0o000);
        set_mode(built, 0o500);
    });
    store.register(vec![registration]).unwrap();
    assert_eq!(store.verify(true).unwrap(), []);
    let at = |inner: &str| store.real_path(&out).join(inner);
    let mode = |inner: &str| at(inner).metadata().unwrap().mode() & 0o7777;
    assert_eq!(mode("locked/setuid"), 0o555);
    assert_eq!(mode("locked/none"), 0o444);
    assert_eq!(mode("locked/inner"), 0o555);
    assert_eq!(mode(""), 0o555);
    assert_eq!(at("one").metadata().unwrap().ino(), at("two").metadata().unwrap().ino());
    for attributed in ["one", "locked"] {
        let mut names = [0; 4096];
        let length = rustix::fs::listxattr(at(attributed), &mut names).unwrap_or(0);
        assert!(!names[..length].starts_with(b"user."), "{:?}", &names[..length]);
    }
    Nix::on(store.root(), &dir.path().join("home")).verify();
}

#[test]
fn what_no_store_can_hold_is_named_and_left_where_it_is() {
    let Build { store, out, dir: _dir, .. } = build();
    let staging = store.staging().unwrap();
    let built = staging.path().join("built");
    std::fs::create_dir_all(built.join("run")).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(built.join("run/socket")).unwrap();
    let locks = store.lock_outputs([&out], &mut |_| {}).unwrap();
    let error = store.install_output(&locks, &built, &out, &BTreeSet::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedFile);
    assert!(error.to_string().contains("run/socket' is a socket"), "{error}");
    assert!(built.join("run/socket").exists());
    assert!(!store.real_path(&out).exists());
}

#[test]
fn references_are_found_wherever_they_are() {
    let Build { store, drv, out, dev, dir: _dir } = build();
    let texts: Vec<StorePath> = ["in-file", "in-link", "in-name", "nowhere", "across"]
        .iter()
        .map(|text| store.add_text(&name(text), text.as_bytes(), &BTreeSet::new()).unwrap())
        .collect();
    let candidates: BTreeSet<_> = texts.iter().chain([&dev]).cloned().collect();
    let registration = install(&store, &out, &drv, &candidates, |built| {
        std::fs::create_dir(built).unwrap();
        std::fs::write(built.join("file"), texts[0].base_name()).unwrap();
        symlink(format!("/elsewhere/{}", texts[1].hash_part()), built.join("link")).unwrap();
        std::fs::write(built.join(texts[2].hash_part()), b"").unwrap();
        // Across the border of what is read at once.
        let mut content = vec![b' '; (256 << 10) - 16];
        content.extend(texts[4].hash_part().as_bytes());
        std::fs::write(built.join("large"), content).unwrap();
    });
    let expected = [0, 1, 2, 4].map(|number: usize| texts[number].clone());
    assert_eq!(registration.references, expected.into());
    assert!(registration.ultimate);
    store.register(vec![registration]).unwrap();
    assert_eq!(store.verify(true).unwrap(), []);
}

#[test]
fn outputs_are_registered_together_or_not_at_all() {
    let Build { store, drv, out, dev, dir: _dir } = build();
    let candidates: BTreeSet<_> = [out.clone(), dev.clone()].into();
    let refer = |path: &StorePath, to: &StorePath| {
        install(&store, path, &drv, &candidates, |built| std::fs::write(built, to.base_name()).unwrap())
    };
    // One that is not there, then a cycle.
    let to_dev = refer(&out, &dev);
    let error = store.register(vec![to_dev.clone()]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotValid);
    assert!(error.to_string().contains(dev.base_name()), "{error}");
    let error = store.register(vec![to_dev.clone(), refer(&dev, &out)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(error.to_string().contains("form a cycle"), "{error}");
    assert!(!store.is_valid(&out).unwrap() && !store.is_valid(&dev).unwrap());

    // The earlier attempt at `dev` is garbage that is replaced; a reference to itself is no cycle.
    let itself = refer(&dev, &dev);
    assert_eq!(itself.references, [dev.clone()].into());
    store.register(vec![to_dev, itself]).unwrap();
    assert_eq!(store.verify(true).unwrap(), []);
    assert_eq!(store.valid_derivers(&out).unwrap(), [drv.clone()].into());
    assert_eq!(store.require(&out).unwrap().deriver, Some(drv));
}

#[test]
fn installing_needs_the_lock_and_a_path_that_is_not_valid() {
    let Build { store, out, dev, drv, dir: _dir } = build();
    let staging = store.staging().unwrap();
    let built = staging.path().join("built");
    std::fs::write(&built, b"").unwrap();
    let other = store.lock_outputs([&dev], &mut |_| {}).unwrap();
    let error = store.install_output(&other, &built, &out, &BTreeSet::new()).unwrap_err();
    assert!(error.to_string().contains("not locked"), "{error}");

    let registration =
        install(&store, &out, &drv, &BTreeSet::new(), |built| std::fs::write(built, b"").unwrap());
    store.register(vec![registration]).unwrap();
    let locks = store.lock_outputs([&out], &mut |_| {}).unwrap();
    let error = store.install_output(&locks, &built, &out, &BTreeSet::new()).unwrap_err();
    assert!(error.to_string().contains("valid already"), "{error}");
    assert!(built.exists());
}

#[test]
fn a_second_registration_keeps_the_first_record() {
    let Build { store, out, drv, dir: _dir, .. } = build();
    let first = install(&store, &out, &drv, &BTreeSet::new(), |built| std::fs::write(built, b"").unwrap());
    store.register(vec![Registration { ultimate: false, ..first.clone() }]).unwrap();
    let before = store.require(&out).unwrap();
    let signature = "key-1:".to_owned() + &"A".repeat(86) + "==";
    let second =
        Registration { nar_size: 1, deriver: None, signatures: vec![signature.parse().unwrap()], ..first };
    store.register(vec![second.clone(), second]).unwrap();
    let after = store.require(&out).unwrap();
    assert!(after.ultimate);
    assert_eq!(after.signatures.iter().map(ToString::to_string).collect::<Vec<_>>(), [signature]);
    assert_eq!((after.nar_size, after.deriver), (before.nar_size, before.deriver));
}

#[test]
fn what_is_valid_and_wrong_is_replaced_whole() {
    let Build { store, drv, out, dev, dir } = build();
    let candidates: BTreeSet<_> = [out.clone(), dev.clone()].into();
    let of_dev = install(&store, &dev, &drv, &candidates, |built| std::fs::write(built, "dev").unwrap());
    let of_out = install(&store, &out, &drv, &candidates, |built| {
        std::fs::create_dir(built).unwrap();
        std::fs::write(built.join("wrong"), "wrong").unwrap();
    });
    store.register(vec![of_dev, of_out]).unwrap();
    let before = store.require(&out).unwrap();

    let staging = store.staging().unwrap();
    let from = staging.path().join("new");
    std::fs::create_dir(&from).unwrap();
    std::fs::write(from.join("right"), store.store_dir().display(&dev)).unwrap();
    {
        let locks = store.lock_outputs([&dev], &mut |_| {}).unwrap();
        let error = store.replace_output(&locks, &from, &out, &candidates).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "it is not locked");
    }
    let locks = store.lock_outputs([&out], &mut |_| {}).unwrap();
    store.replace_output(&locks, &from, &out, &candidates).unwrap();
    drop(locks);
    drop(staging);
    let after = store.require(&out).unwrap();
    assert_ne!(after.nar_hash, before.nar_hash);
    assert_eq!((&after.deriver, after.references.len()), (&before.deriver, 1));
    assert!(store.real_path(&out).join("right").exists() && !store.real_path(&out).join("wrong").exists());
    assert_eq!(store.verify(true).unwrap(), []);
    Nix::on(store.root(), &dir.path().join("home")).verify();

    // A file in the place of a directory.
    let staging = store.staging().unwrap();
    let from = staging.path().join("new");
    std::fs::write(&from, "a file").unwrap();
    let locks = store.lock_outputs([&out], &mut |_| {}).unwrap();
    store.replace_output(&locks, &from, &out, &candidates).unwrap();
    assert_eq!(std::fs::read(store.real_path(&out)).unwrap(), b"a file");
    assert_eq!(store.verify(true).unwrap(), []);
}
