//! Standard error during a build: lines that stay, and below them, on a terminal, the board of what runs.
//!
//! Events come from the threads of the engine. A mutex puts them in a row; a thread of its own draws the board again
//! twice a second so that the elapsed times go on, and nobody draws it more often than ten times a second. What is
//! written is one `write` for each change, so that it cannot tear.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rekindle_engine::{BuildResult, Event};
use rekindle_nix::StorePath;

use super::board::Board;
use super::history::History;
use super::transcript::Transcript;

/// The least time between two drawings.
const PACE: Duration = Duration::from_millis(100);
/// The most time between two drawings while something runs.
const TICK: Duration = Duration::from_millis(500);

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// Warnings and failures.
    Quiet,
    /// What happens.
    Normal,
    /// Also what each step took.
    Verbose,
}

/// The owner of standard error while a build runs.
#[derive(Debug)]
pub(crate) struct Console {
    shared: Arc<Shared>,
    ticker: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    over: Condvar,
}

struct State {
    transcript: Transcript,
    board: Option<Board>,
    history: History,
    output: Box<dyn Write + Send>,
    size: fn() -> (usize, usize),
    began: Instant,
    /// How many lines of the board are on the screen.
    drawn: usize,
    last_drawing: Option<Instant>,
    over: bool,
}

impl Console {
    /// Takes over standard error.
    pub(crate) fn new(transcript: Transcript) -> Console {
        Console::with_output(transcript, Box::new(io::stderr()), terminal_size)
    }

    fn with_output(
        transcript: Transcript,
        output: Box<dyn Write + Send>,
        size: fn() -> (usize, usize),
    ) -> Console {
        let board = transcript.board.then(Board::default);
        let ticks = board.is_some();
        let state = State {
            transcript,
            board,
            history: History::default(),
            output,
            size,
            began: Instant::now(),
            drawn: 0,
            last_drawing: None,
            over: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), over: Condvar::new() });
        // Without the thread the board is only drawn when something happens.
        let ticker = ticks.then(|| {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name("progress".to_owned()).spawn(move || shared.tick()).ok()
        });
        Console { shared, ticker: ticker.flatten() }
    }

    /// Shows an event.
    pub(crate) fn event(&self, event: &Event) {
        let mut state = self.shared.lock();
        let now = state.began.elapsed();
        state.history.note(event);
        if let Some(board) = &mut state.board {
            board.note(event, now);
        }
        let lines = state.transcript.lines(event, &state.history);
        state.show(&lines);
    }

    /// Shows a warning that is not the engine's.
    pub(crate) fn warn(&self, message: &str) {
        self.event(&Event::Warning { message: message.to_owned() });
    }

    /// Takes the board off the screen, and gives back what happened. `results` are the engine's last words.
    pub(crate) fn close(mut self, results: &[(StorePath, BuildResult)]) -> (History, Transcript) {
        self.stop();
        let mut state = self.shared.lock();
        for (drv, result) in results {
            state.history.conclude(drv, result);
        }
        (std::mem::take(&mut state.history), state.transcript.clone())
    }

    fn stop(&mut self) {
        {
            let mut state = self.shared.lock();
            state.over = true;
            state.board = None;
            state.show(&[]);
        }
        self.shared.over.notify_all();
        if let Some(ticker) = self.ticker.take() {
            // It cannot have panicked but in a drawing, which is not worth more.
            let _ = ticker.join();
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self) {
        let mut state = self.lock();
        while !state.over {
            state.show(&[]);
            let waited = self.over.wait_timeout(state, TICK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl State {
    /// Writes lines that stay, and draws the board below them if it is time.
    fn show(&mut self, lines: &[String]) {
        let due = self.last_drawing.is_none_or(|last| last.elapsed() >= PACE);
        if lines.is_empty() && !due && self.board.is_some() {
            return;
        }
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A\r\x1b[J", self.drawn));
        }
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.drawn = 0;
        if let Some(board) = &self.board {
            let (columns, rows) = (self.size)();
            // The last column stays free: some terminals begin a new line when it is used.
            let (columns, rows) = (columns.saturating_sub(1), rows.saturating_sub(1));
            for line in board.lines(&self.transcript.look, columns, rows, self.began.elapsed()) {
                text.push_str(&line);
                text.push('\n');
                self.drawn += 1;
            }
            self.last_drawing = Some(Instant::now());
        }
        if !text.is_empty() {
            // Nobody can be told that nobody can be told.
            let _ = self.output.write_all(text.as_bytes()).and_then(|()| self.output.flush());
        }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("drawn", &self.drawn).field("over", &self.over).finish_non_exhaustive()
    }
}

/// Columns and rows of the terminal behind standard error.
fn terminal_size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (80, 24),
    }
}

#[cfg(test)]
mod tests;
