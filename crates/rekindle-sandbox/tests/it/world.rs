//! What a command sees: identity, environment, descriptors, devices, network.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;

use rekindle_sandbox::{Network, Spec};

use crate::filter::probe;
use crate::fixture::{is_root, output, script, shell};

#[test]
fn identity_is_constant() {
    assert_eq!(
        script("id -u; id -g; uname -n; umask; pwd; cat /proc/sys/kernel/domainname"),
        "1000\n100\nlocalhost\n0022\n/\n(none)\n"
    );
    let spec = Spec {
        uid: 7,
        gid: 8,
        hostname: "elsewhere".into(),
        umask: 0o077,
        cwd: "/usr".into(),
        ..shell("id -u; id -g; uname -n; umask; pwd")
    };
    assert_eq!(output(&spec), "7\n8\nelsewhere\n0077\n/usr\n");
}

#[test]
fn groups_are_the_one() {
    if is_root() {
        // An ordinary user cannot give up supplementary groups.
        assert_eq!(script("id -G"), "100\n");
    }
    assert_eq!(
        script("cat /proc/self/setgroups; tr -s ' ' < /proc/self/uid_map | cut -d' ' -f2,4"),
        "deny\n1000 1\n"
    );
}

#[test]
fn privileges_are_none() {
    let status = script("cat /proc/self/status");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)).unwrap_or_else(|| panic!("no {name}"))
    };
    for none in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:", "SigBlk:", "SigIgn:", "SigCgt:"] {
        assert_eq!(field(none), "0000000000000000", "{none}");
    }
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("Seccomp:"), "2");
}

#[test]
fn environment_is_exact() {
    let env = |env: &[(&str, &str)]| {
        let env = env.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        output(&Spec { program: "/usr/bin/env".into(), args: vec!["-0".into()], env, ..shell("") })
    };
    assert_eq!(env(&[]), "");
    assert_eq!(env(&[("B", "x y\nz"), ("A", ""), ("é", "=")]), "B=x y\nz\0A=\0é==\0");
}

#[test]
fn arguments_are_bytes() {
    use std::os::unix::ffi::OsStringExt;
    let odd = OsString::from_vec(b"a\xffb\n c".to_vec());
    let mut spec = shell("printf '%s|' \"$0\" \"$@\" | od -An -tx1 | tr -d ' \\n'");
    spec.args.extend(["zero".into(), odd, "".into()]);
    assert_eq!(output(&spec), "7a65726f7c61ff620a20637c7c");
    assert_eq!(output(&Spec { argv0: Some("myself".into()), ..shell("echo $0") }), "myself\n");
}

#[test]
fn descriptors_are_three() {
    // One that the caller has let others inherit, for whatever reason.
    let leak = rustix::io::dup(std::io::stdout()).expect("descriptors are left");
    rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).expect("it is open");
    assert_eq!(script("ls /proc/$$/fd; readlink /proc/self/fd/0; cat"), "0\n1\n2\n/dev/null\n");
}

#[test]
fn output_and_error_are_one_stream() {
    assert_eq!(
        script("echo 1; echo 2 >&2; echo 3; echo 4 > /dev/stderr; echo 5 > /dev/stdout"),
        "1\n2\n3\n4\n5\n"
    );
}

#[test]
fn process_numbers_and_session_are_its_own() {
    // The shell is PID 2, its parent is init, and it leads a session and a group.
    assert_eq!(script("cut -d' ' -f1,4-6 /proc/$$/stat"), "2 1 2 2\n");
}

#[test]
fn init_is_out_of_reach() {
    let text = "for s in KILL STOP SEGV BUS TERM PIPE CHLD; do kill -$s 1; done 2>/dev/null
        cat /proc/1/environ || readlink /proc/1/fd/0 || cat /proc/1/fd/2 || ls /proc/1/root || head -c1 /proc/1/mem || echo sealed";
    let text = script(text);
    assert!(text.ends_with("sealed\n"), "{text}");
}

