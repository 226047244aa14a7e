//! What commands run in: a tree, and the programs of this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rekindle_sandbox::{Mount, Spec, Tree, TreeBind, TreeRoot};
use tempfile::TempDir;

use crate::Result;

pub(crate) fn view(path: &str) -> Mount {
    Mount { source: path.into(), target: path.into(), read_only: true, optional: true }
}

pub(crate) fn shell(script: &str, tree: &Scratch) -> Spec {
    let views = ["/usr", "/bin", "/lib", "/lib64", "/etc/alternatives", "/etc/ld.so.cache"];
    Spec {
        args: vec!["-c".into(), script.into()],
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        cwd: "/build".into(),
        tree: Some(tree.tree()),
        mounts: views.map(view).into(),
        ..Spec::new("/bin/sh")
    }
}

/// A directory that appears as `/build`.
pub(crate) struct Scratch(TempDir);

impl Scratch {
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn new(fill: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        fill(dir.path())?;
        Ok(Scratch(dir))
    }

    pub(crate) fn copy(source: &Path) -> Result<Self> {
        Scratch::by("-a", source)
    }

    /// A copy whose files are the same, for what replaces files and changes none.
    pub(crate) fn link(source: &Path) -> Result<Self> {
        Scratch::by("-al", source)
    }

    fn by(how: &str, source: &Path) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let from = source.join(".");
        match Command::new("cp").arg(how).args([&from, &dir.path().to_path_buf()]).status()?.success() {
            true => Ok(Scratch(dir)),
            false => Err("the sources cannot be copied".into()),
        }
    }

    fn tree(&self) -> Tree {
        let binds = vec![TreeBind { dir: PathBuf::new(), target: "/build".into() }];
        Tree { root: TreeRoot::Plain(self.0.path().into()), binds }
    }
}

/// Sources that other benchmarks have left.
pub(crate) fn corpus(name: &str) -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/corpus").join(name);
    if !dir.is_dir() {
        println!("skipped: {} is not there", dir.display());
        return None;
    }
    Some(dir)
}

/// A program that does one thing over and over.
pub(crate) struct Program(TempDir);

impl Program {
    pub(crate) fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let source = dir.path().join("loop.c");
        fs::write(&source, LOOP)?;
        let target = dir.path().join("loop");
        match Command::new("cc").args(["-static", "-O", "-o"]).args([&target, &source]).status()?.success() {
            true => Ok(Program(dir)),
            false => Err("the program does not compile".into()),
        }
    }

    pub(crate) fn spec(&self, args: &str, tree: &Scratch) -> Spec {
        let source = self.0.path().join("loop");
        let program = Mount { source, target: "/loop".into(), read_only: true, optional: false };
        let mut spec = shell("", tree);
        spec.program = "/loop".into();
        spec.args = args.split(' ').map(Into::into).collect();
        spec.mounts.push(program);
        spec
    }
}

const LOOP: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv) {
    if (argc < 4)
        return 0;
    const char *how = argv[1], *path = argv[2];
    int count = atoi(argv[3]), dir = open(".", O_RDONLY);
    for (int i = 0; i < count; i++) {
        if (!strcmp(how, "open")) {
            int fd = open(path, O_RDONLY);
            if (fd >= 0)
                close(fd);
        } else if (!strcmp(how, "openat")) {
            close(openat(dir, path, O_RDONLY));
        } else if (!strcmp(how, "remake")) {
            close(open(path, O_WRONLY | O_CREAT, 0644));
            unlink(path);
        } else if (!strcmp(how, "rename")) {
            rename(i % 2 ? "dir/other" : path, i % 2 ? path : "dir/other");
        } else if (fork() == 0) {
            if (!strcmp(how, "exec"))
                execl("/loop", "/loop", NULL);
            _exit(0);
        } else {
            wait(NULL);
        }
    }
    return 0;
}
"#;
