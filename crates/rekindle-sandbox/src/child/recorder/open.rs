//! What calls on files mean for the record.
//!
//! A call is judged by what it names and by what is there before it: where that shows that it must fail (a file that is
//! not there, one that is there already, a read-only file system), it is recorded as the look that it amounts to.

use super::ledger::Memory;
use super::{Base, Caller, Effect, Found, Kind, Recorder, Target};
use crate::calls::{Last, Place};
use crate::records::{MoveKind, Touch};

/// Flags of `open`, as all supported architectures have them (arm has other numbers for directories), and the mode that goes
/// with them.
#[derive(Clone, Copy)]
pub(super) struct Flags(pub(super) u32, u32);

impl Flags {
    pub(super) fn new(flags: u64, mode: u64) -> Flags {
        // Both are `int` to the kernel, or were checked by it.
        Flags(flags as u32, mode as u32)
    }

    pub(super) fn has(&self, flag: i32) -> bool {
        self.0 & flag.cast_unsigned() == flag.cast_unsigned()
    }

    pub(super) fn reads(&self) -> bool {
        matches!(self.0 & 3, 0 | 2)
    }

    pub(super) fn writes(&self) -> bool {
        matches!(self.0 & 3, 1 | 2)
    }

    fn creates_only(&self) -> bool {
        self.has(libc::O_CREAT | libc::O_EXCL)
    }
}

/// A change of which it is not known yet whether it happened.
pub(super) struct Doubt {
    tid: u32,
    /// What is not there any more if it did.
    gone: Box<[u8]>,
    memories: Vec<Memory>,
    step: Option<usize>,
}

