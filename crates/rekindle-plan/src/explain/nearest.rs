//! Names that are like another: what a user may have meant.

/// At most so many letters may differ, as inserted, left out or exchanged.
const MOST_DIFFERENT: usize = 3;

/// Of `paths` those that `wanted` may have meant, the likeliest first.
pub(super) fn nearest<'p>(wanted: &[u8], paths: impl Iterator<Item = &'p [u8]>, most: usize) -> Vec<Vec<u8>> {
    let (dir, name) = split(wanted);
    let mut found: Vec<(usize, bool, &[u8])> = Vec::new();
    for path in paths {
        let (other_dir, other) = split(path);
        // Of a short name a letter is much.
        let limit = MOST_DIFFERENT.min(name.len() / 3);
        if let Some(distance) = distance(name, other, limit) {
            found.push((distance, dir != other_dir, path));
        }
    }
    found.sort_unstable();
    found.dedup();
    found.into_iter().take(most).map(|(_, _, path)| path.to_vec()).collect()
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// How many bytes have to be inserted, removed or exchanged, if not more than `limit`.
fn distance(a: &[u8], b: &[u8], limit: usize) -> Option<usize> {
    if a == b {
        return Some(0);
    }
    if a.len().abs_diff(b.len()) > limit || a.len().max(b.len()) > 255 {
        return None;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
        if row.iter().all(|distance| *distance > limit) {
            return None;
        }
    }
    Some(row[b.len()]).filter(|distance| *distance <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_counted_up_to_a_limit() {
        let check = |a: &str, b: &str, limit, expected| {
            assert_eq!(distance(a.as_bytes(), b.as_bytes(), limit), expected, "{a} {b}");
        };
        check("main.o", "main.o", 0, Some(0));
        check("main.o", "mian.o", 2, Some(2));
        check("main.o", "main.c", 1, Some(1));
        check("main.o", "mainn.o", 1, Some(1));
        check("kitten", "sitting", 3, Some(3));
        check("kitten", "sitting", 2, None);
        check("", "abc", 3, Some(3));
    }

    #[test]
    fn the_same_name_elsewhere_comes_first() {
        let paths: [&[u8]; 5] =
            [b"build/source/lib/main.o", b"build/source/src/mian.o", b"build/x", b"tmp/main.o", b"a"];
        let found = nearest(b"build/source/src/main.o", paths.into_iter(), 3);
        let expected: [&[u8]; 3] = [b"build/source/lib/main.o", b"tmp/main.o", b"build/source/src/mian.o"];
        assert_eq!(found, expected);
    }
}
