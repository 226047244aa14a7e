//! The whole suite once more, as a user without privileges, when it is root who runs it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::fixture::{HELPER, helper, is_root};

#[test]
fn all_of_it_works_without_privileges() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let open = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    open(dir.path(), 0o1777);
    let copy = |from: std::path::PathBuf, name: &str| {
        let to = dir.path().join(name);
        fs::copy(from, &to).expect("room");
        open(&to, 0o755);
        to
    };
    let helper = copy(helper(), "helper");
    let tests = copy(std::env::current_exe().expect("this program has a path"), "tests");
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(tests)
        .env(HELPER, helper)
        .env("TMPDIR", dir.path())
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/")
        .output()
        .expect("setpriv is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("tree::any_number_of_layers ... ok"));
}
