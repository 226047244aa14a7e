//! `rekindle doctor`: what this machine can and cannot do, found by trying, and how to mend it.

use std::path::Path;
use std::process::ExitCode;

use rekindle_engine::Toolchain;
use rekindle_sandbox::{Feature, Sandbox};
use rekindle_store::{ErrorKind, Mode, Store};
use serde_json::{Value, json};

use super::{print, print_json};
use crate::args::DoctorArgs;
use crate::cli_error::{CliError, one_line};
use crate::host_rust;
use crate::report::{Look, spoken_bytes};
use crate::session::Session;

/// Less free disk than this is worth a word.
const LITTLE_SPACE: u64 = 2 << 30;

/// What to do about a store that may not be read or written.
const ANOTHER_USER: &str = "build as the user that it belongs to, or into another place with --store";

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    name: String,
    state: State,
    detail: String,
    /// What to do; empty if nothing needs to be done, or nothing is known.
    mend: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It works.
    Good,
    /// It does not, and some packages cannot be built, or not as fast.
    Lacking,
    /// It does not, and nothing can be built.
    Broken,
}

pub(super) fn run(session: &Session<'_>, args: &DoctorArgs) -> Result<ExitCode, CliError> {
    let root = session.store_root()?;
    let disk = existing_parent(&root);
    let mut findings = sandbox(disk);
    findings.push(store(&root));
    findings.push(space(disk));
    findings.extend(tools(session));
    let works = findings.iter().all(|finding| finding.state != State::Broken);
    if args.json {
        let checks: Vec<_> = findings.iter().map(as_json).collect();
        print_json(&json!({ "version": 1, "works": works, "checks": checks }))?;
    } else {
        let look = session.environment.look_of_stdout();
        let mut text: String = findings.iter().map(|finding| as_text(&look, finding)).collect();
        text.push_str(if works { "builds can work here\n" } else { "builds cannot work here\n" });
        print(text)?;
    }
    Ok(if works { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn good(name: &str, detail: impl Into<String>) -> Finding {
    Finding { name: name.to_owned(), state: State::Good, detail: detail.into(), mend: String::new() }
}

fn bad(state: State, name: &str, detail: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { name: name.to_owned(), state, detail: detail.into(), mend: mend.into() }
}

/// What the kernel allows. `disk` is a directory on the file system of the store.
fn sandbox(disk: &Path) -> Vec<Finding> {
    let support = Sandbox::with_helper("/proc/self/exe").support(disk);
    let finding = |capability: &rekindle_sandbox::Capability| {
        let (name, works, otherwise) = match capability.feature {
            Feature::Namespaces => ("namespaces", "processes can be isolated without root", State::Broken),
            Feature::Loopback => {
                ("loopback", "builds have a network of their own, without the outside", State::Broken)
            }
            Feature::Seccomp => ("seccomp", "system calls can be filtered", State::Broken),
            Feature::Overlay => ("overlay", "trees can be stacked on the disk of the store", State::Lacking),
            Feature::Watch => {
                ("watch", "what phases look at is seen, so that few run again after an edit", State::Lacking)
            }
            Feature::Observe => (
                "observe",
                "what each process of a phase does is seen, so that phases can go on where they ended",
                State::Lacking,
            ),
            // Nothing asks for the others yet.
            _ => return None,
        };
        Some(match &capability.verdict {
            Ok(()) => good(name, works),
            Err(lack) => bad(otherwise, name, &lack.why, &lack.mend),
        })
    };
    support.capabilities.iter().filter_map(finding).collect()
}

fn store(root: &Path) -> Finding {
    let place = root.display();
    match Store::open(root, Mode::ReadOnly) {
        Ok(store) => match writable(&store) {
            Ok(()) => good("store", format!("{place}, in a format that this program knows")),
            Err(why) => bad(State::Broken, "store", why, ANOTHER_USER),
        },
        Err(error) if error.kind() == ErrorKind::NoStore => {
            let parent = existing_parent(root);
            let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
            match rustix::fs::access(parent, access) {
                Ok(()) => good("store", format!("{place} will be made by the first build")),
                Err(errno) => bad(
                    State::Broken,
                    "store",
                    format!("{place} cannot be made: {}: {}", parent.display(), std::io::Error::from(errno)),
                    "name a directory of your own with --store or REKINDLE_STORE",
                ),
            }
        }
        Err(error) if error.kind() == ErrorKind::Denied => {
            bad(State::Broken, "store", one_line(&error), ANOTHER_USER)
        }
        Err(error) => bad(
            State::Broken,
            "store",
            one_line(&error),
            "use the program that made the store, or another place with --store",
        ),
    }
}

/// Why builds cannot write to a store that can be read.
fn writable(store: &Store) -> Result<(), String> {
    // Whose it is explains what may not be written.
    rekindle_engine::check_own_dir(store.root()).map_err(|error| one_line(&error))?;
    store.check_writable().map_err(|error| one_line(&error))
}

fn space(disk: &Path) -> Finding {
    match rustix::fs::statvfs(disk) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let detail = format!("{} free at {}", spoken_bytes(free), disk.display());
            if free >= LITTLE_SPACE {
                good("disk space", detail)
            } else {
                bad(State::Lacking, "disk space", detail, "free some, with `rekindle store gc` for instance")
            }
        }
        Err(errno) => bad(State::Lacking, "disk space", std::io::Error::from(errno).to_string(), ""),
    }
}

/// Programs that builds use, where builds look for them.
fn tools(session: &Session<'_>) -> Vec<Finding> {
    const TOOLS: [(&str, &[&str], State, &str); 9] = [
        ("bash", &["bash"], State::Broken, "install bash"),
        ("C compiler", &["gcc", "cc", "clang"], State::Lacking, "install gcc (Debian: build-essential)"),
        ("make", &["make"], State::Lacking, "install make, for Makefile and Autotools projects"),
        ("patch", &["patch"], State::Lacking, "install patch, for packages with patches"),
        ("cmake", &["cmake"], State::Lacking, "install cmake, for CMake projects"),
        (
            "ninja",
            &["ninja"],
            State::Lacking,
            "install ninja (Debian: ninja-build), for Meson and CMake projects",
        ),
        ("meson", &["meson"], State::Lacking, "install meson, for Meson projects"),
        (
            "autoconf",
            &["autoreconf"],
            State::Lacking,
            "install autoconf and automake, for trees without `configure`",
        ),
        (
            "pkg-config",
            &["pkg-config", "pkgconf"],
            State::Lacking,
            "install pkg-config, for projects that ask it",
        ),
    ];
    let search = match Toolchain::host(&[]) {
        Ok(toolchain) => toolchain.search_path,
        Err(error) => return vec![bad(State::Broken, "toolchain", one_line(&error), "make that readable")],
    };
    let find = |program: &&str| {
        std::env::split_paths(&search).map(|dir| dir.join(program)).find(|path| path.is_file())
    };
    let mut findings: Vec<_> = TOOLS
        .iter()
        .map(|(name, programs, otherwise, mend)| match programs.iter().find_map(find) {
            Some(path) => good(name, path.display().to_string()),
            None => bad(*otherwise, name, "not found where builds look for programs", *mend),
        })
        .collect();
    findings.push(rust(session));
    findings.push(match session.environment.find_program("nix-store") {
        Some(path) => good("nix", format!("{}; not needed", path.display())),
        None => good("nix", "not found; not needed"),
    });
    findings
}

fn rust(session: &Session<'_>) -> Finding {
    let mend = "install Rust, for Cargo projects";
    if session.environment.find_program("cargo").is_none() {
        return bad(State::Lacking, "cargo", "not found on the PATH", mend);
    }
    let toolchain = session.cache_dir().and_then(|cache| host_rust::toolchain(session.environment, &cache));
    match toolchain {
        Ok(Some(sysroot)) => good("cargo", format!("the toolchain {}", sysroot.display())),
        Ok(None) => good("cargo", "the system's"),
        Err(error) => bad(State::Lacking, "cargo", error.message(), mend),
    }
}

/// The nearest directory above a path that is there.
fn existing_parent(path: &Path) -> &Path {
    path.ancestors().find(|ancestor| ancestor.is_dir()).unwrap_or(Path::new("/"))
}

fn as_text(look: &Look, finding: &Finding) -> String {
    let sign = match finding.state {
        State::Good => look.good(),
        State::Lacking => look.lacking(),
        State::Broken => look.bad(),
    };
    let mut text = format!("{sign} {}: {}\n", look.bold(&finding.name), finding.detail);
    if finding.state != State::Good && !finding.mend.is_empty() {
        text.push_str(&format!("    {} {}\n", look.arrow(), finding.mend));
    }
    text
}

fn as_json(finding: &Finding) -> Value {
    let state = match finding.state {
        State::Good => "good",
        State::Lacking => "lacking",
        State::Broken => "broken",
    };
    json!({ "name": finding.name, "state": state, "detail": finding.detail, "mend": finding.mend })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_comes_with_what_to_do() {
        let wrong = bad(State::Broken, "store", "no", "do this");
        assert_eq!(as_text(&Look::PLAIN, &wrong), "BAD store: no\n    -> do this\n");
        assert_eq!(as_text(&Look::PLAIN, &good("make", "/usr/bin/make")), "ok  make: /usr/bin/make\n");
    }

    #[test]
    fn a_store_that_cannot_be_read_is_broken() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(store(&dir.path().join("a/b")).state, State::Good);
        std::fs::create_dir_all(dir.path().join("nix/var/nix/db")).expect("made");
        std::fs::write(dir.path().join("nix/var/nix/db/schema"), "9999").expect("written");
        let found = store(dir.path());
        assert_eq!(found.state, State::Broken);
        assert!(found.detail.contains("9999"), "{found:?}");
    }
}
