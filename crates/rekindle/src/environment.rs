//! What the process was given beside its arguments: environment variables, and what its streams are.
//!
//! Read once, at the start. The rest of the program gets values.
#![expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]

use std::env;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;

use crate::report::Look;

/// The variables that Rekindle looks at, apart from `REKINDLE_STORE`, which counts as an argument.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    /// `HOME`.
    pub(crate) home: Option<PathBuf>,
    /// `XDG_DATA_HOME`, if it is absolute, as the specification demands.
    pub(crate) data_home: Option<PathBuf>,
    /// `XDG_CACHE_HOME`, likewise.
    pub(crate) cache_home: Option<PathBuf>,
    /// `CARGO_HOME`.
    pub(crate) cargo_home: Option<PathBuf>,
    /// `PATH`.
    pub(crate) path: OsString,
    /// Whether texts may have characters beyond ASCII, by `LC_ALL`, `LC_CTYPE` or `LANG`.
    pub(crate) utf8: bool,
    /// Whether a terminal can do more than print lines, by `TERM`.
    pub(crate) capable_terminal: bool,
    /// What `NO_COLOR`, `CLICOLOR` and `CLICOLOR_FORCE` say; `None` if nothing.
    pub(crate) color: Option<bool>,
}

/// The rule that audits are to forget: only for the tests of this program itself, and so only in a program made for tests.
#[cfg(debug_assertions)]
pub(crate) fn audit_without() -> Option<String> {
    env::var("REKINDLE_AUDIT_WITHOUT").ok().filter(|name| !name.is_empty())
}

impl Environment {
    /// Reads the environment of this process.
    pub(crate) fn of_process() -> Environment {
        Environment::read(&|name| env::var_os(name).filter(|value| !value.is_empty()))
    }

    fn read(var: &dyn Fn(&str) -> Option<OsString>) -> Environment {
        let absolute = |name| var(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(var).unwrap_or_default();
        let locale = locale.to_string_lossy().to_ascii_lowercase();
        let color = if var("NO_COLOR").is_some() {
            Some(false)
        } else if var("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
            Some(true)
        } else {
            var("CLICOLOR").filter(|value| value == "0").map(|_| false)
        };
        Environment {
            home: var("HOME").map(PathBuf::from),
            data_home: absolute("XDG_DATA_HOME"),
            cache_home: absolute("XDG_CACHE_HOME"),
            cargo_home: var("CARGO_HOME").map(PathBuf::from),
            path: var("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()),
            utf8: locale.contains("utf-8") || locale.contains("utf8"),
            capable_terminal: var("TERM").is_some_and(|term| term != "dumb"),
            color,
        }
    }

    /// Where a program of this name is found by `PATH`.
    pub(crate) fn find_program(&self, name: &str) -> Option<PathBuf> {
        env::split_paths(&self.path)
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join(name))
            .find(|path| path.is_file())
    }

    /// Where cargo keeps its downloads and its configuration.
    pub(crate) fn cargo_home(&self) -> Option<PathBuf> {
        self.cargo_home.clone().or_else(|| Some(self.home.as_ref()?.join(".cargo")))
    }

    /// How texts on standard error look.
    pub(crate) fn look_of_stderr(&self) -> Look {
        self.look(std::io::stderr().is_terminal())
    }

    /// How texts on standard output look.
    pub(crate) fn look_of_stdout(&self) -> Look {
        self.look(std::io::stdout().is_terminal())
    }

    /// Whether standard error is a terminal on which lines can be drawn again.
    pub(crate) fn can_redraw(&self) -> bool {
        self.capable_terminal && std::io::stderr().is_terminal()
    }

    fn look(&self, terminal: bool) -> Look {
        let color = self.color.unwrap_or(terminal && self.capable_terminal);
        Look { color, unicode: self.utf8 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Environment {
        Environment::read(&|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into())
        })
    }

    #[test]
    fn color_is_what_the_variables_say() {
        assert_eq!(read(&[]).color, None);
        assert_eq!(read(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]).color, Some(false));
        assert_eq!(read(&[("CLICOLOR_FORCE", "1")]).color, Some(true));
        assert_eq!(read(&[("CLICOLOR_FORCE", "0")]).color, None);
        assert_eq!(read(&[("CLICOLOR", "0")]).color, Some(false));
        assert_eq!(read(&[("CLICOLOR", "1")]).color, None);
    }

    #[test]
    fn a_dumb_terminal_has_no_color() {
        assert!(read(&[("TERM", "xterm")]).look(true).color);
        assert!(!read(&[("TERM", "dumb")]).look(true).color);
        assert!(!read(&[]).look(true).color);
        assert!(!read(&[("TERM", "xterm")]).look(false).color);
    }

    #[test]
    fn the_first_locale_variable_decides() {
        assert!(read(&[("LANG", "de_DE.UTF-8")]).utf8);
        assert!(!read(&[("LANG", "de_DE.UTF-8"), ("LC_ALL", "C")]).utf8);
        assert!(!read(&[]).utf8);
    }

    #[test]
    fn a_relative_directory_is_ignored() {
        assert_eq!(read(&[("XDG_DATA_HOME", "here")]).data_home, None);
        assert_eq!(read(&[("XDG_DATA_HOME", "/there")]).data_home, Some("/there".into()));
    }

    #[test]
    fn cargo_home_is_below_home_unless_told_otherwise() {
        assert_eq!(read(&[("HOME", "/h")]).cargo_home(), Some("/h/.cargo".into()));
        assert_eq!(read(&[("HOME", "/h"), ("CARGO_HOME", "/c")]).cargo_home(), Some("/c".into()));
        assert_eq!(read(&[]).cargo_home(), None);
    }
}