#[test]
fn devices_are_few() {
    assert_eq!(
        script("cd /dev; ls | grep -v tty"),
        "fd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\nurandom\nzero\n"
    );
    let text = "echo x > /dev/null && head -c 3 /dev/zero | od -An -c && head -c 16 /dev/urandom | wc -c
        echo x 2>/dev/null > /dev/full || echo full
        echo x > /dev/shm/x && cat /dev/shm/x && stat -c '%a' /dev/shm /tmp && ls -A /tmp
        cat /dev/tty 2>/dev/null || echo no terminal";
    assert_eq!(script(text), "  \\0  \\0  \\0\n16\nfull\nx\n1777\n1777\nno terminal\n");
}

#[test]
fn devices_of_the_host_stay_as_they_are() {
    let look = || {
        let metadata = std::fs::metadata("/dev/full").expect("it is there");
        (metadata.mode(), metadata.mtime())
    };
    let before = look();
    let text = "chmod 600 /dev/full; touch -d 2001-01-01 /dev/full; chmod 666 /dev/null; echo x > /dev/null && echo ok";
    assert!(script(text).ends_with("ok\n"));
    assert_eq!(look(), before);
}

#[test]
fn pseudo_terminals_work() {
    assert_eq!(script("script -qec 'test -t 1 && tty' /dev/null < /dev/null").trim(), "/dev/pts/0");
}

#[test]
fn limits_are_constant() {
    assert_eq!(script("ulimit -c; ulimit -Hc; ulimit -s; ulimit -n"), "0\n0\n8192\n1024\n");
    assert_eq!(script("cat /proc/self/personality"), "00040000\n");
}

#[test]
fn nothing_undeclared_is_there() {
    let root = output(&probe("list /"));
    assert_eq!(root, ". .. dev probe proc tmp\n");
    assert!(script("grep -c . /proc/self/mountinfo").trim().parse::<u32>().expect("a number") < 50);
}

#[test]
fn root_is_read_only() {
    let text = "for f in /x /dev/x /usr/x /etc/x; do touch $f && echo made $f; done 2>/dev/null; touch /tmp/x && echo ok";
    assert_eq!(script(text), "ok\n");
}

#[test]
fn settings_of_the_host_are_out_of_reach() {
    let text = "for f in sys/kernel/core_pattern sys/vm/drop_caches sysrq-trigger sys/fs/file-max irq; do
        [ -w /proc/$f ] && echo $f; done; cat /proc/sys/kernel/ostype";
    assert_eq!(script(text), "Linux\n");
}

#[test]
fn namespaces_nest() {
    assert_eq!(script("unshare -Urm sh -c 'mount -t tmpfs none /tmp && touch /tmp/x && id -u'"), "0\n");
}

#[test]
fn control_groups_of_the_host_are_out_of_reach() {
    let mount = "mkdir /tmp/c && mount -t $0 none /tmp/c && echo mounted";
    for (kind, options) in [("cgroup2", ""), ("cgroup", "-o freezer")] {
        let mount = mount.replace("-t $0", &format!("-t {kind} {options}"));
        assert_eq!(script(&format!("unshare -UrmC sh -c '{mount}' 2> /dev/null; echo ended")), "ended\n");
        assert_eq!(script(&format!("unshare -Urm sh -c '{mount}' 2> /dev/null; echo ended")), "ended\n");
    }
}

#[test]
fn network_is_loopback_only() {
    let interfaces = "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' | sort";
    // Some kernels put their idle tunnel devices into every namespace.
    let names = script(interfaces);
    assert!(names.lines().any(|name| name == "lo") && !names.contains("eth"), "{names}");
    assert_eq!(output(&probe("loopback")), "loopback 0\n");
    assert_eq!(
        output(&probe("elsewhere")),
        format!("elsewhere {}\n", rustix::io::Errno::NETUNREACH.raw_os_error())
    );

    let host = output(&Spec { network: Network::Host, ..shell(interfaces) });
    let ours = std::fs::read_to_string("/proc/net/dev").expect("/proc is mounted");
    let mut ours: Vec<_> =
        ours.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim())).collect();
    ours.sort_unstable();
    assert_eq!(host.lines().collect::<Vec<_>>(), ours);
}