impl Recorder<'_> {
    /// Finds out which changes that this thread asked for did not happen; of all threads if the process has ended.
    pub(super) fn resolve_doubts(&mut self, doubts: &mut Vec<Doubt>, tid: Option<u32>) {
        let Ok(ledger) = &mut self.ledger else { return };
        for doubt in doubts.extract_if(.., |doubt| tid.is_none_or(|tid| doubt.tid == tid)) {
            if self.lookup.is_there(&doubt.gone) {
                doubt.memories.iter().for_each(|memory| ledger.take_back(memory));
                doubt.step.into_iter().for_each(|step| ledger.take_back_step(step));
            }
            ledger.forget(&doubt.memories);
        }
    }

    pub(super) fn open(
        &mut self,
        who: Caller,
        place: Place,
        args: &[u64; 6],
        flags: Flags,
    ) -> Result<(), String> {
        let follow = !flags.has(libc::O_NOFOLLOW) && !flags.creates_only();
        let Target::Found(found) = self.resolve(who, place, args, Some(follow))? else { return Ok(()) };
        if flags.has(libc::O_CREAT) {
            self.expect(who, &[&found], Effect::Existence);
        }
        let touch = match found.kind {
            Kind::Missing => {
                let made = flags.has(libc::O_CREAT)
                    && !flags.has(libc::O_PATH)
                    && !found.lasting
                    && self.lookup.parent_is_there(&found.path);
                if made { Touch::ABSENT | Touch::CREATED } else { Touch::ABSENT }
            }
            // A file without a name is made in it.
            Kind::Dir if flags.has(libc::O_TMPFILE) => return Ok(()),
            Kind::Dir if flags.has(libc::O_PATH) || flags.writes() || flags.has(libc::O_CREAT) => {
                Touch::PRESENT
            }
            Kind::Dir => Touch::LISTED,
            Kind::File | Kind::Program if flags.has(libc::O_TRUNC) && !self.is_writable(who, &found) => {
                Touch::PRESENT
            }
            Kind::File | Kind::Program => match file(&flags, found.lasting) {
                touch if touch == Touch::REPLACED && self.keeps_mode(who, &found.path, &flags) => {
                    touch | Touch::MODE_KEPT
                }
                touch => touch,
            },
            Kind::Link | Kind::Other => Touch::PRESENT,
            Kind::Nameless => Touch::default(),
        };
        self.touch(who, &found, touch)
    }

    fn is_writable(&self, who: Caller, found: &Found) -> bool {
        self.lookup.is_writable(found) || self.has_other_rights(who)
    }

    /// Whether a file that is emptied has another mode than it would have been made with.
    fn keeps_mode(&self, who: Caller, path: &[u8], flags: &Flags) -> bool {
        let Ok(umask) = self.procs.umask(who.tid) else { return true };
        self.lookup.mode(path).is_none_or(|mode| mode & 0o7777 != flags.1 & 0o7777 & !umask)
    }

    /// The kernel is about to change what these lead to, as far as it will; whatever there seems to be, as another change may come
    /// before.
    fn expect(&mut self, who: Caller, changed: &[&Found], effect: Effect) {
        self.lookup.expect((who.tid, who.process), changed, effect);
    }

    /// What is opened by a handle cannot be told. Without privileges nobody can, but for a file system of one's own.
    pub(super) fn open_handle(&mut self) -> Result<(), String> {
        Err("a process opened a file by its handle".to_owned())
    }

    /// Something is made that must not be there yet.
    pub(super) fn make(&mut self, who: Caller, place: Place, args: &[u64; 6]) -> Result<(), String> {
        let Target::Found(found) = self.resolve(who, place, args, None)? else { return Ok(()) };
        // It may be a link.
        self.expect(who, &[&found], Effect::Direction);
        self.touch(who, &found, self.making(&found))
    }

    fn making(&self, found: &Found) -> Touch {
        match found.kind {
            Kind::Missing if !found.lasting && self.lookup.parent_is_there(&found.path) => {
                Touch::ABSENT | Touch::CREATED
            }
            Kind::Missing => Touch::ABSENT,
            _ => Touch::PRESENT,
        }
    }

    /// A socket gets an address, which may be a path.
    pub(super) fn bind(&mut self, who: Caller, address: u64, length: u64) -> Result<(), String> {
        let mut bytes = [0; 110];
        let length = usize::try_from(length).unwrap_or(0).min(bytes.len());
        let count = self.read(who, address, &mut bytes[..length])?;
        let Some((family, path)) = bytes[..count].split_first_chunk() else { return Ok(()) };
        let path = path.split(|&byte| byte == 0).next().unwrap_or_default();
        if i32::from(u16::from_le_bytes(*family)) != libc::AF_UNIX || path.is_empty() {
            return Ok(());
        }
        let Base::At(base) = self.base(who, libc::AT_FDCWD)? else { return Ok(()) };
        let found = self.find(who, &base, path, false)?;
        self.expect(who, &[&found], Effect::Existence);
        self.touch(who, &found, self.making(&found))
    }

    /// Something is changed that has to be there.
    pub(super) fn change(
        &mut self,
        who: Caller,
        place: Place,
        args: &[u64; 6],
        touch: Touch,
    ) -> Result<(), String> {
        let Target::Found(found) = self.resolve(who, place, args, None)? else { return Ok(()) };
        if touch.any(Touch::REMOVED) {
            self.expect(who, &[&found], Effect::Existence);
        } else if touch.any(Touch::MODE) {
            // Who may not look into a directory finds nothing there.
            self.expect(who, &[&found], Effect::Direction);
        }
        let touch = match found.kind {
            Kind::Missing => Touch::ABSENT,
            _ if found.lasting => Touch::PRESENT,
            _ if touch.any(Touch::REPLACED) && !self.is_writable(who, &found) => Touch::PRESENT,
            _ => touch,
        };
        if !touch.any(Touch::REMOVED) || found.kind == Kind::Nameless {
            return self.touch(who, &found, touch);
        }
        if found.kind == Kind::Dir {
            self.tasks.forget_cwds(&found.path);
        }
        let record = self.tasks.get(who.process).record;
        let memory = self.ledger()?.remember(record, &found.path)?;
        self.touch(who, &found, touch)?;
        self.doubt(who, &found.path, memory.into_iter().collect(), None);
        Ok(())
    }

    /// Whether what has to be gone by then is gone, is looked at when the thread makes its next call.
    fn doubt(&mut self, who: Caller, gone: &[u8], memories: Vec<Memory>, step: Option<usize>) {
        if !memories.is_empty() {
            let doubt = Doubt { tid: who.tid, gone: gone.into(), memories, step };
            self.tasks.get(who.process).doubts.push(doubt);
        }
    }

    pub(super) fn rename(
        &mut self,
        who: Caller,
        from: Place,
        to: Place,
        args: &[u64; 6],
        flags: u32,
    ) -> Result<(), String> {
        let Target::Found(from) = self.resolve(who, from, args, None)? else { return Ok(()) };
        let Target::Found(to) = self.resolve(who, to, args, None)? else { return Ok(()) };
        self.expect(who, &[&from, &to], Effect::Direction);
        let there = to.kind != Kind::Missing;
        let possible = !from.lasting && !to.lasting && self.lookup.parent_is_there(&to.path);
        let wanted = match flags & !libc::RENAME_WHITEOUT {
            libc::RENAME_NOREPLACE => !there,
            libc::RENAME_EXCHANGE => there,
            _ => true,
        };
        if from.kind == Kind::Missing || !possible || !wanted {
            for found in [&from, &to] {
                let missing = found.kind == Kind::Missing;
                self.touch(who, found, if missing { Touch::ABSENT } else { Touch::PRESENT })?;
            }
            return Ok(());
        }
        if from.path == to.path {
            return self.touch(who, &from, Touch::PRESENT);
        }
        for moved in [&from, &to].into_iter().filter(|found| found.kind == Kind::Dir) {
            self.tasks.forget_cwds(&moved.path);
            self.lookup.forget_areas(&moved.path);
        }
        let kind = if flags == libc::RENAME_EXCHANGE { MoveKind::Exchange } else { MoveKind::Rename };
        let (old, new) = match (kind, there) {
            (MoveKind::Exchange, _) => (Touch::REPLACED, Touch::REPLACED),
            (_, true) if flags & libc::RENAME_WHITEOUT != 0 => (Touch::REPLACED, Touch::REPLACED),
            (_, false) if flags & libc::RENAME_WHITEOUT != 0 => (Touch::REPLACED, Touch::CREATED),
            (_, true) => (Touch::REMOVED, Touch::REPLACED),
            (_, false) => (Touch::REMOVED, Touch::CREATED),
        };
        let record = self.tasks.get(who.process).record;
        let ledger = self.ledger()?;
        let mut memories = Vec::new();
        // Of an exchange, both are there before and after.
        if kind == MoveKind::Rename {
            memories.extend(ledger.remember(record, &from.path)?);
            memories.extend(ledger.remember(record, &to.path)?);
        }
        let step = ledger.step(record, &from.path, &to.path, kind)?;
        self.touch(who, &from, old)?;
        let new = if from.kind == Kind::Dir { new | Touch::DIRECTORY } else { new };
        self.touch(who, &to, new)?;
        // A whiteout is left where it was.
        if flags & libc::RENAME_WHITEOUT == 0 {
            self.doubt(who, &from.path, memories, step);
        }
        Ok(())
    }

    pub(super) fn link(
        &mut self,
        who: Caller,
        from: Place,
        to: Place,
        args: &[u64; 6],
    ) -> Result<(), String> {
        let Target::Found(from) = self.resolve(who, from, args, None)? else { return Ok(()) };
        // Its flags are about the other end.
        let to = Place { last: Last::Keep, ..to };
        let Target::Found(to) = self.resolve(who, to, args, None)? else { return Ok(()) };
        self.expect(who, &[&to], Effect::Direction);
        let making = self.making(&to);
        if from.kind == Kind::Missing {
            self.touch(who, &from, Touch::ABSENT)?;
            return self.touch(
                who,
                &to,
                if to.kind == Kind::Missing { Touch::ABSENT } else { Touch::PRESENT },
            );
        }
        if making.any(Touch::CREATED) {
            let old = if from.kind == Kind::Nameless { &to.path } else { &from.path };
            let record = self.tasks.get(who.process).record;
            self.ledger()?.step(record, old, &to.path, MoveKind::Link)?;
        }
        self.touch(who, &from, Touch::PRESENT)?;
        self.touch(who, &to, making)
    }

    /// Something is looked at without being opened; if it is a link, `link` is what that amounts to.
    pub(super) fn look(
        &mut self,
        who: Caller,
        place: Place,
        args: &[u64; 6],
        link: Touch,
    ) -> Result<(), String> {
        let Target::Found(found) = self.resolve(who, place, args, None)? else { return Ok(()) };
        let touch = match found.kind {
            Kind::Missing => Touch::ABSENT,
            Kind::Link => link,
            _ => Touch::PRESENT,
        };
        self.touch(who, &found, touch)
    }
}

