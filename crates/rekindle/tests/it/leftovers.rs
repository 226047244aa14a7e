//! What builds leave in the directory of a package is no source of the next build, and what they remember of sources is
//! a cache only.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::project::Place;

/// A package whose output says what its sources are. It leads by a link of its own to an output of nobody's.
fn lister(place: &Place) -> PathBuf {
    let root = place.write(
        "lister",
        "rekindle.toml",
        "[package]\nname = \"lister\"\nversion = \"1\"\nbuild-system = \"custom\"\noutputs = [\"out\", \"dev\"]\n\
         [phases]\ninstall = 'mkdir -p $out $dev && find . | LC_ALL=C sort > $out/sources'\n",
    );
    place.write("lister", "data/file", "1\n");
    symlink("/nix/store/00bgd045z0d4icpbc2yyz4gx48ak44la-zlib-1.3", root.join("data/zlib")).expect("linked");
    symlink("/nix/store", root.join("store")).expect("linked");
    root
}

const SOURCES: &str = ".\n./data\n./data/file\n./data/zlib\n./store\n";

/// Builds in the directory itself. Returns where the first output is.
fn build(place: &Place, root: &Path, args: &[&str]) -> String {
    let finished = place.rekindle(&["build", "--print-out-paths"]).args(args).current_dir(root).run();
    assert!(finished.success(), "{}", finished.stderr());
    finished.stdout().lines().next().expect("an output").to_owned()
}

fn listed(place: &Place, out: &str) -> String {
    fs::read_to_string(place.physical(out).join("sources")).expect("built")
}

#[test]
fn a_link_to_an_output_is_no_source_whatever_the_store() {
    let (one, other) = (Place::new(), Place::new());
    let root = lister(&one);
    let out = build(&one, &root, &[]);
    assert_eq!(listed(&one, &out), SOURCES);
    for (place, args) in [(&one, &[] as &[&str]), (&other, &[]), (&one, &["-o", "my link*"]), (&other, &[])] {
        assert_eq!(build(place, &root, args), out, "{args:?}");
        assert_eq!(listed(place, &out), SOURCES);
    }
    // The links lead nowhere once the store has moved, and to another place than its own once it was copied.
    fs::rename(other.store(), other.path().join("moved")).expect("our own directory");
    assert!(fs::metadata(root.join("result")).is_err());
    assert_eq!(build(&one, &root, &["--no-link"]), out);
    assert_eq!(build(&other, &root, &["--no-link"]), out);
    assert_eq!(listed(&other, &out), SOURCES);
}

#[test]
fn a_page_of_a_build_is_no_source() {
    let place = Place::new();
    let root = lister(&place);
    let page = root.join("build.html");
    let out = build(&place, &root, &["--report", "build.html"]);
    let first = fs::read_to_string(&page).expect("a page");
    assert_eq!(build(&place, &root, &["--report", "build.html"]), out);
    assert_ne!(fs::read_to_string(&page).expect("a page"), first, "it tells of another build");
    assert_eq!(listed(&place, &out), SOURCES);
    let verified = place.rekindle(&["verify"]).current_dir(&root).run();
    assert!(verified.success(), "{}", verified.stderr());
    // What only has its name is a source, also where a page was; and a page is none where a source was.
    fs::write(&page, first.replacen("rekindle", "somebody", 1)).expect("our own file");
    let with_file = build(&place, &root, &[]);
    assert_eq!(listed(&place, &with_file), ".\n./build.html\n./data\n./data/file\n./data/zlib\n./store\n");
    fs::write(&page, first).expect("our own file");
    assert_eq!(build(&place, &root, &[]), out);
}

#[test]
fn whatever_lies_where_sources_are_remembered_stops_no_build() {
    let place = Place::new();
    let root = lister(&place);
    let out = build(&place, &root, &["--no-link"]);
    let sources = place.store().join("rekindle-1/sources");
    let indexes = || fs::read_dir(sources.join("index")).expect("our own directory").flatten();
    let is_one =
        |file: &Path| fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0);
    let index = indexes().next().expect("an index").path();
    let put_file = |at: &Path| {
        fs::remove_dir_all(at).expect("our own directory");
        fs::write(at, "damaged").expect("our own file");
    };
    let put_directory = |at: &Path| {
        fs::remove_file(at).expect("our own file");
        fs::create_dir_all(at.join("directory")).expect("our own directory");
    };
    for (at, put) in [
        (&sources, &put_file as &dyn Fn(&Path)),
        (&sources.join("index"), &put_file),
        (&index, &put_directory),
    ] {
        put(at);
        assert_eq!(build(&place, &root, &["--no-link"]), out);
        assert!(is_one(&index), "{}", at.display());
        assert_eq!(indexes().count(), 1, "{}", at.display());
    }
}

/// It changes as it is written to. What else is there is a source.
#[test]
fn a_store_in_the_directory_is_no_source() {
    let sources = |root: &Path, store: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
        command.args(["--store", store, "build", "--no-link", "--print-out-paths"]).current_dir(root);
        let built = command.env("HOME", root).output().expect("the program starts");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let out = String::from_utf8(built.stdout).expect("text");
        fs::read_to_string(
            root.join(store)
                .join(out.lines().next().expect("an output").trim_start_matches('/'))
                .join("sources"),
        )
        .expect("built")
    };
    // A directory in which nothing else is does not count either.
    for store in ["rel [1]/st", ".", "data"] {
        let place = Place::new();
        let root = lister(&place);
        for _ in 0..2 {
            assert_eq!(sources(&root, store), SOURCES, "{store}");
        }
    }
}
