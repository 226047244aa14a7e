//! Every way to deal with files, against what it is known to do.

use std::path::Path;

use rekindle_sandbox::{MoveKind, Observe};

use super::{Place, observe, seen, ways};

const WAYS: &[(&str, &str)] = &[
    ("none", ""),
    ("openat", "a: read"),
    ("openat2", "a: read"),
    ("resolve-1", "d/x: read"),
    ("resolve-2", "d/x: read"),
    ("resolve-4", "d/x: read"),
    ("resolve-8", "d/x: read"),
    ("resolve-20", "d/x: read"),
    // The kernel refuses it; rather too much is told.
    ("resolve-escape", "a: read; d: listed"),
    ("update", "a: read updated"),
    ("append", "a: updated"),
    ("open-trunc", "a: present replaced"),
    ("create", "new: absent created"),
    ("create-old", "a: replaced"),
    ("create-old-mode", "a: mode-kept replaced"),
    ("create-old-umask", "a: mode-kept replaced"),
    ("create-read", "new: absent created"),
    ("exclusive", "new: absent created"),
    ("exclusive-old", "a: present"),
    ("missing", "none: absent"),
    ("missing-below", "none/x: absent"),
    ("missing-in-file", "a/x: absent"),
    ("list", "d: listed"),
    ("path-only", ""),
    ("path-reopen", "a: read"),
    ("thread-self", "a: read"),
    ("dev-fd", "a: read"),
    ("by-cwd-link", "d/x: read"),
    ("at-descriptor", "d/x: read"),
    ("chdir", "a: read; d/x: read"),
    ("fchdir", "a: read; d/x: read"),
    ("up", "a: read"),
    ("back", "a: read"),
    ("back-link", "a: read; ld: followed"),
    ("link-read", "a: read; la: followed"),
    ("link-dir", "d/x: read; ld: followed"),
    ("link-missing", "d/none: absent; ld: followed"),
    ("link-nofollow", "la: present"),
    ("link-dangling", "found: absent; lost: followed"),
    ("link-dangling-create", "found: absent created; lost: followed"),
    ("link-loop", "loop: absent followed"),
    ("map", "a: read"),
    ("deleted", "a: present read removed"),
    ("removed-up", "a: read; d/x: read; new: absent created removed; new/early: absent"),
    ("shared-cwd", "a: read; b: read; d/x: read"),
    ("shared-descriptors", "a: read"),
    ("descriptor-taken", "a: inherited read"),
    ("memfd", ""),
    ("descriptors-gone", "a: read"),
    ("not-dumpable", "a: read"),
    ("bad-address", ""),
    ("page-unread", "a: read"),
    ("page-end", "a: read"),
    ("mkdirat", "new: absent created"),
    ("mkdir-old", "d: present"),
    ("mknodat", "new: absent created"),
    ("symlinkat", "d: listed; d/new: absent created"),
    ("bind", "new: absent created"),
    ("linkat", "a: present; new: absent created"),
    ("linkat-link", "la: present; new: absent created"),
    ("linkat-follow", "a: present; la: followed; new: absent created"),
    ("linkat-old", "a: present; b: present"),
    ("nameless", "new: absent created"),
    ("nameless-empty", "new: absent created"),
    ("rename-whiteout", "a: replaced; new: created"),
    ("refused-unlink", "d: mode; d/x: present read removed"),
    ("refused-rename", "a: read removed"),
    ("refused-truncation", "a: mode present read"),
    ("refused-rmdir", "d: listed present removed"),
    ("chmod-then-read", "a: mode read; b: read times"),
    ("replaced-then-read", "a: present replaced; b: removed; new: created"),
    ("renameat", "a: removed; d: listed; d/new: created"),
    ("rename-over", "a: removed; b: replaced"),
    ("rename-missing", "b: present; none: absent"),
    ("rename-noreplace", "a: present; b: present"),
    ("rename-exchange", "a: replaced; b: replaced"),
    (
        "rename-dir",
        "new: absent created removed; new/one: absent created; newer: created; newer/two: absent created",
    ),
    ("unlinkat", "a: present removed"),
    ("unlinkat-link", "la: present removed"),
    ("unlinkat-missing", "none: absent"),
    ("rmdir", "empty: present removed"),
    ("truncate", "a: present replaced"),
    ("truncate-part", "a: updated"),
    ("ftruncate", "a: updated"),
    ("fallocate", "a: updated"),
    ("copy-range", "a: read; b: updated"),
    ("fchmod", "a: mode read"),
    ("fchmodat", "a: mode; la: followed"),
    ("fchmodat2", "a: mode"),
    ("fchmod-path", "a: mode"),
    ("fchownat", "la: mode"),
    ("fchownat-follow", "a: mode; la: followed"),
    ("fchown", "d: listed mode"),
    ("utimensat", "a: times"),
    ("utimensat-link", "la: times"),
    ("futimens", "a: read times"),
    ("utimensat-empty", "a: times"),
    ("setxattr", ""),
    ("denied", ""),
    ("removexattr", "a: mode"),
    ("fremovexattr", "a: mode read"),
    ("thread", "a: read; d/x: read"),
    ("thread-exec", "a: read"),
    ("fork-exec", "a: read"),
    ("fork-only", "a: read"),
    ("vfork", "a: read"),
    ("spawn", "a: read"),
    ("exec-missing", "a: read; none: absent"),
    ("exec-refused", "a: present"),
    ("exec-broken", "a: read; broken: read"),
    ("exec-script", "a: read; script: executed read"),
    ("execveat", "a: read"),
    ("execveat-at", "a: read; d: listed; d/link: absent created followed; script: executed read"),
    ("executed-and-killed", ""),
    ("exec-memory", "a: read"),
    ("inherited", "a: inherited read; new: absent created inherited updated"),
    ("passed", "a: inherited read"),
    // It was closed before the process was heard of again; that it may have been read shows otherwise.
    ("passed-on", "a: read"),
    ("code", "a: read"),
    ("signal", "a: read"),
    ("look", ""),
];