/// Opening a file that is there.
fn file(flags: &Flags, lasting: bool) -> Touch {
    let fails = flags.creates_only() || flags.has(libc::O_DIRECTORY) || flags.0 & 3 == 3;
    if fails || flags.has(libc::O_PATH) || (lasting && (flags.writes() || flags.has(libc::O_TRUNC))) {
        return Touch::PRESENT;
    }
    if flags.has(libc::O_TRUNC) {
        return if flags.has(libc::O_CREAT) { Touch::REPLACED } else { Touch::REPLACED | Touch::PRESENT };
    }
    let read = if flags.reads() { Touch::READ } else { Touch::default() };
    let written = if flags.writes() { Touch::UPDATED } else { Touch::default() };
    read | written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_file_is_opened_says_what_for() {
        for (flags, expect) in [
            (libc::O_RDONLY, Touch::READ),
            (libc::O_RDONLY | libc::O_CREAT, Touch::READ),
            (libc::O_RDWR, Touch::READ | Touch::UPDATED),
            (libc::O_WRONLY | libc::O_APPEND, Touch::UPDATED),
            (libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC, Touch::REPLACED),
            (libc::O_WRONLY | libc::O_TRUNC, Touch::REPLACED | Touch::PRESENT),
            (libc::O_RDONLY | libc::O_TRUNC, Touch::REPLACED | Touch::PRESENT),
            (libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL, Touch::PRESENT),
            (libc::O_RDONLY | libc::O_DIRECTORY, Touch::PRESENT),
            (libc::O_PATH, Touch::PRESENT),
        ] {
            assert_eq!(file(&Flags(flags.cast_unsigned(), 0), false), expect, "{flags:o}");
        }
        assert_eq!(file(&Flags(libc::O_WRONLY.cast_unsigned(), 0), true), Touch::PRESENT);
        assert_eq!(file(&Flags(libc::O_RDONLY.cast_unsigned(), 0), true), Touch::READ);
    }
}
