//! What `/proc` tells of observed processes: the host's, as it was opened before the sandbox's root took its place.

use std::ffi::CString;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Stat};
use rustix::io::Errno;

/// The host's `/proc`. Paths that its links lead to are told as they are called in the sandbox, as that is this
/// process's root by now.
pub(super) struct Procs(OwnedFd);

/// Of `status`, what names a thread.
pub(super) struct Ids {
    pub(super) process: u32,
    pub(super) parent: u32,
    /// The thread and its process in the sandbox's pid namespace.
    pub(super) inner: Option<u32>,
}

impl Procs {
    pub(super) fn open() -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open("/proc", flags, Mode::empty()).map(Procs)
    }

    /// What tells how many processes want to run, to be read again and again from its beginning.
    pub(super) fn load(&self) -> Result<OwnedFd, Errno> {
        rustix::fs::openat(&self.0, "loadavg", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    }

    /// Where a link of a thread leads (`cwd`, `exe`, `fd/3`).
    pub(super) fn link(&self, tid: u32, name: &str) -> Result<Vec<u8>, Errno> {
        // The buffer is large enough for most, so that one call does.
        rustix::fs::readlinkat(&self.0, format!("{tid}/{name}"), Vec::with_capacity(512))
            .map(CString::into_bytes)
    }

    /// This process's own link.
    pub(super) fn own_link(&self, name: &str) -> Result<Vec<u8>, Errno> {
        rustix::fs::readlinkat(&self.0, format!("self/{name}"), Vec::new()).map(CString::into_bytes)
    }

    /// Where a descriptor of this process itself leads.
    pub(super) fn descriptor(&self, fd: &OwnedFd) -> Result<Vec<u8>, Errno> {
        self.own_link(&format!("fd/{}", fd.as_raw_fd()))
    }

    /// The environment of a process, where the kernel does not allow its file to be read.
    pub(super) fn environment_in_memory(&self, process: u32) -> Result<(u64, u64), Errno> {
        let text = self.read(process, "stat", 4096)?;
        let text = String::from_utf8_lossy(&text);
        // The name, in parentheses, may hold any character; 48 words of what comes after it come before these.
        let mut words = text.rsplit_once(')').ok_or(Errno::SRCH)?.1.split(' ').skip(48);
        let mut word = || words.next().and_then(|word| word.parse().ok()).ok_or(Errno::SRCH);
        Ok((word()?, word()?))
    }

    /// What a link of a thread leads to.
    pub(super) fn stat(&self, tid: u32, name: &str) -> Result<Stat, Errno> {
        rustix::fs::statat(&self.0, format!("{tid}/{name}"), AtFlags::empty())
    }

    /// The content of a file of a thread, up to `most` bytes of it. It must be one that fills what it is read into.
    pub(super) fn read(&self, tid: u32, name: &str, most: usize) -> Result<Vec<u8>, Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.0, format!("{tid}/{name}"), flags, Mode::empty())?;
        let mut content = Vec::with_capacity(16 << 10);
        loop {
            match rustix::io::read(&file, spare_capacity(&mut content)) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno),
            }
            // To ask once more for nothing would cost as much as the reading.
            if content.len() < content.capacity() || content.len() >= most {
                return Ok(content);
            }
            content.reserve(content.len() * 3);
        }
    }

    /// Copies from the memory of a thread, where the kernel does not allow the quick way.
    pub(super) fn read_memory(&self, tid: u32, address: u64, to: &mut [u8]) -> Result<usize, Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.0, format!("{tid}/mem"), flags, Mode::empty())?;
        rustix::io::pread(&file, to, address)
    }

    /// Whether a thread has memory at an address that it may use.
    pub(super) fn is_mapped(&self, tid: u32, address: u64) -> Result<bool, Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.0, format!("{tid}/maps"), flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::SRCH) => return Ok(false),
            other => std::fs::File::from(other?),
        };
        // `7f3c8d400000-7f3c8d428000 rw-p …`
        let has = |line: &str| {
            let (start, rest) = line.split_once('-')?;
            let (end, rest) = rest.split_once(' ')?;
            let number = |text| u64::from_str_radix(text, 16).ok();
            Some((number(start)?..number(end)?).contains(&address) && !rest.starts_with("---"))
        };
        for line in BufReader::new(file).split(b'\n') {
            let line = line.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            if has(&String::from_utf8_lossy(&line)) == Some(true) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn ids(&self, tid: u32) -> Result<Ids, Errno> {
        let text = self.read(tid, "status", 64 << 10)?;
        let text = String::from_utf8_lossy(&text);
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let number = |name: &str| field(name).and_then(|value| value.trim().parse().ok());
        let inner = field("NSpid").and_then(|value| value.split_whitespace().nth(1)?.parse().ok());
        Ok(Ids { process: number("Tgid").ok_or(Errno::SRCH)?, parent: number("PPid").unwrap_or(0), inner })
    }

    /// Which rights a thread takes from what it makes.
    pub(super) fn umask(&self, tid: u32) -> Result<u32, Errno> {
        let text = self.read(tid, "status", 64 << 10)?;
        let text = String::from_utf8_lossy(&text);
        let value = text.lines().find_map(|line| line.strip_prefix("Umask:"));
        value.and_then(|value| u32::from_str_radix(value.trim(), 8).ok()).ok_or(Errno::SRCH)
    }

    /// How many descriptors a process has; `None` where the kernel (before 6.2) does not tell.
    pub(super) fn count_descriptors(&self, process: u32) -> Option<u32> {
        let size = self.stat(process, "fd").ok()?.st_size;
        u32::try_from(size).ok().filter(|&count| count > 0)
    }

    /// The descriptors of a process.
    pub(super) fn descriptors(&self, process: u32) -> Result<Vec<u32>, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(&self.0, format!("{process}/fd"), flags, Mode::empty())?;
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut entries = RawDir::new(&dir, &mut buffer);
        let mut found = Vec::new();
        while let Some(entry) = entries.next() {
            found.extend(entry?.file_name().to_str().ok().and_then(|name| name.parse::<u32>().ok()));
        }
        Ok(found)
    }

    /// Whether a descriptor was opened for reading, and whether for writing: its link has the rights.
    pub(super) fn access(&self, process: u32, name: &str) -> Option<(bool, bool)> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let mode = rustix::fs::statat(&self.0, format!("{process}/{name}"), flags).ok()?.st_mode;
        Some((mode & 0o400 != 0, mode & 0o200 != 0))
    }
}

/// What the text of a link to an open file means.
pub(super) enum Opened<'a> {
    /// A path.
    At(&'a [u8]),
    /// A file that has no name any more; this was the last one, or is made up for one that never had any.
    Nameless(&'a [u8]),
    /// A pipe, a socket and the like.
    NoFile,
}

impl Opened<'_> {
    /// `stat` tells how many names the file has; it is asked only where the text leaves a doubt.
    pub(super) fn of(text: &[u8], stat: impl FnOnce() -> Option<Stat>) -> Opened<'_> {
        if !text.starts_with(b"/") {
            return Opened::NoFile;
        }
        match text.strip_suffix(b" (deleted)") {
            Some(name) if stat().is_none_or(|stat| is_nameless(&stat)) => Opened::Nameless(name),
            _ => Opened::At(text),
        }
    }
}

fn is_nameless(stat: &Stat) -> bool {
    // A directory that was removed has no link to itself left.
    stat.st_nlink == 0 || FileType::from_raw_mode(stat.st_mode) == FileType::Unknown
}
