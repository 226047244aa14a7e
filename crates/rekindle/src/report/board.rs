//! What runs now: one line for each running derivation, drawn again and again at the foot of a terminal.

use std::time::Duration;

use rekindle_engine::Event;
use rekindle_nix::StorePath;

use super::line::{fit, one_line, spoken, width};
use super::look::Look;

/// A derivation's name without hash and suffix.
pub(crate) fn label(drv: &StorePath) -> &str {
    drv.name().strip_suffix(".drv").unwrap_or(drv.name())
}

/// The derivations that run. Times are counted from any one moment.
#[derive(Debug, Default)]
pub(crate) struct Board {
    rows: Vec<Row>,
    total: usize,
    done: usize,
}

#[derive(Debug)]
struct Row {
    drv: StorePath,
    doing: String,
    since: Duration,
    /// The last thing that it printed, as it was printed: most of it is never shown.
    last: Vec<u8>,
}

impl Board {
    /// Takes note of an event.
    pub(crate) fn note(&mut self, event: &Event, now: Duration) {
        match event {
            Event::Planned { to_build, .. } => self.total = to_build.len(),
            Event::Waiting { drv } => self.row(drv, now).doing = "waiting".to_owned(),
            Event::Started { drv, fetch } => {
                let row = self.row(drv, now);
                row.doing = if *fetch { "fetch" } else { "start" }.to_owned();
                row.since = now;
            }
            Event::StepStarted { drv, phase } => {
                self.row(drv, now).doing = phase.as_deref().map_or_else(|| "build".to_owned(), printable);
            }
            Event::Output { drv, line } => {
                let row = self.row(drv, now);
                if line.iter().any(|byte| !byte.is_ascii_whitespace()) {
                    row.last.clone_from(line);
                }
            }
            Event::Restarted { drv, .. } => self.row(drv, now).last.clear(),
            Event::Finished { drv, .. } => {
                self.rows.retain(|row| row.drv != *drv);
                self.done += 1;
            }
            _ => {}
        }
    }

    /// The lines to draw: at most `rows`, each of at most `columns`.
    pub(crate) fn lines(&self, look: &Look, columns: usize, rows: usize, now: Duration) -> Vec<String> {
        let room = if self.rows.len() > rows { rows.saturating_sub(1) } else { rows };
        let mut lines: Vec<_> = self.rows.iter().take(room).map(|row| row.draw(look, columns, now)).collect();
        let mut rest = Vec::new();
        if self.rows.len() > room {
            rest.push(format!("and {} more", self.rows.len() - room));
        }
        if self.total > 1 && !self.rows.is_empty() {
            rest.push(format!("{} of {} done", self.done, self.total));
        }
        if !rest.is_empty() && lines.len() < rows {
            let text = format!("  {}", rest.join(", "));
            lines.push(look.dim(fit(&text, columns, look.ellipsis())));
        }
        lines
    }

    fn row(&mut self, drv: &StorePath, now: Duration) -> &mut Row {
        let place = self.rows.iter().position(|row| row.drv == *drv).unwrap_or_else(|| {
            self.rows.push(Row { drv: drv.clone(), doing: String::new(), since: now, last: Vec::new() });
            self.rows.len() - 1
        });
        &mut self.rows[place]
    }
}

impl Row {
    fn draw(&self, look: &Look, columns: usize, now: Duration) -> String {
        let elapsed = spoken(Duration::from_secs(now.saturating_sub(self.since).as_secs()));
        let elapsed = elapsed.replace(".0 s", " s");
        let last = one_line(&self.last);
        let mut line = String::new();
        let mut used = 0;
        for (place, text) in [label(&self.drv), &self.doing, &elapsed, &last].into_iter().enumerate() {
            if text.is_empty() {
                continue;
            }
            let gap = if used == 0 { "" } else { "  " };
            let Some(room) = columns.checked_sub(used + gap.len()) else { break };
            let shown = fit(text, room, look.ellipsis());
            used += gap.len() + width(&shown);
            line.push_str(gap);
            line.push_str(&match place {
                0 => look.bold(shown),
                1 => look.cyan(shown),
                2 => shown.into_owned(),
                _ => look.dim(shown),
            });
        }
        line
    }
}

fn printable(text: &str) -> String {
    one_line(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use rekindle_engine::BuildResult;

    use super::super::line::width;
    use super::*;

    fn drv(name: &str) -> StorePath {
        StorePath::new(&[7; 20], &format!("{name}.drv").parse().expect("a name"))
    }

    fn board(events: &[Event]) -> Board {
        let mut board = Board::default();
        for event in events {
            board.note(event, Duration::from_secs(5));
        }
        board
    }

    fn running() -> Vec<Event> {
        let (hello, zlib) = (drv("hello-2.10"), drv("zlib-1.3"));
        vec![
            Event::Planned { to_build: vec![hello.clone(), zlib.clone()], valid: 3 },
            Event::Started { drv: hello.clone(), fetch: false },
            Event::StepStarted { drv: hello.clone(), phase: Some("buildPhase".into()) },
            Event::Output { drv: hello.clone(), line: b"\x1b[32mgcc\x1b[0m -c hello.c\tdone".to_vec() },
            Event::Output { drv: hello, line: b"  ".to_vec() },
            Event::Started { drv: zlib, fetch: true },
        ]
    }

    #[test]
    fn each_running_derivation_has_a_line() {
        let lines = board(&running()).lines(&Look::PLAIN, 80, 24, Duration::from_secs(17));
        assert_eq!(
            lines,
            ["hello-2.10  buildPhase  12 s  gcc -c hello.c  done", "zlib-1.3  fetch  12 s", "  0 of 2 done"]
        );
    }

    #[test]
    fn lines_fit_the_terminal() {
        let board = board(&running());
        let look = Look { color: false, unicode: true };
        let now = Duration::from_secs(6);
        assert_eq!(board.lines(&look, 34, 1, now), ["  and 2 more, 0 of 2 done"]);
        assert_eq!(board.lines(&look, 34, 2, now)[0], "hello-2.10  buildPhase  1 s  gcc …");
        for columns in 0..60 {
            for rows in 0..5 {
                let lines = board.lines(&look, columns, rows, now);
                assert!(lines.len() <= rows && lines.iter().all(|line| width(line) <= columns), "{lines:?}");
            }
        }
    }

    #[test]
    fn what_ended_is_gone() {
        let mut events = running();
        let wall = Duration::from_secs(1);
        for name in ["hello-2.10", "zlib-1.3"] {
            events.push(Event::Finished { drv: drv(name), result: BuildResult::Built, wall });
        }
        assert!(board(&events).lines(&Look::PLAIN, 80, 24, Duration::ZERO).is_empty());
    }
}
