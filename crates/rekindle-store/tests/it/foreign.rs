//! Real Nix takes what we write for its own.

use rekindle_store::Mode;
use rekindle_store::Store;

use crate::nix::Nix;
use crate::sample::{self, LOG, Sample, sample, scratch};

fn with_sample(check: impl FnOnce(&Sample, &Nix, &std::path::Path)) {
    let dir = scratch();
    let sample = sample(dir.path());
    let nix = Nix::on(sample.store.root(), &dir.path().join("home"));
    check(&sample, &nix, dir.path());
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

#[test]
fn real_nix_finds_nothing_wrong() {
    with_sample(|sample, nix, _| {
        nix.verify();
        assert_eq!(sample.store.verify(true).unwrap(), []);
    });
}

#[test]
fn queries_give_the_same_answers() {
    with_sample(|sample, nix, _| {
        let store = &sample.store;
        let shown = |paths: std::collections::BTreeSet<_>| {
            sorted(paths.iter().map(|path| sample.shown(path)).collect())
        };
        for path in [&sample.source, &sample.text, &sample.drv, &sample.out, &sample.dev] {
            let query = |what| nix.lines("nix-store", &["-q", what, &sample.shown(path)]);
            let info = store.require(path).unwrap();
            assert_eq!(query("--references"), shown(info.references));
            assert_eq!(query("--referrers"), shown(store.referrers(path).unwrap()));
            assert_eq!(query("--requisites"), shown(store.closure([path]).unwrap()));
            assert_eq!(query("--hash"), [info.nar_hash.to_string()]);
            assert_eq!(query("--size"), [info.nar_size.unwrap().to_string()]);
            let deriver = info.deriver.map_or("unknown-deriver".to_owned(), |path| sample.shown(&path));
            assert_eq!(query("--deriver"), [deriver]);
        }
        let outputs = nix.lines("nix-store", &["-q", "--outputs", &sample.shown(&sample.drv)]);
        assert_eq!(outputs, sorted(vec![sample.shown(&sample.out), sample.shown(&sample.dev)]));
        let references = store.require(&sample.out).unwrap().references;
        assert_eq!(references, [&sample.out, &sample.dev, &sample.source].map(Clone::clone).into());
        let json = nix.run("nix", &["path-info", "-r", "--json", &sample.shown(&sample.out)]);
        for path in [&sample.source, &sample.text, &sample.out, &sample.dev] {
            assert!(json.contains(&format!("\"path\":\"{}\"", sample.shown(path))), "{json}");
            assert!(json.contains(&store.require(path).unwrap().nar_hash.to_sri()), "{json}");
        }
    });
}

#[test]
fn archives_are_the_same() {
    with_sample(|sample, nix, _| {
        for path in [&sample.source, &sample.text, &sample.out, &sample.dev] {
            let physical = sample.store.real_path(path);
            let theirs = nix.try_run("nix-store", &["--dump", physical.to_str().unwrap()]);
            let mut ours = Vec::new();
            sample.store.write_nar(path, &mut ours).unwrap();
            assert!(theirs.status.success());
            assert!(ours == theirs.stdout, "{path}");
        }
    });
}

#[test]
fn everything_can_be_copied_to_another_store() {
    with_sample(|sample, nix, dir| {
        // This checks what `--verify` does not: the output paths and content addresses.
        let scratch = dir.join("scratch");
        let to = format!("local?root={}", scratch.display());
        let (drv, out) = (sample.shown(&sample.drv), sample.shown(&sample.out));
        nix.run("nix", &["copy", "--derivation", "--no-check-sigs", "--to", &to, &drv]);
        nix.run("nix", &["copy", "--no-check-sigs", "--to", &to, &out]);
        let copied = Store::open(&scratch, Mode::ReadWrite).unwrap();
        assert_eq!(copied.all_valid().unwrap(), sample.store.all_valid().unwrap());
        assert_eq!(copied.verify(true).unwrap(), []);
    });
}

#[test]
fn roots_and_garbage_are_seen_alike() {
    with_sample(|sample, nix, _| {
        let garbage = sample.store.add_text(&sample::name("garbage"), b"", &[].into()).unwrap();
        let kept = sample.shown(&sample.out);
        let roots = nix.lines("nix-store", &["--gc", "--print-roots"]);
        assert!(roots.iter().any(|line| line.ends_with(&format!("-> {kept}"))), "{roots:?}");
        // Whoever added it still has the store open, and so a temporary root.
        assert_eq!(nix.lines("nix-store", &["--gc", "--print-dead"]), [""; 0]);
        assert!(sample.store.is_valid(&garbage).unwrap());
        assert_eq!(std::fs::read_link(&sample.link).unwrap(), sample.store.real_path(&sample.out));
    });
}

#[test]
fn real_nix_collects_what_nobody_needs_and_nothing_else() {
    let dir = scratch();
    let sample = sample(dir.path());
    let nix = Nix::on(sample.store.root(), &dir.path().join("home"));
    let garbage = sample.store.add_text(&sample::name("garbage"), b"", &[].into()).unwrap();
    let garbage = sample.shown(&garbage);
    let root = sample.store.root().to_owned();
    let kept = sample.store.closure([&sample.out, &sample.drv]).unwrap();
    drop(sample);

    assert_eq!(nix.lines("nix-store", &["--gc", "--print-dead"]), [garbage]);
    nix.run("nix-store", &["--gc"]);
    let store = sample::open(&root);
    assert_eq!(store.all_valid().unwrap(), kept);
    nix.verify();
}

#[test]
fn the_log_is_found() {
    with_sample(|sample, nix, _| {
        let log = nix.try_run("nix", &["log", &sample.shown(&sample.drv)]);
        assert!(log.status.success(), "{}", String::from_utf8_lossy(&log.stderr));
        assert_eq!(log.stdout, LOG);
        assert_eq!(sample.store.read_log(&sample.drv).unwrap().unwrap(), LOG);
        assert_eq!(sample.store.read_log(&sample.out).unwrap(), None);
        assert_eq!(sample.store.logged().unwrap(), std::slice::from_ref(&sample.drv));
    });
}

#[test]
fn real_nix_adds_and_builds_in_our_store() {
    with_sample(|sample, nix, dir| {
        std::fs::write(dir.join("hello"), b"hello").unwrap();
        let added = nix.lines("nix-store", &["--add", dir.join("hello").to_str().unwrap()]);
        let expression = r#"derivation {
            name = "built"; system = builtins.currentSystem; builder = "/bin/sh"; args = ["-c" "echo hi > $out"];
        }"#;
        std::fs::write(dir.join("x.nix"), expression).unwrap();
        let drv = nix.lines("nix-instantiate", &[dir.join("x.nix").to_str().unwrap()]).remove(0);
        let built = nix.lines("nix-store", &["--realise", &drv]);
        for path in added.iter().chain(&built) {
            let path = sample.store.store_dir().parse(path.as_bytes()).unwrap();
            assert!(sample.store.is_valid(&path).unwrap());
        }
        assert_eq!(sample.store.verify(true).unwrap(), []);
    });
}

