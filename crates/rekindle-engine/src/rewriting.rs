//! Moving outputs from their scratch paths to their final ones, and knowing when that cannot be done.
//!
//! Every occurrence of a scratch hash part is replaced by the final one, which is as long. Three kinds of place defy it:
//! inside a compressed member the bytes cannot be seen, under a checksum (a stored zip entry, a tar header) the new
//! bytes no longer fit, and a compiler may have cut the path into pieces. All are looked for after the move. A step that runs at scratch paths never knows the final
//! ones, so a final hash part under a checksum can only have come there by the replacement.

use std::path::Path;

use rekindle_layers::Substitution;

use crate::error::Error;
use crate::event::RestartReason;
use crate::fragments::find_piece;
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

/// Looks for what the replacement missed or broke in `moved`, where `output` was just moved to.
pub(crate) fn unreachable_by_rewriting(
    moved: &Path,
    store_dir: &str,
    output: &OutputPaths,
    outputs: &[OutputPaths],
) -> Result<Option<RestartReason>, Error> {
    let scratch = outputs.iter().map(|output| output.scratch.hash_part());
    let last = outputs.iter().map(|output| output.final_path.hash_part());
    let hit = search(moved, scratch.chain(last))?.filter(|hit| hit.hidden || hit.needle < outputs.len());
    if let Some(hit) = hit {
        return Ok(Some(reason(hit, output)));
    }
    let piece = find_piece(moved, store_dir, outputs).map_err(|error| Error::io("search", moved, error))?;
    Ok(piece.map(|file| RestartReason::ScratchPathInPieces { file, output: output.name.clone() }))
}

/// Looks for a scratch path in `moved`, an output that was at its final path while the last steps ran.
pub(crate) fn left_of_scratch(
    moved: &Path,
    output: &OutputPaths,
    outputs: &[OutputPaths],
) -> Result<Option<RestartReason>, Error> {
    let hit = search(moved, outputs.iter().map(|output| output.scratch.hash_part()))?;
    Ok(hit.map(|hit| reason(hit, output)))
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
