//! `/dev` as Nix has it, and the parts of `/proc` that root must be kept from.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use super::root::{BOUND, Kind, Root, clone_mount, file_system};
use crate::error::{Error, ErrorKind};

const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom"];

const LINKS: &[(&str, &str)] = &[
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
];

/// Parts of `/proc` that change the host, and that the kernel guards by nothing but the user id.
const READ_ONLY: &[&str] = &[
    "acpi",
    "asound",
    "bus",
    "driver",
    "dynamic_debug",
    "fs",
    "irq",
    "mtrr",
    "scsi",
    "sys",
    "sysrq-trigger",
];

/// Parts of `/proc` that tell root about the host what no user may know.
const COVERED: &[&str] = &[
    "kcore",
    "kmsg",
    "kpagecgroup",
    "kpagecount",
    "kpageflags",
    "keys",
    "sched_debug",
    "slabinfo",
    "timer_list",
];

pub(super) fn make(root: &Root, kvm: bool) -> Result<(), Error> {
    for name in DEVICES {
        bind(root, name)?.map_err(|errno| lacks(name, errno))?;
    }
    // A container may have none; without a controlling terminal it is of no use anyway.
    let _ = bind(root, "tty")?;
    if kvm {
        bind(root, "kvm")?.map_err(|errno| lacks("kvm", errno))?;
    }

    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let pts =
        file_system("devpts", &[("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620")], attributes)
            .map_err(|error| Error::failed("cannot mount /dev/pts", error))?;
    root.attach_at(&pts, Path::new("/dev/pts"), Kind::Dir)?;
    let shm = file_system("tmpfs", &[("mode", "1777")], BOUND)
        .map_err(|error| Error::failed("cannot mount /dev/shm", error))?;
    root.attach_at(&shm, Path::new("/dev/shm"), Kind::Dir)?;
    LINKS.iter().try_for_each(|(path, target)| root.place_symlink(Path::new(path), target.as_ref()))
}

/// Keeps a command that root runs from the host's settings.
///
/// It has no capability, but outside its user id is 0, and the kernel lets that id write to `/proc/sys`: the host's
/// `core_pattern`, for one, which is as good as being root. An ordinary user's command needs none of this. It costs a
/// nested user namespace the right to mount a `/proc` of its own, as the kernel takes care not to uncover things.
pub(super) fn guard_proc(root: &Root) -> Result<(), Error> {
    for name in READ_ONLY {
        let path = Path::new("/proc").join(name);
        cover(root, &path, |kind| {
            let attributes = BOUND | MountAttrFlags::MOUNT_ATTR_RDONLY;
            let old = root.open(&path, OFlags::PATH)?;
            Ok((clone_mount(old, attributes)?, kind))
        })?;
    }
    for name in COVERED {
        cover(root, &Path::new("/proc").join(name), |_| {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let null = rustix::fs::openat(CWD, "/dev/null", flags, Mode::empty())?;
            Ok((clone_mount(null, MountAttrFlags::MOUNT_ATTR_RDONLY)?, Kind::File))
        })?;
    }
    Ok(())
}

/// Keeps a command from the host's control groups. In a user namespace and a cgroup namespace of its own it may mount their file
/// system, and there its user is the caller's. It is left the first of these alone.
pub(super) fn guard_cgroups(root: &Root) -> Result<(), Error> {
    let path = Path::new("/proc/sys/user/max_cgroup_namespaces");
    let failed =
        |error: io::Error| Error::failed("cannot keep the command from the host's control groups", error);
    match root.open(path, OFlags::WRONLY) {
        Ok(limit) => File::from(limit).write_all(b"0").map_err(failed),
        // A kernel that has no such namespaces.
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(failed(errno.into())),
    }
}

/// Mounts over something in `/proc`, if this kernel has it.
fn cover(
    root: &Root,
    path: &Path,
    what: impl Fn(Kind) -> io::Result<(std::os::fd::OwnedFd, Kind)>,
) -> Result<(), Error> {
    let failed = |error| Error::failed(format!("cannot guard {} in the sandbox", path.display()), error);
    let kind = match root.open(path, OFlags::PATH | OFlags::DIRECTORY) {
        Ok(_) => Kind::Dir,
        Err(Errno::NOTDIR) => Kind::File,
        Err(_) => return Ok(()),
    };
    let (mount, kind) = what(kind).map_err(failed)?;
    root.attach_at(&mount, path, kind)
}

/// Binds a device of the host. The inner error is about the host's device.
///
/// Read-only, which keeps its mode and times from root's commands and nobody from writing to the device itself.
fn bind(root: &Root, name: &str) -> Result<Result<(), Errno>, Error> {
    let path = Path::new("/dev").join(name);
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let device = match rustix::fs::openat(CWD, &path, flags, Mode::empty()) {
        Ok(device) => device,
        Err(errno) => return Ok(Err(errno)),
    };
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let copy = clone_mount(device, attributes)
        .map_err(|error| Error::failed(format!("cannot bind {}", path.display()), error))?;
    root.attach_at(&copy, &path, Kind::File).map(Ok)
}

fn lacks(name: &str, errno: Errno) -> Error {
    Error::new(ErrorKind::Failed, format!("this machine has no /dev/{name}")).because(errno)
}