#[test]
fn the_schema_is_that_of_nix() {
    let dir = scratch();
    let ours = sample::open(&dir.path().join("ours"));
    let theirs = dir.path().join("theirs");
    Nix::on(&theirs, &dir.path().join("home")).run("nix-store", &["--verify"]);
    let schema = |root: &std::path::Path| {
        let database = root.join("nix/var/nix/db/db.sqlite");
        let connection = rusqlite::Connection::open(database).unwrap();
        let mut tables = connection
            .prepare("select coalesce(sql, name) from sqlite_master where name not like 'sqlite_%'")
            .unwrap();
        let mut tables: Vec<String> = tables
            .query_map([], |row| row.get::<_, String>(0))
            .unwrap()
            .map(|sql| {
                let sql = sql.unwrap();
                let plain = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
                plain.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ").to_lowercase()
            })
            .collect();
        tables.sort();
        let number = |pragma: &str| -> String {
            connection
                .query_row(&format!("pragma {pragma}"), [], |row| {
                    Ok(row.get::<_, i64>(0).map(|n| n.to_string()).unwrap_or_else(|_| row.get(0).unwrap()))
                })
                .unwrap()
        };
        let pragmas = ["user_version", "page_size", "journal_mode", "encoding", "auto_vacuum"].map(number);
        (tables, pragmas, std::fs::read(root.join("nix/var/nix/db/schema")).unwrap())
    };
    assert_eq!(schema(ours.root()), schema(&theirs));
}
