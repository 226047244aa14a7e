//! A place of its own for each test: a store and a home in a temporary directory, and the program that uses them.

use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// The ordinary user that tests become when root runs them.
const ORDINARY: &str = "65534";

/// A store, a home, and room for projects. Gone when dropped.
pub(crate) struct Place {
    dir: tempfile::TempDir,
    store: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Place {
        let dir = tempfile::Builder::new().prefix("rekindle-test-").tempdir().expect("a temporary directory");
        // An ordinary user may have to get here.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("our own directory");
        let store = dir.path().join("store");
        Place { dir, store }
    }

    /// The root of the store: `--store`.
    pub(crate) fn store(&self) -> &Path {
        &self.store
    }

    /// A directory for whatever the test needs, below which the store and the home are too.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file of a project, with the directories that lead to it. Returns the project's directory.
    pub(crate) fn write(&self, project: &str, file: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let root = self.dir.path().join(project);
        let path = root.join(file);
        fs::create_dir_all(path.parent().expect("a file has a directory")).expect("our own directory");
        fs::write(path, text).expect("our own file");
        root
    }

    /// The program, with this place's store and home.
    pub(crate) fn rekindle<S: AsRef<OsStr>>(&self, args: &[S]) -> Invocation {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
        self.prepare(&mut command, args);
        Invocation { command }
    }

    /// The same as an ordinary user, if this is root.
    pub(crate) fn rekindle_as_user<S: AsRef<OsStr>>(&self, args: &[S]) -> Invocation {
        if !rustix::process::geteuid().is_root() {
            return self.rekindle(args);
        }
        // The target directory may lie in a home that only its owner may enter.
        let program = self.dir.path().join("rekindle");
        if !program.exists() {
            fs::copy(env!("CARGO_BIN_EXE_rekindle"), &program).expect("a copy of the program");
        }
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", ORDINARY, "--regid", ORDINARY, "--clear-groups", "--inh-caps=-all"])
            .arg(program);
        self.prepare(&mut command, args);
        // What is root's is out of reach. This user's own is in the home.
        command.env_remove("CARGO_HOME").env_remove("RUSTUP_HOME");
        Invocation { command }
    }

    fn prepare<S: AsRef<OsStr>>(&self, command: &mut Command, args: &[S]) {
        command
            .arg("--store")
            .arg(&self.store)
            .args(args)
            .env_remove("REKINDLE_STORE")
            .env_remove("NO_COLOR")
            .env("HOME", self.dir.path())
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        // The user's own cargo: its configuration says where crates come from.
        command
            .env("CARGO_HOME", self.cargo_home())
            .env("RUSTUP_HOME", own_directory("RUSTUP_HOME", ".rustup"));
    }

    /// The home of the cargo of whoever runs the tests.
    pub(crate) fn cargo_home(&self) -> PathBuf {
        own_directory("CARGO_HOME", ".cargo")
    }

    /// Builds to a good end, without a result link. Returns the output paths.
    pub(crate) fn build(&self, source: &Path, args: &[&str]) -> Vec<String> {
        let finished =
            self.rekindle(&["build", "--no-link", "--print-out-paths"]).args(args).arg(source).run();
        assert!(finished.success(), "{}{}", finished.stdout(), finished.stderr());
        finished.stdout().lines().map(str::to_owned).collect()
    }

    /// Where a path of the store lies on the disk.
    pub(crate) fn physical(&self, path: &str) -> PathBuf {
        self.store.join(path.trim_start_matches('/'))
    }

