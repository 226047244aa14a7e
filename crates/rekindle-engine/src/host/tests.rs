use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::canary::now;

/// A host that is one directory, and a store.
struct World {
    dir: TempDir,
    hosts: Hosts,
    package: (String, String),
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for (file, text) in [("bin/cc", "a compiler"), ("include/a.h", "a"), ("include/b.h", "b")] {
            let file = dir.path().join("host").join(file);
            fs::create_dir_all(file.parent().expect("below the host")).expect("our own directory");
            fs::write(file, text).expect("our own directory");
        }
        symlink("cc", dir.path().join("host/bin/c99")).expect("our own directory");
        let hosts = Hosts::of(&dir.path().join("own"));
        World { hosts, dir, package: ("p".to_owned(), "s".to_owned()) }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join("host").join(file)
    }

    /// The toolchain as the host is described by `host`.
    fn toolchain(&self, host: char) -> Toolchain {
        let host = format!("host-{}", host.to_string().repeat(32));
        Toolchain {
            paths: vec![self.path("")],
            identity: host.clone(),
            host,
            since: None,
            package: None,
            search_path: String::new(),
            programs: vec![self.path("bin")],
        }
    }

    fn settled(&self, host: char) -> Toolchain {
        let toolchain = self.toolchain(host);
        let (identity, since) = self.hosts.identity(&self.package, &toolchain);
        Toolchain { identity, since, ..toolchain }
    }

    /// A build that looks at these files, and lists a directory if its name ends with a slash.
    fn build(&self, host: char, looks: Option<&[&str]>) -> String {
        let toolchain = self.settled(host);
        let looks = looks.map(|files| {
            let look = |file: &&str| {
                let path = self.path(file.trim_end_matches('/'));
                (path.into_os_string().into_encoded_bytes(), file.ends_with('/'))
            };
            Looks(files.iter().map(look).collect())
        });
        sleep(Duration::from_millis(30));
        self.hosts.note(&self.package, &toolchain, looks, now()).expect("noted");
        toolchain.identity
    }

    fn identity(&self, host: char) -> String {
        self.settled(host).identity
    }
}

#[test]
fn a_package_keeps_its_identity_until_what_it_looked_at_is_another() {
    type Edit<'a> = (&'a str, &'a dyn Fn(&World), bool);
    let edits: [Edit<'_>; 10] = [
        ("nothing", &|_| {}, true),
        ("what nobody looked at", &|world| fs::write(world.path("include/b.h"), "new").expect("ours"), true),
        ("what was read", &|world| fs::write(world.path("include/a.h"), "new").expect("ours"), false),
        (
            "what was read, of the same size",
            &|world| fs::write(world.path("include/a.h"), "b").expect("ours"),
            false,
        ),
        ("what was looked for", &|world| fs::write(world.path("include/c.h"), "c").expect("ours"), false),
        ("what is beside it", &|world| fs::write(world.path("include/d.h"), "d").expect("ours"), true),
        ("what was read is gone", &|world| fs::remove_file(world.path("include/a.h")).expect("ours"), false),
        ("another program", &|world| fs::write(world.path("bin/ccache"), "").expect("ours"), false),
        ("a program that is gone", &|world| fs::remove_file(world.path("bin/c99")).expect("ours"), false),
        (
            "where a link leads",
            &|world| {
                fs::remove_file(world.path("bin/c99")).expect("ours");
                symlink("gcc", world.path("bin/c99")).expect("ours");
            },
            false,
        ),
    ];
    for (what, edit, stays) in edits {
        let world = World::new();
        let first = world.build('a', Some(&["include/a.h", "include/c.h", "bin/c99"]));
        assert_eq!(first, world.toolchain('a').host);
        edit(&world);
        // The host has another package, too.
        let Toolchain { identity: then, since, .. } = world.settled('b');
        assert_eq!(then == first, stays, "{what}");
        assert_eq!(since.is_none(), stays, "{what}: {since:?}");
        assert!(stays || then == world.toolchain('b').host, "{what}");
        // It is as sure without another package, but then the coarse identity is taken.
        assert_eq!(world.identity('a') == first, stays, "{what}");
    }
}

#[test]
fn all_builds_under_an_identity_count() {
    let world = World::new();
    let first = world.build('a', Some(&["include/a.h"]));
    assert_eq!(world.build('b', Some(&["include/b.h"])), first);
    assert_eq!(world.build('c', Some(&["include/a.h"])), first);
    fs::write(world.path("include/b.h"), "new").expect("ours");
    // Even on the host as it was described in the beginning: something was built with another file under that name.
    for host in ['a', 'b', 'c'] {
        assert_ne!(world.identity(host), first, "{host}");
    }
    let other = world.build('a', Some(&["include/b.h"]));
    assert!(is_identity(&other), "{other}");
    assert_eq!(world.identity('b'), other);
}

