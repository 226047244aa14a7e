//! The root file system of a sandbox.
//!
//! A tmpfs is mounted *on top of* `/`. A process's own root does not change by that, so host paths go on being looked up
//! in the old root, while everything inside is reached through the descriptor of the new one, by look-ups that cannot
//! leave it. `pivot_root` at the end swaps the two, and the old one is unmounted.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_change,
    move_mount, open_tree, unmount,
};
use rustix::process::{fchdir, pivot_root, umask};

use super::namespaces::forbidden;
use super::{devices, stack, tree};
use crate::error::{Error, ErrorKind};
use crate::spec::{Mount, Spec};
use crate::sys::add_mount_attributes;

/// What applies to everything that is bound in: no set-user-id programs, no devices.
pub(super) const BOUND: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);

/// Builds the root file system and makes it this process's.
pub(super) fn build(spec: &Spec, privileged: bool) -> Result<(), Error> {
    umask(Mode::empty());
    let mut root = Root::mount()?;
    root.mount_proc(privileged)?;
    devices::make(&root, spec.kvm)?;
    root.mount_tmp()?;
    for (path, mode) in &spec.dirs {
        root.place_dir(path, *mode)?;
    }
    for (path, content) in &spec.files {
        root.place_file(path, content)?;
    }
    for (path, target) in &spec.symlinks {
        root.place_symlink(path, target)?;
    }
    if let Some(tree) = &spec.tree {
        tree::mount(&root, tree)?;
    }
    for stack in &spec.stacks {
        stack::mount(&root, stack)?;
    }
    for mount in &spec.mounts {
        root.bind(mount)?;
    }
    root.enter()
}

/// The new root while it is being built.
pub(super) struct Root {
    mount: OwnedFd,
    /// Device numbers of the file systems that are the sandbox's own, where mount points may be made.
    own: Vec<u64>,
}

/// What a mount point has to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Dir,
}

impl Root {
    fn mount() -> Result<Self, Error> {
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .map_err(|errno| forbidden("cannot make mounts private", errno.into()))?;
        let mount = file_system("tmpfs", &[("mode", "0755")], BOUND)
            .map_err(|error| forbidden("cannot mount a tmpfs as the sandbox's root", error))?;
        attach(&mount, CWD, "/")
            .map_err(|errno| forbidden("cannot mount the sandbox's root", errno.into()))?;
        let mut root = Root { mount, own: Vec::new() };
        root.own.push(root.device(root.mount.as_fd())?);
        Ok(root)
    }

    fn mount_proc(&self, privileged: bool) -> Result<(), Error> {
        let attributes = BOUND | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let proc = file_system("proc", &[], attributes).map_err(|error| {
            forbidden(
                "cannot mount /proc (where parts of the host's are covered up, the kernel refuses)",
                error,
            )
        })?;
        self.attach_at(&proc, Path::new("/proc"), Kind::Dir)?;
        devices::guard_cgroups(self)?;
        if privileged {
            devices::guard_proc(self)?;
        }
        Ok(())
    }

    fn mount_tmp(&mut self) -> Result<(), Error> {
        let tmp = file_system("tmpfs", &[("mode", "1777")], BOUND)
            .map_err(|error| Error::failed("cannot mount a tmpfs for /tmp", error))?;
        self.own.push(self.device(tmp.as_fd())?);
        self.attach_at(&tmp, Path::new("/tmp"), Kind::Dir)
    }

