//! What is looked for: the text of each scratch path, and which pairs of bytes announce a part of one.

use rekindle_nix::{HASH_PART_LEN, StorePath};

use crate::scratch::OutputPaths;

/// A scratch path, and the hash part that it becomes.
pub(super) struct Target {
    /// The whole path, with the store directory.
    pub(super) text: Vec<u8>,
    /// Where in it the hash part begins.
    pub(super) hash_at: usize,
    /// The hash part of the final path.
    pub(super) last: [u8; HASH_PART_LEN],
}

impl Target {
    /// The byte that stands at `at` of the text once it is the final path, if it is one of the hash part's.
    pub(super) fn replacement(&self, at: usize) -> Option<u8> {
        self.last.get(at.checked_sub(self.hash_at)?).copied()
    }

    /// Whether the byte at `at` of the text is one that the replacement changes.
    pub(super) fn changes(&self, at: usize) -> bool {
        self.replacement(at).is_some_and(|byte| byte != self.text[at])
    }

    pub(super) fn hash_end(&self) -> usize {
        self.hash_at + HASH_PART_LEN
    }

    pub(super) fn hash_part(&self) -> &[u8] {
        &self.text[self.hash_at..self.hash_end()]
    }
}

/// All that is looked for.
pub(super) struct Targets {
    pub(super) all: Vec<Target>,
    /// The texts of other store paths that may stand in the same files, with the targets' own.
    pub(super) known: Vec<Vec<u8>>,
    /// Of each pair of bytes, whether it has to be looked at, so that most of a file costs one look-up a byte.
    marked: Box<[bool; 1 << 16]>,
    /// Which of `places` belongs to a pair. Looked up for all that is marked, which is too often for a hash map.
    pairs: Vec<u16>,
    /// Of which targets a pair with at least one character of a hash part is, and where in their texts. The first is
    /// empty, and belongs to all other pairs.
    places: Vec<Vec<(usize, usize)>>,
}

impl Targets {
    pub(super) fn new(store_dir: &str, outputs: &[OutputPaths], others: &[StorePath]) -> Targets {
        let text = |path: &StorePath| format!("{store_dir}/{}", path.base_name()).into_bytes();
        let target = |output: &OutputPaths| Target {
            text: text(&output.scratch),
            hash_at: store_dir.len() + 1,
            last: *output.final_path.hash_part_bytes(),
        };
        let mut targets = Targets {
            all: outputs.iter().map(target).collect(),
            known: others
                .iter()
                .filter(|other| outputs.iter().all(|output| output.final_path != **other))
                .chain(outputs.iter().map(|output| &output.scratch))
                .map(text)
                .collect(),
            marked: Box::new([false; 1 << 16]),
            pairs: vec![0; 1 << 16],
            places: vec![Vec::new()],
        };
        let mut marks = vec![*b"\x7fE"];
        let mut noted = Vec::new();
        for (index, target) in targets.all.iter().enumerate() {
            for at in target.hash_at - 1..target.hash_end() {
                let pair = [target.text[at], target.text[at + 1]];
                noted.push((pair, (index, at)));
                marks.push(pair);
            }
            for pair in target.hash_part().windows(2) {
                marks.extend([[pair[1], pair[0]], [pair[0], 0]]);
            }
        }
        for (pair, place) in noted {
            targets.note(pair, place);
        }
        for mark in marks {
            targets.marked[usize::from(u16::from_le_bytes(mark))] = true;
        }
        targets
    }

    /// Whether anything that begins with these bytes is to be looked at.
    pub(super) fn is_marked(&self, pair: [u8; 2]) -> bool {
        self.marked[usize::from(u16::from_le_bytes(pair))]
    }

    /// Of which targets `pair` is a part, and where.
    pub(super) fn with(&self, pair: [u8; 2]) -> &[(usize, usize)] {
        &self.places[usize::from(self.pairs[usize::from(u16::from_le_bytes(pair))])]
    }

    fn note(&mut self, pair: [u8; 2], place: (usize, usize)) {
        let list = &mut self.pairs[usize::from(u16::from_le_bytes(pair))];
        if *list == 0 {
            *list = u16::try_from(self.places.len())
                .expect("store paths have fewer kinds of pairs than there are");
            self.places.push(Vec::new());
        }
        self.places[usize::from(*list)].push(place);
    }

    /// The length of the longest text.
    pub(super) fn longest(&self) -> usize {
        self.all.iter().map(|target| target.text.len()).max().unwrap_or(0)
    }

    /// Whether the part `from..to` of a target's text could as well be of another path.
    pub(super) fn is_shared(&self, target: usize, from: usize, to: usize) -> bool {
        let own = &self.all[target].text;
        let same = |other: &&Vec<u8>| {
            let to = to.min(other.len());
            *other != own && from < to && other[from..to] == own[from..to]
        };
        self.known.iter().any(|other| same(&other))
    }
}
