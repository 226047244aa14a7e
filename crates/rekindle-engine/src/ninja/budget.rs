//! What one plan may cost: how much is read for it, and how much may come of that.
//!
//! Who wrote a manifest may mean harm: a few lines can stand for any amount of text, and of nothing there can be much, too, if it is
//! asked for often enough. So all that is kept, expanded or looked up on the way to one plan is paid for out of one budget, whoever
//! asks for it. It grows with what is read, as that is what a large project has more of.
//!
//! So the memory that a plan takes while it is made, in bytes, and the time, in small steps, stay below 256 MB and nine times what
//! was read, which is at most 1 GB in 131,072 files. What usual manifests take is about six times what they are. What is kept
//! of a plan in the end are paths.

use std::cell::Cell;

/// All text that is read for one plan is not larger than this, in bytes.
pub(crate) const MOST_TEXT: usize = 1 << 30;

/// A project with a file for each target has some ten thousand.
const MOST_FILES: usize = 1 << 17;

/// What there is to begin with, and for each byte that is read.
const BASE: usize = 256 << 20;
pub(super) const FOR_A_BYTE: usize = 8;

/// What something costs that is kept, beside its name: an edge, a path, a rule, a variable.
pub(super) const KEPT: usize = 96;

/// What it costs that a path is named once more.
pub(super) const NAMED: usize = 32;

/// What it costs to look something up, whatever comes of it.
pub(super) const LOOK_UP: usize = 64;

/// What is left of it.
pub(super) struct Budget {
    left: Cell<usize>,
    files: Cell<usize>,
    text: Cell<usize>,
}

impl Budget {
    pub(super) fn new(left: usize) -> Budget {
        Budget { left: Cell::new(left), files: Cell::new(0), text: Cell::new(0) }
    }

    /// Takes note of one more file of this size; `None` if it is one too many.
    pub(super) fn read(&self, size: usize) -> Option<()> {
        self.files.set(self.files.get() + 1);
        self.text.set(self.text.get().checked_add(size)?);
        self.left.set(self.left.get().saturating_add(size.saturating_mul(FOR_A_BYTE)));
        (self.files.get() <= MOST_FILES && self.text.get() <= MOST_TEXT).then_some(())
    }

    #[cfg(test)]
    pub(super) fn left(&self) -> usize {
        self.left.get()
    }

    /// Pays for something; `None` if there is not enough left, and then there is not for anything else either.
    pub(super) fn spend(&self, amount: usize) -> Option<()> {
        let left = self.left.get().checked_sub(amount);
        self.left.set(left.unwrap_or(0));
        left.map(|_| ())
    }
}

impl Default for Budget {
    fn default() -> Budget {
        Budget::new(BASE)
    }
}
