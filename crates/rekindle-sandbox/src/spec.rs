//! What to run, and the world that it sees: plain data.
//!
//! Paths are of two kinds. *Host* paths are looked up by the caller's user, in the caller's root. *Inside* paths are
//! absolute and looked up in the sandbox's root, where no symbolic link and no `..` leads out of it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// One command and the whole world that it sees.
///
/// The root file system is a fresh tmpfs and is put together in this order: `/dev`, `/proc` and `/tmp`; then `dirs`,
/// `files` and `symlinks`; then `tree`; then `stacks`; then `mounts`. It is read-only afterwards, but for `/tmp`, `/dev/shm` and what
/// is bound writable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Program to execute, an inside path. `PATH` is not searched.
    pub program: PathBuf,
    /// `argv[0]`; the program's path if `None`.
    pub argv0: Option<OsString>,
    /// Arguments after `argv[0]`.
    pub args: Vec<OsString>,
    /// The whole environment, in this order; nothing is added.
    pub env: Vec<(OsString, OsString)>,
    /// Working directory, an inside path.
    pub cwd: PathBuf,
    /// User id seen inside. Outside it is the caller's effective user.
    pub uid: u32,
    /// Group id seen inside. Outside it is the caller's effective group.
    pub gid: u32,
    /// Host name seen inside.
    pub hostname: String,
    /// File mode creation mask.
    pub umask: u32,
    /// The writable part of the world, if any.
    pub tree: Option<Tree>,
    /// Host directories that appear as one inside, read-only.
    pub stacks: Vec<Stack>,
    /// Host files and directories that are visible inside.
    pub mounts: Vec<Mount>,
    /// Files (mode 0644) to create on the root: inside path and content. Parent directories are made.
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// Symbolic links to create on the root: inside path and link target. Parent directories are made.
    pub symlinks: Vec<(PathBuf, OsString)>,
    /// Directories to create on the root: inside path and mode (exactly, whatever the umask). Parents are made 0755.
    pub dirs: Vec<(PathBuf, u32)>,
    /// What of the network is reachable.
    pub network: Network,
    /// Whether `/dev/kvm` is there. Asking for it on a machine without it is an error.
    pub kvm: bool,
    /// What to observe. `None` costs nothing.
    pub watch: Option<Watch>,
    /// What to record of each process. `None` costs nothing.
    pub observe: Option<Observe>,
    /// When to give up.
    pub limits: Limits,
}

/// A directory tree on the host of which parts are bound writable into the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Where the tree's files come from.
    pub root: TreeRoot,
    /// Which of its directories appear where. At least one, or the tree is invisible.
    pub binds: Vec<TreeBind>,
}

/// Where the files of a [`Tree`] come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TreeRoot {
    /// Layers stacked by overlayfs; what the command changes ends up in the upper directory.
    Overlay(Overlay),
    /// This very directory (a host path), for machines without overlayfs. What the command changes, it changes here.
    Plain(PathBuf),
}

/// An overlayfs mount (`userxattr`, `volatile`), all of it host paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlay {
    /// Read-only layers, topmost first: 1 to [`Overlay::MAX_LOWERS`]. The names may hold any byte but NUL.
    pub lowers: Vec<PathBuf>,
    /// Directory that receives the changes; may hold some already. Whiteouts in it are `0:0` character devices, or for
    /// lower layers also files with `user.overlay.*` attributes, as the kernel writes them.
    pub upper: PathBuf,
    /// Empty directory on the file system of `upper`. It is emptied again after the run.
    pub work: PathBuf,
}

impl Overlay {
    /// The most lower layers that the kernel stacks.
    pub const MAX_LOWERS: usize = 500;
}

/// One directory of a [`Tree`] that appears in the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeBind {
    /// A path relative to the tree's root; empty for the root itself. It must exist.
    pub dir: PathBuf,
    /// Where it appears, an inside path.
    pub target: PathBuf,
}

