//! Marks on the directories that are to be watched: one inotify instance with a watch on each.
//!
//! They are set inside the sandbox, through the mounts that the command will use, as an overlay's inodes are not those
//! of its layers. Overlayfs finds a directory by its lower inode as long as the mount lives, so that a watch outlasts
//! both copying the directory up and dropping it from the kernel's cache.
//!
//! A tree may be deep, and other processes may change a plain one meanwhile: the walk goes from directory to directory
//! by descriptor, with a stack of its own. One descriptor is open per level.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{CWD, FileType, Mode, OFlags, RawDir, ResolveFlags};
use rustix::io::Errno;
use rustix::process::{chdir, fchdir};

use super::root::retry;
use crate::observed::LONGEST_PATH;

/// What to be told of.
///
/// Of reads only the open, as one must come before them. Of writes the close: it comes once, however many writes there
/// were. With an event for each write (`MODIFY`), programs that write single bytes take twice their time and fill the
/// queue, and all that it would add is `truncate` and setting the time of the last modification alone. That nothing is
/// told of unlinked files keeps the temporary ones of the command out.
const MASK: WatchFlags = WatchFlags::OPEN
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::EXCL_UNLINK)
    .union(WatchFlags::ONLYDIR);

/// Opening a directory is an event of the one above it, so the queue is emptied now and then during the walk. It holds
/// 16384 unless somebody has changed that.
const EMPTY_EVERY: usize = 1024;

const OPEN: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// Watched directories.
pub(super) struct Marks {
    pub(super) inotify: OwnedFd,
    /// The directory of watch `n` is at `n - 1`: the kernel counts upwards from 1.
    dirs: Vec<Dir>,
}

struct Dir {
    /// Index of the directory above; its own for a root.
    parent: usize,
    /// Name in the directory above; the whole path of a root.
    name: Box<[u8]>,
    /// Length of the whole path.
    length: usize,
}

impl Marks {
    /// Marks these directories and all below. Leaves the process's working directory at `/`.
    ///
    /// If only one of them cannot be watched there are no marks, but the reason.
    pub(super) fn set(roots: &[PathBuf]) -> Result<Self, String> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(|errno| {
            let hint = match errno {
                Errno::MFILE => "; run `sysctl fs.inotify.max_user_instances=1024` as root",
                _ => "",
            };
            format!("cannot watch directories: {}{hint}", std::io::Error::from(errno))
        })?;
        let marks = Marks { inotify, dirs: Vec::new() };
        let mut walk = Walk { marks, buffer: Vec::with_capacity(BUFFER), levels: Vec::new(), seen: 0 };
        let done = roots.iter().try_for_each(|root| walk.root(root));
        chdir("/")
            .map_err(|errno| format!("cannot leave a watched directory: {}", std::io::Error::from(errno)))?;
        done?;
        walk.marks.forget_events(walk.buffer.spare_capacity_mut());
        Ok(walk.marks)
    }

    /// How many directories there are. Each has an index below that.
    pub(super) fn count(&self) -> usize {
        self.dirs.len()
    }

    /// The index of a watch's directory.
    pub(super) fn index(&self, watch: i32) -> Option<usize> {
        usize::try_from(watch).ok()?.checked_sub(1).filter(|&index| index < self.dirs.len())
    }

    /// A directory's path, as it was when it was marked.
    pub(super) fn path(&self, index: usize) -> Vec<u8> {
        let mut parts = Vec::new();
        let mut at = index;
        loop {
            let dir = &self.dirs[at];
            parts.push(&*dir.name);
            if dir.parent == at {
                break;
            }
            at = dir.parent;
        }
        parts.reverse();
        let path = parts.join(&b'/');
        // A root may be `/`.
        if path.starts_with(b"//") { path[1..].to_vec() } else { path }
    }

    fn forget_events(&self, buffer: &mut [MaybeUninit<u8>]) {
        let mut events = inotify::Reader::new(&self.inotify, buffer);
        while matches!(events.next(), Ok(_) | Err(Errno::INTR)) {}
    }
}

/// Room for directory entries and for events.
const BUFFER: usize = 32 << 10;

