//! The writable tree of a sandbox: an overlay, or a plain directory.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::overlay::{Layers, open_dir};
use super::root::{BOUND, Kind, Root, clone_mount, retry};
use crate::error::Error;
use crate::spec::{Overlay, Tree, TreeBind, TreeRoot};

pub(super) fn mount(root: &Root, tree: &Tree) -> Result<(), Error> {
    let files = match &tree.root {
        TreeRoot::Plain(dir) => open_dir(dir, "tree")?,
        TreeRoot::Overlay(overlay) => stage(overlay)?,
    };
    tree.binds.iter().try_for_each(|bind| attach(root, &files, bind))
}

/// Mounts an overlay where only this process sees it, and opens its root.
///
/// Older kernels bind only what has a place. The place is the overlay's work directory, in the host's part of this mount
/// namespace: nobody looks anything up in there, and it goes when the host's root goes. To unmount it by itself would
/// cost a wait for all processors (an RCU grace period), several milliseconds on a busy machine.
fn stage(overlay: &Overlay) -> Result<OwnedFd, Error> {
    let work = open_dir(&overlay.work, "work directory")?;
    Layers::writable(overlay)?
        .mount_at(&work)
        .map_err(|refusal| refusal.into_error(&format!("with upper layer {}", overlay.upper.display())))?;
    open_dir(&overlay.work, "mounted tree")
}

/// Binds one directory of the tree. An earlier command may have made links in it: none is followed.
fn attach(root: &Root, tree: &OwnedFd, bind: &TreeBind) -> Result<(), Error> {
    let what = || format!("cannot bind `{}` of the tree at {}", bind.dir.display(), bind.target.display());
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = if bind.dir.as_os_str().is_empty() { Path::new(".") } else { &bind.dir };
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let dir = retry(|| rustix::fs::openat2(tree, dir, flags, Mode::empty(), inside)).map_err(|errno| {
        let error = Error::failed(what(), errno);
        if errno == Errno::NOENT { error.hint("the tree has no such directory") } else { error }
    })?;
    let copy = clone_mount(&dir, BOUND).map_err(|error| Error::failed(what(), error))?;
    root.attach_at(&copy, &bind.target, Kind::Dir)
}
