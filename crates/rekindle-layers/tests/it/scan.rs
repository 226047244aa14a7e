//! Scanning: the stat index reads only what differs, and never believes it wrongly.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rekindle_layers::{Digest, EntryKind, Scan, ScanOptions, StatIndex, scan};

use crate::seed::{Rng, seeds};

fn all() -> ScanOptions {
    ScanOptions { gitignore: false, exclude: vec![] }
}

fn scan_with(dir: &Path, index: &StatIndex) -> Scan {
    scan(dir, &all(), index).unwrap()
}

/// Waits until the files' times lie in the past of the clock that stamps files.
fn let_the_clock_tick() {
    std::thread::sleep(Duration::from_millis(25));
}

#[test]
fn a_manifest_tells_all() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    fs::create_dir(dir.join("d")).unwrap();
    fs::write(dir.join("d/file"), "content").unwrap();
    fs::write(dir.join("run"), "").unwrap();
    fs::set_permissions(dir.join("run"), PermissionsExt::from_mode(0o755)).unwrap();
    symlink("../run", dir.join("d/in")).unwrap();
    symlink("../../run", dir.join("d/out")).unwrap();
    symlink("/nowhere", dir.join("absolute")).unwrap();
    let Scan { manifest, escaping_links, hashed_files, hashed_bytes, .. } =
        scan_with(dir, &StatIndex::default());
    let found: Vec<_> = manifest.entries().map(|entry| entry.path).collect();
    assert_eq!(found, ["absolute", "d", "d/file", "d/in", "d/out", "run"].map(PathBuf::from));
    let digest = Digest::of(b"content");
    let file = manifest.get(Path::new("d/file")).unwrap();
    assert_eq!(file.kind, EntryKind::File { size: 7, executable: false, digest });
    let run = manifest.get(Path::new("run")).unwrap();
    assert!(matches!(run.kind, EntryKind::File { executable: true, .. }) && run.mode == 0o755);
    assert_eq!(
        manifest.get(Path::new("d/out")).unwrap().kind,
        EntryKind::Symlink { target: "../../run".as_ref() }
    );
    assert_eq!(escaping_links, ["absolute", "d/out"].map(PathBuf::from));
    assert_eq!((hashed_files, hashed_bytes), (2, 7));
}

#[test]
fn only_what_differs_is_read() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    for at in 0..20 {
        fs::create_dir_all(dir.join(format!("d{}", at % 3))).unwrap();
        fs::write(dir.join(format!("d{}/f{at}", at % 3)), at.to_string()).unwrap();
    }
    let_the_clock_tick();
    let first = scan_with(dir, &StatIndex::default());
    assert!(first.index_changed && first.hashed_files == 20);
    let second = scan_with(dir, &first.index);
    assert!(!second.index_changed && second.hashed_files == 0);
    assert_eq!(second.manifest, first.manifest);

    let edited = dir.join("d1/f1");
    let before = fs::metadata(&edited).unwrap().modified().unwrap();
    fs::write(&edited, "x").unwrap();
    fs::File::options().write(true).open(&edited).unwrap().set_modified(before).unwrap();
    let third = scan_with(dir, &second.index);
    assert_eq!(third.hashed_files, 1, "same size and mtime, but not the same ctime");
    assert_ne!(third.manifest, first.manifest);

    fs::remove_file(&edited).unwrap();
    let fourth = scan_with(dir, &third.index);
    assert!(fourth.index_changed && fourth.manifest.get(Path::new("d1/f1")).is_none());
}

#[test]
fn a_file_written_twice_in_a_moment_is_seen() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("f");
    let mut index = StatIndex::default();
    for round in 0..200 {
        let content = format!("{round:04}");
        fs::write(&file, &content).unwrap();
        let found = scan_with(temp.path(), &index);
        let digest = Digest::of(content.as_bytes());
        let expected = EntryKind::File { size: 4, executable: false, digest };
        assert_eq!(found.manifest.get(Path::new("f")).unwrap().kind, expected, "round {round}");
        index = found.index;
    }
}

#[test]
fn a_saved_index_serves_the_next_scan() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("src");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("a"), "a").unwrap();
    let_the_clock_tick();
    let saved = temp.path().join("index");
    scan_with(&dir, &StatIndex::load(&saved)).index.save(&saved).unwrap();
    assert_eq!(scan_with(&dir, &StatIndex::load(&saved)).hashed_files, 0);
    let missing = scan_with(&dir, &StatIndex::default()).index.save(&temp.path().join("no/index"));
    assert!(missing.unwrap_err().is_not_found());
}

