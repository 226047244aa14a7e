//! What the program says when it cannot go on, and with which exit code it ends.
//!
//! A build that fails is no such error: it is a result, reported as it happens.

use std::error::Error as StdError;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::report::Look;

/// Who can mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// The user, by other input.
    User,
    /// Whoever keeps the machine.
    Environment,
    /// The user stopped it.
    Interrupted,
    /// Nobody reads standard output any more: no reason to say anything.
    Unread,
}

/// The end of a command that did not do what it was asked to.
#[derive(Debug)]
pub(crate) struct CliError(Box<Repr>);

#[derive(Debug)]
struct Repr {
    class: Class,
    message: String,
    hints: Vec<String>,
}

impl CliError {
    /// A mistake in what the user gave: one clause that names the file, path or argument.
    pub(crate) fn user(message: impl Into<String>) -> CliError {
        CliError::new(Class::User, message)
    }

    /// Something about the machine.
    pub(crate) fn environment(message: impl Into<String>) -> CliError {
        CliError::new(Class::Environment, message)
    }

    /// The user pressed Ctrl-C, or the like.
    pub(crate) fn interrupted() -> CliError {
        CliError::new(Class::Interrupted, "interrupted")
    }

    /// An input or output error; `verb` is as in `cannot read`.
    pub(crate) fn io(verb: &str, path: &Path, error: &io::Error) -> CliError {
        let class = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                Class::User
            }
            _ => Class::Environment,
        };
        CliError::new(class, format!("cannot {verb} {}: {error}", path.display()))
    }

    /// Standard output could not be written.
    pub(crate) fn stdout(error: &io::Error) -> CliError {
        let class =
            if error.kind() == io::ErrorKind::BrokenPipe { Class::Unread } else { Class::Environment };
        CliError::new(class, format!("cannot write to standard output: {error}"))
    }

    /// Adds a line that says what to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> CliError {
        self.0.hints.push(hint.into());
        self
    }

    /// What went wrong, without what to do.
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// The text for standard error.
    pub(crate) fn render(&self, look: &Look) -> String {
        if self.0.class == Class::Unread {
            return String::new();
        }
        let mut text = format!("{} {}\n", look.red("error:"), self.0.message);
        for hint in &self.0.hints {
            text.push_str(&format!("{} {hint}\n", look.bold("hint:")));
        }
        text
    }

    /// The exit code: 1, as Nix has it for all that is not a failed build, or the shell's code for an interrupt.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.0.class {
            Class::User | Class::Environment => ExitCode::FAILURE,
            Class::Interrupted => ExitCode::from(crate::commands::INTERRUPTED),
            Class::Unread => ExitCode::SUCCESS,
        }
    }

    fn new(class: Class, message: impl Into<String>) -> CliError {
        CliError(Box::new(Repr { class, message: message.into(), hints: Vec::new() }))
    }
}

/// An error and all that caused it, in one line.
pub(crate) fn one_line(error: &dyn StdError) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        // Some errors of other crates say again what caused them.
        if !line.ends_with(&cause) {
            line.push_str(": ");
            line.push_str(&cause);
        }
        source = error.source();
    }
    line
}

impl From<rekindle_units::Error> for CliError {
    fn from(error: rekindle_units::Error) -> CliError {
        CliError::user(one_line(&error))
    }
}

impl From<rekindle_engine::Error> for CliError {
    fn from(error: rekindle_engine::Error) -> CliError {
        match error.kind() {
            rekindle_engine::ErrorKind::Usage => CliError::user(one_line(&error)),
            rekindle_engine::ErrorKind::Environment => CliError::environment(one_line(&error)),
        }
    }
}

impl From<rekindle_store::Error> for CliError {
    fn from(error: rekindle_store::Error) -> CliError {
        use rekindle_store::ErrorKind;
        let message = one_line(&error);
        match error.kind() {
            ErrorKind::NotValid | ErrorKind::NoStore | ErrorKind::Malformed => CliError::user(message),
            ErrorKind::NoSpace => CliError::environment(message).hint(
                "free some space, for instance with `rekindle store gc`, or use another disk with --store",
            ),
            _ => CliError::environment(message),
        }
    }
}

impl From<rekindle_sandbox::Error> for CliError {
    fn from(error: rekindle_sandbox::Error) -> CliError {
        CliError::environment(one_line(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_and_its_hints() {
        let error = CliError::user("no such thing: ./x").hint("make it");
        assert_eq!(error.render(&Look::PLAIN), "error: no such thing: ./x\nhint: make it\n");
    }

    #[test]
    fn a_reader_that_went_away_is_told_nothing() {
        let error = CliError::stdout(&io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(error.render(&Look::PLAIN), "");
        assert!(
            !CliError::stdout(&io::Error::from(io::ErrorKind::StorageFull)).render(&Look::PLAIN).is_empty()
        );
    }

    #[test]
    fn causes_are_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Outer(String, #[source] io::Error);
        let cause = || io::Error::other("disk on fire");
        assert_eq!(one_line(&Outer("cannot read a".into(), cause())), "cannot read a: disk on fire");
        assert_eq!(
            one_line(&Outer("cannot read a: disk on fire".into(), cause())),
            "cannot read a: disk on fire"
        );
    }
}
