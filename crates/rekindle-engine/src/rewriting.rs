//! Moving outputs from their scratch paths to their final ones, and knowing when that cannot be done.
//!
//! Every occurrence of a scratch hash part is replaced by the final one, which is as long. Three kinds of place defy it:
//! a compiler may have cut the path into pieces, inside a compressed member the bytes cannot be seen, and under a
//! checksum (a stored zip entry, a tar header) the new bytes no longer fit. Pieces are replaced where they are certain
//! (`fragments`), and the rest is looked for after the move. A step that runs at scratch paths never knows the final
//! ones, so a final hash part under a checksum can only have come there by the replacement.

use std::path::{Path, PathBuf};

use rekindle_layers::{Substitution, Timestamp};

use crate::beside::beside;
use crate::canary;
use crate::error::Error;
use crate::event::RestartReason;
use crate::fragments::{Fragments, Looked};
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
    let (hit, looked) = search(moved, &needles(scratch.chain(last)), Some(fragments))?;
    if let Some(hit) = hit.filter(|hit| hit.hidden || hit.needle < outputs.len()) {
        return Ok(Some(reason(hit, output)));
    }
    let Some(looked) = looked else { return Ok(None) };
    let uncertain = fragments.replace(looked).map_err(|error| Error::io("replace paths in", moved, error))?;
    Ok(uncertain.map(|file| in_pieces(file, output)))
}

/// Looks in `moved`, which is as it will be installed, for what may not be in it: one of the times by which changed
/// sources are marked, and, if it was at its final path only while the last steps ran, a scratch path of `outputs`.
pub(crate) fn look_through(
    moved: &Path,
    fragments: Option<&Fragments>,
    canaries: &[Timestamp],
    output: &OutputPaths,
    outputs: &[OutputPaths],
) -> Result<Option<RestartReason>, Error> {
    let mut needles = match fragments {
        Some(_) => needles(outputs.iter().map(|output| output.scratch.hash_part())),
        None => Vec::new(),
    };
    let scratch = needles.len();
    needles.extend(canary::needles(canaries));
    let (hit, looked) = search(moved, &needles, fragments)?;
    if let Some(hit) = hit {
        let in_time = |file| RestartReason::TimeInOutput { file, output: output.name.clone() };
        return Ok(Some(if hit.needle < scratch { reason(hit, output) } else { in_time(hit.file) }));
    }
    let Some(looked) = looked else { return Ok(None) };
    let piece = looked.first().map_err(|error| Error::io("search", moved, error))?;
    Ok(piece.map(|file| in_pieces(file, output)))
}

fn in_pieces(file: PathBuf, output: &OutputPaths) -> RestartReason {
    RestartReason::ScratchPathInPieces { file, output: output.name.clone() }
}

fn needles<'a>(hash_parts: impl Iterator<Item = &'a str>) -> Vec<Vec<u8>> {
    hash_parts.map(|part| part.as_bytes().to_vec()).collect()
}

/// Searches for whole needles and looks for pieces at the same time: both read all there is.
fn search(
    root: &Path,
    needles: &[Vec<u8>],
    fragments: Option<&Fragments>,
) -> Result<(Option<Hit>, Option<Looked>), Error> {
    let find = || if needles.is_empty() { Ok(None) } else { find_hidden(root, needles) };
    let (looked, hit) = match fragments {
        Some(fragments) => {
            let (looked, hit) = beside(|| fragments.look(root), find);
            (looked.map(Some), hit)
        }
        None => (Ok(None), find()),
    };
    let failed = |error| Error::io("search", root, error);
    Ok((hit.map_err(failed)?, looked.map_err(failed)?))
}

fn reason(hit: Hit, output: &OutputPaths) -> RestartReason {
    let (file, output) = (hit.file, output.name.clone());
    match hit.hidden {
        true => RestartReason::HiddenScratchPath { file, output },
        false => RestartReason::ScratchPathLeft { file, output },
    }
}
