//! What makes say of recipes that failed, picked from all that a step prints.

use rekindle_plan::audit::Said;

/// A line of a make is not longer than this: it names one file.
const LONGEST: usize = 1 << 14;

/// Room for all that is picked, in bytes: a build that prints such lines without end is not to take all memory.
const ROOM: usize = 4 << 20;

/// Picks lines from a stream.
#[derive(Debug, Default)]
pub(crate) struct Saying {
    said: Vec<Said>,
    /// The beginning of a line that has not ended yet.
    line: Vec<u8>,
    /// What is taken of [`ROOM`].
    taken: usize,
}

impl Saying {
    /// Hears what comes next.
    pub(crate) fn hear(&mut self, bytes: &[u8]) {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let last = lines.next_back().unwrap_or_default();
        for part in lines {
            self.keep(part);
            self.end();
        }
        self.keep(last);
    }

    /// All that was said.
    pub(crate) fn said(mut self) -> Vec<Said> {
        self.end();
        self.said
    }

    fn keep(&mut self, part: &[u8]) {
        let room = LONGEST.saturating_sub(self.line.len());
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn end(&mut self) {
        if let Some(said) = Said::read(self.line.strip_suffix(b"\r").unwrap_or(&self.line)) {
            self.taken = self.taken.saturating_add(size_of::<Said>() + said.target.len());
            match self.taken > ROOM {
                // No make is so far below others, so this fits nothing that failed.
                true => self.said = vec![Said { level: u32::MAX, target: Vec::new() }],
                false => self.said.push(said),
            }
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together() {
        let text = b"cc a.c\nmake: *** [Makefile:1: a.o] Error 1\r\nx make[1]: *** [b.o] Error 2";
        for size in [1, 7, text.len()] {
            let mut saying = Saying::default();
            text.chunks(size).for_each(|chunk| saying.hear(chunk));
            let said: Vec<_> = saying.said().into_iter().map(|said| (said.level, said.target)).collect();
            assert_eq!(said, [(0, b"a.o".to_vec()), (1, b"b.o".to_vec())], "{size}");
        }
        let mut saying = Saying::default();
        saying.hear(&vec![b'x'; 3 * LONGEST]);
        assert!(saying.line.len() == LONGEST && saying.said().is_empty());
    }

    #[test]
    fn what_is_said_without_end_fits_nothing() {
        let mut saying = Saying::default();
        (0..2 * ROOM / size_of::<Said>()).for_each(|_| saying.hear(b"make: *** [a.o] Error 1\n"));
        let said = saying.said();
        assert!(said.len() == 1 && said[0].level == u32::MAX, "{}", said.len());
    }
}
