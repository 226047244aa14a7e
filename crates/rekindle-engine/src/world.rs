//! The constant world of a step, as a [`Spec`] for the sandbox.
//!
//! A step sees the same world every time, and the same as in real Nix's sandbox: user, host name, directories,
//! environment, the few files of `/etc`. Nothing of the host or of the moment may end up in a tree that a later build
//! reuses. What a derivation adds is its environment and its inputs, and nothing else.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rekindle_nix::{Derivation, Hash, StorePath};
use rekindle_plan::Placement;
use rekindle_sandbox::{Limits, Mount, Network, Observe, Spec, Stack, Tree, TreeBind, TreeRoot, Watch};
use rekindle_store::Store;

use crate::mounted::Mounted;
use crate::shell_state::STATE_DIR;
use crate::toolchain::Toolchain;

/// Where the build directory is, inside.
pub(crate) const BUILD_DIR: &str = "/build";
/// Where the driver of phases is, inside.
pub(crate) const DRIVER: &str = "/.rekindle/driver.sh";

/// Where a set-up script of ours finds the name of the source that lies in its place already.
const MOUNTED: &str = "/.rekindle/mounted";

const DRIVER_SCRIPT: &[u8] = include_bytes!("driver.sh");
const PASSWD: &str = "root:x:0:0:Nix build user:/build:/noshell\n\
                      nixbld:x:1000:100:Nix build user:/build:/noshell\n\
                      nobody:x:65534:65534:Nobody:/:/noshell\n";
const GROUP: &str = "root:x:0:\nnixbld:!:100:\nnogroup:x:65534:\n";
const HOSTS: &str = "127.0.0.1 localhost\n::1 localhost\n";

/// What a derivation that may use the network sees of the host's `/etc`, where it exists.
const NETWORK_FILES: &[&str] =
    &["/etc/resolv.conf", "/etc/services", "/etc/nsswitch.conf", "/etc/ssl/certs", "/etc/pki/tls/certs"];

/// The directories of a tree: what lies where, in a layer and inside.
pub(crate) const TREE_BUILD: &str = "build";
/// See [`TREE_BUILD`].
pub(crate) const TREE_STORE: &str = "store";
/// See [`TREE_BUILD`].
pub(crate) const TREE_TMP: &str = "tmp";

/// All that the steps of one derivation have in common.
#[derive(Debug)]
pub(crate) struct World<'a> {
    pub(crate) store: &'a Store,
    pub(crate) drv: &'a Derivation,
    /// The closure of the inputs.
    pub(crate) inputs: &'a [StorePath],
    pub(crate) toolchain: Option<&'a Toolchain>,
    pub(crate) cores: usize,
    pub(crate) limits: Limits,
    pub(crate) network: bool,
    /// The source that lies in the build directory from the start, for attempts that mount it.
    pub(crate) source: Option<&'a Mounted>,
}

/// Where the files of one step come from and go to, on the host.
#[derive(Debug)]
pub(crate) struct StepDirs {
    /// What the steps before left, and where what this one changes goes.
    pub(crate) tree: TreeRoot,
    /// The directory that is [`STATE_DIR`] inside.
    pub(crate) state: PathBuf,
    /// The directories that show the mounted source when they are stacked, topmost first.
    pub(crate) source: Vec<PathBuf>,
    /// Whether it also lies in the build directory; in the store it is at its scratch path then.
    pub(crate) in_place: bool,
    /// Where the outputs lie.
    pub(crate) placement: Placement,
    /// How to see what the step looks at.
    pub(crate) seeing: Seeing,
}

/// How it is seen what a step looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seeing {
    /// Not at all.
    Nothing,
    /// By marks on the tree: which files are opened, not by whom.
    Marks,
    /// By each process of it; and if so asked, also what is looked for without opening it.
    Processes {
        /// Whether it is so asked.
        lookups: bool,
    },
    /// In the same way, but only for what it looks at of the host.
    Host {
        /// As before.
        lookups: bool,
    },
}