    /// What a build should not have left: drafts, staging areas, locks.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        let names = |dir: PathBuf| {
            fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect::<Vec<_>>()
        };
        found.extend(names(self.store.join("rekindle-1/layers/tmp")));
        for path in names(self.store.join("nix/store")) {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if name.ends_with(".lock") || name.starts_with("tmp-") || name.starts_with(".tmp") {
                found.push(path);
            }
        }
        found.iter().map(|path| path.display().to_string()).collect()
    }

    /// The processes that have this place in their command line, working directory, root or open files.
    pub(crate) fn processes(&self) -> Vec<String> {
        // Not the whole path: to a mount, one on a file system of its own begins there.
        let needle = self.dir.path().file_name().and_then(|name| name.to_str()).expect("a plain name");
        let mut found = Vec::new();
        for process in fs::read_dir("/proc").expect("/proc").flatten() {
            let dir = process.path();
            let name = process.file_name().to_string_lossy().into_owned();
            if !name.bytes().all(|byte| byte.is_ascii_digit()) || name == std::process::id().to_string() {
                continue;
            }
            let link = |file: &str| fs::read_link(dir.join(file)).unwrap_or_default().display().to_string();
            let command =
                String::from_utf8_lossy(&fs::read(dir.join("cmdline")).unwrap_or_default()).into_owned();
            let mounts = fs::read_to_string(dir.join("mountinfo")).unwrap_or_default();
            if [command.clone(), link("cwd"), link("exe"), mounts].iter().any(|text| text.contains(needle)) {
                found.push(format!("{name}: {}", command.replace('\0', " ")));
            }
        }
        found
    }
}

/// The directory that a variable names, or else one in the home.
fn own_directory(variable: &str, in_home: &str) -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(in_home);
    std::env::var_os(variable).map_or_else(home, PathBuf::from)
}

/// A call of the program that is being put together.
pub(crate) struct Invocation {
    command: Command,
}

impl Invocation {
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: &[S]) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn current_dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    pub(crate) fn command(self) -> Command {
        self.command
    }

    pub(crate) fn run(mut self) -> Finished {
        Finished(self.command.output().expect("the program starts"))
    }

    /// Sends it a signal a moment after it has printed this on standard error: what a shell starts after it has said so is running by
    /// then.
    pub(crate) fn run_until(self, said: &str, signal: Signal) -> Finished {
        let finished = self.run_until_after(Duration::from_millis(300), said, signal);
        assert!(finished.stderr().contains(said), "{}", finished.stderr());
        finished
    }

    /// The same so much later, or until it ends of itself and never said so.
    pub(crate) fn run_until_after(mut self, moment: Duration, said: &str, signal: Signal) -> Finished {
        let (stdout, stderr) = (Stdio::piped(), Stdio::piped());
        let mut child = self.command.stdout(stdout).stderr(stderr).spawn().expect("the program starts");
        let mut pipe = child.stderr.take().expect("a pipe");
        let mut stderr = Vec::new();
        let mut bytes = [0; 1000];
        let ended = loop {
            if String::from_utf8_lossy(&stderr).contains(said) {
                break false;
            }
            match pipe.read(&mut bytes).expect("it can be read") {
                0 => break true,
                read => stderr.extend(&bytes[..read]),
            }
        };
        if !ended {
            std::thread::sleep(moment);
            kill_process(Pid::from_child(&child), signal).expect("our own child");
            pipe.read_to_end(&mut stderr).expect("it can be read");
        }
        let output = child.wait_with_output().expect("a child to wait for");
        Finished(Output { stderr, ..output })
    }
}

/// A call of the program that is over.
pub(crate) struct Finished(Output);

impl Finished {
    pub(crate) fn success(&self) -> bool {
        self.0.status.success()
    }

    pub(crate) fn status(&self) -> ExitStatus {
        self.0.status
    }

    pub(crate) fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    /// The only line on standard output, of a call that ended well.
    pub(crate) fn line(&self) -> String {
        assert!(self.success(), "{}{}", self.stdout(), self.stderr());
        let stdout = self.stdout();
        let mut lines = stdout.lines();
        let line = lines.next().expect("a line").to_owned();
        assert_eq!(lines.next(), None, "one line");
        line
    }
}

/// One of the packages in `examples/`.
pub(crate) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(name)
        .canonicalize()
        .expect("an example")
}

/// The sources of a real project, as they are.
pub(crate) fn corpus(name: &str) -> PathBuf {
    let root = std::env::var_os("REKINDLE_CORPUS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/corpus"), PathBuf::from);
    let dir = root.join(name);
    assert!(dir.is_dir(), "{} is not there: run scripts/fetch-corpus.sh first", dir.display());
    dir.canonicalize().expect("a directory")
}

/// Whether random tests run in full.
pub(crate) fn full_run() -> bool {
    std::env::var_os("REKINDLE_FULL").is_some()
}