/// Host directories that appear in the sandbox as the one that overlayfs makes of them, read-only.
///
/// One alone is bound as it is, which needs no overlayfs: it must not hold whiteouts. None of them may change while the
/// command runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// Host directories, topmost first: 1 to [`Overlay::MAX_LOWERS`].
    pub layers: Vec<PathBuf>,
    /// Where they appear, an inside path. The mount point is made where it lies on the sandbox's own root; inside the
    /// tree it must exist already.
    pub target: PathBuf,
}

/// A host file or directory that appears in the sandbox, with everything that is mounted below it.
///
/// A source that is a symbolic link is not followed: the same link is made at `target`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// A host path.
    pub source: PathBuf,
    /// Where it appears, an inside path. The mount point is made where it lies on the sandbox's own root; inside the
    /// tree or another mount it must exist already.
    pub target: PathBuf,
    /// Whether it, and all that is mounted below it, is read-only inside.
    pub read_only: bool,
    /// Whether a missing source is passed over in silence.
    pub optional: bool,
}

/// Directories in which to observe what a command opens and changes. [`Observed`](crate::Observed) says what is seen.
///
/// Each directory costs one of the watches that the caller's user may have (sysctl `fs.inotify.max_user_watches`) and,
/// in a fresh overlay, 20 to 30 µs before the command starts. Each run costs one of `fs.inotify.max_user_instances` and
/// some milliseconds at its end, which the kernel takes to be rid of watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Inside paths, free of symbolic links. Each is watched with the directories below it, but for what is mounted
    /// there and what symbolic links lead to. Where two lead to one directory, what happens in it is told by the path
    /// below the first.
    pub roots: Vec<PathBuf>,
}

/// What to record of every process of a command, by intercepting its system calls. [`Records`](crate::Records) says
/// what comes of it.
///
/// Nobody but the command may make, remove or rename anything in the [`Tree`] meanwhile: what was looked up there once is held to be
/// so until the command itself changes it.
///
/// Where this machine cannot do it, the command runs all the same, and the records say that they are not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observe {
    /// Inside paths. What happens elsewhere is not recorded, but for the programs that are executed. Empty for
    /// everything but `/proc` and `/dev`.
    pub roots: Vec<PathBuf>,
    /// Whether to record looking without opening (`stat`, `access`, `readlink` and their kin) too. It makes commands
    /// that do much of it, as `make` does, several times slower.
    pub lookups: bool,
    /// Most memory for the records while the command runs, in bytes. Where it does not suffice, the command goes on and
    /// the records are not complete.
    pub memory_bytes: u64,
}

impl Observe {
    /// Everything but `/proc` and `/dev`, without look-ups, in 512 MiB at most.
    pub fn new() -> Self {
        Observe { roots: Vec::new(), lookups: false, memory_bytes: 512 << 20 }
    }
}

impl Default for Observe {
    fn default() -> Self {
        Observe::new()
    }
}

/// What of the network a command reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// A loopback interface of its own, and nothing else.
    Loopback,
    /// The host's network, for fetches whose result is checked by hash.
    Host,
}

/// When to give up on a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Longest run, wall clock.
    pub time: Option<Duration>,
    /// Longest silence on the output.
    pub idle: Option<Duration>,
    /// How long a command that has to end gets to do so itself: all its processes are interrupted (SIGINT), and killed only when
    /// this is over. Zero: they are killed at once.
    pub grace: Duration,
}

