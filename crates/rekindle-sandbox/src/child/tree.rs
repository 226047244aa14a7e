//! The writable tree of a sandbox: an overlay, or a plain directory.
//!
//! An overlay is given its layers by descriptor: the kernel's options are limited to 255 bytes each (or, with the old
//! call, to a page for all), and names may hold commas and colons.

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount,
    fsopen,
};

use super::root::{self, BOUND, Kind, Root, clone_mount, retry};
use crate::error::{Error, ErrorKind};
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
    let layers = Layers::open(overlay)?;
    match layers.mount() {
        Ok(mount) => root::attach(&mount, &layers.work, "")
            .map_err(|errno| Error::failed("cannot attach the tree's overlay", errno))?,
        // Linux before 6.7 takes layers only in one string. If that is not it, the first answer is the better.
        Err(refusal) if refusal.errno == Errno::INVAL => {
            layers.mount_on(&layers.work).map_err(|_| refusal.into_error(overlay))?;
        }
        Err(refusal) => return Err(refusal.into_error(overlay)),
    }
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

/// The directories of an overlay, opened.
struct Layers {
    lowers: Vec<OwnedFd>,
    upper: OwnedFd,
    work: OwnedFd,
}

/// Which step of a mount the kernel refused, why, and what it added in words.
struct Refusal {
    at: &'static str,
    errno: Errno,
    words: String,
}

impl Layers {
    fn open(overlay: &Overlay) -> Result<Self, Error> {
        Ok(Layers {
            lowers: overlay
                .lowers
                .iter()
                .map(|dir| open_dir(dir, "lower layer"))
                .collect::<Result<_, _>>()?,
            upper: open_dir(&overlay.upper, "upper layer")?,
            work: open_dir(&overlay.work, "work directory")?,
        })
    }

    /// Mounts the overlay, at no place yet.
    fn mount(&self) -> Result<OwnedFd, Refusal> {
        let refuse = |at| move |errno| Refusal { at, errno, words: String::new() };
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(refuse("fsopen"))?;
        let told = |at| {
            let context = &context;
            move |errno| Refusal { at, errno, words: complaint(context) }
        };
        for lower in &self.lowers {
            fsconfig_set_string(&context, "lowerdir+", name(lower)).map_err(told("lowerdir+"))?;
        }
        fsconfig_set_string(&context, "upperdir", name(&self.upper)).map_err(told("upperdir"))?;
        fsconfig_set_string(&context, "workdir", name(&self.work)).map_err(told("workdir"))?;
        // Only `user.*` attributes can be written in a user namespace; without them a directory of a lower layer
        // cannot be replaced. The tree is thrown away if the machine crashes, and must not wait for the disk till then:
        // otherwise the last unmount writes back everything that is unwritten on the file system of `upper`.
        fsconfig_set_flag(&context, "userxattr").map_err(told("userxattr"))?;
        fsconfig_set_flag(&context, "volatile").map_err(told("volatile"))?;
        fsconfig_create(&context).map_err(told("create"))?;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, BOUND).map_err(told("fsmount"))
    }

    /// Mounts the overlay with the old call, on a directory.
    fn mount_on(&self, at: &OwnedFd) -> Result<(), Errno> {
        // Relative to this directory a name is only a number, so that 500 of them fit in a page.
        rustix::process::chdir("/proc/self/fd")?;
        let number = |fd: &OwnedFd| fd.as_raw_fd().to_string();
        let options = format!(
            "lowerdir={},upperdir={},workdir={},userxattr,volatile",
            self.lowers.iter().map(number).collect::<Vec<_>>().join(":"),
            number(&self.upper),
            number(&self.work)
        );
        let options = CString::new(options).expect("numbers have no NUL");
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        rustix::mount::mount("overlay", number(at).as_str(), "overlay", flags, options.as_c_str())
    }
}

impl Refusal {
    fn into_error(self, overlay: &Overlay) -> Error {
        let Refusal { at, errno, words } = self;
        let mut what = format!("cannot mount an overlay with upper layer {}", overlay.upper.display());
        if !words.is_empty() {
            what = format!("{what}: {words}");
        }
        let hint = match errno {
            Errno::NODEV => "the kernel has no overlayfs: load its module as root (`modprobe overlay`)",
            Errno::PERM => "Linux 5.11 or newer is needed for overlays without root",
            Errno::INVAL | Errno::OPNOTSUPP | Errno::REMOTE => {
                "upper and work must be on one file system that is no overlay itself and has user.* attributes \
                 (ext4, xfs, btrfs), and work must be empty"
            }
            Errno::LOOP => "overlays may lie on one overlay, not on more",
            _ => at,
        };
        Error::new(ErrorKind::NoOverlay, what).hint(hint).because(errno)
    }
}

/// What the kernel has to say in words about a mount that it refused.
fn complaint(context: &OwnedFd) -> String {
    let Ok(copy) = context.try_clone() else { return String::new() };
    let mut lines = Vec::new();
    let (mut file, mut line) = (File::from(copy), [0; 1024]);
    // Each read gives one line, and fails after the last.
    while let Ok(count @ 1..) = file.read(&mut line) {
        let text = String::from_utf8_lossy(&line[..count]);
        lines.push(text.trim().trim_start_matches("e ").to_owned());
    }
    lines.join("; ")
}

fn name(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

fn open_dir(dir: &Path, what: &str) -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, dir, flags, Mode::empty())
        .map_err(|errno| Error::failed(format!("cannot open the {what} {}", dir.display()), errno))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const DIR: &str = "REKINDLE_TEST_OLD_CALL";

    /// Newer kernels never take this way, so it has to be taken on purpose: in a process with namespaces of its own.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test tells itself which process it is")]
    fn the_old_call_mounts_as_many_layers() {
        let Some(dir) = std::env::var_os(DIR) else {
            let dir = tempfile::tempdir().expect("a directory");
            let status = Command::new("unshare")
                .args(["--user", "--map-root-user", "--mount"])
                .arg(std::env::current_exe().expect("this program has a path"))
                .args(["--exact", "child::tree::tests::the_old_call_mounts_as_many_layers"])
                .env(DIR, dir.path())
                .status()
                .expect("unshare is installed");
            return assert!(status.success());
        };
        let make = |name: String| {
            let path = Path::new(&dir).join(name);
            std::fs::create_dir(&path).expect("a fresh directory");
            path
        };
        let lowers: Vec<_> = (0..Overlay::MAX_LOWERS).map(|index| make(format!("{index},:"))).collect();
        for (index, lower) in lowers.iter().enumerate() {
            std::fs::write(lower.join(format!("file{index}")), "").expect("room");
        }
        let overlay = Overlay { lowers, upper: make("upper".into()), work: make("work".into()) };
        let at = make("at".into());
        Layers::open(&overlay)
            .expect("the layers exist")
            .mount_on(&open_dir(&at, "stage").expect("it exists"))
            .expect("it mounts");
        assert_eq!(std::fs::read_dir(&at).expect("it is mounted").count(), Overlay::MAX_LOWERS);
    }
}
