//! Paths, each once: a directory's path is kept once for all names in it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A path, by its place in [`Paths`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId(pub(crate) u32);

impl PathId {
    /// A number below [`Paths::len`], for tables of one's own.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A set of absolute, resolved inside paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    dirs: Vec<Dir>,
    entries: Vec<(u32, Box<[u8]>)>,
    by_dir: HashMap<Box<[u8]>, u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Dir {
    path: Box<[u8]>,
    names: HashMap<Box<[u8]>, PathId>,
}

/// What a name costs in memory besides its bytes, roughly.
const PER_NAME: usize = 96;

impl Paths {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All ids, in the order in which the paths were first met.
    pub fn ids(&self) -> impl Iterator<Item = PathId> + use<> {
        (0..self.entries.len() as u32).map(PathId)
    }

    /// The path of this id, absolute.
    ///
    /// # Panics
    ///
    /// If the id is from other records.
    pub fn path(&self, id: PathId) -> PathBuf {
        PathBuf::from(OsString::from_vec(self.bytes(id)))
    }

    /// The id of this path, if it is one of these.
    pub fn id(&self, path: &Path) -> Option<PathId> {
        let (dir, name) = split(path.as_os_str().as_bytes());
        self.dirs[*self.by_dir.get(dir)? as usize].names.get(name).copied()
    }

    /// The path of this id, absolute, as bytes.
    pub fn bytes(&self, id: PathId) -> Vec<u8> {
        let (dir, name) = &self.entries[id.0 as usize];
        let dir = &self.dirs[*dir as usize].path;
        let mut bytes = Vec::with_capacity(dir.len() + 1 + name.len());
        bytes.extend_from_slice(dir);
        bytes.push(b'/');
        bytes.extend_from_slice(name);
        bytes
    }

    /// The id of a path, absolute and without `.` and `..`, after adding it where it is new. Also how much memory that took.
    pub(crate) fn add(&mut self, path: &[u8]) -> (PathId, usize) {
        let (dir, name) = split(path);
        let mut cost = 0;
        let dir = match self.by_dir.get(dir) {
            Some(dir) => *dir,
            None => {
                let id = self.dirs.len() as u32;
                self.dirs.push(Dir { path: dir.into(), names: HashMap::new() });
                self.by_dir.insert(dir.into(), id);
                cost += 2 * (dir.len() + PER_NAME);
                id
            }
        };
        let names = &mut self.dirs[dir as usize].names;
        if let Some(&id) = names.get(name) {
            return (id, cost);
        }
        let id = PathId(self.entries.len() as u32);
        names.insert(name.into(), id);
        self.entries.push((dir, name.into()));
        (id, cost + 2 * (name.len() + PER_NAME))
    }

    pub(super) fn dirs(&self) -> impl Iterator<Item = &[u8]> {
        self.dirs.iter().map(|dir| &*dir.path)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.entries.iter().map(|(dir, name)| (*dir, &**name))
    }

    /// From what [`Paths::dirs`] and [`Paths::entries`] gave; `None` if that is not what they gave.
    pub(super) fn from_parts(dirs: Vec<Box<[u8]>>, entries: Vec<(u32, Box<[u8]>)>) -> Option<Paths> {
        let by_dir: HashMap<_, _> = dirs.iter().cloned().zip(0..).collect();
        let mut dirs: Vec<_> = dirs.into_iter().map(|path| Dir { path, names: HashMap::new() }).collect();
        for ((dir, name), id) in entries.iter().zip((0..).map(PathId)) {
            dirs.get_mut(*dir as usize)?.names.insert(name.clone(), id);
        }
        Some(Paths { dirs, entries, by_dir })
    }
}

/// The directory, without a slash at its end, and the name. The root is an empty name in an empty directory.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_id() {
        let mut paths = Paths::default();
        let names = ["/", "/a", "/a/b", "/a/c", "/long/way/down", "/a/b"];
        let ids: Vec<_> = names.iter().map(|name| paths.add(name.as_bytes()).0).collect();
        assert_eq!(ids[2], ids[5]);
        assert_eq!(paths.len(), 5);
        for (name, id) in names.iter().zip(&ids) {
            assert_eq!(paths.path(*id), Path::new(name));
            assert_eq!(paths.id(Path::new(name)), Some(*id));
        }
        assert_eq!(paths.id(Path::new("/b")), None);
        assert_eq!(paths.add(b"/a").1, 0);
    }
}
