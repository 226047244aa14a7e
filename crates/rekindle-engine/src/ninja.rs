//! What ninja is told to make: a reader of its manifests.
//!
//! Ninja makes what is missing or out of date of what it is asked for, and runs again what it has another command for. It forgets
//! what it is not asked for any more, and takes an edge with `generator = 1` to be done with whatever command. To know what is
//! left of those, one has to read what it reads, as it does: a name that stands somewhere in it may be that of something else.
//!
//! What cannot be read, or is no build, means that nothing is known to be made. That costs time and never a result. It must not
//! know what the audit makes of it, nor where the files lie.

mod command;
mod dyndep;
mod lexer;
mod manifest;
mod path;
mod request;
#[cfg(test)]
mod tests;
mod wanted;

use std::collections::{HashMap, HashSet};

use manifest::{EdgeId, Manifest};
use path::resolve;
use request::Request;

/// What one ninja was told.
pub(crate) struct Told {
    /// The files that told it.
    manifests: HashSet<Vec<u8>>,
    plan: Option<Plan>,
}

struct Plan {
    manifest: Manifest,
    /// The edge for each path that is asked for, in the tree.
    made: HashMap<Vec<u8>, EdgeId>,
}

impl Told {
    /// What a ninja is told that is started with these arguments, its own name first, in this directory of the tree. `read` gives the
    /// content of a file by its path in the tree.
    pub(crate) fn new<'a>(
        arguments: impl Iterator<Item = &'a [u8]>,
        cwd: &[u8],
        read: &dyn Fn(&[u8]) -> Option<Vec<u8>>,
    ) -> Told {
        let mut manifests = HashSet::new();
        let plan = Request::read(arguments).and_then(|request| {
            let directory = resolve(cwd, request.directory);
            Plan::new(&request, &directory, &mut |path| {
                let path = resolve(&directory, path);
                let content = read(&path);
                manifests.insert(path);
                content
            })
        });
        Told { manifests, plan }
    }

    /// Whether it is told by this file, as far as is known.
    pub(crate) fn is_by(&self, path: &[u8]) -> bool {
        self.manifests.contains(path)
    }

    /// Whether what it is told is known at all.
    pub(crate) fn is_known(&self) -> bool {
        self.plan.is_some()
    }

    /// Whether it makes this path, and would have made it again if it had been told `before` to make it otherwise.
    pub(crate) fn keeps_up(&self, before: &Told, path: &[u8]) -> bool {
        let Some(Plan { manifest, made }) = &self.plan else { return false };
        let Some(edge) = made.get(path) else { return false };
        let was_the_same = || {
            let then = before.plan.as_ref()?.command(path)?;
            Some(then == manifest.command(*edge)?)
        };
        manifest.is_generator(*edge) == Some(false) || was_the_same() == Some(true)
    }
}

impl Plan {
    fn new(
        request: &Request<'_>,
        directory: &[u8],
        read: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>,
    ) -> Option<Plan> {
        let mut manifest = Manifest::read(request.manifest, read)?;
        let wanted = wanted::wanted(&mut manifest, request.manifest, &request.targets, read)?;
        let mut made = HashMap::new();
        for edge in wanted {
            if !manifest.is_phony(edge) {
                let outputs = manifest.edges[edge].outputs.iter();
                made.extend(outputs.map(|node| (resolve(directory, &manifest.paths[*node]), edge)));
            }
        }
        Some(Plan { manifest, made })
    }

    fn command(&self, path: &[u8]) -> Option<[Vec<u8>; 2]> {
        self.manifest.command(*self.made.get(path)?)
    }
}
