//! What this machine can do of what a sandbox needs, found by trying.
//!
//! A probe is an ordinary run that stops short of executing a program, as there may be none that fits in.

use std::error::Error as _;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::cancel::Cancel;
use crate::error::Error;
use crate::exit::Exit;
use crate::records::{ProcessId, Touch};
use crate::run::Sandbox;
use crate::spec::{Network, Observe, Overlay, Spec, Tree, TreeBind, TreeRoot, Watch};
use crate::sys;
use crate::wire::Probe;

/// What this machine can do, for a report to its user.
#[derive(Debug)]
pub struct Support {
    /// One entry per [`Feature`], in its order.
    pub capabilities: Vec<Capability>,
}

/// One thing that a sandbox needs or can use.
#[derive(Debug)]
pub struct Capability {
    /// Which.
    pub feature: Feature,
    /// Whether it works here.
    pub verdict: Result<(), Lack>,
    /// The limits that there are, one clause; empty where none are known.
    pub detail: String,
}

/// What a sandbox needs or can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Feature {
    /// User, mount, pid, ipc, uts and cgroup namespaces, and the mounts in them. Nothing runs without.
    Namespaces,
    /// A network namespace with a loopback interface. Only commands with the host's network run without.
    Loopback,
    /// Seccomp filters. Nothing runs without.
    Seccomp,
    /// Overlayfs in a user namespace. Trees can be copied instead.
    Overlay,
    /// Inotify in a sandbox's tree. Without it a [`Watch`] sees nothing, and says so.
    Watch,
    /// Seccomp's user notifications, and leave to look into the command's processes. Without it an
    /// [`Observe`] records nothing, and says so.
    Observe,
    /// Hardware virtualisation for commands that ask for it.
    Kvm,
}

/// Why something does not work, and what would mend it.
#[derive(Debug)]
pub struct Lack {
    /// What was tried and what came of it, one clause.
    pub why: String,
    /// What to do, one clause; empty where nothing is known.
    pub mend: String,
}

pub(crate) fn find_out(sandbox: &Sandbox, scratch: &Path) -> Support {
    let host = Spec { network: Network::Host, ..Spec::new("/") };
    let namespaces = start(sandbox, &host, Probe::Start);
    let loopback = start(sandbox, &Spec::new("/"), Probe::Start);
    let seccomp = sys::has_filters().map_err(|error| Lack {
        why: format!("the kernel has no seccomp filters: {error}"),
        mend: "use a kernel with CONFIG_SECCOMP_FILTER".to_owned(),
    });
    let overlay = try_tree(sandbox, scratch, None).map(|_| ());
    let watch = try_watch(sandbox, scratch);
    let observe = try_observe(sandbox);
    let kvm =
        fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").map(drop).map_err(|error| Lack {
            why: format!("cannot open /dev/kvm: {error}"),
            mend: match error.kind() {
                io::ErrorKind::PermissionDenied => "add this user to the group `kvm`".to_owned(),
                _ => "load the module `kvm_intel` or `kvm_amd`, or allow nested virtualisation".to_owned(),
            },
        });
    let capabilities = [
        (Feature::Namespaces, namespaces),
        (Feature::Loopback, loopback),
        (Feature::Seccomp, seccomp),
        (Feature::Overlay, overlay),
        (Feature::Watch, watch),
        (Feature::Observe, observe),
        (Feature::Kvm, kvm),
    ];
    let capability = |(feature, verdict)| {
        let detail = if feature == Feature::Watch { inotify_limits() } else { String::new() };
        Capability { feature, verdict, detail }
    };
    Support { capabilities: capabilities.map(capability).into() }
}

fn start(sandbox: &Sandbox, spec: &Spec, probe: Probe) -> Result<(), Lack> {
    probe_run(sandbox, spec, probe).map(|_| ())
}

fn probe_run(sandbox: &Sandbox, spec: &Spec, probe: Probe) -> Result<Exit, Lack> {
    let run = || {
        let exit = sandbox.run_probe(spec, probe, &mut |_| {}, &Cancel::new()?)?;
        match exit.status.success() {
            true => Ok(exit),
            false => {
                Err(Error::failed("the probe ended early", io::Error::other(format!("{:?}", exit.status))))
            }
        }
    };
    run().map_err(Lack::from)
}

