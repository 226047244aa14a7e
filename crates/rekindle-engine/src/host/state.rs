//! What a path of the host is: enough to see that it is another one now.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rekindle_layers::Timestamp;
use rekindle_nix::Hash;

const ABSENT: &[u8] = b"absent";

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    /// Its kind, with what can be said of that: mode, size and time of a file, names of a directory, a link's target.
    pub(super) look: Vec<u8>,
    /// When it was changed in any way, in seconds and nanoseconds since 1970; only of files.
    pub(super) changed: Option<(i64, i64)>,
    /// The newest time that says that it was another one a moment ago.
    newest: Option<Timestamp>,
}

impl State {
    /// With `listed` the names of a directory count.
    pub(super) fn of(path: &[u8], listed: bool) -> State {
        let path = Path::new(OsStr::from_bytes(path));
        State::try_of(path, listed).unwrap_or_else(|error| {
            let is_gone = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
            let unreadable = || format!("unreadable {}", error.kind()).into_bytes();
            State::kept(if is_gone { ABSENT.to_vec() } else { unreadable() }, None)
        })
    }

    /// One that was written down.
    pub(super) fn kept(look: Vec<u8>, changed: Option<(i64, i64)>) -> State {
        State { look, changed, newest: None }
    }

    fn try_of(path: &Path, listed: bool) -> io::Result<State> {
        let metadata = fs::symlink_metadata(path)?;
        let kind = metadata.file_type();
        let mode = metadata.mode();
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        let mut state = State::kept(Vec::new(), None);
        if kind.is_symlink() {
            state.look = [b"link ", fs::read_link(path)?.as_os_str().as_bytes()].concat();
            state.newest = time(changed);
        } else if kind.is_dir() {
            state.look = format!("directory {mode:o}").into_bytes();
            if listed {
                state.look.extend(format!(" {}", names(path)?).bytes());
                state.newest = time((metadata.mtime(), metadata.mtime_nsec()));
            }
        } else if kind.is_file() {
            let (size, mtime, nanos) = (metadata.size(), metadata.mtime(), metadata.mtime_nsec());
            state.look = format!("file {mode:o} {size} {mtime}.{nanos}").into_bytes();
            state.changed = Some(changed);
            state.newest = time(changed);
        } else {
            let is_device = kind.is_char_device() || kind.is_block_device();
            let device = if is_device { metadata.rdev() } else { 0 };
            state.look = format!("special {mode:o} {device}").into_bytes();
        }
        Ok(state)
    }

    /// Whether it was so when something began. Times of files lag behind the clock by up to a tick of the kernel.
    pub(super) fn is_older(&self, than: Timestamp) -> bool {
        let tick = 10_000_000;
        let latest = match than.nanos.checked_sub(tick) {
            Some(nanos) => Timestamp { nanos, ..than },
            None => Timestamp { secs: than.secs - 1, nanos: than.nanos + 1_000_000_000 - tick },
        };
        self.newest.is_none_or(|newest| newest < latest)
    }

    /// How it differs from what it was, in words.
    pub(super) fn what_became_of(&self, then: &State) -> &'static str {
        match (&then.look[..], &self.look[..]) {
            (ABSENT, _) => "was added",
            (_, ABSENT) => "was removed",
            _ => "changed",
        }
    }

    /// Whether it is what it was. Without `closely` a file of the same size and time is.
    pub(super) fn is_still(&self, then: &State, closely: bool) -> bool {
        self.look == then.look && (!closely || self.changed == then.changed)
    }
}

fn time((secs, nanos): (i64, i64)) -> Option<Timestamp> {
    Some(Timestamp { secs, nanos: nanos.try_into().ok()? })
}

/// A digest of the names in a directory.
fn names(path: &Path) -> io::Result<String> {
    let names = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.file_name()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    let mut text = Vec::new();
    for name in names {
        text.extend(name.as_bytes());
        text.push(0);
    }
    Ok(Hash::sha256(&text).to_nix32())
}