    pub(super) fn bind(&self, mount: &Mount) -> Result<(), Error> {
        let Mount { source, target, read_only, optional } = mount;
        let failed = |errno: Errno| {
            let what = format!("cannot bind {} at {}", source.display(), target.display());
            let error = Error::failed(what, errno);
            if errno == Errno::NOENT { error.hint("the source does not exist") } else { error }
        };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let from = match rustix::fs::openat(CWD, source, flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR) if *optional => return Ok(()),
            other => other.map_err(failed)?,
        };
        let kind =
            match rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&from).map_err(failed)?.st_mode) {
                rustix::fs::FileType::Directory => Kind::Dir,
                rustix::fs::FileType::Symlink => {
                    let to = rustix::fs::readlinkat(&from, "", Vec::new()).map_err(failed)?;
                    return self.place_symlink(target, OsStr::from_bytes(to.as_bytes()));
                }
                _ => Kind::File,
            };
        let attributes = if *read_only { BOUND | MountAttrFlags::MOUNT_ATTR_RDONLY } else { BOUND };
        let copy = clone_mount(&from, attributes).map_err(|error| match Errno::from_io_error(&error) {
            Some(errno) => failed(errno),
            None => Error::failed("cannot bind", error),
        })?;
        self.attach_at(&copy, target, kind)
    }

    /// Mounts at an inside path, making the mount point if that is possible.
    pub(super) fn attach_at(&self, mount: &OwnedFd, target: &Path, kind: Kind) -> Result<(), Error> {
        let at = self.mount_point(target, kind)?;
        attach(mount, &at, "").map_err(|errno| {
            let error = Error::failed(format!("cannot mount at {} in the sandbox", target.display()), errno);
            if errno == Errno::NOTDIR || errno == Errno::INVAL {
                error.hint("a file can only be mounted on a file, a directory on a directory")
            } else {
                error
            }
        })
    }

    pub(super) fn mount_point(&self, target: &Path, kind: Kind) -> Result<OwnedFd, Error> {
        match self.open(target, OFlags::PATH) {
            Err(Errno::NOENT) if kind == Kind::Dir => self.dir(target),
            Err(Errno::NOENT) => {
                let (parent, name) = self.parent(target)?;
                self.check_own(&parent, target)?;
                rustix::fs::openat(&parent, name, OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC, FILE)
                    .map_err(|errno| cannot_make(target, errno))
            }
            other => other.map_err(|errno| cannot_make(target, errno)),
        }
    }

    /// Creates a directory with exactly this mode, or gives an existing one this mode.
    pub(super) fn place_dir(&self, path: &Path, mode: u32) -> Result<(), Error> {
        let dir = self.dir(path)?;
        self.check_own(&dir, path)?;
        rustix::fs::chmodat(&dir, ".", Mode::from_raw_mode(mode), AtFlags::empty())
            .map_err(|errno| cannot_make(path, errno))
    }

    pub(super) fn place_file(&self, path: &Path, content: &[u8]) -> Result<(), Error> {
        let (parent, name) = self.parent(path)?;
        self.check_own(&parent, path)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file =
            rustix::fs::openat(&parent, name, flags, FILE).map_err(|errno| cannot_make(path, errno))?;
        let mut file = std::fs::File::from(file);
        io::Write::write_all(&mut file, content)
            .map_err(|error| Error::failed(format!("cannot write {} in the sandbox", path.display()), error))
    }

    /// Creates a symbolic link; one that is there already and equal is fine, wherever it lies.
    pub(super) fn place_symlink(&self, path: &Path, target: &OsStr) -> Result<(), Error> {
        let (parent, name) = self.parent(path)?;
        let old = rustix::fs::readlinkat(&parent, name, Vec::new());
        if old.is_ok_and(|old| old.as_bytes() == target.as_bytes()) {
            return Ok(());
        }
        self.check_own(&parent, path)?;
        rustix::fs::symlinkat(target, &parent, name).map_err(|errno| cannot_make(path, errno))
    }

    /// Opens an inside path. Symbolic links are followed as the command will see them.
    pub(super) fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        retry(|| {
            let flags = flags | OFlags::CLOEXEC;
            rustix::fs::openat2(&self.mount, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)
        })
    }

    /// Opens a directory, after making it and its parents where they are missing and the place is our own.
    fn dir(&self, path: &Path) -> Result<OwnedFd, Error> {
        match self.open(path, DIR) {
            Err(Errno::NOENT) => {}
            other => return other.map_err(|errno| cannot_make(path, errno)),
        }
        let (parent, name) = self.parent(path)?;
        self.check_own(&parent, path)?;
        rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755))
            .map_err(|errno| cannot_make(path, errno))?;
        self.open(path, DIR).map_err(|errno| cannot_make(path, errno))
    }

    /// The directory that a path lies in, made if needed, and the path's last part.
    fn parent<'a>(&self, path: &'a Path) -> Result<(OwnedFd, &'a OsStr), Error> {
        match (path.parent(), path.components().next_back()) {
            (Some(parent), Some(Component::Normal(name))) => Ok((self.dir(parent)?, name)),
            _ => Err(Error::new(ErrorKind::Failed, format!("{} cannot be made", path.display()))),
        }
    }

    /// Refuses to make anything where it would change the host's files.
    fn check_own(&self, dir: &OwnedFd, path: &Path) -> Result<(), Error> {
        if self.own.contains(&self.device(dir.as_fd())?) {
            return Ok(());
        }
        let what = format!("{} does not exist in the sandbox", path.display());
        Err(Error::new(ErrorKind::Failed, what).hint("inside the tree or a mount it is not made for you"))
    }

    fn device(&self, fd: BorrowedFd<'_>) -> Result<u64, Error> {
        let stat =
            rustix::fs::fstat(fd).map_err(|errno| Error::failed("cannot look at the new root", errno))?;
        Ok(stat.st_dev)
    }

    /// Makes this the root of the process, for good and read-only.
    fn enter(self) -> Result<(), Error> {
        let failed = |what: &'static str| move |errno: Errno| Error::failed(what, errno);
        add_mount_attributes(&self.mount, false, MountAttrFlags::MOUNT_ATTR_RDONLY.bits())
            .map_err(|error| Error::failed("cannot make the sandbox's root read-only", error))?;
        fchdir(&self.mount).map_err(failed("cannot enter the sandbox's root"))?;
        // With both the same, the old root ends up on top of the new one, where `.` finds it.
        pivot_root(".", ".").map_err(failed("cannot change to the sandbox's root"))?;
        unmount(".", UnmountFlags::DETACH).map_err(failed("cannot unmount the host's root"))?;
        rustix::process::chdir("/").map_err(failed("cannot enter the sandbox's root"))
    }
}

