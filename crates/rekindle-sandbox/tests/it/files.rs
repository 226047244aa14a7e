//! Mounts, files, links and directories of the sandbox's root.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use rekindle_sandbox::{Mount, Spec};
use tempfile::tempdir;

use crate::fixture::{chain, output, refusal, run, shell};

fn with_mount(script: &str, mount: Mount) -> Spec {
    let mut spec = shell(script);
    spec.mounts.push(mount);
    spec
}

fn mount(source: impl Into<std::path::PathBuf>, target: &str) -> Mount {
    Mount { source: source.into(), target: target.into(), read_only: true, optional: false }
}

#[test]
fn read_only_means_it() {
    let host = tempdir().expect("a directory");
    fs::create_dir(host.path().join("sub")).expect("room");
    fs::write(host.path().join("sub/file"), "old").expect("room");
    let text = "cat /in/sub/file; for f in sub/file sub/new new; do echo x > /in/$f && echo wrote $f; done
        rm -rf /in/sub || chmod 777 /in/sub || mv /in/sub /in/gone || echo safe";
    let ran = run(&with_mount(text, mount(host.path(), "/in")));
    assert!(ran.output.starts_with("old") && ran.output.ends_with("safe\n"), "{}", ran.output);
    assert!(!ran.output.contains("wrote"), "{}", ran.output);
    assert_eq!(fs::read_to_string(host.path().join("sub/file")).expect("it is there"), "old");

    let writable = Mount { read_only: false, ..mount(host.path(), "/in") };
    output(&with_mount("echo new > /in/sub/file && rm -r /in/sub && echo x > /in/y", writable));
    assert_eq!(fs::read_to_string(host.path().join("y")).expect("it was written"), "x\n");
    assert!(!host.path().join("sub").exists());
}

#[test]
fn undeclared_is_absent() {
    let host = tempdir().expect("a directory");
    fs::write(host.path().join("secret"), "").expect("room");
    let ran = run(&shell(format!(
        "ls -d {0} {0}/secret /root /home /etc/passwd /var 2>/dev/null",
        host.path().display()
    )));
    assert_eq!(ran.output, "");
}

#[test]
fn files_links_and_special_names() {
    let host = tempdir().expect("a directory");
    let odd = host.path().join("a b,c:d\\e\nf");
    fs::write(&odd, "odd").expect("room");
    symlink("/nowhere/at all", host.path().join("link")).expect("room");
    let mut spec =
        shell("cat /deep/er/file; readlink /deep/link; cat '/x,:\n'; ls -l /deep/er | cut -c1-10 | tail -n1");
    spec.mounts.extend([
        mount(&odd, "/deep/er/file"),
        mount(host.path().join("link"), "/deep/link"),
        mount(&odd, "/x,:\n"),
    ]);
    assert_eq!(output(&spec), "odd/nowhere/at all\nodd-rw-r--r--\n");
}

#[test]
fn places_files_links_and_directories() {
    let spec = Spec {
        dirs: vec![("/a/b".into(), 0o711), ("/build".into(), 0o1777)],
        files: vec![("/etc/passwd".into(), b"root:x:0:0\n".to_vec()), ("/a/b/\u{e9}".into(), vec![0, 255])],
        symlinks: vec![("/etc/link".into(), "passwd".into()), ("/run/x".into(), "/a/b".into())],
        ..shell(
            "stat -c '%a %n' /a /a/b /build /etc/passwd; cat /etc/link; wc -c < /run/x/\u{e9}
             touch /a/x /build/x /etc/passwd 2>/dev/null; ls /a /build",
        )
    };
    assert_eq!(
        output(&spec),
        "755 /a\n711 /a/b\n1777 /build\n644 /etc/passwd\nroot:x:0:0\n2\n/a:\nb\n\n/build:\n"
    );
}

