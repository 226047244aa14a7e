//! Read-only stacks of host directories.

use super::overlay::Layers;
use super::root::{Kind, Root};
use crate::error::Error;
use crate::spec::{Mount, Stack};

pub(super) fn mount(root: &Root, stack: &Stack) -> Result<(), Error> {
    let Stack { layers, target } = stack;
    if let [source] = layers.as_slice() {
        let (source, target) = (source.clone(), target.clone());
        return root.bind(&Mount { source, target, read_only: true, optional: false });
    }
    let layers = Layers::read_only(layers)?;
    let place = root.mount_point(target, Kind::Dir)?;
    layers
        .mount_at(&place)
        .map_err(|refusal| refusal.into_error(&format!("at {} in the sandbox", target.display())))
}
