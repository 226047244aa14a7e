//! How an output came about: built clean, taken on from an earlier build, or that and compared with a clean build.
//!
//! One small file for each output, named by the hash part of its path. Nix has no place for it, and an output without
//! such a file came from elsewhere: nothing is known of it. It is written before its output is registered, so that no
//! output of ours is ever without it, and replaced by a rename.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rekindle_nix::StorePath;

use crate::engine::OWN_DIR;
use crate::error::Error;

/// How an output came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provenance {
    /// Nothing of an earlier build was taken.
    Clean,
    /// It was [`Provenance::Incremental`], and a clean build gave the same bytes.
    Verified {
        /// The checkpoint that its build went on from.
        base: String,
    },
    /// Its build took something from a checkpoint.
    Incremental {
        /// The checkpoint.
        base: String,
    },
    /// It, or something that it was built with, was [`Provenance::Incremental`], and a clean build gave other bytes. A build makes it
    /// again.
    Wrong {
        /// The checkpoint that the build of that went on from.
        base: String,
    },
}

impl Provenance {
    /// One word: `clean`, `verified`, `incremental` or `wrong`.
    pub fn word(&self) -> &'static str {
        match self {
            Provenance::Clean => "clean",
            Provenance::Verified { .. } => "verified",
            Provenance::Incremental { .. } => "incremental",
            Provenance::Wrong { .. } => "wrong",
        }
    }

    /// The checkpoint that its build went on from.
    pub fn base(&self) -> Option<&str> {
        match self {
            Provenance::Clean => None,
            Provenance::Verified { base } | Provenance::Incremental { base } | Provenance::Wrong { base } => {
                Some(base)
            }
        }
    }

    fn parse(text: &str) -> Option<Provenance> {
        let mut words = text.strip_suffix('\n')?.split(' ');
        let found = match (words.next()?, words.next().map(str::to_owned)) {
            ("clean", None) => Provenance::Clean,
            ("verified", Some(base)) => Provenance::Verified { base },
            ("incremental", Some(base)) => Provenance::Incremental { base },
            ("wrong", Some(base)) => Provenance::Wrong { base },
            _ => return None,
        };
        words.next().is_none().then_some(found)
    }
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        self.base().map_or(Ok(()), |base| write!(f, " {base}"))
    }
}

/// Which valid outputs are taken as they are, and not made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Whatever is known of them.
    All,
    /// Those that are not known to be wrong.
    Unrefuted,
    /// Those that were not taken on from an earlier build unseen.
    Proven,
}

impl Trust {
    /// What a build trusts that is to be clean, or need not be.
    pub(crate) fn of_build(clean: bool) -> Trust {
        if clean { Trust::Proven } else { Trust::Unrefuted }
    }
}

/// How the outputs of a store came about.
#[derive(Debug, Clone)]
pub struct Provenances {
    dir: PathBuf,
}

impl Provenances {
    /// Of the store with this root. Nothing is made or looked at yet.
    pub fn of(store_root: &Path) -> Provenances {
        Provenances { dir: store_root.join(OWN_DIR).join("provenance") }
    }

    /// How this output came about, if it is known.
    pub fn read(&self, output: &StorePath) -> Option<Provenance> {
        Provenance::parse(&fs::read_to_string(self.file(output)).ok()?)
    }

    /// Whether a comparison with a clean build found this output wrong.
    pub fn is_wrong(&self, output: &StorePath) -> bool {
        matches!(self.read(output), Some(Provenance::Wrong { .. }))
    }

    /// Whether an output that is there is made again.
    pub(crate) fn is_to_be_replaced(&self, output: &StorePath, trust: Trust) -> bool {
        match self.read(output) {
            Some(Provenance::Wrong { .. }) => trust != Trust::All,
            Some(Provenance::Incremental { .. }) => trust == Trust::Proven,
            Some(Provenance::Clean | Provenance::Verified { .. }) | None => false,
        }
    }

    /// Forgets outputs that were deleted.
    ///
    /// # Errors
    /// A disk that may not be written.
    pub fn forget<'p>(&self, outputs: impl IntoIterator<Item = &'p StorePath>) -> Result<(), Error> {
        outputs.into_iter().try_for_each(|output| match fs::remove_file(self.file(output)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove", &self.file(output), error))
            }
            _ => Ok(()),
        })
    }

    pub(crate) fn write(&self, output: &StorePath, provenance: &Provenance) -> Result<(), Error> {
        let file = self.file(output);
        let new = file.with_extension("new");
        let write = || {
            fs::create_dir_all(&self.dir)?;
            fs::write(&new, format!("{provenance}\n"))?;
            fs::rename(&new, &file)
        };
        write().map_err(|error| Error::io("write", &file, error))
    }

    fn file(&self, output: &StorePath) -> PathBuf {
        self.dir.join(output.hash_part())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_known_until_it_is_forgotten() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let noted = Provenances::of(dir.path());
        let output = StorePath::new(&[3; 20], &"a-1".parse().expect("a name"));
        assert_eq!(noted.read(&output), None);
        noted.forget([&output]).expect("nothing to do");
        let base = "0a".to_owned();
        for provenance in [
            Provenance::Clean,
            Provenance::Incremental { base: base.clone() },
            Provenance::Verified { base: base.clone() },
            Provenance::Wrong { base: base.clone() },
        ] {
            noted.write(&output, &provenance).expect("written");
            assert_eq!(noted.read(&output), Some(provenance));
        }
        for damaged in ["", "clean", "clean x\n", "incremental\n", "verified a b\n", "dirty\n"] {
            fs::write(noted.file(&output), damaged).expect("our own file");
            assert_eq!(noted.read(&output), None, "{damaged:?}");
        }
        noted.forget([&output]).expect("removed");
        assert!(!noted.file(&output).exists());
    }
}
