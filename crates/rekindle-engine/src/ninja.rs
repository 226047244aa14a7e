//! What ninja is told to make: a reader of its manifests.
//!
//! Ninja makes what is missing or out of date of what it is asked for, and runs again what it has another command for. It forgets
//! what it is not asked for any more, and takes an edge with `generator = 1` to be done with whatever command. To know what is
//! left of those, one has to read what it reads, as it does: a name that stands somewhere in it may be that of something else.
//!
//! What cannot be read, is too large ([`budget`]), or is no build, means that nothing is known to be made, so that all that ninja
//! made is made again where it is told anything else. That costs time and never a result. It must not know what the audit makes of
//! it, nor where the files lie.
//!
//! The environment tells neither ninja nor samurai what to make: `NINJA_STATUS` and `SAMUFLAGS` say what is printed and how many
//! commands run at once. So it is not looked at.

mod budget;
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

use rekindle_nix::Hash;
use rekindle_plan::trace::resolve;

pub(crate) use budget::MOST_TEXT;
use budget::{Budget, KEPT};
use manifest::{EdgeId, Manifest};
use request::Request;

/// What one ninja is told to make by its arguments and its manifests.
///
/// It is far smaller than they are: of all commands only those of generators are kept, and of those a digest. The others are in
/// ninja's own book.
pub(crate) struct Instructions {
    /// The files that have told it.
    manifests: HashSet<Vec<u8>>,
    made: Option<Made>,
}

/// The paths in the tree that it makes.
#[derive(Default)]
struct Made {
    /// Those that it makes again if they have another command.
    compared: HashSet<Box<[u8]>>,
    /// Those that it does not for that, and a digest of the command of each.
    generated: HashMap<Box<[u8]>, Hash>,
}

impl Instructions {
    /// What a ninja is told that is started with these arguments, its own name first, in this directory of the tree. `read` gives the
    /// content of a file by its path in the tree.
    pub(crate) fn new<'a>(
        arguments: impl Iterator<Item = &'a [u8]>,
        cwd: &[u8],
        read: &dyn Fn(&[u8]) -> Option<Vec<u8>>,
    ) -> Instructions {
        let mut manifests = HashSet::new();
        let made = Request::read(arguments).and_then(|request| {
            let directory = resolve(cwd, request.directory);
            let plan = Plan::new(&request, Budget::default(), &mut |path| {
                let path = resolve(&directory, path);
                let content = read(&path);
                manifests.insert(path);
                content
            });
            plan?.made(&directory)
        });
        Instructions { manifests, made }
    }

    /// Whether this file is one of those that tell it, as far as is known.
    pub(crate) fn are_by(&self, path: &[u8]) -> bool {
        self.manifests.contains(path)
    }

    /// What its generators make, by whose age it decides whether these run.
    pub(crate) fn generated(&self) -> impl Iterator<Item = &[u8]> {
        self.made.iter().flat_map(|made| made.generated.keys()).map(|path| &**path)
    }

    /// Whether it is known at all what it is told.
    pub(crate) fn are_known(&self) -> bool {
        self.made.is_some()
    }

    /// Whether it makes this path, and would have made it again if it had been told `before` to make it otherwise. What a generator makes
    /// has to have been a generator's then.
    pub(crate) fn keep_up(&self, before: &Instructions, path: &[u8]) -> bool {
        let Some(now) = &self.made else { return false };
        let then = || before.made.as_ref()?.generated.get(path);
        match now.generated.get(path) {
            Some(command) => then() == Some(command),
            None => now.compared.contains(path),
        }
    }
}

/// All that ninja would look at.
struct Plan {
    manifest: Manifest,
    /// The edges with a command.
    edges: Vec<EdgeId>,
}

impl Plan {
    fn new(
        request: &Request<'_>,
        budget: Budget,
        read: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>,
    ) -> Option<Plan> {
        let mut manifest = Manifest::read(request.manifest, budget, read)?;
        let mut edges = wanted::wanted(&mut manifest, request.manifest, &request.targets, read)?;
        edges.retain(|edge| !manifest.is_phony(*edge));
        Some(Plan { manifest, edges })
    }

    /// What it makes when it is run in this directory; `None` if that takes too much to find out.
    fn made(&self, directory: &[u8]) -> Option<Made> {
        let mut made = Made::default();
        for edge in &self.edges {
            let command = match self.manifest.is_generator(*edge)? {
                true => Some(digest(&self.manifest.command(*edge)?)),
                false => None,
            };
            for output in &self.manifest.edges[*edge].outputs {
                let path = &self.manifest.paths[*output];
                self.manifest.budget.spend(KEPT + directory.len() + path.len())?;
                let path = resolve(directory, path).into_boxed_slice();
                match &command {
                    Some(command) => _ = made.generated.insert(path, *command),
                    None => _ = made.compared.insert(path),
                }
            }
        }
        Some(made)
    }
}

fn digest([command, response_file]: &[Vec<u8>; 2]) -> Hash {
    // Where the one ends and the other begins counts.
    Hash::sha256(&[&command.len().to_le_bytes(), &command[..], &response_file[..]].concat())
}
