//! The state that a phase leaves in its shell, and how the next phase's shell takes it over.
//!
//! `driver.sh` dumps it with bash's own `declare -p`, `declare -f`, `shopt -p`, `set +o` and `trap -p`, so this
//! module need not know bash's quoting: it drops the lines that no shell may load (bash's own variables, which are
//! read-only or belong to one process) and puts the rest together again. `declare -p` writes one line for each
//! variable; a line break in a value is written as `$'\n'`.
//!
//! The state is hostile input like all else that a builder leaves. Whatever it holds is only ever given to the
//! same builder, inside the sandbox.

use std::fs;
use std::io;
use std::path::Path;

/// Where the driver finds and leaves the state, inside the sandbox.
pub(crate) const STATE_DIR: &str = "/.rekindle/state";

/// No dump may be larger: 64 MiB, a thousand times what stdenv leaves.
const LIMIT: u64 = 64 << 20;

/// Variables that bash sets by itself, or that belong to one process.
const OF_THE_SHELL: &[&[u8]] = &[
    b"COLUMNS",
    b"DIRSTACK",
    b"EUID",
    b"FUNCNAME",
    b"GROUPS",
    b"HISTCMD",
    b"LINENO",
    b"LINES",
    b"PIPESTATUS",
    b"PPID",
    b"PWD",
    b"RANDOM",
    b"SECONDS",
    b"SHELLOPTS",
    b"SHLVL",
    b"SRANDOM",
    b"UID",
    b"_",
];
const PREFIXES_OF_THE_SHELL: &[&[u8]] = &[b"BASH", b"COMP_", b"EPOCH", b"__rekindle"];

/// What the first line of a state begins with: a comment for bash. The names of phases follow.
const OFF: &[u8] = b"# off:";
/// What the names of variables that switch phases on and off begin with: `doCheck`, `dontFixup`.
const SWITCH: &[u8] = b"do";

/// What the next phase's shell has to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShellState {
    /// A bash script that brings the state back. Its first line may tell which phases are off, as things stand.
    pub(crate) script: Vec<u8>,
}

/// What a phase left behind in the state directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Dump {
    /// The state, and whether processes of the phase were still alive when it ended.
    Complete { state: ShellState, survivors: bool },
    /// All that comes after is off, and the shell ended as that of the whole build would.
    Ended,
    /// The driver did not get to the end: the phase left its shell by itself.
    Missing,
}

impl ShellState {
    /// Reads what the driver left in `dir`, a directory on the host.
    pub(crate) fn read(dir: &Path) -> io::Result<Dump> {
        if dir.join("ended").exists() {
            return Ok(Dump::Ended);
        }
        let dump = dir.join("dump");
        if !dump.exists() {
            return Ok(Dump::Missing);
        }
        let dump = read_bounded(&dump)?;
        let Some(parts) = Parts::of(&dump) else { return Ok(Dump::Missing) };
        let mut script = OFF.to_vec();
        // Whatever it holds, it has to stay within the comment.
        for name in parts.off.split(|byte| *byte == b'\n') {
            if !name.is_empty() && name.iter().all(u8::is_ascii_alphanumeric) {
                script.push(b' ');
                script.extend(name);
            }
        }
        script.extend(b"\nset +e\n");
        script.extend(parts.shopts);
        for line in parts.variables.split_inclusive(|byte| *byte == b'\n') {
            if is_loadable(line) {
                script.extend(line);
            }
        }
        script.extend(parts.functions);
        script.extend(b"cd -- ");
        script.extend(single_quoted(parts.cwd.strip_suffix(b"\n").unwrap_or(parts.cwd)));
        script.extend(b" || exit 1\numask ");
        script.extend(parts.umask);
        script.extend(parts.traps);
        // Last, because `set -e` and `set -u` may be among them.
        script.extend(parts.options);
        let survivors = !parts.survivors.is_empty();
        Ok(Dump::Complete { state: ShellState { script }, survivors })
    }

    /// Puts the state where the driver looks for it.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        fs::write(dir.join("load"), &self.script)
    }

    /// Whether a phase is off, even where the attributes called `revealed` become visible with it.
    pub(crate) fn is_off(&self, phase: &str, revealed: &[Vec<u8>]) -> bool {
        let line = self.script.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let names = line.strip_prefix(OFF).unwrap_or_default();
        names.split(|byte| *byte == b' ').skip(1).any(|name| name == phase.as_bytes())
            && !revealed.iter().any(|name| is_switch(name))
    }

    /// Adds an exported variable, whatever the state has of that name.
    pub(crate) fn reveal(&mut self, name: &[u8], value: &[u8]) {
        if name.starts_with(SWITCH) && self.script.starts_with(OFF) {
            // What was off may be on with it.
            let end =
                self.script.iter().position(|byte| *byte == b'\n').map_or(self.script.len(), |end| end + 1);
            self.script.drain(..end);
        }
        self.script.extend(b"declare -x ");
        self.script.extend(name);
        self.script.push(b'=');
        self.script.extend(single_quoted(value));
        self.script.push(b'\n');
    }

    /// The state with every occurrence of `from` replaced by `to`, which is as long.
    pub(crate) fn substitute(&mut self, from: &[u8], to: &[u8]) {
        crate::scratch::replace_all(&mut self.script, from, to);
    }
}

/// The parts of a dump.
struct Parts<'a> {
    options: &'a [u8],
    off: &'a [u8],
    traps: &'a [u8],
    cwd: &'a [u8],
    umask: &'a [u8],
    survivors: &'a [u8],
    shopts: &'a [u8],
    variables: &'a [u8],
    functions: &'a [u8],
}

