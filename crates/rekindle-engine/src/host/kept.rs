//! What is kept of an identity, in memory and as bytes.
//!
//! The first line names the version. Integers are little-endian, everything of variable length follows its length, and a
//! digest of all before is last.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rekindle_layers::Timestamp;
use rekindle_nix::Hash;

use super::state::State;
use super::{LOADER_CACHE, loader};
use crate::beside::beside;
use crate::reader::Reader;
use crate::toolchain::Toolchain;

const MAGIC: &[u8] = b"rekindle host looks v1\n";

/// What was looked at by all builds under one identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// What the builds could see.
    visible: Vec<PathBuf>,
    /// The coarse identity under which it was last known to hold.
    host: String,
    /// The coarse identities under which something was built that was not observed.
    unobserved: BTreeSet<String>,
    /// A digest of what the loader's cache says of all names that were looked at.
    loader: String,
    looks: BTreeMap<Vec<u8>, Look>,
}

/// One path that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    /// Whether the names in it count.
    listed: bool,
    /// What was there.
    state: State,
}

impl Kept {
    pub(super) fn new(toolchain: &Toolchain) -> Kept {
        Kept {
            visible: toolchain.paths.clone(),
            host: toolchain.host.clone(),
            unobserved: BTreeSet::new(),
            loader: String::new(),
            looks: BTreeMap::new(),
        }
    }

    /// Adds what a build looked at, and whether it listed it; nothing if that is not known. `began` is when it did. What is not
    /// sure to be what the build saw makes it one that was not observed.
    pub(super) fn add(
        &mut self,
        looks: Option<BTreeMap<Vec<u8>, bool>>,
        toolchain: &Toolchain,
        began: Timestamp,
    ) {
        let held = self.broken(toolchain).is_none();
        let mut is_sure = held && looks.is_some();
        for (path, listed) in looks.into_iter().flatten() {
            if self.looks.get(&path).is_some_and(|known| known.listed || !listed) {
                continue;
            }
            let state = State::of(&path, listed);
            is_sure &= state.is_older(began);
            self.looks.insert(path, Look { listed, state });
        }
        if !is_sure {
            self.unobserved.insert(toolchain.host.clone());
        }
        if held {
            self.loader = self.loader_now();
            self.host.clone_from(&toolchain.host);
        }
    }

    /// The first thing that is not as it was, in a clause; nothing if everything is.
    pub(super) fn broken(&self, toolchain: &Toolchain) -> Option<String> {
        if self.visible != toolchain.paths {
            return Some("other directories of the host can be seen".to_owned());
        }
        if self.unobserved.iter().any(|host| *host != toolchain.host) {
            return Some("the host is another one, and not all that was read of it was observed".to_owned());
        }
        // On a host that is the same as far as its lists say, a file that was only put there again is the same file.
        let closely = self.host != toolchain.host;
        let first = |looks: &[(&Vec<u8>, &Look)]| {
            looks.iter().find_map(|(path, look)| {
                if is_loader_cache(path) {
                    let is_another = self.loader != self.loader_now();
                    return is_another.then(|| "the loader finds other libraries".to_owned());
                }
                let state = State::of(path, look.listed);
                let path = String::from_utf8_lossy(path);
                (!state.is_still(&look.state, closely))
                    .then(|| format!("{path} {}", state.what_became_of(&look.state)))
            })
        };
        // They are thousands, nothing begins before they are known to hold, and as a rule all of them do.
        let looks: Vec<_> = self.looks.iter().collect();
        let (one, other) = looks.split_at(looks.len() / 2);
        let (one, other) = beside(|| first(one), || first(other));
        one.or(other)
    }

    fn loader_now(&self) -> String {
        let Ok(cache) = fs::read(LOADER_CACHE) else { return "absent".to_owned() };
        let name = |path| Path::new(OsStr::from_bytes(path)).file_name().map(OsStr::as_bytes);
        let names: BTreeSet<&[u8]> = self.looks.keys().filter_map(|path| name(path)).collect();
        let mut text = Vec::new();
        match loader::entries(&cache, &names) {
            Some(entries) => {
                for part in entries.into_iter().flat_map(|(name, parts)| [name].into_iter().chain(parts)) {
                    put(&mut text, part);
                }
            }
            // Some other loader's: all of it counts.
            None => text = cache,
        }
        Hash::sha256(&text).to_nix32()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        put(&mut out, self.host.as_bytes());
        put(&mut out, self.loader.as_bytes());
        count(&mut out, self.visible.len());
        self.visible.iter().for_each(|path| put(&mut out, path.as_os_str().as_bytes()));
        count(&mut out, self.unobserved.len());
        self.unobserved.iter().for_each(|host| put(&mut out, host.as_bytes()));
        count(&mut out, self.looks.len());
        for (path, look) in &self.looks {
            put(&mut out, path);
            out.push(u8::from(look.listed));
            put(&mut out, &look.state.look);
            out.push(u8::from(look.state.changed.is_some()));
            let (seconds, nanos) = look.state.changed.unwrap_or_default();
            out.extend(seconds.to_le_bytes());
            out.extend(nanos.to_le_bytes());
        }
        let digest = Hash::sha256(&out);
        out.extend(digest.digest());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Kept> {
        let (sealed, digest) = bytes.split_last_chunk::<32>()?;
        if Hash::sha256(sealed).digest() != digest {
            return None;
        }
        let mut reader = Reader(sealed.strip_prefix(MAGIC)?);
        let kept = Kept {
            host: reader.string()?,
            loader: reader.string()?,
            visible: reader.list(|reader| Some(PathBuf::from(OsStr::from_bytes(reader.text()?))))?,
            unobserved: reader.list(Reader::string)?.into_iter().collect(),
            looks: reader.list(look)?.into_iter().collect(),
        };
        reader.0.is_empty().then_some(kept)
    }
}

fn look(reader: &mut Reader<'_>) -> Option<(Vec<u8>, Look)> {
    let (path, listed, look) = (reader.text()?.to_vec(), reader.flag()?, reader.text()?.to_vec());
    let has_time = reader.flag()?;
    let time = (i64::from_le_bytes(reader.array()?), i64::from_le_bytes(reader.array()?));
    Some((path, Look { listed, state: State::kept(look, has_time.then_some(time)) }))
}

fn is_loader_cache(path: &[u8]) -> bool {
    path == LOADER_CACHE.as_bytes()
}

fn count(out: &mut Vec<u8>, count: usize) {
    out.extend((count as u64).to_le_bytes());
}

fn put(out: &mut Vec<u8>, text: &[u8]) {
    count(out, text.len());
    out.extend(text);
}