impl Spec {
    /// The constant world for `program`, with nothing in it yet: uid 1000, gid 100, host name `localhost`, umask 022,
    /// working directory `/`, empty environment, loopback network, no limits.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Spec {
            program: program.into(),
            argv0: None,
            args: Vec::new(),
            env: Vec::new(),
            cwd: PathBuf::from("/"),
            uid: 1000,
            gid: 100,
            hostname: "localhost".to_owned(),
            umask: 0o022,
            tree: None,
            stacks: Vec::new(),
            mounts: Vec::new(),
            files: Vec::new(),
            symlinks: Vec::new(),
            dirs: Vec::new(),
            network: Network::Loopback,
            kvm: false,
            watch: None,
            observe: None,
            limits: Limits::default(),
        }
    }

    /// Finds what no kernel call would report clearly, before any process is started.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let inside = |what: &str, path: &Path| match is_inside(path) {
            true => no_nul(what, path.as_os_str()),
            false => Err(bad(format!("{what} {} is not an absolute path free of `..`", path.display()))),
        };
        let host = |what: &str, path: &Path| match path.is_absolute() {
            true => no_nul(what, path.as_os_str()),
            false => Err(bad(format!("{what} {} is not an absolute path", path.display()))),
        };

        let target = |what: &str, path: &Path| match path.parent() {
            Some(_) => inside(what, path),
            None => Err(bad(format!("{what} {} cannot be the root itself", path.display()))),
        };

        inside("program", &self.program)?;
        inside("working directory", &self.cwd)?;
        self.argv0.iter().chain(&self.args).try_for_each(|arg| no_nul("argument", arg))?;
        for (name, value) in &self.env {
            if name.is_empty() || name.as_bytes().contains(&b'=') {
                return Err(bad(format!("environment variable name {name:?} is empty or has a `=`")));
            }
            no_nul("environment variable", name)?;
            no_nul("environment variable", value)?;
        }
        if self.umask & !0o777 != 0 {
            return Err(bad(format!("umask {:o} has bits beyond 777", self.umask)));
        }
        if self.hostname.len() > 64 {
            return Err(bad(format!("host name {:?} is longer than 64 bytes", self.hostname)));
        }
        for stack in &self.stacks {
            check_count(&stack.layers)?;
            stack.layers.iter().try_for_each(|dir| host("layer", dir))?;
            target("stack target", &stack.target)?;
        }
        for mount in &self.mounts {
            host("mount source", &mount.source)?;
            target("mount target", &mount.target)?;
        }
        self.files.iter().try_for_each(|(path, _)| inside("file", path))?;
        self.dirs.iter().try_for_each(|(path, _)| inside("directory", path))?;
        for (path, to) in &self.symlinks {
            inside("symbolic link", path)?;
            no_nul("symbolic link target", to)?;
        }
        let watched = self.watch.iter().flat_map(|watch| &watch.roots);
        watched.into_iter().try_for_each(|root| inside("watched directory", root))?;
        let observed = self.observe.iter().flat_map(|observe| &observe.roots);
        observed.into_iter().try_for_each(|root| inside("observed directory", root))?;
        let Some(tree) = &self.tree else { return Ok(()) };
        for bind in &tree.binds {
            target("tree target", &bind.target)?;
            no_nul("tree directory", bind.dir.as_os_str())?;
            if !bind.dir.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
                return Err(bad(format!(
                    "tree directory {} is not relative or has a `..`",
                    bind.dir.display()
                )));
            }
        }
        match &tree.root {
            TreeRoot::Plain(dir) => host("tree", dir),
            TreeRoot::Overlay(Overlay { lowers, upper, work }) => {
                check_count(lowers)?;
                lowers.iter().chain([upper, work]).try_for_each(|dir| host("layer", dir))
            }
        }
    }
}

fn check_count(lowers: &[PathBuf]) -> Result<(), Error> {
    match lowers.len() {
        1..=Overlay::MAX_LOWERS => Ok(()),
        count => {
            let most = Overlay::MAX_LOWERS;
            Err(bad(format!("{count} lower layers: overlayfs takes 1 to {most}; squash some")))
        }
    }
}

fn is_inside(path: &Path) -> bool {
    path.is_absolute() && !path.components().any(|part| part == Component::ParentDir)
}

fn no_nul(what: &str, text: &OsStr) -> Result<(), Error> {
    match text.as_bytes().contains(&0) {
        false => Ok(()),
        true => Err(bad(format!("{what} {text:?} has a NUL byte"))),
    }
}

fn bad(what: String) -> Error {
    Error::new(ErrorKind::Failed, what)
}
