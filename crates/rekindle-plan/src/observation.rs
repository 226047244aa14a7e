//! What a step looked at of the tree before it, and whether a change of that tree is among it.
//!
//! A step whose recipe is the same and that looked at nothing that changed would do again what it did: it is
//! skipped. So this set may be too large, at the price of a step that runs for nothing, but never too small. What is
//! in doubt counts as observed: an observer that lost events says [`everything`](ObservationsBuilder::everything),
//! and one that cannot see something says which.
//!
//! | change | counts against a step that |
//! | --- | --- |
//! | added, or of another kind, or a link elsewhere | opened, listed or looked for the name, or one below it; listed its directory; whose look-ups are not known; whose view of what is there was not watched |
//! | removed, or another mode | the same, but for the look-ups that are not known: those were of names that were not there |
//! | other content | opened the name |
//!
//! The caller, which alone knows how a step was watched, keeps to these rules:
//! - Paths are relative to one root, `/` between names, no empty name, no `.` or `..`; the root is empty. A path that
//!   is none of these cannot be compared, and so counts as everything.
//! - The links that a path led through are looked for, too.
//! - A path that the step changed (its bytes, its mode) counts as opened: its layer holds a copy of the content. One
//!   that it made, replaced or removed counts as looked for.
//! - Changes list each directory that came or went as well as what is in it.
//! - What `stat` says of a file beyond its presence, kind and mode (size, times) is not an observation. A step that
//!   decides by it must be said to see everything.
//!
//! Finding whether changes were seen costs O(changes · log observed). It must not know how a step is watched.

mod disk;
mod path_set;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use crate::quote::quote;
use path_set::{PathSet, is_tree_path};

/// One difference between the tree before a step then and the tree before it now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceChange {
    /// Where, as the module's header says.
    pub path: Vec<u8>,
    /// How.
    pub kind: ChangeKind,
}

/// How a path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is there now.
    Added,
    /// It is not there any more.
    Removed,
    /// A file has other bytes.
    Content,
    /// A file or directory has another mode, or a file with other bytes also looks otherwise without being opened: by its mode, or as
    /// it is empty in one of the trees.
    Mode,
    /// It is a file, directory or link now, and was another of these.
    Kind,
    /// A link points elsewhere.
    Link,
}

/// A change that a step may have seen. `Display` is one clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What changed.
    pub change: SourceChange,
    /// Why it counts.
    pub how: How,
}

/// Why a change counts as seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// The step opened it, or something in it.
    Opened,
    /// The step listed the directory that it is in, or it itself.
    Listed,
    /// The step looked for it by name.
    LookedFor,
    /// Which names the step looked for without finding them is not known.
    LookupsUnknown,
    /// Whether the step looked what is there was not watched.
    PresenceNotWatched,
    /// What the step looked at is not known.
    Unknown,
}

/// What is to be said of the path.
impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChangeKind::Added => "is new",
            ChangeKind::Removed => "is gone",
            ChangeKind::Content => "has other content",
            ChangeKind::Mode => "has another mode",
            ChangeKind::Kind => "is of another kind",
            ChangeKind::Link => "points elsewhere",
        })
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changed = self.change.kind;
        let how = match self.how {
            How::Opened => "it was read",
            How::Listed => "its directory was listed",
            How::LookedFor => "it was looked for",
            How::LookupsUnknown => "which names were looked for is not known",
            How::PresenceNotWatched => "looks at what is there were not watched",
            How::Unknown => "what was looked at is not known",
        };
        write!(f, "{} {changed}, and {how}", quote(&self.change.path))
    }
}

/// What a step looked at of the tree before it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observations {
    opened: PathSet,
    listed: PathSet,
    looked_for: PathSet,
    flags: Flags,
}

/// What is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Flags {
    lookups_unknown: bool,
    presence_not_watched: bool,
    everything: bool,
}

impl Observations {
    /// A step of which nothing is known: it may have looked at everything.
    pub fn everything() -> Observations {
        Observations { flags: Flags { everything: true, ..Flags::default() }, ..Observations::default() }
    }

    /// Whether nothing is known of what the step looked at.
    pub fn is_everything(&self) -> bool {
        self.flags.everything
    }

    /// The files that it opened, ascending.
    pub fn opened(&self) -> impl Iterator<Item = &[u8]> {
        self.opened.iter()
    }

    /// The directories that it listed, ascending.
    pub fn listed(&self) -> impl Iterator<Item = &[u8]> {
        self.listed.iter()
    }

