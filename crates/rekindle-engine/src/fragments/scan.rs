//! Reads a file once and collects the runs of bytes that go as a scratch path goes.
//!
//! Each pair of bytes costs one look-up in a table; hardly any is marked there, so a row of them is asked at once. A run is
//! followed to both sides from the first of its pairs. Besides the bytes of a block there are always enough before and after
//! it to see a whole path, so nothing depends on where blocks end.

use std::io::{self, Read};
use std::ops::Range;

use rekindle_nix::{HASH_PART_LEN, base32};

use super::operand::{Elf, Machine, is_eight, is_four};
use super::targets::Targets;

/// How much of a file is looked at in one go.
pub(super) const BLOCK: usize = 1 << 20;
/// Bytes that a run may need before and after the longest path.
const BESIDES: usize = 64;
/// More runs than any program has. A file with more is not looked through to the end.
const MOST: usize = 1 << 16;
/// Pairs that are looked up together.
const ROW: usize = 16;
/// How many characters beyond an operand may go on as the path by chance.
const CHANCE: usize = 2;

/// Bytes of a file that go as a target goes, as far as they do, with at least one character of its hash part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) target: usize,
    /// Where the target's text would begin in the file. May be negative.
    pub(super) origin: i64,
    /// Which part of the text it is.
    pub(super) from: usize,
    pub(super) to: usize,
    /// The parts of the text of which the program shows the ends: each is one operand, or one row of a pool. Empty if
    /// nothing shows where the piece ends. The first and the last may go on beyond the text, where it ends.
    pub(super) shown: Vec<Range<usize>>,
}

impl Run {
    /// From where to where the program shows it.
    pub(super) fn shown_part(&self) -> Option<(usize, usize)> {
        Some((self.shown.first()?.start, self.shown.last()?.end))
    }
}

/// What was found in a file.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) runs: Vec<Run>,
    /// Whether there is something that no replacement is possible for: a piece in wide characters or in reversed
    /// order, or too much of everything.
    pub(super) is_hopeless: bool,
}

/// Looks through a whole file.
pub(super) fn scan(file: &mut dyn Read, targets: &Targets) -> io::Result<Found> {
    let margin = targets.longest() + BESIDES;
    let mut scan = Scan { targets, found: Found::default(), start: 0, archive: false, elf: None };
    let mut bytes = Vec::with_capacity(BLOCK + 3 * margin);
    let mut done = 0;
    loop {
        let before = bytes.len();
        file.take(BLOCK as u64).read_to_end(&mut bytes)?;
        let is_last = bytes.len() == before;
        if scan.start == 0 && done == 0 {
            scan.archive = bytes.starts_with(b"!<arch>\n");
        }
        let limit = if is_last { bytes.len() } else { bytes.len().saturating_sub(margin).max(done) };
        scan.look(&bytes, done..limit);
        if is_last || scan.found.is_hopeless {
            return Ok(scan.found);
        }
        let drop = limit.saturating_sub(margin);
        bytes.drain(..drop);
        scan.start += drop as u64;
        done = limit - drop;
    }
}

struct Scan<'a> {
    targets: &'a Targets,
    found: Found,
    /// Where in the file the bytes begin.
    start: u64,
    /// Whether the file is an archive of object files.
    archive: bool,
    /// The object that is being looked at.
    elf: Option<Elf>,
}

