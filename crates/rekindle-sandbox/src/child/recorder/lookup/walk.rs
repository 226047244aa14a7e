//! The slow way to what a path leads to: name by name, as the kernel goes, to tell which links it crosses.

use rustix::fs::{AtFlags, CWD};
use rustix::io::Errno;

use super::kept::Trail;
use super::{Change, Found, Hidden, Kind, Lookup, stat};
use crate::child::recorder::procs::Opened;

/// As many symbolic links as the kernel follows.
pub(super) const MOST_LINKS: usize = 40;

impl Lookup {
    /// Name by name.
    pub(super) fn walk(
        &mut self,
        full: &[u8],
        follow: bool,
        own: impl Fn() -> Option<(u32, u32)>,
        trail: &mut Trail,
    ) -> Found {
        let mut at: Vec<u8> = Vec::new();
        let mut links = Vec::new();
        // What is left to do, the next name last.
        let mut names: Vec<Box<[u8]>> = Vec::new();
        let push = |names: &mut Vec<Box<[u8]>>, text: &[u8]| {
            let parts = text.split(|&byte| byte == b'/').filter(|part| !part.is_empty() && *part != b".");
            names.extend(parts.rev().map(Box::from));
        };
        push(&mut names, full);
        let done = |path: Vec<u8>, kind, links| {
            let path = if path.is_empty() { &b"/"[..] } else { &path };
            Found { links, ..Found::new(path, kind) }
        };
        while let Some(name) = names.pop() {
            if *name == *b".." {
                trail.left.push(at[..].into());
                at.truncate(at.iter().rposition(|&byte| byte == b'/').unwrap_or(0));
                continue;
            }
            let parent = at.len();
            at.push(b'/');
            at.extend_from_slice(&name);
            if !names.is_empty() && self.steady.contains(&at[..]) {
                // It is there for as long as what is mounted below it.
            } else {
                trail.change = trail.change.max(self.change_of(&at));
            }
            if at == b"/proc/self" || at == b"/proc/thread-self" {
                trail.change = Change::Unheard;
                let Some((process, thread)) = own() else {
                    return done(at, Kind::Missing, links);
                };
                let task = if at.ends_with(b"/self") { String::new() } else { format!("/task/{thread}") };
                at = format!("/proc/{process}{task}").into_bytes();
                continue;
            }
            match self.target(&at) {
                Ok(None) => {}
                Ok(Some(_)) if names.is_empty() && !follow => return done(at, Kind::Link, links),
                Ok(Some(target)) => {
                    if links.len() >= MOST_LINKS {
                        return done(at, Kind::Missing, links);
                    }
                    if is_magic(&at) {
                        trail.change = Change::Unheard;
                        let stat = || rustix::fs::statat(CWD, &at[..], AtFlags::empty()).ok();
                        match Opened::of(&target, stat) {
                            Opened::At(path) => at = path.to_vec(),
                            Opened::Nameless(path) => {
                                return done(path.to_vec(), Kind::Nameless, links);
                            }
                            Opened::NoFile => return done(at, Kind::Other, links),
                        }
                        if at == b"/" {
                            at.clear();
                        }
                        continue;
                    }
                    links.push(at[..].into());
                    at.truncate(if target.starts_with(b"/") { 0 } else { parent });
                    push(&mut names, &target);
                }
                Err(errno) => {
                    let doubt = doubt(errno, &at, trail);
                    // Nothing is there, or nobody may look; the rest is told as far as it names something.
                    for name in names.iter().rev().take_while(|name| ***name != *b"..") {
                        at.push(b'/');
                        at.extend_from_slice(name);
                    }
                    trail.change = trail.change.max(self.change_of(&at));
                    return Found { doubt, ..done(at, Kind::Missing, links) };
                }
            }
        }
        let kind = stat(if at.is_empty() { b"/" } else { &at }).map_or(Kind::Missing, Kind::of);
        done(at, kind, links)
    }

    /// Where a link leads; `None` if it is there and no link.
    fn target(&mut self, path: &[u8]) -> Result<Option<Box<[u8]>>, Errno> {
        if let Some(target) = self.links.get(path) {
            return Ok(target.clone());
        }
        let target = match rustix::fs::readlinkat(CWD, path, Vec::with_capacity(256)) {
            Ok(target) => Some(target.into_bytes().into()),
            Err(Errno::INVAL) => None,
            Err(errno) => return Err(errno),
        };
        if self.stays(path)
            && let Some(left) = self.room.checked_sub(2 * path.len() + 100)
        {
            self.room = left;
            self.links.insert(path.into(), target.clone());
        }
        Ok(target)
    }
}

/// Why what could not be looked at may be there all the same.
fn doubt(errno: Errno, at: &[u8], trail: &mut Trail) -> Option<Hidden> {
    match errno {
        Errno::ACCESS => Some(Hidden::Denied),
        Errno::NAMETOOLONG if at.len() >= libc::PATH_MAX as usize => Some(Hidden::TooLong),
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => None,
        _ => {
            // It says more about this process than about the path.
            trail.change = Change::Unheard;
            None
        }
    }
}

/// Whether this is a link whose text is no path to be looked up: to what a process has open.
fn is_magic(path: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(b"/proc/") else { return false };
    let parts: Vec<&[u8]> = rest.split(|&byte| byte == b'/').collect();
    let parts = match parts.as_slice() {
        [_, task, _, rest @ ..] if *task == b"task" => rest,
        [_, rest @ ..] => rest,
        [] => return false,
    };
    match parts {
        [dir, _] => *dir == b"fd" || *dir == b"map_files",
        [name] => *name == b"cwd" || *name == b"root" || *name == b"exe",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_open_files_are_known() {
        for path in ["/proc/1/fd/3", "/proc/1/exe", "/proc/7/task/8/cwd", "/proc/7/task/8/fd/0"] {
            assert!(is_magic(path.as_bytes()), "{path}");
        }
        for path in ["/proc/mounts", "/proc/1/task/exe", "/proc/1/fd", "/x/1/exe", "/proc/1/ns/mnt"] {
            assert!(!is_magic(path.as_bytes()), "{path}");
        }
    }
}
