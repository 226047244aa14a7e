//! What this machine can do of what a sandbox needs, found by trying.

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
