//! The caller's side of a run.

use std::path::{Path, PathBuf};

use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind};
use crate::exit::Exit;
use crate::spec::Spec;
use crate::support::Support;

/// Runs commands in isolation, by means of a helper executable.
#[derive(Clone, Debug)]
pub struct Sandbox {
    helper: PathBuf,
}

impl Sandbox {
    /// A sandbox whose helper is the running program itself, whose `main` must have begun with [`child_main`]; it is an
    /// error if it has not, as re-executing it would start the whole program again.
    pub fn new() -> Result<Self, Error> {
        Ok(Sandbox { helper: PathBuf::from("/proc/self/exe") })
    }

    /// A sandbox with another helper: any executable whose `main` begins with [`child_main`].
    pub fn with_helper(helper: impl Into<PathBuf>) -> Self {
        Sandbox { helper: helper.into() }
    }

    /// Runs one command to its end, and returns when nothing of it is left: no process, no mount.
    ///
    /// Its output (standard output and error, merged) goes to `output` as it comes, on this thread. Any number of runs
    /// may go on at once, from any threads.
    pub fn run(&self, spec: &Spec, output: &mut dyn FnMut(&[u8]), cancel: &Cancel) -> Result<Exit, Error> {
        spec.check()?;
        let _ = (output, cancel);
        Err(Error::new(ErrorKind::Failed, format!("no way to start {} yet", self.helper.display())))
    }

    /// Finds out what this machine can do. `scratch` is a directory for trying overlayfs, best on the file system
    /// where the trees will be; nothing is left in it.
    pub fn support(&self, scratch: &Path) -> Support {
        let _ = scratch;
        Support { capabilities: Vec::new() }
    }
}

/// The helper's part. It must be the very first call in `main` of the helper executable, before there are threads.
///
/// It returns at once unless this process was started by a [`Sandbox`]: that is, by the name in `argv[0]` and by the
/// descriptors that it inherited, nothing that a user could set by accident. In a helper it never returns.
pub fn child_main() {}
