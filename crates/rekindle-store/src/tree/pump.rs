//! Reads the files of a tree on several threads, and hands their content over in order.
//!
//! An archive has one order, but opening, reading, writing and sealing many small files is where the time goes, and
//! that can be done side by side. The files are dealt out in hands of [`HAND`], to each thread in turn, so that who gives
//! the next one is known without any further order; each thread runs ahead by a bounded number of chunks.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::Scope;

use super::stream::Work;
use crate::error::{Error, Result};

/// Bytes of content that are handed over at once.
const CHUNK: usize = 256 << 10;
/// Chunks that a thread may be ahead.
const AHEAD: usize = 4;
/// Neighbours in the tree that go to the same thread.
const HAND: usize = 32;
/// Two are enough to keep two cores busy beside the hashing, and more fight over the directories' locks.
const THREADS: usize = 2;

/// A file whose content comes next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    pub(super) size: u64,
    pub(super) executable: bool,
    /// Where in the chunk the content begins.
    offset: usize,
}

/// The content of one or more files, or of a part of one.
struct Chunk {
    /// [`CHUNK`] bytes, and one more to notice a file that grew.
    bytes: Vec<u8>,
    length: usize,
    starts: Vec<Start>,
}

impl Chunk {
    fn new(recycled: Option<Vec<u8>>) -> Self {
        let bytes = recycled.unwrap_or_else(|| vec![0; CHUNK + 1]);
        Self { bytes, length: 0, starts: Vec::new() }
    }
}

/// The receiving end: content in the order of the files.
pub(super) struct Pump {
    lanes: Vec<Lane>,
    /// How many files were begun.
    begun: usize,
}

struct Lane {
    chunks: Receiver<Result<Chunk>>,
    empty: Sender<Vec<u8>>,
    current: Option<Chunk>,
    position: usize,
    next_start: usize,
}

impl Pump {
    /// Begins to do `work` on the files, which are relative paths, on threads that end before `scope` does.
    pub(super) fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        files: &'env [&'env Path],
        work: &'env Work<'env>,
    ) -> Self {
        let threads = THREADS.min(files.len().div_ceil(HAND)).max(1);
        let lanes = (0..threads)
            .map(|thread| {
                let (filled, chunks) = sync_channel(AHEAD);
                let (empty, recycled) = channel();
                let hands = files.chunks(HAND).skip(thread).step_by(threads);
                scope.spawn(move || run(hands.flatten().copied(), work, &filled, &recycled));
                Lane { chunks, empty, current: None, position: 0, next_start: 0 }
            })
            .collect();
        Self { lanes, begun: 0 }
    }

    /// Goes on to the next file. All content of the one before has been taken.
    pub(super) fn next_file(&mut self) -> Result<Start> {
        let count = self.lanes.len();
        let lane = &mut self.lanes[self.begun / HAND % count];
        self.begun += 1;
        loop {
            if let Some(chunk) = &lane.current
                && let Some(start) = chunk.starts.get(lane.next_start)
            {
                lane.next_start += 1;
                lane.position = start.offset;
                return Ok(*start);
            }
            lane.advance()?;
        }
    }

    /// Gives a piece of the content of the current file, of which `remaining` bytes are still to come.
    pub(super) fn piece(&mut self, remaining: u64) -> Result<&[u8]> {
        let count = self.lanes.len();
        let lane = &mut self.lanes[(self.begun - 1) / HAND % count];
        while lane.current.as_ref().is_none_or(|chunk| lane.position == chunk.length) {
            lane.advance()?;
        }
        let chunk = lane.current.as_ref().expect("the loop above ended with a chunk");
        let end = usize::try_from(remaining)
            .map_or(chunk.length, |wanted| chunk.length.min(lane.position.saturating_add(wanted)));
        let piece = &chunk.bytes[lane.position..end];
        lane.position = end;
        Ok(piece)
    }
}

impl Lane {
    fn advance(&mut self) -> Result<()> {
        if let Some(used) = self.current.take() {
            // The thread may be done and not want it any more.
            let _ = self.empty.send(used.bytes);
        }
        // A thread sends all of its files or an error, so the channel closes too early only if it panicked.
        let chunk =
            self.chunks.recv().unwrap_or_else(|_| panic!("a thread that reads files has panicked"))?;
        self.current = Some(chunk);
        (self.position, self.next_start) = (0, 0);
        Ok(())
    }
}

/// What a thread does. It ends early when nobody listens any more.
fn run<'a>(
    files: impl Iterator<Item = &'a Path>,
    work: &Work<'_>,
    filled: &SyncSender<Result<Chunk>>,
    recycled: &Receiver<Vec<u8>>,
) {
    let mut chunk = Chunk::new(None);
    for file in files {
        match read(file, work, &mut chunk, filled, recycled) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                // What was read of the files before it comes first.
                let _ = filled.send(Ok(chunk));
                let _ = filled.send(Err(error));
                return;
            }
        }
    }
    let _ = filled.send(Ok(chunk));
}

/// Reads one file to the end of the chunk and of those that follow. Returns whether anybody listens.
fn read(
    path: &Path,
    work: &Work<'_>,
    chunk: &mut Chunk,
    filled: &SyncSender<Result<Chunk>>,
    recycled: &Receiver<Vec<u8>>,
) -> Result<bool> {
    let send = |chunk: &mut Chunk| {
        let full = std::mem::replace(chunk, Chunk::new(recycled.try_recv().ok()));
        filled.send(Ok(full)).is_ok()
    };
    let mut file = work.open(path)?;
    let mut remaining = file.size;
    if chunk.length > 0 && remaining > (CHUNK - chunk.length) as u64 && !send(chunk) {
        return Ok(false);
    }
    chunk.starts.push(Start { size: file.size, executable: file.executable, offset: chunk.length });
    loop {
        let room = CHUNK - chunk.length;
        if room == 0 {
            if !send(chunk) {
                return Ok(false);
            }
            continue;
        }
        let last = remaining <= room as u64;
        let wanted = usize::try_from(remaining).map_or(room, |remaining| remaining.min(room));
        if wanted == 0 {
            break;
        }
        let target = &mut chunk.bytes[chunk.length..chunk.length + wanted + usize::from(last)];
        let got = file.read(target)?;
        if got == 0 || got > wanted {
            return Err(Error::changed(work.shown(path)));
        }
        file.write(&chunk.bytes[chunk.length..chunk.length + got])?;
        chunk.length += got;
        remaining -= got as u64;
    }
    file.finish()?;
    Ok(true)
}