#[test]
fn what_was_not_observed_is_bound_to_the_whole_host() {
    let world = World::new();
    let first = world.build('a', Some(&["include/a.h"]));
    assert_eq!(world.identity('b'), first);
    assert_eq!(world.build('a', None), first);
    assert_eq!(world.identity('a'), first);
    assert_ne!(world.identity('b'), first);
    assert!(!world.hosts.holds(&world.package, &first, &world.toolchain('b')));
}

#[test]
fn what_changes_while_a_build_runs_is_not_known() {
    let world = World::new();
    let toolchain = world.settled('a');
    let began = now();
    fs::write(world.path("include/a.h"), "new").expect("ours");
    let looks =
        Looks(BTreeMap::from([(world.path("include/a.h").into_os_string().into_encoded_bytes(), false)]));
    world.hosts.note(&world.package, &toolchain, Some(looks), began).expect("noted");
    assert_eq!(world.identity('a'), toolchain.identity);
    assert_ne!(world.identity('b'), toolchain.identity);
}

#[test]
fn directories_that_are_listed_count_by_their_names() {
    let world = World::new();
    let first = world.build('a', Some(&["include/"]));
    fs::write(world.path("include/a.h"), "new").expect("ours");
    assert_eq!(world.identity('b'), first);
    fs::write(world.path("include/d.h"), "").expect("ours");
    assert_ne!(world.identity('b'), first);
}

#[test]
fn what_is_damaged_does_not_hold() {
    let world = World::new();
    let first = world.build('a', Some(&["include/a.h"]));
    let file = world.hosts.dir_of(&world.package).join(&first);
    let good = fs::read(&file).expect("it was noted");
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert_eq!(Kept::decode(&bad), None, "{at}");
        assert_eq!(Kept::decode(&good[..at]), None, "{at}");
    }
    fs::write(&file, &good[1..]).expect("ours");
    let then = world.identity('a');
    assert_ne!(then, first);
    assert_eq!(world.build('a', Some(&["include/a.h"])), then);
    assert_eq!(world.identity('b'), then);
}

#[test]
fn packages_of_which_nothing_is_left_are_forgotten() {
    let world = World::new();
    world.build('a', Some(&[]));
    let dir = world.hosts.dir_of(&world.package);
    world.hosts.keep_only(&BTreeSet::from([world.package.clone()])).expect("ours");
    assert!(dir.exists());
    world.hosts.keep_only(&BTreeSet::new()).expect("ours");
    assert!(!dir.exists());
}

#[test]
fn a_name_that_leads_out_is_no_identity() {
    let world = World::new();
    world.build('a', Some(&["include/a.h"]));
    for name in
        ["", "host-", "../host-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "host-../../../../../../../../etc/passwd1"]
    {
        let toolchain = Toolchain { host: name.to_owned(), ..world.toolchain('a') };
        assert!(!world.hosts.holds(&world.package, name, &toolchain), "{name}");
    }
}

/// `ldconfig` tells the same of the cache of this machine.
#[test]
fn the_loaders_cache_is_read() {
    let Ok(cache) = fs::read(LOADER_CACHE) else { return };
    let told = Command::new("/sbin/ldconfig").arg("-p").output().expect("ldconfig is part of the C library");
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let told: Vec<(&str, &str)> = told
        .lines()
        .filter_map(|line| {
            let (name, path) = line.strip_prefix('\t')?.split_once(" => ")?;
            Some((name.split(' ').next()?, path))
        })
        .collect();
    assert!(told.iter().any(|(name, _)| name.starts_with("libc.so")), "{told:?}");
    let names: BTreeSet<&[u8]> = told.iter().map(|(name, _)| name.as_bytes()).collect();
    let found = loader::entries(&cache, &names).expect("glibc's cache");
    let mut read: Vec<(&str, &str)> = Vec::new();
    for (name, parts) in &found {
        let text = |bytes| std::str::from_utf8(bytes).expect("paths here are text");
        read.extend(parts.chunks(3).map(|entry| (text(name), text(entry[1]))));
    }
    let mut told = told;
    told.sort_unstable();
    read.sort_unstable();
    assert_eq!(read, told);
    let few = BTreeSet::from([&b"libc.so.6"[..], b"no-such-library"]);
    assert_eq!(loader::entries(&cache, &few).expect("glibc's cache").len(), 1);
    for end in (0..cache.len()).step_by(97) {
        let _ = loader::entries(&cache[..end], &names);
    }
}
