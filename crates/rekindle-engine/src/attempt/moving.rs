//! From the scratch paths of the outputs to their own, between `install` and `fixup`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rekindle_layers::{Draft, MaterialiseOptions, View, materialise};

use super::Attempt;
use crate::error::Error;
use crate::event::RestartReason;
use crate::fragments::Fragments;
use crate::rewriting::{finish_rewriting, substitutions};
use crate::world::TREE_STORE;

impl Attempt<'_> {
    /// Begins the layer of the first step that sees the outputs at their final paths: they lie there, with every
    /// occurrence of a scratch hash replaced, and a link leads there from each scratch path, which may still be
    /// written in the build tree.
    pub(super) fn move_outputs(&self) -> Result<Result<Draft, RestartReason>, Error> {
        self.unlock(TREE_STORE)?;
        let given = &self.given;
        let draft = given.layers.begin()?;
        let store = draft.upper().join(TREE_STORE);
        fs::create_dir(&store).map_err(|error| Error::io("make the directory", &store, error))?;
        if let Some(source) = given.world.source {
            let point = store.join(source.paths.final_path.base_name());
            fs::create_dir(&point).map_err(|error| Error::io("make the directory", &point, error))?;
        }
        let options = MaterialiseOptions { substitute: substitutions(given.moved) };
        let store_dir = given.world.store.store_dir().as_str();
        let fragments = Fragments::new(store_dir, given.moved, given.world.inputs);
        for output in given.outputs {
            let scratch = output.scratch.base_name();
            let view = match View::of_layers(&self.tree(), &Path::new(TREE_STORE).join(scratch)) {
                Ok(view) => view,
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error.into()),
            };
            let moved = store.join(output.final_path.base_name());
            materialise(&view, &moved, &options)?;
            if let Some(reason) = finish_rewriting(&moved, &fragments, output, given.moved)? {
                return Ok(Err(reason));
            }
            let target = given.world.store.store_dir().display(&output.final_path);
            let link = store.join(scratch);
            symlink(target, &link).map_err(|error| Error::io("make the link", &link, error))?;
        }
        Ok(Ok(draft))
    }
}