    /// The names that it looked for without opening them, ascending.
    pub fn looked_for(&self) -> impl Iterator<Item = &[u8]> {
        self.looked_for.iter()
    }

    /// Returns the first of the changes that the step may have seen.
    pub fn first_seen(&self, changes: &[SourceChange]) -> Option<Seen> {
        changes.iter().find_map(|change| {
            let how = self.how(change)?;
            Some(Seen { change: change.clone(), how })
        })
    }

    /// What two steps looked at, together.
    pub fn union(&self, other: &Observations) -> Observations {
        let (a, b) = (self.flags, other.flags);
        if a.everything || b.everything {
            return Observations::everything();
        }
        Observations {
            opened: self.opened.union(&other.opened),
            listed: self.listed.union(&other.listed),
            looked_for: self.looked_for.union(&other.looked_for),
            flags: Flags {
                lookups_unknown: a.lookups_unknown || b.lookups_unknown,
                presence_not_watched: a.presence_not_watched || b.presence_not_watched,
                everything: false,
            },
        }
    }

    /// Encodes it for the disk.
    pub fn encode(&self) -> Vec<u8> {
        disk::encode(self)
    }

    /// Reads what [`Observations::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are damaged or of another version. Never panics.
    pub fn decode(bytes: &[u8]) -> Result<Observations, crate::Error> {
        disk::decode(bytes)
    }

    fn how(&self, SourceChange { path, kind }: &SourceChange) -> Option<How> {
        if self.flags.everything || !is_tree_path(path) {
            return Some(How::Unknown);
        }
        if *kind == ChangeKind::Content {
            return self.opened.contains(path).then_some(How::Opened);
        }
        let is_new_name = match kind {
            // What was no directory, or another one, may have names in it now.
            ChangeKind::Added | ChangeKind::Kind | ChangeKind::Link => true,
            ChangeKind::Removed | ChangeKind::Mode | ChangeKind::Content => false,
        };
        let directory = path.iter().rposition(|byte| *byte == b'/').map_or(&b""[..], |slash| &path[..slash]);
        if self.opened.has_at_or_below(path) {
            Some(How::Opened)
        } else if self.listed.contains(directory) || self.listed.has_at_or_below(path) {
            Some(How::Listed)
        } else if self.looked_for.has_at_or_below(path) {
            Some(How::LookedFor)
        } else if self.flags.presence_not_watched {
            Some(How::PresenceNotWatched)
        } else if self.flags.lookups_unknown && is_new_name {
            Some(How::LookupsUnknown)
        } else {
            None
        }
    }
}

/// Observations that are being made. Saying a thing twice is the same as once.
#[derive(Debug, Clone, Default)]
pub struct ObservationsBuilder {
    opened: BTreeSet<Box<[u8]>>,
    listed: BTreeSet<Box<[u8]>>,
    looked_for: BTreeSet<Box<[u8]>>,
    flags: Flags,
}

impl ObservationsBuilder {
    /// A step that looked at nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The step opened a file, ran it, or changed it.
    pub fn opened(&mut self, path: &[u8]) {
        Self::note(&mut self.opened, &mut self.flags, path);
    }

    /// The step listed a directory.
    pub fn listed(&mut self, path: &[u8]) {
        Self::note(&mut self.listed, &mut self.flags, path);
    }

    /// The step looked for a name without opening it, whether or not it was there.
    pub fn looked_for(&mut self, path: &[u8]) {
        Self::note(&mut self.looked_for, &mut self.flags, path);
    }

    /// Which names the step looked for without finding them is not known.
    pub fn lookups_unknown(&mut self) {
        self.flags.lookups_unknown = true;
    }

    /// Whether the step looked what is there, and of which kind and mode, was not watched.
    pub fn presence_not_watched(&mut self) {
        self.flags.presence_not_watched = true;
    }

    /// Something was lost: the step may have looked at everything.
    pub fn everything(&mut self) {
        self.flags.everything = true;
    }

    /// What was observed.
    pub fn finish(self) -> Observations {
        if self.flags.everything {
            return Observations::everything();
        }
        Observations {
            opened: PathSet::from_ascending(&self.opened),
            listed: PathSet::from_ascending(&self.listed),
            looked_for: PathSet::from_ascending(&self.looked_for),
            flags: self.flags,
        }
    }

    fn note(set: &mut BTreeSet<Box<[u8]>>, flags: &mut Flags, path: &[u8]) {
        if !is_tree_path(path) {
            flags.everything = true;
        } else if !flags.everything && !set.contains(path) {
            set.insert(path.into());
        }
    }
}
