//! What a builder prints: into the log, to whoever watches, and the last lines for the report of a failure.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::PathBuf;

use rekindle_store::LogWriter;

use crate::error::Error;

/// How many lines the report of a failure shows.
const TAIL_LINES: usize = 25;

/// A longer line is cut for the tail and for watchers; the log has it whole.
const LINE_LIMIT: usize = 16 << 10;

/// Takes the bytes as they come.
pub(crate) struct Transcript<'a> {
    log: Option<LogWriter>,
    log_error: Option<io::Error>,
    watch: Box<dyn FnMut(Vec<u8>) + 'a>,
    line: Vec<u8>,
    tail: VecDeque<Vec<u8>>,
}

impl<'a> Transcript<'a> {
    /// Gives each line to `watch`.
    pub(crate) fn new(log: LogWriter, watch: impl FnMut(Vec<u8>) + 'a) -> Self {
        Transcript {
            log: Some(log),
            log_error: None,
            watch: Box::new(watch),
            line: Vec::new(),
            tail: VecDeque::new(),
        }
    }

    /// Takes some output. An error of the log is kept for [`Transcript::finish`]: it must not stop the pipe.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if let Some(log) = &mut self.log
            && let Err(error) = log.write_all(bytes)
        {
            self.log_error = Some(error);
            self.log = None;
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let room = LINE_LIMIT.saturating_sub(self.line.len());
            self.line.extend(&text[..text.len().min(room)]);
            if ends {
                self.end_line();
            }
        }
    }

    /// Closes the log. Returns where it is, and the last lines.
    pub(crate) fn finish(mut self) -> Result<(PathBuf, Vec<Vec<u8>>), Error> {
        if !self.line.is_empty() {
            self.end_line();
        }
        match (self.log, self.log_error) {
            (Some(log), _) => Ok((log.finish()?, self.tail.into())),
            (None, Some(error)) => Err(Error::environment("cannot write the build log").caused_by(error)),
            (None, None) => unreachable!("a log is only given up for an error"),
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line.clone());
        (self.watch)(line);
    }
}
