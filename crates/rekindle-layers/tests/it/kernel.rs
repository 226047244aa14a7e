//! The kernel's overlayfs as the judge of what a stack of layers means.

use std::path::{Path, PathBuf};

use rekindle_layers::{LayerStore, Snapshot};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::seed::Rng;
use crate::tree::edit;

/// An overlay mount; lower layers topmost first.
pub(crate) struct Overlay<'a>(&'a Path);

impl<'a> Overlay<'a> {
    pub(crate) fn new(at: &'a Path, lower: &[PathBuf], upper: Option<(&Path, &Path)>) -> Overlay<'a> {
        let lower: Vec<_> = lower.iter().map(|path| path.to_str().unwrap()).collect();
        let mut options = format!("userxattr,lowerdir={}", lower.join(":"));
        if let Some((upper, work)) = upper {
            // As builds mount it; and without `volatile` every unmount waits for the disk.
            options += &format!(",volatile,upperdir={},workdir={}", upper.display(), work.display());
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

/// A place to stack random layers in.
pub(crate) struct Workshop {
    pub(crate) temp: tempfile::TempDir,
    pub(crate) store: LayerStore,
    /// To mount on.
    pub(crate) at: PathBuf,
    empty: PathBuf,
}

impl Workshop {
    pub(crate) fn new() -> Workshop {
        let temp = tempfile::tempdir().unwrap();
        let [at, empty] = ["at", "empty"].map(|name| temp.path().join(name));
        for dir in [&at, &empty] {
            std::fs::create_dir(dir).unwrap();
        }
        let store = LayerStore::open(&temp.path().join("store")).unwrap();
        Workshop { temp, store, at, empty }
    }

    /// What the kernel shows of a stack. It wants two lower layers at least.
    pub(crate) fn show(&self, layers: &[PathBuf]) -> Snapshot {
        let mut layers = layers.to_vec();
        if layers.len() == 1 {
            // Beneath, it does not show.
            layers.push(self.empty.clone());
        }
        let _overlay = Overlay::new(&self.at, &layers, None);
        all_is_there(&self.at);
        Snapshot::of_path(&self.at).unwrap()
    }

    /// A layer of random files, with nothing below.
    pub(crate) fn base(&self, rng: &mut Rng, edits: usize) -> PathBuf {
        let draft = self.store.begin().unwrap();
        for _ in 0..edits {
            edit(rng, draft.upper());
        }
        self.store.path(draft.commit().unwrap())
    }

    /// Puts a layer of random edits on top of a stack.
    pub(crate) fn edited(&self, rng: &mut Rng, stack: &[PathBuf], edits: usize) -> Vec<PathBuf> {
        let draft = self.store.begin().unwrap();
        {
            let _overlay = Overlay::new(&self.at, stack, Some((draft.upper(), draft.work())));
            for _ in 0..edits {
                edit(rng, &self.at);
            }
        }
        let layer = self.store.path(draft.commit().unwrap());
        [&[layer], stack].concat()
    }
}

/// Every name that the kernel lists is there. A snapshot passes over what goes away while it is taken.
fn all_is_there(dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata();
        assert!(metadata.is_ok(), "{} is listed and not there", path.display());
        if metadata.is_ok_and(|metadata| metadata.is_dir()) {
            all_is_there(&path);
        }
    }
}

pub(crate) fn assert_same(expected: &Snapshot, got: &Snapshot, what: &str) {
    let differences: Vec<_> = expected.differences(got).iter().map(ToString::to_string).collect();
    assert!(differences.is_empty(), "{what}:\n{}", differences.join("\n"));
}