struct Walk {
    marks: Marks,
    buffer: Vec<u8>,
    /// From a root down to the directory at hand.
    levels: Vec<Level>,
    /// Directories opened since the queue was last emptied.
    seen: usize,
}

struct Level {
    fd: OwnedFd,
    index: usize,
    /// Names of directories in it that are still to be visited.
    pending: Vec<CString>,
}

impl Walk {
    fn root(&mut self, root: &Path) -> Result<(), String> {
        let opened = retry(|| rustix::fs::openat2(CWD, root, OPEN, Mode::empty(), ResolveFlags::NO_SYMLINKS));
        // Without a slash at the end, so that names can be put behind it.
        let clean: PathBuf = root.components().collect();
        let name = clean.into_os_string().into_vec();
        let fd = opened.map_err(|errno| cannot(root, errno))?;
        self.enter(fd, None, &name)?;
        while let Some(level) = self.levels.last_mut() {
            let Some(name) = level.pending.pop() else {
                self.levels.pop();
                continue;
            };
            let parent = level.index;
            match open_below(&level.fd, &name) {
                Ok(fd) => self.enter(fd, Some(parent), name.to_bytes())?,
                // Something is mounted there; or it is no directory, or no more.
                Err(Errno::XDEV | Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(errno) => return Err(self.cannot(parent, &name, errno)),
            }
        }
        Ok(())
    }

    /// Marks a directory and lists it. The mark comes first: what others make in it afterwards is an event.
    fn enter(&mut self, fd: OwnedFd, parent: Option<usize>, name: &[u8]) -> Result<(), String> {
        let failed = |walk: &Self, errno| match parent {
            Some(parent) => walk.cannot(parent, &CString::new(name).unwrap_or_default(), errno),
            None => cannot(Path::new(std::ffi::OsStr::from_bytes(name)), errno),
        };
        // By the working directory, as inotify takes only a path, and a way through `/proc` is a long one.
        let watch = fchdir(&fd)
            .and_then(|()| inotify::add_watch(&self.marks.inotify, c".", MASK))
            .map_err(|errno| failed(self, errno))?;
        let index = self.marks.count();
        if self.marks.index(watch).is_some() {
            // It has been here before, by another path.
            return Ok(());
        }
        if usize::try_from(watch) != Ok(index + 1) {
            return Err("the kernel numbers watches in an unknown way".to_owned());
        }
        let length = parent.map_or(0, |parent| self.marks.dirs[parent].length + 1) + name.len();
        if length > LONGEST_PATH {
            return Err(format!(
                "directories are nested too deeply to watch them: a path is {length} bytes long"
            ));
        }
        self.marks.dirs.push(Dir { parent: parent.unwrap_or(index), name: name.into(), length });
        let pending = self.list(&fd).map_err(|errno| failed(self, errno))?;
        if !pending.is_empty() {
            self.levels.push(Level { fd, index, pending });
        }
        self.seen += 1;
        if self.seen == EMPTY_EVERY {
            self.seen = 0;
            self.marks.forget_events(self.buffer.spare_capacity_mut());
        }
        Ok(())
    }

    /// Names of what is, or may be, a directory in this one.
    fn list(&mut self, dir: &OwnedFd) -> Result<Vec<CString>, Errno> {
        let mut names = Vec::new();
        let mut entries = RawDir::new(dir.as_fd(), self.buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            let may_be = matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
            if may_be && !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
        }
        Ok(names)
    }

    fn cannot(&self, parent: usize, name: &CStr, errno: Errno) -> String {
        let path = [&self.marks.path(parent), &b"/"[..], name.to_bytes()].concat();
        cannot(Path::new(std::ffi::OsStr::from_bytes(&path)), errno)
    }
}

fn open_below(dir: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    retry(|| rustix::fs::openat2(dir, name, OPEN, Mode::empty(), within))
}

fn cannot(dir: &Path, errno: Errno) -> String {
    let hint = match errno {
        Errno::NOSPC => "; run `sysctl fs.inotify.max_user_watches=1048576` as root",
        Errno::MFILE => "; directories are nested too deeply for the limit on open files",
        _ => "",
    };
    format!("cannot watch {}: {}{hint}", dir.display(), std::io::Error::from(errno))
}
