//! Globs of one component of a path.

/// Whether a word of a makefile has a glob in it.
pub(super) fn has_glob(word: &str) -> bool {
    // `$*`, `$?` and `$[` are variables.
    let mut before = ' ';
    word.chars().any(|c| {
        let is_glob = "*?[".contains(c) && before != '$';
        before = c;
        is_glob
    })
}

/// A glob without directories. Brackets match any character, which is rather too much than too little. Of the stars only the
/// last one is tried again, so a hostile glob costs no more than its length times that of the name.
pub(super) fn matches(glob: &[u8], name: &[u8]) -> bool {
    let (mut at, mut place) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while place < name.len() {
        let next = match glob.get(at) {
            Some(b'*') => {
                star = Some((at + 1, place));
                at += 1;
                continue;
            }
            Some(b'[') => Some(bracket_end(glob, at)),
            Some(b'?') => Some(at + 1),
            Some(byte) if *byte == name[place] => Some(at + 1),
            _ => None,
        };
        match (next, &mut star) {
            (Some(next), _) => (at, place) = (next, place + 1),
            (None, Some((after, from))) => {
                *from += 1;
                (at, place) = (*after, *from);
            }
            (None, None) => return false,
        }
    }
    glob[at..].iter().all(|byte| *byte == b'*')
}

/// Where a glob goes on after the bracket at `at`.
fn bracket_end(glob: &[u8], at: usize) -> usize {
    // The first character after it belongs to it, even if it closes.
    let closing = glob.iter().skip(at + 2).position(|byte| *byte == b']');
    closing.map_or(glob.len(), |closing| at + 2 + closing + 1)
}
