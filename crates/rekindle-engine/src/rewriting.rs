//! Moving outputs from their scratch paths to their final ones, and knowing when that cannot be done.
//!
//! Every occurrence of a scratch hash part is replaced by the final one, which is as long. Three kinds of place defy it:
//! a compiler may have cut the path into pieces, inside a compressed member the bytes cannot be seen, and under a
//! checksum (a stored zip entry, a tar header) the new bytes no longer fit. Pieces are replaced where they are certain
//! (`fragments`), and the rest is looked for after the move. A step that runs at scratch paths never knows the final
//! ones, so a final hash part under a checksum can only have come there by the replacement.

use std::path::{Path, PathBuf};

use rekindle_layers::Substitution;

use crate::error::Error;
use crate::event::RestartReason;
use crate::fragments::Fragments;
use crate::hidden::{Hit, find_hidden};
use crate::scratch::OutputPaths;

/// From each scratch hash part to its final one.
pub(crate) fn substitutions(outputs: &[OutputPaths]) -> Vec<Substitution> {
    let substitution = |output: &OutputPaths| Substitution {
        from: output.scratch.hash_part().as_bytes().to_vec(),
        to: output.final_path.hash_part().as_bytes().to_vec(),
    };
    outputs.iter().map(substitution).collect()
}

/// Replaces in `moved`, where `output` was just moved to, the pieces of paths that the replacement of whole hash parts
/// left, and looks for what it missed or broke.
pub(crate) fn finish_rewriting(
    moved: &Path,
    fragments: &Fragments,
    output: &OutputPaths,
    outputs: &[OutputPaths],
) -> Result<Option<RestartReason>, Error> {
    let scratch = outputs.iter().map(|output| output.scratch.hash_part());
    let last = outputs.iter().map(|output| output.final_path.hash_part());
    let hit = search(moved, scratch.chain(last))?.filter(|hit| hit.hidden || hit.needle < outputs.len());
    if let Some(hit) = hit {
        return Ok(Some(reason(hit, output)));
    }
    let uncertain = fragments.replace(moved).map_err(|error| Error::io("replace paths in", moved, error))?;
    Ok(uncertain.map(|file| in_pieces(file, output)))
}

/// Looks for a scratch path in `moved`, an output that was at its final path while the last steps ran.
pub(crate) fn left_of_scratch(
    moved: &Path,
    fragments: &Fragments,
    output: &OutputPaths,
    outputs: &[OutputPaths],
) -> Result<Option<RestartReason>, Error> {
    if let Some(hit) = search(moved, outputs.iter().map(|output| output.scratch.hash_part()))? {
        return Ok(Some(reason(hit, output)));
    }
    let piece = fragments.find(moved).map_err(|error| Error::io("search", moved, error))?;
    Ok(piece.map(|file| in_pieces(file, output)))
}

fn in_pieces(file: PathBuf, output: &OutputPaths) -> RestartReason {
    RestartReason::ScratchPathInPieces { file, output: output.name.clone() }
}

fn search<'a>(root: &Path, needles: impl Iterator<Item = &'a str>) -> Result<Option<Hit>, Error> {
    let needles: Vec<_> = needles.map(|needle| needle.as_bytes().to_vec()).collect();
    find_hidden(root, &needles).map_err(|error| Error::io("search", root, error))
}

fn reason(hit: Hit, output: &OutputPaths) -> RestartReason {
    let (file, output) = (hit.file, output.name.clone());
    match hit.hidden {
        true => RestartReason::HiddenScratchPath { file, output },
        false => RestartReason::ScratchPathLeft { file, output },
    }
}