/// What a step executes.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) args: Vec<Vec<u8>>,
    pub(crate) env: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl World<'_> {
    /// Makes the tree that lies below the first step's: the directories that every build finds, and a mount point for
    /// each input, so that mounting the inputs changes no layer. An input that is a symbolic link is put there itself.
    pub(crate) fn make_base(&self, base: &Path, in_place: bool) -> io::Result<()> {
        for (name, mode) in [(TREE_BUILD, 0o700), (TREE_STORE, 0o1775), (TREE_TMP, 0o1777)] {
            fs::create_dir(base.join(name))?;
            fs::set_permissions(base.join(name), fs::Permissions::from_mode(mode))?;
        }
        if let Some(source) = self.source {
            // In place, its own path comes with the outputs' own.
            let path = source.paths.at(if in_place { Placement::Scratch } else { Placement::Final });
            fs::create_dir(base.join(TREE_STORE).join(path.base_name()))?;
        }
        for input in self.inputs {
            let point = base.join(TREE_STORE).join(input.base_name());
            let real = self.store.real_path(input);
            let kind = fs::symlink_metadata(&real)?;
            if kind.is_dir() {
                fs::create_dir(point)?;
            } else if kind.is_symlink() {
                symlink(fs::read_link(&real)?, point)?;
            } else {
                fs::write(point, b"")?;
            }
        }
        Ok(())
    }

    /// The whole world of a step that executes `command`.
    pub(crate) fn spec(&self, command: Command, dirs: StepDirs) -> io::Result<Spec> {
        let program = PathBuf::from(OsString::from_vec(self.drv.builder.clone()));
        let mut spec = Spec::new(program);
        spec.argv0 = spec.program.file_name().map(OsString::from);
        spec.args = command.args.into_iter().map(OsString::from_vec).collect();
        spec.env = self.environment(command.env, writable(&dirs.tree))?;
        spec.cwd = PathBuf::from(BUILD_DIR);
        spec.limits = self.limits;
        spec.network = if self.network { Network::Host } else { Network::Loopback };
        spec.kvm = self.wants_kvm();
        spec.files = vec![
            (PathBuf::from("/etc/passwd"), PASSWD.into()),
            (PathBuf::from("/etc/group"), GROUP.into()),
            (PathBuf::from(DRIVER), DRIVER_SCRIPT.to_vec()),
        ];
        spec.mounts = self.input_mounts()?;
        spec.stacks = self.source_stacks(&dirs);
        let scratch_source = self.scratch_source(&dirs);
        if let Some(at) = &scratch_source {
            let name = at.as_os_str().as_encoded_bytes().to_vec();
            spec.files.push((PathBuf::from(MOUNTED), name));
        }
        match dirs.seeing {
            Seeing::Nothing => {}
            Seeing::Marks => {
                let roots = [PathBuf::from(BUILD_DIR), PathBuf::from("/tmp")];
                spec.watch = Some(Watch { roots: roots.into_iter().chain(scratch_source).collect() });
            }
            Seeing::Processes { lookups } | Seeing::Host { lookups } => {
                spec.observe = Some(Observe { lookups, ..Observe::new() });
            }
        }
        if let Seeing::Processes { lookups: false } = dirs.seeing {
            // What it leaves when it is stopped may be gone on from.
            spec.limits.grace = GRACE;
        }
        spec.mounts.push(Mount {
            source: dirs.state,
            target: PathBuf::from(STATE_DIR),
            read_only: false,
            optional: false,
        });
        let read_only = |path: &Path| Mount {
            source: path.to_owned(),
            target: path.to_owned(),
            read_only: true,
            optional: true,
        };
        if let Some(toolchain) = self.toolchain {
            spec.mounts.extend(toolchain.paths.iter().map(|path| read_only(path)));
        }
        if self.network {
            let hosts = Path::new("/etc/hosts");
            spec.mounts.extend(NETWORK_FILES.iter().map(Path::new).chain([hosts]).filter_map(|path| {
                // The host's file may be a link to a place that is not visible inside.
                let mut mount = read_only(path);
                mount.source = path.canonicalize().ok()?;
                Some(mount)
            }));
        } else {
            spec.files.push((PathBuf::from("/etc/hosts"), HOSTS.into()));
        }
        let bind = |dir: &str, target: &str| TreeBind { dir: dir.into(), target: target.into() };
        spec.tree = Some(Tree {
            root: dirs.tree,
            binds: vec![
                bind(TREE_BUILD, BUILD_DIR),
                bind(TREE_STORE, self.store.store_dir().as_str()),
                bind(TREE_TMP, "/tmp"),
            ],
        });
        Ok(spec)
    }

    /// Where a source that lies in its place is in the store of the sandbox, in every build alike.
    pub(crate) fn scratch_source(&self, dirs: &StepDirs) -> Option<PathBuf> {
        let source = self.source.filter(|_| dirs.in_place)?;
        Some(PathBuf::from(self.store.store_dir().display(&source.paths.scratch)))
    }

    /// The mounted source, as an input.
    fn source_stacks(&self, dirs: &StepDirs) -> Vec<Stack> {
        let Some(source) = self.source else { return Vec::new() };
        let scratch = dirs.in_place.then_some(&source.paths.scratch);
        let has_own = !dirs.in_place || dirs.placement == Placement::Final;
        let stack = |path| Stack {
            layers: dirs.source.clone(),
            target: PathBuf::from(self.store.store_dir().display(path)),
        };
        scratch.into_iter().chain(has_own.then_some(&source.paths.final_path)).map(stack).collect()
    }

    fn input_mounts(&self) -> io::Result<Vec<Mount>> {
        let mut mounts = Vec::with_capacity(self.inputs.len() + 16);
        for input in self.inputs {
            let source = self.store.real_path(input);
            if !fs::symlink_metadata(&source)?.is_symlink() {
                let target = PathBuf::from(self.store.store_dir().display(input));
                mounts.push(Mount { source, target, read_only: true, optional: false });
            }
        }
        Ok(mounts)
    }

    /// The environment, as Nix sets it. Variables named in `passAsFile` become files in the build directory, which
    /// are written into `upper`.
    fn environment(
        &self,
        of_derivation: BTreeMap<Vec<u8>, Vec<u8>>,
        upper: &Path,
    ) -> io::Result<Vec<(OsString, OsString)>> {
        let mut env: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let mut set = |name: &str, value: &str| env.insert(name.into(), value.into());
        set("PATH", "/path-not-set");
        set("HOME", "/homeless-shelter");
        set("NIX_STORE", self.store.store_dir().as_str());
        set("NIX_BUILD_CORES", &self.cores.to_string());
        env.extend(of_derivation);
        if let Some(names) = env.get(b"passAsFile".as_slice()).cloned() {
            let names = names.split(u8::is_ascii_whitespace).filter(|name| !name.is_empty());
            for name in names {
                let Some(value) = env.remove(name) else { continue };
                let file = format!(".attr-{}", Hash::sha256(name).to_nix32());
                let dir = upper.join(TREE_BUILD);
                if !dir.exists() {
                    fs::create_dir(&dir)?;
                    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
                }
                fs::write(dir.join(&file), value)?;
                env.insert([name, b"Path"].concat(), format!("{BUILD_DIR}/{file}").into());
            }
        }
        if self.network {
            // Only a derivation with a fixed output has a network, and only it may look at the caller's variables.
            let names = self.drv.env.get(b"impureEnvVars".as_slice()).cloned().unwrap_or_default();
            for name in names.split(u8::is_ascii_whitespace).filter(|name| !name.is_empty()) {
                let value = impure_variable(name);
                env.insert(name.to_vec(), value);
            }
        }
        let mut set = |name: &str, value: &str| env.insert(name.into(), value.into());
        set("NIX_BUILD_TOP", BUILD_DIR);
        for name in ["TMPDIR", "TEMPDIR", "TMP", "TEMP", "PWD"] {
            set(name, BUILD_DIR);
        }
        set("NIX_LOG_FD", "2");
        set("TERM", "xterm-256color");
        Ok(env
            .into_iter()
            .map(|(name, value)| (OsString::from_vec(name), OsString::from_vec(value)))
            .collect())
    }

    fn wants_kvm(&self) -> bool {
        let features = self.drv.env.get(b"requiredSystemFeatures".as_slice());
        features
            .is_some_and(|features| features.split(u8::is_ascii_whitespace).any(|feature| feature == b"kvm"))
    }
}

/// How long a build tool gets to end its commands, to remove what they have half made, and to say which.
const GRACE: Duration = Duration::from_secs(3);

/// Which driver of phases this program has.
pub(crate) fn driver_digest() -> String {
    Hash::sha256(DRIVER_SCRIPT).to_nix32()
}

/// The directory into which something can be put for a step to find, before it runs.
fn writable(tree: &TreeRoot) -> &Path {
    match tree {
        TreeRoot::Overlay(overlay) => &overlay.upper,
        TreeRoot::Plain(dir) => dir,
    }
}

#[expect(clippy::disallowed_methods, reason = "impureEnvVars asks for the caller's environment by name")]
fn impure_variable(name: &[u8]) -> Vec<u8> {
    std::env::var_os(OsString::from_vec(name.to_vec())).unwrap_or_default().into_vec()
}