impl Scan<'_> {
    /// Looks at all pairs of which the first byte is in `range`.
    fn look(&mut self, bytes: &[u8], range: Range<usize>) {
        let end = range.end.min(bytes.len().saturating_sub(1));
        let Some(looked_at) = bytes.get(range.start..end + 1) else { return };
        let mut at = 0;
        while let Some(row) = looked_at[at..].first_chunk::<{ ROW + 1 }>() {
            // Without a branch for each pair: hardly any row has one that is marked.
            let mut has_any = false;
            for pair in row.windows(2) {
                has_any |= self.targets.is_marked([pair[0], pair[1]]);
            }
            if has_any {
                self.look_at_marked(bytes, range.start + at, ROW);
            }
            at += ROW;
        }
        self.look_at_marked(bytes, range.start + at, (looked_at.len() - at).saturating_sub(1));
    }

    /// Looks at those of so many pairs that are marked.
    fn look_at_marked(&mut self, bytes: &[u8], from: usize, count: usize) {
        for at in from..from + count {
            let pair = [bytes[at], bytes[at + 1]];
            if self.targets.is_marked(pair) {
                self.look_at(bytes, at, pair);
            }
        }
    }

    // Kept out of the loop, which is hot.
    #[inline(never)]
    fn look_at(&mut self, bytes: &[u8], at: usize, pair: [u8; 2]) {
        match pair {
            [0x7f, b'E'] => return self.begin_object(bytes, at),
            [_, 0] => {
                self.found.is_hopeless |= self.is_wide(bytes, at);
                return;
            }
            _ => {}
        }
        for &(target, place) in self.targets.with(pair) {
            let text = &self.targets.all[target].text;
            // Another pair before this one is of the same run, and was seen.
            let first = self.targets.all[target].hash_at - 1;
            if place == first || at == 0 || bytes[at - 1] != text[place - 1] {
                self.follow(bytes, at, target, place);
            }
        }
        self.found.is_hopeless |= self.is_reversed(bytes, at, pair) || self.found.runs.len() > MOST;
    }

    /// Takes what begins here for an object if one may begin here: with the file, or as a member of an archive.
    fn begin_object(&mut self, bytes: &[u8], at: usize) {
        let place = self.start + at as u64;
        let may = if self.archive { bytes[..at].ends_with(b"`\n") } else { place == 0 };
        if may && let Some(elf) = Elf::read(&bytes[at..], place) {
            self.elf = Some(elf);
        }
    }

    /// Finds how far the bytes around `at`, which is `place` of a target's text, go as the text goes.
    fn follow(&mut self, bytes: &[u8], at: usize, target: usize, place: usize) {
        let this = &self.targets.all[target];
        let text = &this.text;
        let back = place.min(at);
        let before = (1..=back).take_while(|back| bytes[at - back] == text[place - back]).count();
        let after = bytes[at..].iter().zip(&text[place..]).take_while(|(byte, of)| byte == of).count();
        let (from, to) = (place - before, place + after);
        // Whole hash parts were replaced, and what is left of them is found elsewhere.
        let is_whole = from <= this.hash_at && to >= this.hash_end();
        let changed = (from..to).filter(|at| this.changes(*at)).count();
        if is_whole || changed == 0 || self.is_other_path(bytes, at, target, place, changed) {
            return;
        }
        let origin = (self.start + at as u64) as i64 - place as i64;
        let shown = self.shown(bytes, at as i64 - place as i64, target, from..to);
        self.found.runs.push(Run { target, origin, from, to, shown });
    }

    /// Whether the characters are those of the final path, or by chance those of another store path.
    fn is_other_path(&self, bytes: &[u8], at: usize, target: usize, place: usize, changed: usize) -> bool {
        let this = &self.targets.all[target];
        let Some(start) = (at + this.hash_at).checked_sub(place) else { return false };
        let Some(hash) = bytes.get(start..start + HASH_PART_LEN) else { return false };
        // Without the slash it may be a row of a pool, behind one that ends with most of a hash part.
        let is_other = changed <= 3
            && bytes[..start].ends_with(b"/")
            && bytes.get(start + HASH_PART_LEN) == Some(&b'-')
            && hash.iter().all(|byte| base32::is_digit(*byte));
        *hash == this.last || is_other
    }

    /// The parts of the text of which the program shows the ends, if they are what the run consists of.
    fn shown(&self, bytes: &[u8], origin: i64, target: usize, run: Range<usize>) -> Vec<Range<usize>> {
        let Some(elf) = self.elf else { return Vec::new() };
        let this = &self.targets.all[target];
        let hash = run.start.max(this.hash_at)..run.end.min(this.hash_end());
        // Positions are in the text from here on. They may lie before it, but their ends are in it: behind `hash.start`.
        let fits = |from: i64, len: i64| {
            let (first, end) = (from.max(0) as usize, ((from + len) as usize).min(this.text.len()));
            first >= run.start && end <= run.end && first < hash.end && end > hash.start
        };
        let part = |from: i64, len: i64| from.max(0) as usize..((from + len) as usize).min(this.text.len());
        let operands = |len: i64, is_operand: fn(&[u8], usize, Machine) -> bool| {
            let candidates = hash.start as i64 - len + 1..hash.end as i64;
            let found: Vec<_> = candidates
                .filter(|from| fits(*from, len))
                .filter(|from| {
                    usize::try_from(origin + from).is_ok_and(|at| is_operand(bytes, at, elf.machine))
                })
                .map(|from| part(from, len))
                .collect();
            // Operands never follow one another without an opcode, so there is one, and little besides it.
            let besides = |part: &Range<usize>| {
                part.start.saturating_sub(hash.start).max(hash.end.saturating_sub(part.end))
            };
            (found.len() == 1 && besides(&found[0]) <= CHANCE).then_some(found)
        };
        if let Some(found) = operands(8, is_eight) {
            return found;
        }
        let rows = || {
            let (base, origin) = (origin, origin + self.start as i64 - elf.header_at as i64);
            let first = hash.start as i64 - 7;
            let first = first + (-(origin + first)).rem_euclid(8);
            let rows = (first..hash.end as i64).step_by(8).filter(|from| fits(*from, 8));
            let found: Vec<_> = rows.map(|from| part(from, 8)).collect();
            let (first, end) = (found.first()?.start, found.last()?.end);
            // What a zero ends may be a string. What none ends is the row beside, of which a bit is as here.
            let is_amid = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(|byte| *byte != 0);
            let place = |at: usize| usize::try_from(base + at as i64).ok();
            let is_chance =
                |count: usize, beyond: Option<usize>| count == 0 || count <= CHANCE && is_amid(beyond);
            let before = place(hash.start).and_then(|at| at.checked_sub(1));
            let is_all = is_chance(first.saturating_sub(hash.start), before)
                && is_chance(hash.end.saturating_sub(end), place(hash.end));
            is_all.then_some(found)
        };
        rows().or_else(|| operands(4, is_four)).unwrap_or_default()
    }

    /// Whether four characters of a hash part stand here with one or three zeros between them; two are enough if they are
    /// an operand.
    fn is_wide(&self, bytes: &[u8], at: usize) -> bool {
        let width = match bytes.get(at + 2..at + 4) {
            Some([0, 0]) => 4,
            Some([_, 0]) => 2,
            _ => return false,
        };
        let machine = self.elf.map_or(Machine::Other, |elf| elf.machine);
        let count = if width == 4 && is_eight(bytes, at, machine) { 2 } else { 4 };
        let Some(wide) = bytes.get(at..at + (count - 1) * width + 2) else { return false };
        let characters: Vec<u8> = wide.iter().step_by(width).copied().collect();
        let is_spread = wide.iter().enumerate().all(|(at, byte)| at % width == 0 || *byte == 0);
        let has = |part: &[u8]| part.windows(count).any(|window| window == characters);
        is_spread && self.targets.all.iter().any(|target| has(target.hash_part()))
    }

    /// Whether eight characters of a hash part begin here in reversed order, as for a comparison of eight bytes by size.
    fn is_reversed(&self, bytes: &[u8], at: usize, pair: [u8; 2]) -> bool {
        let Some(eight) = bytes.get(at..at + 8) else { return false };
        self.targets.with([pair[1], pair[0]]).iter().any(|(target, place)| {
            let this = &self.targets.all[*target];
            (place + 2).checked_sub(8).is_some_and(|from| {
                from >= this.hash_at
                    && place + 2 <= this.hash_end()
                    && this.text[from..place + 2].iter().rev().eq(eight)
            })
        })
    }
}
