//! Paths as ninja compares them.

/// A path without what means nothing in it; `None` if it is empty. Those that begin otherwise are others to ninja, even if they lead
/// to the same file.
pub(super) fn canonical(path: &[u8]) -> Option<Vec<u8>> {
    if path.is_empty() {
        return None;
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    let mut canonical = parts.join(&b'/');
    if path.starts_with(b"/") {
        canonical.insert(0, b'/');
    } else if canonical.is_empty() {
        canonical.push(b'.');
    }
    Some(canonical)
}