/// The calls that newer architectures do without.
const OLD_WAYS: &[(&str, &str)] = &[
    ("open", "a: read"),
    ("creat", "new: absent created"),
    ("creat-old", "a: replaced"),
    ("mkdir", "new: absent created"),
    ("mknod", "new: absent created"),
    ("symlink", "new: absent created"),
    ("link", "a: present; new: absent created"),
    ("rename", "a: removed; new: created"),
    ("unlink", "a: present removed"),
    ("rmdir-old", "empty: present removed"),
    ("chmod", "a: mode"),
    ("chown", "a: mode; la: followed"),
    ("lchown", "la: mode"),
    ("utime", "a: times"),
    ("utimes", "a: times"),
    ("futimesat", "a: times"),
    ("i386-open", "a: read"),
    ("i386-openat", "d/x: read"),
    ("i386-creat", "new: absent created"),
    ("i386-rename", "a: removed; new: created"),
    ("i386-link", "a: present; new: absent created"),
    ("i386-symlink", "new: absent created"),
    ("i386-mkdir", "new: absent created"),
    ("i386-truncate", "a: updated"),
    ("i386-chmod", "a: mode"),
    ("i386-utimensat", "a: times"),
    ("i386-unlinkat", "a: present removed"),
];

#[test]
fn every_way_to_deal_with_files_is_recorded() {
    let mut expect = WAYS.to_vec();
    if cfg!(target_arch = "x86_64") {
        expect.extend(OLD_WAYS);
    }
    let ways: Vec<&str> = expect.iter().map(|(way, _)| *way).collect();
    for program in ["static", "dynamic"] {
        let place = Place::new(&ways);
        let records = observe(&place.spec(program, &ways));
        let wrong: Vec<String> = expect
            .iter()
            .filter_map(|(way, expect)| {
                let seen = seen(&records, way);
                (seen != *expect).then(|| format!("{way}: expected `{expect}`, saw `{seen}`"))
            })
            .collect();
        assert!(wrong.is_empty(), "{program}:\n{}", wrong.join("\n"));
    }
}

#[test]
fn names_that_files_are_given_are_listed_in_order() {
    let records = ways(&["renameat", "linkat", "rename-exchange", "nameless", "rename-noreplace"]);
    let told: Vec<(String, String, MoveKind)> = records
        .moves
        .iter()
        .map(|step| {
            let [from, to] = [step.from, step.to].map(|path| {
                records.paths.path(path).strip_prefix("/build").expect("there").display().to_string()
            });
            (from, to, step.kind)
        })
        .collect();
    let expect = [
        ("renameat/a", "renameat/d/new", MoveKind::Rename),
        ("linkat/a", "linkat/new", MoveKind::Link),
        ("rename-exchange/a", "rename-exchange/b", MoveKind::Exchange),
        ("nameless/new", "nameless/new", MoveKind::Link),
    ];
    assert_eq!(told, expect.map(|(from, to, kind)| (from.to_owned(), to.to_owned(), kind)));
}

#[test]
fn looking_is_recorded_where_it_is_asked_for() {
    let place = Place::new(&["look", "path-only"]);
    let mut spec = place.spec("static", &["look", "path-only"]);
    spec.observe = Some(Observe { lookups: true, ..Observe::new() });
    let records = observe(&spec);
    let expect = ": present; a: present; b: present; d/x: present; empty: present; la: present; ld: followed; none: absent; \
                  none-either: absent";
    assert_eq!(seen(&records, "look"), expect);
    assert_eq!(seen(&records, "path-only"), ": present; a: present");
}

/// Changes that do not happen, and such of other attributes, do not hide that what was there before is looked at.
#[test]
fn what_was_refused_is_no_change() {
    let records = ways(&[
        "refused-unlink",
        "refused-rename",
        "refused-truncation",
        "refused-rmdir",
        "chmod-then-read",
        "replaced-then-read",
    ]);
    let inputs = records.inputs();
    let id = |name: &str| records.paths.id(&Path::new("/build").join(name)).expect("it was touched");
    for name in [
        "refused-unlink/d/x",
        "refused-rename/a",
        "refused-truncation/a",
        "chmod-then-read/a",
        "chmod-then-read/b",
    ] {
        assert!(inputs.opened.contains(&id(name)), "{name}");
        let index = records.index();
        for process in index.processes(id(name)) {
            let access = records.access(*process, id(name)).expect("by the index");
            assert_eq!((access.changed, access.changed_last), (0, 0), "{name}");
        }
    }
    assert!(inputs.listed.contains(&id("refused-rmdir/d")));
    assert!(inputs.changed.contains(&id("chmod-then-read/a")));
    for name in ["replaced-then-read/a", "replaced-then-read/new"] {
        assert!(!inputs.opened.contains(&id(name)) && inputs.changed.contains(&id(name)), "{name}");
    }
    assert_eq!(records.moves.len(), 1, "the one that happened: {:?}", records.moves);
}
