//! What builds leave in the directory of a package: the links to what they made.
//!
//! They are no sources, or each build would change those of the next one, and the path of its output with them. What
//! is one can be told from itself: whoever builds takes the same sources, whatever store that is for, and whether or
//! not the store that a link leads to is still where it was. Only the directory itself is looked at, where builds
//! leave things. What lies deeper, somebody put there. Git is not asked: who commits a link by mistake, or unpacks an
//! archive of a work tree, has the same sources, too.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use rekindle_layers::{EntryKind, Manifest};
use rekindle_nix::StorePath;

/// What stands before the base name of each object of a store, wherever on the disk that store is.
const STORE: &[u8] = b"/nix/store/";

/// The sources in a directory of which `manifest` tells all that is in it.
pub(crate) fn leave_out(manifest: Manifest) -> Manifest {
    manifest.without(|entry| match entry.kind {
        EntryKind::Symlink { target } => is_output(target),
        EntryKind::File { .. } | EntryKind::Directory { .. } => false,
    })
}

/// Whether a link with this target leads to an object of some store. A path below one is not enough: no build makes
/// such a link.
fn is_output(target: &OsStr) -> bool {
    let target = target.as_bytes();
    let name = target.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let before = &target[..target.len() - name.len()];
    before.starts_with(b"/") && before.ends_with(STORE) && StorePath::from_base_name(name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_an_output_is_known_by_its_target() {
        let name = "00bgd045z0d4icpbc2yyz4gx48ak44la-zlib-1.3";
        let check = |target: &str, expected: bool| {
            assert_eq!(is_output(OsStr::new(target)), expected, "{target}");
        };
        for store in ["", "/s", "/a b/.local/share/rekindle"] {
            check(&format!("{store}/nix/store/{name}"), true);
            check(&format!("{store}/nix/store/{name}/bin"), false);
            check(&format!("{store}/nix/store/{name}/"), false);
            check(&format!("{store}/nix/store/"), false);
            check(&format!("{store}/nix/stores/{name}"), false);
            check(&format!("{store}/nix/store/{}", &name[1..]), false);
            // No base-32 digit.
            check(&format!("{store}/nix/store/e{}", &name[1..]), false);
        }
        check(&format!("nix/store/{name}"), false);
        check(&format!("../nix/store/{name}"), false);
        check(name, false);
        check("", false);
    }
}
