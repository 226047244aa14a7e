//! What builds leave in the directory of a package: the links to what they made, pages that tell of a build, and the store
//! if that is where somebody wants it.
//!
//! They are no sources, or each build would change those of the next one, and the path of its output with them. What
//! is one can be told from itself: whoever builds takes the same sources, whatever store that is for, and whether or
//! not the store that a link leads to is still where it was. Only the directory itself is looked at, where builds
//! leave things. What lies deeper, somebody put there. Git is not asked: who commits a link by mistake, or unpacks an
//! archive of a work tree, has the same sources, too.
//!
//! A page is told by its first bytes, which go with it into any copy and any work tree. So that no other file has to be
//! opened, its name must end as those of pages do. Nothing is remembered: a page in each build costs one open, and what
//! is not remembered cannot be wrong.
//!
//! The store is told by where it is: only the one in use changes while the sources are read.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rekindle_layers::{EntryKind, Manifest};
use rekindle_nix::StorePath;
use rustix::fs::{Mode, OFlags};

/// What stands before the base name of each object of a store, wherever on the disk that store is.
const STORE: &[u8] = b"/nix/store/";

/// What a page that tells of a build begins with. It must never change: pages of earlier versions are no sources either.
pub const PAGE_START: &str =
    "<!DOCTYPE html>\n<!-- written by rekindle about a build; no source of the next one -->\n";

/// The ends of the names of pages that can be told to be one.
const PAGE_SUFFIXES: [&[u8]; 2] = [b".html", b".htm"];

/// The sources in the directory `root`, of which `manifest` tells all that is in it.
pub(crate) fn leave_out(root: &Path, manifest: Manifest) -> Manifest {
    manifest.without(|entry| match entry.kind {
        EntryKind::Symlink { target } => is_output(target),
        EntryKind::File { size, .. } => {
            size >= PAGE_START.len() as u64
                && PAGE_SUFFIXES.iter().any(|suffix| entry.path.as_os_str().as_bytes().ends_with(suffix))
                && is_page(&root.join(&entry.path))
        }
        EntryKind::Directory { .. } => false,
    })
}

/// Patterns for what of the sources in `root` is this store, with these names in it.
pub(crate) fn store_patterns(root: &Path, store: &Path, names: &[&str]) -> Vec<String> {
    let (Ok(root), Ok(store)) = (root.canonicalize(), store.canonicalize()) else { return Vec::new() };
    // What is no text no pattern can name.
    let Some(below) = store.strip_prefix(&root).ok().and_then(Path::to_str) else { return Vec::new() };
    let mut pattern = String::new();
    for char in below.chars() {
        if pattern.is_empty() {
            pattern.push('/');
        }
        if (char.is_ascii_punctuation() && char != '/') || char == ' ' {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    names.iter().map(|name| format!("{pattern}/{name}/")).collect()
}

/// Whether a file begins as a page does. What cannot be read is none: it was read a moment ago, and is told to have
/// changed by whoever reads it next.
fn is_page(path: &Path) -> bool {
    // Something else may have taken its place meanwhile, and nothing may be waited for.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut start = [0; PAGE_START.len()];
    rustix::fs::open(path, flags, Mode::empty())
        .is_ok_and(|file| File::from(file).read_exact(&mut start).is_ok())
        && start == PAGE_START.as_bytes()
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
    use std::fs;
    use std::os::unix::fs::symlink;

    use rekindle_layers::{ScanOptions, StatIndex, scan};

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

    #[test]
    fn a_store_is_told_by_where_it_is() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = dir.path().join("a [b]/st");
        let patterns = |root: &Path| store_patterns(root, &store, &["nix", "own"]);
        assert!(patterns(dir.path()).is_empty());
        fs::create_dir_all(store.join("nix")).expect("our own directory");
        assert_eq!(patterns(dir.path()), ["/a\\ \\[b\\]/st/nix/", "/a\\ \\[b\\]/st/own/"]);
        assert_eq!(patterns(&store), ["/nix/", "/own/"]);
        assert!(patterns(&store.join("nix")).is_empty());
    }

    #[test]
    fn a_page_is_known_by_its_name_and_its_first_bytes() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let page = format!("{PAGE_START}<html/>");
        let other = format!("<!DOCTYPE html>\n<html>{}</html>", " ".repeat(PAGE_START.len()));
        fs::create_dir(dir.path().join("doc")).expect("our own directory");
        let short = &PAGE_START[..PAGE_START.len() - 1];
        let files = [
            ("a.html", &*page),
            ("b.html", PAGE_START),
            ("b.htm", PAGE_START),
            ("c.html", short),
            ("d.html", &other),
            ("e.txt", &page),
            ("doc/f.html", &page),
        ];
        for (name, text) in files {
            fs::write(dir.path().join(name), text).expect("our own file");
        }
        symlink("a.html", dir.path().join("g.html")).expect("linked");
        let options = ScanOptions { gitignore: false, exclude: Vec::new() };
        let all = scan(dir.path(), &options, &StatIndex::default()).expect("a good directory").manifest;
        let counts = leave_out(dir.path(), all);
        let paths: Vec<_> = counts.entries().map(|entry| entry.path.display().to_string()).collect();
        assert_eq!(paths, ["c.html", "d.html", "doc", "doc/f.html", "e.txt", "g.html"]);
    }
}
