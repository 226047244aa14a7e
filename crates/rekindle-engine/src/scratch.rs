//! The stable scratch output paths.
//!
//! `$out` inside a step is not the final store path. That one changes with every edit, and `--prefix=$out` would
//! carry it into `config.h` and into every object. Up to and including `install`, an output lies at a path of the
//! same length whose hash part is derived from the names of derivation and outputs alone (`scratch_hash`). Afterwards every
//! occurrence of that hash part becomes that of the final path, as Nix does for content-addressed outputs.

use rekindle_nix::{Derivation, OutputName, Placeholder, StoreDir, StorePath, StorePathName};
use rekindle_plan::Placement;

use crate::error::Error;
use crate::scratch_hash::ScratchHashes;
use crate::world::Command;

/// What a mounted source is called among outputs. A derivation with an output of this name has no mounted source.
pub(crate) const SOURCE: &str = "rekindle-mounted-source";

/// One output of a derivation that is being built, with both of its paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutputPaths {
    pub(crate) name: OutputName,
    /// Where it lies until it is installed.
    pub(crate) scratch: StorePath,
    /// Where it will be registered.
    pub(crate) final_path: StorePath,
}

impl OutputPaths {
    /// Both paths of all outputs of a derivation, of which the paths are `final_paths`.
    pub(crate) fn of_outputs(
        final_paths: impl IntoIterator<Item = (OutputName, StorePath)>,
    ) -> Result<Vec<Self>, Error> {
        let mut hashes = ScratchHashes::of_outputs();
        let paths = final_paths.into_iter();
        paths.map(|(name, path)| OutputPaths::with(&mut hashes, name, path)).collect()
    }

    /// A mounted source, which has a path that does not change with its content, too. As it moves like an output, it is
    /// listed like one, under a name that no output has.
    pub(crate) fn of_source(path: StorePath) -> Result<Self, Error> {
        let name = OutputName::new(SOURCE).map_err(|error| Error::usage("a source").caused_by(error))?;
        OutputPaths::with(&mut ScratchHashes::of_source(), name, path)
    }

    fn with(hashes: &mut ScratchHashes, name: OutputName, final_path: StorePath) -> Result<Self, Error> {
        let path_name = StorePathName::new(final_path.name())
            .map_err(|error| Error::usage("an output cannot be named so").caused_by(error))?;
        let scratch = StorePath::new(&hashes.next(final_path.name()), &path_name);
        Ok(OutputPaths { name, scratch, final_path })
    }

    pub(crate) fn at(&self, placement: Placement) -> &StorePath {
        match placement {
            Placement::Scratch => &self.scratch,
            Placement::Final => &self.final_path,
        }
    }
}

/// Replaces each occurrence of `from` in `bytes` by `to`, which must be as long.
pub(crate) fn replace_all(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len(), "a substitution keeps lengths");
    let mut start = 0;
    while let Some(found) = find(&bytes[start..], from) {
        let at = start + found;
        bytes[at..at + to.len()].copy_from_slice(to);
        start = at + to.len();
    }
}

/// The first position of `needle` in `haystack`.
pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}

/// The arguments and the environment of a derivation's builder, with the outputs at `placement`: Nix's placeholders
/// for the derivation's own outputs are replaced, and so are the hash parts of the final paths.
pub(crate) fn placed(
    drv: &Derivation,
    outputs: &[OutputPaths],
    store_dir: &StoreDir,
    placement: Placement,
) -> Command {
    let place = |bytes: &[u8]| {
        let mut placed = bytes.to_vec();
        for output in outputs {
            let path = store_dir.display(output.at(placement));
            let placeholder = Placeholder::own(&output.name).to_string();
            placed = replace_longer(&placed, placeholder.as_bytes(), path.as_bytes());
            if placement == Placement::Scratch {
                let (from, to) = (output.final_path.hash_part(), output.scratch.hash_part());
                replace_all(&mut placed, from.as_bytes(), to.as_bytes());
            }
        }
        placed
    };
    Command {
        args: drv.args.iter().map(|arg| place(arg)).collect(),
        env: drv.env.iter().map(|(name, value)| (name.clone(), place(value))).collect(),
    }
}

/// Replaces each occurrence of `from` by `to`, of whatever length.
fn replace_longer(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(found) = find(rest, from) {
        replaced.extend(&rest[..found]);
        replaced.extend(to);
        rest = &rest[found + from.len()..];
    }
    replaced.extend(rest);
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn occurrences_are_replaced_in_place() {
        let check = |text: &str, expected: &str| {
            let mut bytes = text.as_bytes().to_vec();
            replace_all(&mut bytes, b"abc", b"xyz");
            assert_eq!(bytes, expected.as_bytes());
        };
        check("", "");
        check("ab", "ab");
        check("abcabc-ababc", "xyzxyz-abxyz");
    }

    #[test]
    fn placeholders_may_change_the_length() {
        assert_eq!(replace_longer(b"a=@@/bin:@@", b"@@", b"/nix"), b"a=/nix/bin:/nix");
    }
}