impl<'a> Parts<'a> {
    /// `None` if it does not go on to its end.
    fn of(dump: &'a [u8]) -> Option<Parts<'a>> {
        // Functions are last, and may hold anything, the line at the end as well.
        let mut rest = dump.strip_suffix(b"#@ complete\n")?;
        let mut until = |mark: &str| {
            let mark = format!("#@ {mark}\n");
            let starts_line = |at: &usize| *at == 0 || rest[at - 1] == b'\n';
            let at = memchr::memmem::find_iter(rest, mark.as_bytes()).find(starts_line)?;
            let (part, behind) = (&rest[..at], &rest[at + mark.len()..]);
            rest = behind;
            Some(part)
        };
        Some(Parts {
            options: until("off")?,
            off: until("traps")?,
            traps: until("cwd")?,
            cwd: until("umask")?,
            umask: until("survivors")?,
            survivors: until("shopts")?,
            shopts: until("variables")?,
            variables: until("functions")?,
            functions: rest,
        })
    }
}

/// Whether a variable may switch a phase on or off.
pub(crate) fn is_switch(name: &[u8]) -> bool {
    name.starts_with(SWITCH)
}

/// Tells the driver what comes after the phase, so that it can tell whether anything does.
pub(crate) fn write_rest(dir: &Path, rest: &[String]) -> io::Result<()> {
    fs::write(dir.join("rest"), rest.iter().flat_map(|phase| [phase.as_str(), "\n"]).collect::<String>())
}

/// The phases that the set-up step found, or `None` where `$stdenv/setup` does not say.
pub(crate) fn read_phases(dir: &Path) -> io::Result<Option<Vec<String>>> {
    let path = dir.join("phases");
    if !path.exists() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&read_bounded(&path)?).into_owned();
    Ok(Some(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()))
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    if fs::symlink_metadata(path)?.is_file() && fs::metadata(path)?.len() <= LIMIT {
        return fs::read(path);
    }
    let reason = format!("the shell state {} is not a file of at most 64 MiB", path.display());
    Err(io::Error::new(io::ErrorKind::InvalidData, reason))
}

/// Whether a line of `declare -p` is one that another shell may load.
fn is_loadable(line: &[u8]) -> bool {
    let mut words = line.splitn(3, |byte| *byte == b' ');
    if words.next() != Some(b"declare") || words.next().is_none() {
        return false;
    }
    let Some(assignment) = words.next() else { return false };
    let end = assignment.iter().position(|byte| matches!(byte, b'=' | b'\n')).unwrap_or(assignment.len());
    let name = &assignment[..end];
    !OF_THE_SHELL.contains(&name) && !PREFIXES_OF_THE_SHELL.iter().any(|prefix| name.starts_with(prefix))
}

/// A word for bash, whatever bytes it has.
pub(crate) fn single_quoted(bytes: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for &byte in bytes {
        match byte {
            b'\'' => quoted.extend(br"'\''"),
            other => quoted.push(other),
        }
    }
    quoted.push(b'\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_variables_of_the_build_are_loaded() {
        let check = |line: &str, expected: bool| assert_eq!(is_loadable(line.as_bytes()), expected, "{line}");
        check("declare -x foo=\"bar\"\n", true);
        check("declare -a flagsArray=([0]=\"a b\")\n", true);
        check("declare -x exported_without_value\n", true);
        check("declare -ir PPID=\"12\"\n", false);
        check("declare -r BASHOPTS=\"x\"\n", false);
        check("declare -- __rekindle_phase=\"x\"\n", false);
        check("declare -- _=\"x\"\n", false);
        check("rm -rf /\n", false);
        check("", false);
    }

    #[test]
    fn a_directory_with_a_quote_is_quoted() {
        assert_eq!(single_quoted(b"/build/it's"), br"'/build/it'\''s'");
    }

    #[test]
    fn a_phase_that_left_its_shell_has_no_state() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(ShellState::read(dir.path()).expect("readable"), Dump::Missing);
        assert_eq!(read_phases(dir.path()).expect("readable"), None);
    }

    #[test]
    fn a_phase_is_off_until_a_switch_is_revealed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let dump = "#@ off\ncheckPhase\n; rm -rf /\ndistPhase\n#@ traps\n#@ cwd\n/build\n#@ umask\n0022\n#@ survivors\n\
                    #@ shopts\n#@ variables\n#@ functions\nf () \n{ \n    cat <<E\n#@ variables\nE\n\n}\n#@ complete\n";
        fs::write(dir.path().join("dump"), &dump[..dump.len() - 1]).expect("written");
        assert_eq!(ShellState::read(dir.path()).expect("readable"), Dump::Missing, "it is not whole");
        fs::write(dir.path().join("dump"), dump).expect("written");
        let Dump::Complete { mut state, .. } = ShellState::read(dir.path()).expect("readable") else {
            panic!("it is complete")
        };
        let script = "# off: checkPhase distPhase\nset +e\nf () \n{ \n    cat <<E\n#@ variables\nE\n\n}\n\
                      cd -- '/build' || exit 1\numask 0022\n";
        assert_eq!(String::from_utf8_lossy(&state.script), script);
        let is_off = |state: &ShellState| {
            ["checkPhase", "distPhase", "Phase", ""].map(|phase| state.is_off(phase, &[]))
        };
        assert_eq!(is_off(&state), [true, true, false, false]);
        assert!(!state.is_off("checkPhase", &[b"doCheck".to_vec()]));
        state.reveal(b"installFlags", b"x");
        assert_eq!(is_off(&state), [true, true, false, false]);
        state.reveal(b"doInstallCheck", b"1");
        assert_eq!(is_off(&state), [false; 4]);
        assert!(state.script.starts_with(b"set +e\n"));
    }

    #[test]
    fn a_state_that_is_a_link_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("dump")).expect("linked");
        assert!(ShellState::read(dir.path()).is_err());
    }
}
