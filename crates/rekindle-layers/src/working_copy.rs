//! A stack of layers as a plain directory to work in, and a layer made of what became of it.
//!
//! For what overlayfs cannot do: kernels and file systems without it, programs that rename directories of lower layers
//! or need inode numbers that stay. It costs a copy of the tree, with shared blocks where the file system can; never
//! hard links to the layers, or a write here would change them.
//!
//! What changed is found by comparing what the file system says of each file now with what it said before ([`Record`]):
//! a file with the same inode number, ctime, size, mode and mtime under the same name is the same file. Any other is
//! read and compared with the stack, unless its size, mode or mtime settles it. No decision rests on an mtime alone.
//!
//! The layer has whiteouts for what went, and no opaque directories: a directory that was removed and made again is the
//! old one with other things in it. So it needs no attributes, which not every file system without overlayfs has.

mod plan;
mod record;

use std::path::{Path, PathBuf};

use plan::{Act, Plan};
use record::Record;

use crate::materialise::{MaterialiseOptions, materialise};
use crate::tree_writer::TreeWriter;
use crate::view::{Cursor, Marked};
use crate::{Draft, Error, FileType, View, Walked, Written, remove_tree};

/// A plain directory that began as the tree of a stack of layers.
#[derive(Debug)]
pub struct WorkingCopy {
    root: PathBuf,
    record: Record,
}

impl WorkingCopy {
    /// Writes a stack (topmost first) out at `root`, which must not exist: bytes, modes, mtimes, hard links.
    pub fn write<P: AsRef<Path>>(layers: &[P], root: &Path) -> Result<WorkingCopy, Error> {
        let view = View::of_layers(layers, Path::new(""))?;
        materialise(&view, root, &MaterialiseOptions::default())?;
        Ok(WorkingCopy { root: root.to_owned(), record: Record::take(root)? })
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Puts one more layer on top: the directory becomes what the stack with it shows. Nothing may have changed since
    /// it was written or captured. The cost is that of the layer, and of a look at every file.
    ///
    /// On an error the directory is of no more use.
    pub fn apply(&mut self, layer: &Path) -> Result<(), Error> {
        let view = View::of_layers(&[layer], Path::new(""))?;
        let mut tree = TreeWriter::new(&self.root)?;
        let root = view.root_metadata();
        tree.adopt_directory(Path::new(""), root.mode, root.mtime)?;
        view.walk_with_marks(|marked| match marked {
            Marked::Entry(walked) => self.put(&mut tree, walked),
            Marked::Whiteout(path) => remove_tree(&self.root.join(path)),
            Marked::Opaque(path) => self.empty(path),
        })?;
        tree.finish()?;
        self.record = Record::take(&self.root)?;
        Ok(())
    }

    /// Writes into the empty `draft` the layer that has to lie on top of `layers`, the stack that this was written from
    /// and what was captured or applied since, so that together they show this directory as it is now. Nothing may
    /// write to it meanwhile.
    ///
    /// Kinds, bytes, modes, mtimes, link targets and hard links count. The cost is that of what changed, and of a look
    /// at every file.
    pub fn capture<P: AsRef<Path>>(&mut self, layers: &[P], draft: &Draft) -> Result<Written, Error> {
        let now = Record::take(&self.root)?;
        let mut stack = Cursor::new(View::of_layers(layers, Path::new(""))?);
        let mut here = Cursor::new(View::of_path(&self.root)?);
        let plan = Plan::make(&self.record, &now, &mut stack, &mut here)?;

        let mut tree = TreeWriter::new(draft.upper())?;
        tree.set_root(now.root.mode, now.root.mtime);
        for (dir, acts) in &plan.dirs {
            if let Some(metadata) = now.metadata(dir) {
                tree.directory(dir, metadata.mode, metadata.mtime)?;
            }
            for act in acts {
                match act {
                    Act::Hide(name) => tree.whiteout(&dir.join(name))?,
                    Act::Write(name) => {
                        let path = dir.join(name);
                        let entry = here.entry(&path)?.ok_or_else(|| gone(&self.root.join(&path)))?;
                        let holder = here.dir().expect("it holds the entry");
                        tree.copy(&Walked::at(&path, holder, &entry), &path, entry.metadata.mtime)?;
                    }
                }
            }
        }
        self.record = now;
        tree.finish()
    }

    fn put(&self, tree: &mut TreeWriter, walked: &Walked<'_>) -> Result<(), Error> {
        let (path, metadata) = (walked.path(), walked.metadata());
        if path.as_os_str().is_empty() {
            return Ok(());
        }
        let place = self.root.join(path);
        if metadata.file_type == FileType::Directory
            && std::fs::symlink_metadata(&place).is_ok_and(|old| old.is_dir())
        {
            return tree.adopt_directory(path, metadata.mode, metadata.mtime);
        }
        remove_tree(&place)?;
        tree.copy(walked, path, metadata.mtime)
    }

    /// Removes all that is in a directory.
    fn empty(&self, path: &Path) -> Result<(), Error> {
        let dir = View::of_path(&self.root.join(path))?.dir(Path::new(""))?;
        dir.entries()?.iter().try_for_each(|entry| remove_tree(&self.root.join(path).join(&entry.name)))
    }
}

fn gone(path: &Path) -> Error {
    Error::os("find again", path, rustix::io::Errno::NOENT)
}
