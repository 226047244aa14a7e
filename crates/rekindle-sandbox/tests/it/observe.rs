//! What is recorded of processes. Here is what the parts have in common: a program that knows every way to deal with
//! files, and places for it to do so.

mod hostile;
mod kept;
mod oracle;
mod processes;
mod ways;
mod worlds;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rekindle_sandbox::{Mount, Observe, Process, ProcessId, Records, Spec, Status, Tree, TreeBind, TreeRoot};
use tempfile::{TempDir, tempdir};

use crate::fixture::{run, view};

/// `observe.c`, built static and dynamic.
fn programs() -> &'static Path {
    static BUILT: OnceLock<TempDir> = OnceLock::new();
    let dir = BUILT.get_or_init(|| {
        let dir = tempdir().expect("a directory");
        let source = dir.path().join("observe.c");
        fs::write(&source, include_str!("observe.c")).expect("room");
        for (name, flags) in [("static", &["-static"][..]), ("dynamic", &["-no-pie"])] {
            let built = Command::new("cc")
                .args(["-O", "-pthread"])
                .args(flags)
                .arg("-o")
                .args([dir.path().join(name), source.clone()])
                .status()
                .expect("a C compiler is installed");
            assert!(built.success(), "the program does not compile");
        }
        dir
    });
    dir.path()
}

/// Directories that are alike, one for each way, in a tree that appears as `/build`.
struct Place(TempDir);

impl Place {
    fn new(ways: &[&str]) -> Self {
        let place = Place(tempdir().expect("a directory"));
        for way in ways {
            let dir = place.0.path().join(way);
            fs::create_dir_all(dir.join("d")).expect("room");
            fs::create_dir(dir.join("empty")).expect("room");
            for (name, content) in [
                ("a", "aaa"),
                ("b", "bbb"),
                ("d/x", "xxx"),
                ("broken", "#!/none/interpreter\n"),
                ("script", "#!/bin/probe openat\n"),
            ] {
                fs::write(dir.join(name), content).expect("room");
            }
            for (name, mode) in [("broken", 0o755), ("script", 0o755)] {
                fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).expect("ours");
            }
            for (name, to) in [("la", "a"), ("ld", "d"), ("lost", "found"), ("loop", "loop")] {
                symlink(to, dir.join(name)).expect("room");
            }
        }
        place
    }

    fn tree(&self) -> Tree {
        let binds = vec![TreeBind { dir: PathBuf::new(), target: "/build".into() }];
        Tree { root: TreeRoot::Plain(self.0.path().into()), binds }
    }

    /// Runs a build of the program for these ways.
    fn spec(&self, program: &str, ways: &[&str]) -> Spec {
        let source = programs().join(program);
        Spec {
            args: ["all"].iter().chain(ways).map(Into::into).collect(),
            cwd: "/build".into(),
            tree: Some(self.tree()),
            mounts: vec![
                Mount { source, target: "/bin/probe".into(), read_only: true, optional: false },
                view("/usr"),
                view("/lib"),
                view("/lib64"),
            ],
            observe: Some(Observe::new()),
            ..Spec::new("/bin/probe")
        }
    }
}

/// Runs a command that must exit with 0, and gives what was recorded, whole or not.
fn doubtful(spec: &Spec) -> Records {
    let ran = run(spec);
    assert_eq!((ran.exit.status, ran.output.as_str()), (Status::Code(0), ""));
    ran.exit.records.expect("it was asked for")
}

fn observe(spec: &Spec) -> Records {
    let records = doubtful(spec);
    assert!(records.complete, "{}", records.reason);
    assert_eq!(records.reason, "");
    records
}

/// All processes that executed the program for this way, and what came out of them.
fn family<'a>(records: &'a Records, way: &str) -> Vec<(ProcessId, &'a Process)> {
    let mut ids: BTreeSet<ProcessId> = BTreeSet::new();
    for (id, process) in records.each_process() {
        let is_root = process.exec.as_ref().is_some_and(|exec| {
            exec.argv.get(1).is_some_and(|arg| arg == way) && records.paths.path(exec.cwd).ends_with(way)
        });
        let related = [process.parent, process.before].into_iter().flatten().any(|id| ids.contains(&id));
        if is_root || related {
            ids.insert(id);
        }
    }
    records.each_process().filter(|(id, _)| ids.contains(id)).collect()
}

/// What a way did in its directory: path and touches, as text, without what only `DIRECTORY` says.
fn seen(records: &Records, way: &str) -> String {
    let mut touches: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (_, process) in family(records, way) {
        for access in &process.accesses {
            let path = records.paths.path(access.path);
            let Ok(name) = path.strip_prefix(Path::new("/build").join(way)) else { continue };
            let names = access.touch.names().into_iter().filter(|name| *name != "directory");
            touches.entry(name.display().to_string()).or_default().extend(names);
        }
    }
    let line = |(path, names): (String, BTreeSet<&str>)| {
        format!("{path}: {}", names.into_iter().collect::<Vec<_>>().join(" "))
    };
    touches.into_iter().map(line).collect::<Vec<_>>().join("; ")
}

/// Runs these ways, statically linked.
fn ways(ways: &[&str]) -> Records {
    observe(&Place::new(ways).spec("static", ways))
}
