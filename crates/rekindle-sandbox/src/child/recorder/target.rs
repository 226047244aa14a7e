//! What a call names: by a path in its memory, by a descriptor, or by both.

use std::rc::Rc;

use rustix::fs::Stat;
use rustix::io::Errno;

use super::lookup::{Found, Hidden, Kind};
use super::procs::Opened;
use super::{Caller, Recorder, unreadable};
use crate::calls::{Last, Place};

/// The text of a link to an open file, and what is known of the file already.
type OpenFile = (Vec<u8>, Option<Stat>);

/// What a path or descriptor of a call means.
pub(super) enum Target {
    Found(Rc<Found>),
    /// The call fails whatever there is.
    Nothing,
}

/// Where relative paths begin: a directory, without a slash at the end.
pub(super) enum Base {
    At(Rc<[u8]>),
    /// It was removed, and this is what it was called. It is empty, but a path leads out of it by `..`.
    Removed(Rc<[u8]>),
    /// It is no directory.
    Nowhere,
}

impl Recorder<'_> {
    /// What a place means that a call names.
    pub(super) fn resolve(
        &mut self,
        who: Caller,
        place: Place,
        args: &[u64; 6],
        follow: Option<bool>,
    ) -> Result<Target, String> {
        const AT_EMPTY_PATH: u64 = 0x1000;
        const NOFOLLOW: u64 = libc::AT_SYMLINK_NOFOLLOW as u64;
        const FOLLOW: u64 = libc::AT_SYMLINK_FOLLOW as u64;
        let (mut follows, flags) = match place.last {
            Last::Follow => (true, 0),
            Last::Keep => (false, 0),
            Last::FollowUnless(flags) => (args[flags] & NOFOLLOW == 0, args[flags]),
            Last::KeepUnless(flags) => (args[flags] & FOLLOW != 0, args[flags]),
        };
        follows = follow.unwrap_or(follows);
        let dir = place.dir.map_or(libc::AT_FDCWD, |dir| args[dir] as i32);
        let Some(address) = place.path.map(|path| args[path]) else {
            return self.descriptor(who, dir);
        };
        let path = match self.first_program(who) {
            Some(program) => program,
            None => match self.text(who, address)? {
                Some(path) => path,
                // Some calls take no path for an empty one.
                None if address == 0 && flags & AT_EMPTY_PATH != 0 => Vec::new(),
                None => return Ok(Target::Nothing),
            },
        };
        if path.is_empty() {
            return if flags & AT_EMPTY_PATH != 0 { self.descriptor(who, dir) } else { Ok(Target::Nothing) };
        }
        let base = match path.starts_with(b"/") {
            true => Base::At(Rc::from(&b""[..])),
            false => self.base(who, dir)?,
        };
        match base {
            Base::At(base) => self.find(who, &base, &path, follows).map(Target::Found),
            Base::Removed(base) => match out_of(&base, &path) {
                Some((base, path)) => self.find(who, base, path, follows).map(Target::Found),
                None => Ok(Target::Nothing),
            },
            Base::Nowhere => Ok(Target::Nothing),
        }
    }

    pub(super) fn find(
        &mut self,
        who: Caller,
        base: &[u8],
        path: &[u8],
        follow: bool,
    ) -> Result<Rc<Found>, String> {
        let Recorder { lookup, procs, .. } = self;
        let own = || {
            let process = procs.ids(who.process).ok()?.inner?;
            let thread = if who.tid == who.process { process } else { procs.ids(who.tid).ok()?.inner? };
            Some((process, thread))
        };
        let found = lookup.find(base, path, follow, own);
        match found.doubt {
            Some(Hidden::Denied) if self.has_other_rights(who) => {
                Err("a process may enter directories, in a namespace of its own, that nobody else may"
                    .to_owned())
            }
            Some(Hidden::TooLong) => Err("a process uses a path that is too long to be looked up".to_owned()),
            _ => Ok(found),
        }
    }

    /// Where relative paths begin.
    pub(super) fn base(&mut self, who: Caller, dir: i32) -> Result<Base, String> {
        if dir != libc::AT_FDCWD {
            return self.directory(who, dir);
        }
        let task = self.tasks.get(who.process);
        if let Some(cwd) = &task.cwd {
            return Ok(Base::At(cwd.clone()));
        }
        let keeps = !task.threads && !task.cwd_shared;
        if self.is_first(who) {
            return Ok(Base::At(self.first_cwd(who)?));
        }
        let base = self.directory(who, dir)?;
        if let (true, Base::At(cwd)) = (keeps, &base) {
            self.tasks.get(who.process).cwd = Some(cwd.clone());
        }
        Ok(base)
    }

    /// A directory that a process has open.
    pub(super) fn directory(&mut self, who: Caller, fd: i32) -> Result<Base, String> {
        let Some((path, stat)) = self.opened(who, fd)? else { return Ok(Base::Nowhere) };
        Ok(match Opened::of(&path, || stat.or_else(|| self.procs.stat(who.tid, &link_name(fd)).ok())) {
            Opened::At(b"/") => Base::At(Rc::from(&b""[..])),
            Opened::At(path) => Base::At(path.into()),
            Opened::Nameless(path) => Base::Removed(path.into()),
            Opened::NoFile => Base::Nowhere,
        })
    }

    /// What a process has open.
    pub(super) fn descriptor(&mut self, who: Caller, fd: i32) -> Result<Target, String> {
        let Some((text, stat)) = self.opened(who, fd)? else { return Ok(Target::Nothing) };
        let stat = stat.or_else(|| self.procs.stat(who.tid, &link_name(fd)).ok());
        let (path, kind) = match Opened::of(&text, || stat) {
            Opened::At(path) => (path, stat.map_or(Kind::Other, |stat| Kind::of(stat.st_mode))),
            Opened::Nameless(path) => (path, Kind::Nameless),
            Opened::NoFile => return Ok(Target::Nothing),
        };
        Ok(Target::Found(Rc::new(Found::new(path, kind))))
    }

    /// The text of the link to what a process has open, and what is known of it already. `None` if it is not open, or
    /// the thread is gone.
    pub(super) fn opened(&mut self, who: Caller, fd: i32) -> Result<Option<OpenFile>, String> {
        let mut opened = self.procs.link(who.tid, &link_name(fd)).map(|text| (text, None));
        if matches!(opened, Err(Errno::ACCESS)) && fd >= 0 {
            // A process may keep others out of its part of `/proc`, but not of itself.
            opened = self
                .tasks
                .get(who.process)
                .descriptor(fd)
                .and_then(|copy| Ok((self.procs.descriptor(&copy)?, Some(rustix::fs::fstat(&copy)?))));
        }
        match opened {
            Ok(opened) => Ok(Some(opened)),
            Err(Errno::NOENT | Errno::SRCH | Errno::BADF) => Ok(None),
            Err(Errno::NAMETOOLONG) => {
                Err("a process uses a file or directory whose path is too long".to_owned())
            }
            Err(errno) => Err(unreadable(errno)),
        }
    }
}

/// The directory above one that was removed, and what is left of a path that begins with `..`.
fn out_of<'a>(base: &'a [u8], path: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let mut rest = path;
    loop {
        let end = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
        let (name, left) = rest.split_at(end);
        let left = &left[left.iter().position(|&byte| byte != b'/').unwrap_or(left.len())..];
        match name {
            b"." if !left.is_empty() => rest = left,
            b".." => {
                let above = &base[..base.iter().rposition(|&byte| byte == b'/')?];
                return Some((above, if left.is_empty() { b"." } else { left }));
            }
            _ => return None,
        }
    }
}

fn link_name(fd: i32) -> String {
    if fd == libc::AT_FDCWD { "cwd".to_owned() } else { format!("fd/{fd}") }
}
