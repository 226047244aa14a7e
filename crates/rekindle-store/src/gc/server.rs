//! Serves processes that need temporary roots while garbage is collected.
//!
//! A client sends store paths, a line each, and gets a `1` for each when it can rely on it: the path is safe now, or
//! completely gone. That is Nix's protocol, so real Nix can be the client, and keeps its connection open.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::error::{At, Result};

/// Hash parts alone are compared: they protect `<path>.lock`, `<path>.chroot` and the like too.
#[derive(Debug, Default)]
struct State {
    roots: HashSet<String>,
    /// What is being deleted at the moment.
    pending: Option<String>,
    clients: Vec<UnixStream>,
    stopped: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    deleted: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running server. It ends when dropped.
#[derive(Debug)]
pub(super) struct Server {
    shared: Arc<Shared>,
    socket: PathBuf,
    // Through which the socket is reached, however long its path is.
    _directory: File,
    thread: Option<JoinHandle<()>>,
}

/// The right to delete a path. Meanwhile, who asks for it has to wait.
#[derive(Debug)]
pub(super) struct Pending<'a>(&'a Shared);

impl Server {
    /// Listens at `socket`. The caller holds the lock that makes it the only one.
    pub(super) fn start(socket: &Path) -> Result<Self> {
        let directory = socket.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(directory).at("create the directory", directory)?;
        // The address of a socket holds about a hundred bytes.
        let directory = File::open(directory).at("open the directory", directory)?;
        let directory_path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
        let short = directory_path.join(socket.file_name().unwrap_or_default());
        // There is always a socket, for Nix 2.8 expects to be refused when nobody listens, and gives up without one.
        let temporary = directory_path.join(format!("socket.{}", std::process::id()));
        let _ = std::fs::remove_file(&temporary);
        let listener = UnixListener::bind(&temporary).at("listen at", socket)?;
        std::fs::rename(&temporary, &short).at("create the socket", socket)?;
        let shared = Arc::new(Shared::default());
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Ok(Self { shared, socket: short, _directory: directory, thread: Some(thread) })
    }

    /// Whether somebody asked for the path with this hash part.
    pub(super) fn is_root(&self, hash_part: &str) -> bool {
        self.shared.state().roots.contains(hash_part)
    }

    /// Takes the right to delete the path with this hash part, unless somebody asked for it.
    pub(super) fn begin_deleting(&self, hash_part: &str) -> Option<Pending<'_>> {
        let mut state = self.shared.state();
        if state.roots.contains(hash_part) {
            return None;
        }
        state.pending = Some(hash_part.to_owned());
        Some(Pending(&self.shared))
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.state().pending = None;
        self.0.deleted.notify_all();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let clients = {
            let mut state = self.shared.state();
            state.stopped = true;
            std::mem::take(&mut state.clients)
        };
        for client in clients {
            let _ = client.shutdown(std::net::Shutdown::Both);
        }
        // Wakes the thread that accepts.
        let woken = UnixStream::connect(&self.socket).is_ok();
        if woken && let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        let Ok(client) = client else { continue };
        let mut state = shared.state();
        if state.stopped {
            return;
        }
        let Ok(again) = client.try_clone() else { continue };
        state.clients.push(again);
        drop(state);
        let shared = Arc::clone(shared);
        std::thread::spawn(move || serve(&client, &shared));
    }
}

fn serve(client: &UnixStream, shared: &Shared) {
    let mut lines = BufReader::new(client).lines();
    while let Some(Ok(line)) = lines.next() {
        let base_name = line.rsplit('/').next().unwrap_or_default();
        if let Some(part) = super::hash_part(base_name) {
            let mut state = shared.state();
            state.roots.insert(part.to_owned());
            while state.pending.as_deref() == Some(part) {
                state = shared.deleted.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
        let mut client = client;
        if client.write_all(b"1").is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn who_asks_is_answered_when_the_path_is_safe_or_gone() {
        let dir = tempfile::tempdir().unwrap();
        // Longer than the address of a socket.
        let socket = dir.path().join("x".repeat(150)).join("socket");
        let server = Server::start(&socket).unwrap();
        let parent = File::open(socket.parent().unwrap()).unwrap();
        let mut client = UnixStream::connect(format!("/proc/self/fd/{}/socket", parent.as_raw_fd())).unwrap();
        let part = |digit: &str| digit.repeat(32);

        writeln!(client, "/nix/store/{}-a", part("1")).unwrap();
        client.read_exact(&mut [0]).unwrap();
        assert!(server.is_root(&part("1")));
        assert!(server.begin_deleting(&part("1")).is_none());

        let pending = server.begin_deleting(&part("2")).unwrap();
        writeln!(client, "/nix/store/{}-b", part("2")).unwrap();
        while !server.is_root(&part("2")) {
            std::thread::yield_now();
        }
        client.set_nonblocking(true).unwrap();
        assert!(client.read_exact(&mut [0]).is_err());
        drop(pending);
        client.set_nonblocking(false).unwrap();
        client.read_exact(&mut [0]).unwrap();

        drop(server);
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        let refused =
            UnixStream::connect(format!("/proc/self/fd/{}/socket", parent.as_raw_fd())).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    }
}