/// Whether what the probe does to an overlay is seen.
fn try_watch(sandbox: &Sandbox, scratch: &Path) -> Result<(), Lack> {
    let exit = try_tree(sandbox, scratch, Some(Watch { roots: vec!["/tree".into()] }))?;
    let observed = exit.observed.unwrap_or_default();
    if !observed.complete {
        let (why, mend) = observed.reason.split_once("; ").unwrap_or((&observed.reason, ""));
        return Err(Lack { why: why.to_owned(), mend: mend.to_owned() });
    }
    if observed.listed != [Path::new("/tree/dir")] || !observed.written.contains(&"/tree/dir/file".into()) {
        let why = "inotify does not tell what happens in an overlay".to_owned();
        return Err(Lack { why, mend: "use a kernel of another version".to_owned() });
    }
    Ok(())
}

/// Whether what a probe looks for is seen.
fn try_observe(sandbox: &Sandbox) -> Result<(), Lack> {
    let spec = Spec { network: Network::Host, observe: Some(Observe::new()), ..Spec::new("/") };
    let records = probe_run(sandbox, &spec, Probe::Observe)?.records.unwrap_or_default();
    if !records.complete {
        let (why, mend) = records.reason.split_once("; ").unwrap_or((&records.reason, ""));
        return Err(Lack { why: why.to_owned(), mend: mend.to_owned() });
    }
    let missing = records.paths.id(Path::new(crate::child::MISSING));
    let seen = missing.and_then(|path| records.access(ProcessId(0), path));
    match seen.is_some_and(|access| access.touch.any(Touch::ABSENT)) {
        true => Ok(()),
        false => Err(Lack {
            why: "a call that was made was not heard of".to_owned(),
            mend: "use a kernel of another version".to_owned(),
        }),
    }
}

fn inotify_limits() -> String {
    let limits = [
        ("max_user_watches", "directories per user"),
        ("max_user_instances", "runs per user"),
        ("max_queued_events", "events waiting"),
    ];
    let limits = limits.iter().filter_map(|(name, what)| {
        let limit = fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?;
        Some(format!("{} {what}", limit.trim()))
    });
    limits.collect::<Vec<_>>().join(", ")
}

fn try_tree(sandbox: &Sandbox, scratch: &Path, watch: Option<Watch>) -> Result<Exit, Lack> {
    let dir = Scratch::make(scratch).map_err(|error| Lack {
        why: format!("cannot use {} to try it: {error}", scratch.display()),
        mend: "name a directory that can be written to".to_owned(),
    })?;
    let [lower, upper, work] = ["lower", "upper", "work"].map(|name| dir.0.join(name));
    let tree = Tree {
        root: TreeRoot::Overlay(Overlay { lowers: vec![lower], upper, work }),
        binds: vec![TreeBind { dir: PathBuf::new(), target: PathBuf::from("/tree") }],
    };
    let spec = Spec { network: Network::Host, tree: Some(tree), watch, ..Spec::new("/") };
    probe_run(sandbox, &spec, Probe::Tree)
}

/// The directories of a small overlay; removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn make(parent: &Path) -> io::Result<Self> {
        for attempt in 0.. {
            let path = parent.join(format!(".rekindle-probe-{}-{attempt}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 100 => {}
                other => {
                    other?;
                    let scratch = Scratch(std::path::absolute(path)?);
                    ["lower/dir", "upper", "work"]
                        .iter()
                        .try_for_each(|name| fs::create_dir_all(scratch.0.join(name)))?;
                    fs::write(scratch.0.join("lower/dir/file"), "")?;
                    return Ok(scratch);
                }
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl From<Error> for Lack {
    /// The text of an error ends with what to do, after a semicolon, where that is known.
    fn from(error: Error) -> Self {
        let text = error.to_string();
        let (why, mend) = text.split_once("; ").unwrap_or((&text, ""));
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        Lack { why: format!("{why}{cause}"), mend: mend.to_owned() }
    }
}
