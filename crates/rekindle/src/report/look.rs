//! How texts look: with color or without, beyond ASCII or not.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};

/// What the stream that a text goes to can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// Whether it shows colors.
    pub(crate) color: bool,
    /// Whether it shows characters beyond ASCII.
    pub(crate) unicode: bool,
}

impl Look {
    /// For files and pipes.
    #[cfg(test)]
    pub(crate) const PLAIN: Look = Look { color: false, unicode: false };

    pub(crate) fn bold(&self, text: impl Display) -> String {
        self.styled(Style::new().bold(), text)
    }

    pub(crate) fn dim(&self, text: impl Display) -> String {
        self.styled(Style::new().dimmed(), text)
    }

    pub(crate) fn red(&self, text: impl Display) -> String {
        self.styled(Style::new().bold().fg_color(Some(AnsiColor::Red.into())), text)
    }

    pub(crate) fn yellow(&self, text: impl Display) -> String {
        self.styled(Style::new().bold().fg_color(Some(AnsiColor::Yellow.into())), text)
    }

    pub(crate) fn green(&self, text: impl Display) -> String {
        self.styled(Style::new().fg_color(Some(AnsiColor::Green.into())), text)
    }

    pub(crate) fn cyan(&self, text: impl Display) -> String {
        self.styled(Style::new().fg_color(Some(AnsiColor::Cyan.into())), text)
    }

    /// A sign for what is well.
    pub(crate) fn good(&self) -> String {
        self.green(if self.unicode { "✓" } else { "ok " })
    }

    /// A sign for what is not.
    pub(crate) fn bad(&self) -> String {
        self.red(if self.unicode { "✗" } else { "BAD" })
    }

    /// A sign for what is missing, and may be.
    pub(crate) fn lacking(&self) -> String {
        self.yellow(if self.unicode { "!" } else { "no " })
    }

    /// What stands for a text that was cut off.
    pub(crate) fn ellipsis(&self) -> &'static str {
        if self.unicode { "…" } else { "..." }
    }

    /// An arrow from a link to its target.
    pub(crate) fn arrow(&self) -> &'static str {
        if self.unicode { "→" } else { "->" }
    }

    fn styled(&self, style: Style, text: impl Display) -> String {
        if self.color { format!("{style}{text}{style:#}") } else { text.to_string() }
    }
}
