//! A store with some of everything: sources, texts, a derivation with two outputs, references, a root, a log.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rekindle_nix::{Derivation, Output, OutputName, StorePath, StorePathName};
use rekindle_store::{Mode, Registration, Store, Tree};

pub(crate) const LOG: &[u8] = b"building\nbuilt\n";

/// A temporary directory that goes even if there are read-only directories in it.
pub(crate) struct Scratch(tempfile::TempDir);

pub(crate) fn scratch() -> Scratch {
    Scratch(tempfile::tempdir().unwrap())
}

impl Scratch {
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fn unlock(dir: &Path) {
            let _ = std::fs::set_permissions(dir, PermissionsExt::from_mode(0o700));
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    unlock(&entry.path());
                }
            }
        }
        unlock(self.0.path());
    }
}

pub(crate) struct Sample {
    pub(crate) store: Store,
    pub(crate) source: StorePath,
    pub(crate) text: StorePath,
    pub(crate) drv: StorePath,
    pub(crate) out: StorePath,
    pub(crate) dev: StorePath,
    pub(crate) link: PathBuf,
}

pub(crate) fn name(text: &str) -> StorePathName {
    StorePathName::new(text).unwrap()
}

pub(crate) fn open(root: &Path) -> Store {
    Store::open(root, Mode::ReadWrite).unwrap()
}

/// Writes a tree with something of each kind that an archive can hold, in the order that tempts to sort it wrongly.
pub(crate) fn write_tree(root: &Path) {
    use std::os::unix::ffi::OsStrExt;
    std::fs::create_dir_all(root.join("sub/empty")).unwrap();
    std::fs::create_dir_all(root.join("sub-dir")).unwrap();
    std::fs::write(root.join("sub/file"), b"content\n").unwrap();
    std::fs::write(root.join("sub.txt"), b"").unwrap();
    std::fs::write(root.join("sub-dir/script"), b"#!/bin/sh\n").unwrap();
    std::fs::set_permissions(root.join("sub-dir/script"), PermissionsExt::from_mode(0o750)).unwrap();
    std::fs::write(root.join("group-only"), b"x").unwrap();
    std::fs::set_permissions(root.join("group-only"), PermissionsExt::from_mode(0o654)).unwrap();
    std::fs::write(root.join(std::ffi::OsStr::from_bytes(b"not utf-8 \xff\n")), vec![7; 700_000]).unwrap();
    symlink("../nowhere", root.join("sub/link")).unwrap();
}

/// A derivation with the outputs `out` and `dev`, with their paths.
pub(crate) fn derivation(store: &Store, drv_name: &str, sources: &[&StorePath]) -> Derivation {
    let env: [(&str, Vec<u8>); 3] =
        [("out", Vec::new()), ("dev", Vec::new()), ("bytes", b"\"\\\n\xff".to_vec())];
    let mut derivation = Derivation {
        name: name(drv_name),
        outputs: ["out", "dev"].map(|name| (OutputName::new(name).unwrap(), Output::Deferred)).into(),
        input_drvs: BTreeMap::new(),
        input_srcs: sources.iter().map(|path| (*path).clone()).collect(),
        system: b"x86_64-linux".to_vec(),
        builder: b"/bin/sh".to_vec(),
        args: vec![b"-c".to_vec(), b"echo $src > $out; echo > $dev".to_vec()],
        env: env.into_iter().map(|(name, value)| (name.as_bytes().to_vec(), value)).collect(),
    };
    derivation
        .fill_output_paths(store.store_dir(), &mut |_| -> Result<_, rekindle_nix::Error> {
            panic!("it needs no other derivation")
        })
        .unwrap();
    derivation
}

pub(crate) fn output_path(derivation: &Derivation, output: &str) -> StorePath {
    derivation.output_path(&OutputName::new(output).unwrap()).unwrap().clone()
}

/// Takes in a tree that `write` makes, as the output `path` of `drv`. Not registered.
pub(crate) fn install(
    store: &Store,
    path: &StorePath,
    drv: &StorePath,
    candidates: &BTreeSet<StorePath>,
    write: impl FnOnce(&Path),
) -> Registration {
    let staging = store.staging().unwrap();
    let built = staging.path().join("built");
    write(&built);
    let locks = store.lock_outputs([path], &mut |_| {}).unwrap();
    let registration = store.install_output(&locks, &built, path, candidates).unwrap();
    Registration { deriver: Some(drv.clone()), ..registration }
}

/// Makes the store below `dir/root`, with the link `dir/result`.
pub(crate) fn sample(dir: &Path) -> Sample {
    let store = open(&dir.join("root"));
    write_tree(&dir.join("tree"));
    let source = store.add_tree(&name("source"), &Tree::scan(&dir.join("tree")).unwrap()).unwrap();
    let text = format!("see {}\n", store.store_dir().display(&source));
    let text = store.add_text(&name("text"), text.as_bytes(), &[source.clone()].into()).unwrap();
    let derivation = derivation(&store, "sample-1.0", &[&source, &text]);
    let drv = store.add_derivation(&derivation).unwrap();
    let (out, dev) = (output_path(&derivation, "out"), output_path(&derivation, "dev"));

    let candidates: BTreeSet<_> = [&source, &text, &out, &dev].into_iter().cloned().collect();
    let shown = |path: &StorePath| store.store_dir().display(path);
    let of_dev = install(&store, &dev, &drv, &candidates, |built| {
        std::fs::write(built, format!("from {}\n", shown(&text))).unwrap();
    });
    let of_out = install(&store, &out, &drv, &candidates, |built| {
        std::fs::create_dir_all(built.join("bin")).unwrap();
        std::fs::write(built.join("bin/me"), format!("{} {}\n", shown(&out), shown(&source))).unwrap();
        std::fs::set_permissions(built.join("bin/me"), PermissionsExt::from_mode(0o755)).unwrap();
        symlink(shown(&dev), built.join("dev")).unwrap();
    });
    store.register(vec![of_out, of_dev]).unwrap();

    let link = dir.join("result");
    store.add_root(&link, &out).unwrap();
    let mut log = store.log_writer(&drv).unwrap();
    log.write_all(LOG).unwrap();
    log.finish().unwrap();
    Sample { store, source, text, drv, out, dev, link }
}

impl Sample {
    pub(crate) fn shown(&self, path: &StorePath) -> String {
        self.store.store_dir().display(path)
    }
}
