//! New namespaces for the sandbox, and the identity that the command has in them.
//!
//! User and group ids are mapped singly: the one id inside is the caller's effective id outside, which any user may do
//! without help. That holds for root too, so that what a command sees does not depend on who runs it.

use std::fs;
use std::io;
use std::path::Path;

use rustix::process::{getegid, geteuid};
use rustix::thread::UnshareFlags;

use crate::error::{Error, ErrorKind};
use crate::spec::{Network, Spec};
use crate::sys::{self, SingleThreaded};

/// Enters them all (the pid namespace begins with the next child). Also tells whether the user outside is root.
pub(super) fn enter(spec: &Spec) -> Result<(SingleThreaded, bool), Error> {
    let (user, group) = (geteuid(), getegid());
    if user.is_root() {
        // Inside, supplementary groups could not be given up any more. An ordinary user cannot do it at all.
        let _ = sys::drop_groups();
    }
    let mut flags = UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWCGROUP;
    if spec.network == Network::Loopback {
        flags |= UnshareFlags::NEWNET;
    }
    let alone = sys::unshare_with_user(flags).map_err(|error| forbidden("cannot make namespaces", error))?;

    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("{} {} 1", spec.uid, user.as_raw()))?;
    write("/proc/self/gid_map", &format!("{} {} 1", spec.gid, group.as_raw()))?;
    // Nix has the same domain name.
    sys::set_names(spec.hostname.as_bytes(), b"(none)")
        .map_err(|error| forbidden("cannot set the host name", error))?;
    if spec.network == Network::Loopback {
        sys::loopback_up().map_err(|error| forbidden("cannot bring the loopback interface up", error))?;
    }
    Ok((alone, user.is_root()))
}

fn write(path: &str, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|error| forbidden(&format!("cannot write `{text}` to {path}"), error))
}

/// An error that says what forbids namespaces here, if that is what the error number means.
pub(super) fn forbidden(what: &str, error: io::Error) -> Error {
    let means_forbidden = matches!(
        error.raw_os_error(),
        // ENOSPC is how the limits on the number of namespaces announce themselves.
        Some(libc::EPERM | libc::EACCES | libc::ENOSPC | libc::EUSERS | libc::EINVAL | libc::ENOSYS)
    );
    if !means_forbidden {
        return Error::failed(what, error);
    }
    Error::new(ErrorKind::Forbidden, what).hint(&remedy()).because(error)
}

/// Looks for the setting that forbids namespaces.
fn remedy() -> String {
    let reads = |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    if reads("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        return "unprivileged user namespaces are off: run `sysctl kernel.unprivileged_userns_clone=1` as root"
            .to_owned();
    }
    for name in ["user", "mnt", "pid", "ipc", "uts", "cgroup", "net"] {
        if reads(&format!("/proc/sys/user/max_{name}_namespaces"), "0") {
            return format!(
                "{name} namespaces are limited to none: run `sysctl user.max_{name}_namespaces=10000` as root"
            );
        }
    }
    if reads("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        return "AppArmor restricts user namespaces: give this program a profile with `userns,`, or run \
                `sysctl kernel.apparmor_restrict_unprivileged_userns=0` as root"
            .to_owned();
    }
    for path in ["/proc/self/ns/user", "/proc/self/ns/net", "/proc/self/ns/cgroup"] {
        if !Path::new(path).exists() {
            return format!("this kernel was built without {path}");
        }
    }
    "no sysctl forbids it (user.max_user_namespaces and its kin may, in an outer namespace), so it may be a chroot or \
     a container's policy; for the latter, allow `unshare` and `mount` there (docker: `--security-opt \
     seccomp=unconfined --security-opt systempaths=unconfined`)"
        .to_owned()
}
