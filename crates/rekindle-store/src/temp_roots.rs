//! Temporary roots: what a running process needs, told to whoever collects garbage, by Nix's protocol.
//!
//! A process appends the paths, each with a NUL after it, to a file of its own in `temproots`, and holds an exclusive
//! lock on that file as long as it lives. A collection holds `gc.lock` exclusively. While it does not, appending is
//! enough: it will read the file when it begins. While it does, it has read the file already, so it is told over a
//! socket, and answers when the path is either safe or completely gone.
//!
//! Hence the order for everyone: first the temporary root, then the look whether the path is valid.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

use rekindle_nix::StorePath;

use crate::error::{At, Error, Result};
use crate::flock::{self, Shared};
use crate::layout::Layout;
use crate::store::Store;

/// One more than the greatest process id of Linux. Nix names its files by the process id alone and deletes whatever has
/// its own; ours begin above, so that a process of another namespace with the same id cannot hit them.
const PIDS: u32 = 1 << 22;

#[derive(Debug)]
pub(crate) struct TempRoots {
    file: File,
    path: PathBuf,
    gc_lock: File,
    known: HashSet<StorePath>,
}

impl Store {
    /// Keeps a path, valid or not yet, from being collected as long as the store is open.
    ///
    /// A collection that runs right now is told; this waits if it is deleting the very path.
    pub fn add_temp_root(&self, path: &StorePath) -> Result<()> {
        self.require_writable()?;
        let mut roots = self.temp_roots.lock().unwrap_or_else(PoisonError::into_inner);
        let roots = match &mut *roots {
            Some(roots) => roots,
            none => none.insert(TempRoots::create(&self.layout)?),
        };
        if !roots.known.contains(path) {
            roots.add(&self.layout, &self.store_dir().display(path))?;
            roots.known.insert(path.clone());
        }
        Ok(())
    }
}

impl TempRoots {
    fn create(layout: &Layout) -> Result<Self> {
        let dir = layout.temp_roots();
        std::fs::create_dir_all(&dir).at("create the directory", &dir)?;
        let gc_lock = flock::open(&layout.gc_lock())?;
        // Other open stores, of this process or of namespaces with the same ids, hold the locks on theirs.
        let mut name = std::process::id() + PIDS;
        loop {
            let path = dir.join(name.to_string());
            let mut file = flock::open(&path)?;
            if !flock::try_lock(&file, Shared::No, &path)? {
                name += PIDS;
            } else if flock::is_stale(&file, &path)? {
                // Left by a process that is gone, or taken away by a collection before we had the lock.
                if path.exists() {
                    flock::discard(&mut file, &path);
                }
            } else {
                return Ok(Self { file, path, gc_lock, known: HashSet::new() });
            }
        }
    }

    fn add(&mut self, layout: &Layout, path: &str) -> Result<()> {
        loop {
            if flock::try_lock(&self.gc_lock, Shared::Yes, &layout.gc_lock())? {
                let written = self.append(path);
                flock::unlock(&self.gc_lock);
                return written;
            }
            if tell(&layout.gc_socket(), path)? {
                return self.append(path);
            }
            // The collection begins or ends just now.
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn append(&mut self, path: &str) -> Result<()> {
        let mut line = path.as_bytes().to_vec();
        line.push(0);
        self.file.write_all(&line).at("write", &self.path)
    }
}

impl Drop for TempRoots {
    fn drop(&mut self) {
        flock::discard(&mut self.file, &self.path);
        flock::unlock(&self.file);
    }
}

/// Tells a running collection of a root. False if there is none that listens.
fn tell(socket: &Path, path: &str) -> Result<bool> {
    let gone = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::NotFound
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof
        )
    };
    let exchange = || {
        let mut stream = connect(socket)?;
        stream.write_all(format!("{path}\n").as_bytes())?;
        stream.read_exact(&mut [0])
    };
    match exchange() {
        Ok(()) => Ok(true),
        Err(error) if gone(&error) => Ok(false),
        Err(error) => Err(Error::io("talk to the collection of garbage at", socket, error)),
    }
}

/// Connects to a socket whose path may be longer than the address of a socket can be.
fn connect(socket: &Path) -> io::Result<UnixStream> {
    let (Some(parent), Some(name)) = (socket.parent(), socket.file_name()) else {
        return UnixStream::connect(socket);
    };
    let parent = File::open(parent)?;
    UnixStream::connect(Path::new(&format!("/proc/self/fd/{}", parent.as_raw_fd())).join(name))
}

/// The temporary roots of all processes that live, by hash part. Files of processes that are gone are removed.
///
/// Only while holding `gc.lock` exclusively is this more than a glimpse.
pub(crate) fn read_all(layout: &Layout, remove_stale: bool) -> Result<Vec<String>> {
    let dir = layout.temp_roots();
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", dir, error)),
    };
    let mut roots = Vec::new();
    for entry in entries {
        let path = entry.at("list", &dir)?.path();
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
            continue;
        }
        let Some(mut file) = flock::open_existing(&path)? else { continue };
        if flock::try_lock(&file, Shared::No, &path)? {
            if remove_stale {
                flock::discard(&mut file, &path);
            }
            flock::unlock(&file);
            continue;
        }
        let mut content = Vec::new();
        file.read_to_end(&mut content).at("read", &path)?;
        // What follows the last NUL was not completely written yet, and so nobody relies on it.
        let complete = content.iter().rposition(|byte| *byte == 0).map_or(&[][..], |end| &content[..end]);
        roots
            .extend(complete.split(|byte| *byte == 0).map(|root| String::from_utf8_lossy(root).into_owned()));
    }
    Ok(roots)
}
