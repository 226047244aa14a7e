//! Mounting overlayfs, writable or not.
//!
//! The kernel is given the layers by descriptor: its options are limited to 255 bytes each (or, with the old call, to a
//! page for all), and names may hold commas and colons.

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use super::root::{BOUND, attach};
use crate::error::{Error, ErrorKind};
use crate::spec::Overlay;

/// The directories of an overlay, opened.
pub(super) struct Layers {
    lowers: Vec<OwnedFd>,
    /// What makes it writable.
    upper: Option<Upper>,
}

struct Upper {
    dir: OwnedFd,
    work: OwnedFd,
}

impl Layers {
    pub(super) fn writable(overlay: &Overlay) -> Result<Self, Error> {
        let lowers = open_all(&overlay.lowers, "lower layer")?;
        let dir = open_dir(&overlay.upper, "upper layer")?;
        let work = open_dir(&overlay.work, "work directory")?;
        Ok(Layers { lowers, upper: Some(Upper { dir, work }) })
    }

    /// Two or more: the kernel refuses to mount one directory alone.
    pub(super) fn read_only(dirs: &[PathBuf]) -> Result<Self, Error> {
        Ok(Layers { lowers: open_all(dirs, "layer")?, upper: None })
    }

    /// Mounts the overlay on a directory.
    pub(super) fn mount_at(&self, place: &OwnedFd) -> Result<(), Refusal> {
        match self.mount() {
            Ok(mount) => attach(&mount, place, "").map_err(refuse("move_mount")),
            // Linux before 6.7 takes layers only in one string. If that is not it, the first answer is the better.
            Err(refusal) if refusal.errno == Errno::INVAL => self.mount_on(place).map_err(|_| refusal),
            Err(refusal) => Err(refusal),
        }
    }

    /// Mounts the overlay, at no place yet.
    fn mount(&self) -> Result<OwnedFd, Refusal> {
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(refuse("fsopen"))?;
        let told = |at| {
            let context = &context;
            move |errno| Refusal { at, errno, words: complaint(context) }
        };
        for lower in &self.lowers {
            fsconfig_set_string(&context, "lowerdir+", name(lower)).map_err(told("lowerdir+"))?;
        }
        // Only `user.*` attributes can be written in a user namespace; without them a directory of a lower layer
        // cannot be replaced, nor is one understood that has been.
        fsconfig_set_flag(&context, "userxattr").map_err(told("userxattr"))?;
        let mut attributes = BOUND;
        match &self.upper {
            None => attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY,
            Some(Upper { dir, work }) => {
                fsconfig_set_string(&context, "upperdir", name(dir)).map_err(told("upperdir"))?;
                fsconfig_set_string(&context, "workdir", name(work)).map_err(told("workdir"))?;
                // The tree is thrown away if the machine crashes, and must not wait for the disk till then: otherwise
                // the last unmount writes back everything that is unwritten on the file system of `dir`.
                fsconfig_set_flag(&context, "volatile").map_err(told("volatile"))?;
            }
        }
        fsconfig_create(&context).map_err(told("create"))?;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(told("fsmount"))
    }

    /// Mounts the overlay with the old call, on a directory.
    fn mount_on(&self, place: &OwnedFd) -> Result<(), Errno> {
        // Relative to this directory a name is only a number, so that 500 of them fit in a page.
        rustix::process::chdir("/proc/self/fd")?;
        let number = |fd: &OwnedFd| fd.as_raw_fd().to_string();
        let lowers = self.lowers.iter().map(number).collect::<Vec<_>>().join(":");
        let mut options = format!("lowerdir={lowers},userxattr");
        let mut flags = MountFlags::NOSUID | MountFlags::NODEV;
        match &self.upper {
            None => flags |= MountFlags::RDONLY,
            Some(Upper { dir, work }) => {
                options += &format!(",upperdir={},workdir={},volatile", number(dir), number(work));
            }
        }
        let options = CString::new(options).expect("numbers have no NUL");
        rustix::mount::mount("overlay", number(place).as_str(), "overlay", flags, options.as_c_str())
    }
}

/// Which step of a mount the kernel refused, why, and what it added in words.
pub(super) struct Refusal {
    at: &'static str,
    errno: Errno,
    words: String,
}

impl Refusal {
    /// `which` overlay it is, after the word "overlay".
    pub(super) fn into_error(self, which: &str) -> Error {
        let Refusal { at, errno, words } = self;
        let mut what = format!("cannot mount an overlay {which}");
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

fn refuse(at: &'static str) -> impl Fn(Errno) -> Refusal {
    move |errno| Refusal { at, errno, words: String::new() }
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

fn open_all(dirs: &[PathBuf], what: &str) -> Result<Vec<OwnedFd>, Error> {
    dirs.iter().map(|dir| open_dir(dir, what)).collect()
}

pub(super) fn open_dir(dir: &Path, what: &str) -> Result<OwnedFd, Error> {
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
                .args(["--exact", "child::overlay::tests::the_old_call_mounts_as_many_layers"])
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
        Layers::writable(&overlay)
            .expect("the layers exist")
            .mount_on(&open_dir(&at, "stage").expect("it exists"))
            .expect("it mounts");
        assert_eq!(std::fs::read_dir(&at).expect("it is mounted").count(), Overlay::MAX_LOWERS);
        std::fs::write(at.join("new"), "").expect("it is writable");

        let at = make("read-only".into());
        Layers::read_only(&overlay.lowers)
            .expect("the layers exist")
            .mount_on(&open_dir(&at, "place").expect("it exists"))
            .expect("it mounts");
        assert_eq!(std::fs::read_dir(&at).expect("it is mounted").count(), Overlay::MAX_LOWERS);
        let error = std::fs::write(at.join("new"), "").expect_err("it is read-only");
        assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    }
}