const FILE: Mode = Mode::from_raw_mode(0o644);
const DIR: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);

/// Mounts a new file system, at no place yet. An option without a value is a flag.
pub(super) fn file_system(
    kind: &str,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (name, value) in options {
        match value {
            &"" => fsconfig_set_flag(&context, *name)?,
            value => fsconfig_set_string(&context, *name, *value)?,
        }
    }
    fsconfig_create(&context)?;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// A copy of the mount that `from` lies in, beginning at `from`, with all that is mounted below; at no place yet.
pub(super) fn clone_mount(from: impl AsFd, attributes: MountAttrFlags) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let copy = open_tree(from, "", flags)?;
    add_mount_attributes(&copy, true, attributes.bits())?;
    Ok(copy)
}

/// Gives a mount a place.
pub(super) fn attach(mount: &OwnedFd, at: impl AsFd, path: &str) -> Result<(), Errno> {
    let mut flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    if path.is_empty() {
        flags |= MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    }
    move_mount(mount, "", at, path, flags)
}

/// A look-up that must stay below a directory has to begin again when something is renamed or mounted meanwhile,
/// anywhere on the machine; the kernel says so.
pub(super) fn retry<T>(mut look_up: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    for _ in 0..100 {
        match look_up() {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    look_up()
}

fn cannot_make(path: &Path, errno: Errno) -> Error {
    let path = PathBuf::from(path);
    Error::failed(format!("cannot make {} in the sandbox", path.display()), errno)
}
