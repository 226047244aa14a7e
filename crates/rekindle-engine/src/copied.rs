//! The tree of a build as a copy, for where it cannot be an overlay.
//!
//! It is written out once, for the first step that runs, and goes from step to step like the work of any build that has
//! no layers. What each step changed is captured as a layer all the same, so that everything else is as with overlays:
//! steps can be taken from an earlier build and left for a later one, whichever way either of them went.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use rekindle_layers::{Draft, LayerStore, MaterialiseOptions, View, WorkingCopy, materialise, squash};
use rekindle_nix::Derivation;

use crate::error::Error;
use crate::tree::{Stack, paths};
use crate::unlock::unlock;

/// What a derivation says whose steps do what overlayfs cannot.
const SWITCH: &[u8] = b"rekindleCopyTree";

/// A copy of the tree, and of the mounted source.
#[derive(Debug)]
pub(crate) struct Copied {
    /// What holds it, and goes with it.
    place: Draft,
    copy: WorkingCopy,
    /// The stack that it is a copy of.
    shows: Stack,
    source: Option<PathBuf>,
}

/// What a step left in a copy, as a layer.
pub(crate) struct Left {
    pub(crate) draft: Draft,
    /// Whether it had to be made readable, and so is not what the step left.
    pub(crate) unlocked: bool,
}

/// Whether a derivation asks for a copy.
pub(crate) fn asks_for_copy(drv: &Derivation) -> bool {
    drv.env.get(SWITCH).is_some_and(|value| !value.is_empty())
}

impl Copied {
    /// A copy of a stack of layers with `bottom` below: an earlier copy, brought up to date, or a new one.
    pub(crate) fn of(
        earlier: Option<Copied>,
        stack: &Stack,
        bottom: &Path,
        layers: &LayerStore,
    ) -> Result<Copied, Error> {
        if let Some(mut copied) = earlier
            && let Some(more) = stack.len().checked_sub(copied.shows.len())
            && stack[more..].iter().zip(&copied.shows).all(|(ours, shown)| Rc::ptr_eq(ours, shown))
        {
            for layer in stack[..more].iter().rev() {
                copied.copy.apply(&layer.path())?;
            }
            copied.shows.clone_from(stack);
            return Ok(copied);
        }
        let place = layers.begin()?;
        let copy = WorkingCopy::write(&paths(stack, bottom), &place.upper().join("tree"))?;
        Ok(Copied { place, copy, shows: stack.clone(), source: None })
    }

    /// Where the tree is.
    pub(crate) fn root(&self) -> &Path {
        self.copy.root()
    }

    /// Puts what was prepared for a step on top.
    pub(crate) fn prepare(&mut self, prepared: &Draft) -> Result<(), Error> {
        Ok(self.copy.apply(prepared.upper())?)
    }

    /// The mounted source in one directory.
    pub(crate) fn source(&mut self, parts: Vec<PathBuf>) -> Result<Vec<PathBuf>, Error> {
        if parts.len() < 2 {
            return Ok(parts);
        }
        if self.source.is_none() {
            let dest = self.place.upper().join("source");
            materialise(&View::of_layers(&parts, Path::new(""))?, &dest, &MaterialiseOptions::default())?;
            self.source = Some(dest);
        }
        Ok(self.source.iter().cloned().collect())
    }

    /// Makes a layer of what a step left on top of the tree that it found, `prepared` included.
    pub(crate) fn capture(
        &mut self,
        prepared: Option<Draft>,
        bottom: &Path,
        layers: &LayerStore,
    ) -> Result<Left, Error> {
        let mut stack = paths(&self.shows, bottom);
        stack.splice(0..0, prepared.iter().map(|draft| draft.upper().to_owned()));
        let mut left = Left { draft: layers.begin()?, unlocked: false };
        if self.copy.capture(&stack, &left.draft).is_err() {
            // It may have locked something against its own user, as against overlayfs it may.
            make_readable(self.copy.root())?;
            left = Left { draft: layers.begin()?, unlocked: true };
            self.copy.capture(&stack, &left.draft)?;
        }
        let Some(prepared) = prepared else { return Ok(left) };
        let parts = [left.draft.upper(), prepared.upper()];
        let whole = layers.begin()?;
        if squash(&parts, &whole).is_ok() {
            return Ok(Left { draft: whole, ..left });
        }
        parts.iter().try_for_each(|part| make_readable(part))?;
        let whole = layers.begin()?;
        squash(&parts, &whole)?;
        Ok(Left { draft: whole, unlocked: true })
    }

    /// Notes that what was captured is the top of this stack now.
    pub(crate) fn is_now(&mut self, stack: &Stack) {
        self.shows.clone_from(stack);
    }
}

fn make_readable(root: &Path) -> Result<(), Error> {
    unlock(root).map_err(|error| Error::io("make readable", root, error))
}