#[test]
fn special_files_are_refused_by_name() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let _socket = UnixListener::bind(dir.join("sock")).unwrap();
    let error = scan(dir, &all(), &StatIndex::default()).unwrap_err();
    assert_eq!(error.path(), Some(&*dir.join("sock")));
    assert!(error.to_string().contains("is a socket, which cannot be a source"), "{error}");
    let options = ScanOptions { gitignore: false, exclude: vec!["/sock".into()] };
    assert_eq!(scan(dir, &options, &StatIndex::default()).unwrap().manifest.entries().count(), 0);
}

#[test]
fn what_cannot_be_scanned_is_an_error() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("file");
    fs::write(&file, "").unwrap();
    let error = scan(&file, &all(), &StatIndex::default()).unwrap_err();
    assert!(error.to_string().contains("is not a directory"), "{error}");
    assert!(scan(&temp.path().join("none"), &all(), &StatIndex::default()).unwrap_err().is_not_found());
    fs::set_permissions(&file, PermissionsExt::from_mode(0o000)).unwrap();
    // Root may read it all the same.
    if let Err(error) = scan(temp.path(), &all(), &StatIndex::default()) {
        assert_eq!(error.path(), Some(&*file));
    }
}

#[test]
fn a_symlinked_root_is_followed() {
    let temp = tempfile::tempdir().unwrap();
    fs::create_dir(temp.path().join("real")).unwrap();
    fs::write(temp.path().join("real/a"), "").unwrap();
    symlink("real", temp.path().join("link")).unwrap();
    assert_eq!(scan_with(&temp.path().join("link"), &StatIndex::default()).manifest.entries().count(), 1);
}

#[test]
fn wide_directories_are_shared_out() {
    let temp = tempfile::tempdir().unwrap();
    for at in 0..9000 {
        fs::write(temp.path().join(format!("{at}")), "").unwrap();
    }
    let_the_clock_tick();
    let first = scan_with(temp.path(), &StatIndex::default());
    assert_eq!((first.hashed_files, first.manifest.entries().count()), (9000, 9000));
    assert_eq!(scan_with(temp.path(), &first.index).hashed_files, 0);
}

#[test]
fn a_file_that_is_being_written_is_never_a_mixture() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("f");
    let contents = [vec![b'a'; 1 << 20], vec![b'b'; 1 << 20]];
    fs::write(&file, &contents[0]).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for round in 0.. {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                // Each content is there whole for a while; in between it is written over, byte by byte.
                use std::os::unix::fs::FileExt;
                let opened = fs::File::options().write(true).open(&file).unwrap();
                opened.write_all_at(&contents[round % 2], 0).unwrap();
                std::thread::sleep(Duration::from_micros(500));
            }
        });
        // However this ends, or the scope waits for the writer for ever.
        let _stopper = Stopper(&stop);
        let whole = contents.each_ref().map(|content| Digest::of(content));
        for _ in 0..100 {
            match scan(temp.path(), &all(), &StatIndex::default()) {
                Err(error) => assert!(error.is_unsteady(), "{error}"),
                Ok(found) => match found.manifest.get(Path::new("f")).unwrap().kind {
                    EntryKind::File { digest, .. } => assert!(whole.contains(&digest)),
                    other => panic!("{other:?}"),
                },
            }
        }
    });
}

/// Sets the flag when it is dropped.
struct Stopper<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn random_edits_are_all_seen() {
    for seed in seeds() {
        let mut rng = Rng::new(seed);
        let temp = tempfile::tempdir().unwrap();
        let mut index = StatIndex::default();
        for _ in 0..6 {
            for _ in 0..rng.below(8) {
                edit(&mut rng, temp.path());
            }
            let found = scan_with(temp.path(), &index);
            let fresh = scan_with(temp.path(), &StatIndex::default());
            assert_eq!(found.manifest, fresh.manifest, "REKINDLE_SEED={seed}");
            index = found.index;
        }
    }
}

fn edit(rng: &mut Rng, dir: &Path) {
    let at = |rng: &mut Rng| {
        let names = ["a", "b", "c/x", "c/y", "d/e/f", "d/g"];
        dir.join(rng.pick(&names))
    };
    let path = at(rng);
    match rng.below(7) {
        0 | 1 => {
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, rng.below(3).to_string()).unwrap();
        }
        2 => {
            let _ = fs::remove_file(&path);
        }
        3 => {
            let _ = fs::rename(&path, at(rng));
        }
        4 => {
            let mode = rng.pick(&[0o644, 0o755, 0o600]);
            let _ = fs::set_permissions(&path, PermissionsExt::from_mode(mode));
        }
        5 => {
            let old = SystemTime::UNIX_EPOCH + Duration::from_secs(rng.below(3) as u64);
            let _ = fs::File::options().write(true).open(&path).map(|file| file.set_modified(old));
        }
        _ => {
            let _ = fs::remove_file(&path);
            let _ = symlink(rng.below(3).to_string(), &path);
        }
    }
}
