//! skeleton
use crate::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
/// The name of a layer: 128 random bits, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LayerId([u8; 16]);
impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
/// The text is not the name of a layer: it must be 32 lowercase hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a layer's name must be 32 lowercase hexadecimal digits")]
pub struct ParseLayerIdError;
impl FromStr for LayerId {
    type Err = ParseLayerIdError;
    fn from_str(text: &str) -> Result<LayerId, ParseLayerIdError> {
        crate::digest::parse_hex(text).map(LayerId).ok_or(ParseLayerIdError)
    }
}
/// The directory in which layers are made and kept.
#[derive(Debug)]
pub struct LayerStore;
/// A layer being made; dropped without commit, it is removed.
#[derive(Debug)]
pub struct Draft;
impl LayerStore {
    /// Opens the store in `dir`, making what is missing.
    pub fn open(dir: &Path) -> Result<LayerStore, Error> {
        let _ = dir;
        todo!()
    }
    /// Begins a layer.
    pub fn begin(&self) -> Result<Draft, Error> {
        todo!()
    }
    /// Returns where a layer's tree is; the path exists only if `contains(id)`.
    pub fn path(&self, id: LayerId) -> PathBuf {
        let _ = id;
        todo!()
    }
    /// Returns whether the layer is there.
    pub fn contains(&self, id: LayerId) -> bool {
        let _ = id;
        todo!()
    }
    /// Lists all layers, in no particular order.
    pub fn layers(&self) -> Result<Vec<LayerId>, Error> {
        todo!()
    }
    /// Removes a layer: gone at once for everyone else, then deleted.
    pub fn remove(&self, id: LayerId) -> Result<(), Error> {
        let _ = id;
        todo!()
    }
    /// Removes what killed processes left; returns how many leftovers. Safe beside running ones.
    pub fn sweep(&self) -> Result<usize, Error> {
        todo!()
    }
}
impl Draft {
    /// The name that the layer will have.
    pub fn id(&self) -> LayerId {
        todo!()
    }
    /// The empty directory to use as overlayfs's upper directory.
    pub fn upper(&self) -> &Path {
        todo!()
    }
    /// The empty directory to use as overlayfs's work directory.
    pub fn work(&self) -> &Path {
        todo!()
    }
    /// Makes the layer permanent and immutable. Nothing may be mounted on it or write to it any more.
    pub fn commit(self) -> Result<LayerId, Error> {
        todo!()
    }
}