#[test]
fn a_missing_source_is_an_error_unless_optional() {
    let missing = mount("/nonexistent/thing", "/thing");
    let error = refusal(&with_mount("echo ran", missing.clone()));
    let text = chain(&error);
    assert!(text.contains("cannot bind /nonexistent/thing at /thing"), "{text}");
    assert!(text.contains("the source does not exist") && text.contains("os error 2"), "{text}");
    assert_eq!(
        output(&with_mount("ls -d /thing || echo none", Mount { optional: true, ..missing })).lines().last(),
        Some("none")
    );
}

#[test]
fn nothing_is_made_inside_a_mount() {
    let host = tempdir().expect("a directory");
    let mut spec = with_mount("echo ran", Mount { read_only: false, ..mount(host.path(), "/in") });
    spec.mounts.push(mount("/usr", "/in/usr"));
    let text = chain(&refusal(&spec));
    assert!(text.contains("/in/usr does not exist in the sandbox"), "{text}");
    assert_eq!(fs::read_dir(host.path()).expect("it is there").count(), 0);

    fs::create_dir(host.path().join("usr")).expect("room");
    spec.args[1] = "ls -d /in/usr/bin".into();
    assert_eq!(output(&spec), "/in/usr/bin\n");
}

#[test]
fn a_link_in_a_mount_does_not_lead_out() {
    let (host, other) = (tempdir().expect("a directory"), tempdir().expect("a directory"));
    symlink(other.path(), host.path().join("trap")).expect("room");
    symlink("../../../../../../../../usr", host.path().join("usr")).expect("room");
    let mut spec = with_mount("ls /in/trap/ 2>/dev/null; ls -d /in/usr/bin", mount(host.path(), "/in"));
    assert_eq!(output(&spec), "/in/usr/bin\n");
    // The link's target is looked up in the sandbox, where it does not exist.
    spec.mounts.push(mount("/usr", "/in/trap/usr"));
    let text = chain(&refusal(&spec));
    assert!(text.contains("/in/trap"), "{text}");
    assert_eq!(fs::read_dir(other.path()).expect("it is there").count(), 0);
}

#[test]
fn a_file_does_not_go_on_a_directory() {
    let host = tempdir().expect("a directory");
    fs::write(host.path().join("file"), "").expect("room");
    let mut spec = with_mount("echo ran", mount(host.path().join("file"), "/in"));
    spec.dirs.push(("/in".into(), 0o755));
    let text = chain(&refusal(&spec));
    assert!(text.contains("a file can only be mounted on a file"), "{text}");
}

#[test]
fn set_user_id_programs_have_no_effect() {
    let host = tempdir().expect("a directory");
    fs::copy("/usr/bin/id", host.path().join("id")).expect("room");
    fs::set_permissions(host.path().join("id"), fs::Permissions::from_mode(0o6755)).expect("it is ours");
    assert_eq!(
        output(&with_mount(
            "/in/id -u; grep -c ' /in .*nosuid,nodev' /proc/self/mountinfo",
            mount(host.path(), "/in")
        )),
        "1000\n1\n"
    );
}

#[test]
fn bad_specs_are_refused() {
    let cases = [
        (Spec { program: "sh".into(), ..shell("") }, "program sh is not an absolute path"),
        (Spec { cwd: "/a/../b".into(), ..shell("") }, "working directory /a/../b"),
        (Spec { env: vec![("A=B".into(), "".into())], ..shell("") }, "variable name \"A=B\""),
        (Spec { args: vec!["a\0b".into()], ..shell("") }, "NUL"),
        (Spec { mounts: vec![mount("usr", "/usr")], ..shell("") }, "mount source usr"),
        (Spec { mounts: vec![mount("/usr", "/")], ..shell("") }, "mount target / cannot be the root"),
        (Spec { umask: 0o1777, ..shell("") }, "umask 1777"),
        (Spec { hostname: "x".repeat(65), ..shell("") }, "host name"),
        (Spec { cwd: "/none".into(), ..shell("") }, "cannot enter the working directory /none"),
    ];
    for (spec, expect) in cases {
        let text = chain(&refusal(&spec));
        assert!(text.contains(expect), "{text}");
    }
}
