//! Hard links that a step has torn apart.
//!
//! On an overlay, a file of a layer below is copied when it is first written to, and its other names keep the old one.
//! In one directory tree they would be one file still. Nothing tells a file that was written to from one that was
//! replaced, so a step that left some names of a file behind counts as one that tore them apart. It has to be done again
//! in a copy of its tree, where links are links.
//!
//! What of a step that failed has to go has to go by all its names.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rekindle_layers::{Cursor, FileType, View};

use crate::error::Error;

/// What a step left of links.
#[derive(Debug, Default)]
pub(crate) struct Links {
    /// Whether there are files with several names in its layer.
    pub(crate) some: bool,
    /// A name that was left behind.
    pub(crate) torn: Option<PathBuf>,
}

impl Links {
    /// Looks at the layer of a step, on the layers that were below it if there are links in those.
    pub(crate) fn of(upper: &Path, below: Option<&[PathBuf]>) -> Result<Links, Error> {
        let then = below.map(|below| View::of_layers(below, Path::new(""))).transpose()?;
        let mut then = then.map(Cursor::new);
        let (mut some, mut replaced) = (false, HashSet::new());
        View::of_layers(&[upper], Path::new(""))?.walk(|walked| {
            if walked.metadata().file_type == FileType::Directory {
                return Ok(());
            }
            some |= walked.metadata().hard_link_id().is_some();
            if let Some(then) = &mut then
                && let Some(metadata) = then.metadata(walked.path())?
            {
                replaced.extend(metadata.hard_link_id());
            }
            Ok::<(), Error>(())
        })?;
        let mut torn = None;
        if let Some(below) = below.filter(|_| !replaced.is_empty()) {
            let now: Vec<&Path> = std::iter::once(upper).chain(below.iter().map(PathBuf::as_path)).collect();
            View::of_layers(&now, Path::new(""))?.walk(|walked| {
                if walked.metadata().hard_link_id().is_some_and(|id| replaced.contains(&id)) {
                    torn.get_or_insert_with(|| walked.path().to_owned());
                }
                Ok::<(), Error>(())
            })?;
        }
        Ok(Links { some, torn })
    }
}

/// A name that is left of a file of which another name is one of `gone`, in the tree of these layers.
pub(crate) fn names_left(layers: &[PathBuf], gone: &HashSet<&Path>) -> Result<Option<PathBuf>, Error> {
    let view = View::of_layers(layers, Path::new(""))?;
    let mut ids = HashSet::new();
    for path in gone {
        ids.extend(view.metadata(path)?.and_then(|metadata| metadata.hard_link_id()));
    }
    let mut left = None;
    if !ids.is_empty() {
        view.walk(|walked| {
            let is_one = walked.metadata().hard_link_id().is_some_and(|id| ids.contains(&id));
            if is_one && !gone.contains(walked.path()) {
                left.get_or_insert_with(|| walked.path().to_owned());
            }
            Ok::<(), Error>(())
        })?;
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_goes_by_one_name_only_is_found() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let [below, upper] = ["below", "upper"].map(|name| dir.path().join(name));
        for (layer, name) in [(&below, "old"), (&upper, "new")] {
            fs::create_dir(layer).expect("our own directory");
            fs::write(layer.join(name), "half").expect("our own file");
            fs::hard_link(layer.join(name), layer.join(format!("{name}er"))).expect("our own file");
            fs::write(layer.join(format!("{name} alone")), "half").expect("our own file");
        }
        let left = |gone: &[&str]| {
            let gone = gone.iter().map(Path::new).collect();
            names_left(&[upper.clone(), below.clone()], &gone).expect("readable")
        };
        assert_eq!(left(&[]), None);
        assert_eq!(left(&["new alone", "old alone", "nowhere"]), None);
        assert_eq!(left(&["newer"]), Some("new".into()));
        assert_eq!(left(&["old"]), Some("older".into()));
        assert_eq!(left(&["new", "newer"]), None);
    }

    #[test]
    fn names_that_are_left_behind_are_found() {
        let check = |step: fn(&Path), expect: Option<&str>| {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let [below, upper] = ["below", "upper"].map(|name| dir.path().join(name));
            for layer in [&below, &upper] {
                fs::create_dir(layer).expect("our own directory");
            }
            fs::write(below.join("one"), "then").expect("our own file");
            fs::hard_link(below.join("one"), below.join("other")).expect("our own file");
            fs::write(below.join("plain"), "then").expect("our own file");
            step(&upper);
            let links = Links::of(&upper, Some(&[below])).expect("readable");
            assert_eq!(links.torn.as_deref(), expect.map(Path::new));
        };
        check(|_| {}, None);
        check(|upper| fs::write(upper.join("plain"), "now").expect("our own file"), None);
        check(|upper| fs::write(upper.join("one"), "now").expect("our own file"), Some("other"));
        check(
            |upper| {
                fs::write(upper.join("one"), "now").expect("our own file");
                fs::hard_link(upper.join("one"), upper.join("other")).expect("our own file");
            },
            None,
        );
    }
}
