//! Init's part in observing: empties the queue of events, and keeps of each name what has happened to it.
//!
//! Memory grows with the names that were touched, not with the events. A name that the command itself makes is marked as
//! new by its first event, and nothing more is kept of it, until it goes again. When anything may have been missed, all
//! is given up, as the caller could not use the rest; the marks are removed, and cost nothing from then on.
//!
//! # Speed
//!
//! The kernel's queue holds 16384 events by default, and drops what comes after; an event equal to the one before it is
//! not queued again. Two processes that do nothing but open files make about 350,000 events a second, so there are some
//! 45 ms before that. To be woken by every event would cost the command more than the events themselves, so once woken,
//! they are left to gather for [`GATHER`]. The benchmark `start` measures both, and how often the queue overflows.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::fs::inotify::{Event, ReadFlags, Reader};
use rustix::io::Errno;

use super::marks::Marks;
use super::with_caller;
use crate::channel::{Report, send};
use crate::observed::{OPENED, Pieces, WRITTEN};
use crate::spec::Watch;

/// How long to let events gather before they are read.
pub(super) const GATHER: Duration = Duration::from_millis(2);

/// Most memory to keep names in, roughly: a million of ordinary length.
const ROOM: usize = 128 << 20;

/// What a name costs besides its bytes.
const PER_NAME: usize = 64;

/// The command made it.
const NEW: u8 = 0x40;

/// What is seen of the command; or why it can no longer be told.
pub(super) struct Observer(Result<Watching, String>);

struct Watching {
    marks: Marks,
    notes: Notes,
    buffer: Box<[MaybeUninit<u8>]>,
}

impl Observer {
    /// Begins to watch. That something cannot be watched is for the caller to weigh, and no error.
    pub(super) fn start(watch: &Watch) -> Self {
        Observer(Marks::set(&watch.roots).map(|marks| {
            let notes = Notes { dirs: vec![Notebook::default(); marks.count()], room: ROOM };
            Watching { marks, notes, buffer: vec![MaybeUninit::uninit(); 1 << 18].into() }
        }))
    }

    /// What becomes readable when there are events; `None` if there will be no more.
    pub(super) fn events(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().ok().map(|watching| watching.marks.inotify.as_fd())
    }

    /// Takes note of all events that there are.
    pub(super) fn drain(&mut self) {
        if let Ok(watching) = &mut self.0
            && let Err(reason) = watching.drain()
        {
            self.0 = Err(reason);
        }
    }

    /// Tells the caller everything.
    pub(super) fn tell(self) {
        let end = self.0.map(Watching::tell);
        with_caller(|caller| send(caller, &Report::SeenAll(end), None));
    }
}

impl Watching {
    fn drain(&mut self) -> Result<(), String> {
        let mut events = Reader::new(&self.marks.inotify, &mut self.buffer);
        loop {
            match events.next() {
                Ok(event) => self.notes.take(&self.marks, &event)?,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(format!("cannot read events: {}", std::io::Error::from(errno))),
            }
        }
    }

    fn tell(self) {
        let Watching { marks, notes, .. } = self;
        let mut pieces = Pieces::new(|piece| with_caller(|caller| send(caller, &Report::Seen(piece), None)));
        for (index, Notebook { touch, names }) in notes.dirs.into_iter().enumerate() {
            let mut told: Vec<_> = names.into_iter().filter(|(_, touch)| *touch != NEW).collect();
            if touch == 0 && told.is_empty() {
                continue;
            }
            // In order, so that the caller has little to sort.
            told.sort_unstable();
            pieces.directory(&marks.path(index), touch);
            told.iter().for_each(|(name, touch)| pieces.name(name, *touch));
        }
        pieces.finish();
    }
}

/// What has happened so far.
struct Notes {
    /// One for each watched directory, by its index.
    dirs: Vec<Notebook>,
    /// Memory left for names.
    room: usize,
}

/// What has happened to a directory, and to the names in it.
#[derive(Clone, Default)]
struct Notebook {
    touch: u8,
    names: HashMap<Box<[u8]>, u8>,
}

impl Notes {
    fn take(&mut self, marks: &Marks, event: &Event<'_>) -> Result<(), String> {
        let events = event.events();
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            return Err("more happened at once than inotify's queue holds; run `sysctl \
                        fs.inotify.max_queued_events=1048576` as root"
                .to_owned());
        }
        if events.contains(ReadFlags::IGNORED) {
            // The directory is gone, which the one above it has told.
            return Ok(());
        }
        let notebook = marks.index(event.wd()).and_then(|index| self.dirs.get_mut(index));
        let Some(notebook) = notebook.filter(|_| !events.contains(ReadFlags::UNMOUNT)) else {
            return Err("a watched directory was unmounted".to_owned());
        };
        match event.file_name() {
            None => notebook.touch |= touch(events),
            Some(name) => {
                // A directory below tells by itself that it was opened.
                let opened_dir = events.contains(ReadFlags::ISDIR | ReadFlags::OPEN);
                let added = if opened_dir { 0 } else { notebook.note(name.to_bytes(), events) };
                self.room =
                    self.room.checked_sub(added).ok_or("too many files were touched to keep note of them")?;
            }
        }
        Ok(())
    }
}

impl Notebook {
    /// Takes note, and tells how much memory that took.
    fn note(&mut self, name: &[u8], events: ReadFlags) -> usize {
        match self.names.get_mut(name) {
            Some(touch) if *touch == NEW => {
                if events.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
                    // As if it had never been. The memory is not counted back: that would be the one use of a number
                    // that may not go wrong, and a build makes no million files in a directory of its sources.
                    self.names.remove(name);
                }
                return 0;
            }
            Some(known) => {
                *known |= touch(events);
                return 0;
            }
            None => {}
        }
        let first = if events.contains(ReadFlags::CREATE) { NEW } else { touch(events) };
        self.names.insert(name.into(), first);
        name.len() + PER_NAME
    }
}

fn touch(events: ReadFlags) -> u8 {
    let written = ReadFlags::CLOSE_WRITE
        | ReadFlags::ATTRIB
        | ReadFlags::DELETE
        | ReadFlags::MOVED_FROM
        | ReadFlags::MOVED_TO;
    let opened = if events.contains(ReadFlags::OPEN) { OPENED } else { 0 };
    if events.intersects(written) { opened | WRITTEN } else { opened }
}
