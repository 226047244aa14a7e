//! Files that `rekindle build` makes beside the store, where something stands in the way: it is said before anything is built.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::project::{Place, example};

#[test]
fn a_page_replaces_nothing_but_a_page() {
    let place = Place::new();
    let at = |name: &str| place.path().join(name);
    let source = "int main(void) { return 0; }\n";
    for (name, text) in [("main.c", source), ("index.html", "<!DOCTYPE html>\n<html lang=\"en\">\n</html>\n")]
    {
        fs::write(at(name), text).expect("ours");
        check(
            &place,
            &["--report", name],
            &[&format!("cannot write {name}"), "no page of a build", "another file"],
        );
        assert_eq!(fs::read_to_string(at(name)).expect("ours"), text);
    }
    check(&place, &["--report", "page.txt"], &["cannot write page.txt", ".html", "--report page.txt.html"]);
    assert!(!at("page.txt").exists() && !place.store().exists(), "nothing was begun");
    fs::create_dir(at("closed")).expect("ours");
    fs::set_permissions(at("closed"), fs::Permissions::from_mode(0o555)).expect("ours");
    check(&place, &["--report", "closed/page.html"], &["cannot write closed/page.html", "Permission denied"]);
    // An empty file, then the page itself, and something that is no file.
    fs::write(at("page.html"), "").expect("ours");
    fs::set_permissions(at("page.html"), fs::Permissions::from_mode(0o666)).expect("ours");
    for page in ["page.html", "page.html", "new.html", "/dev/null"] {
        let args = ["build", "-q", "--no-link", "--clean", "--report", page];
        let built = place.rekindle_as_user(&args).arg(example("hello-make")).run();
        assert!(built.success(), "{page}: {}", built.stderr());
    }
    assert!(fs::read_to_string(at("page.html")).expect("a page").contains("hello-make"));
}

/// A build that is refused before it begins.
fn check(place: &Place, args: &[&str], says: &[&str]) {
    let package = example("hello-make");
    let finished = place.rekindle_as_user(&["build"]).args(args).arg(package).run();
    let stderr = finished.stderr();
    assert_eq!(finished.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("error: "), "nothing ran before: {stderr}");
    for said in says {
        assert!(stderr.contains(said), "{said:?} is not in {stderr}");
    }
}

#[test]
fn what_is_in_the_way_of_a_link_is_named_before_the_build() {
    let place = Place::new();
    let at = |name: &str| place.path().join(name);
    let said = |path: &Path| format!("cannot replace '{}'", path.display());
    fs::create_dir(at("result")).expect("ours");
    check(&place, &[], &[&said(&at("result")), "--no-link", "--out-link"]);
    let mut logs = fs::read_dir(place.store().join("nix/var/log/nix/drvs")).expect("a store");
    assert!(logs.next().is_none(), "nothing was built");
    fs::write(at("file"), "mine").expect("ours");
    check(&place, &["-o", "file"], &[&said(&at("file"))]);
    check(&place, &["-o", "file/result"], &["cannot", "file/result", "Not a directory"]);
    symlink("/etc/hostname", at("elsewhere")).expect("ours");
    check(&place, &["-o", "elsewhere"], &[&said(&at("elsewhere"))]);
    assert_eq!(fs::read_to_string(at("file")).expect("ours"), "mine");
    // Where nothing can be made the link is named, not what it is called for a moment.
    fs::create_dir(at("closed")).expect("ours");
    fs::set_permissions(at("closed"), fs::Permissions::from_mode(0o555)).expect("ours");
    let link = at("closed/result").display().to_string();
    check(&place, &["-o", "closed/result"], &["cannot create the link", &link, "Permission denied"]);
    // Nothing is in the way of these.
    for link in ["new/result", "new/result"] {
        let built = place.rekindle_as_user(&["build", "-q", "-o", link]).arg(example("hello-make")).run();
        assert!(built.success(), "{}", built.stderr());
    }
    assert!(at("new/result/bin").is_dir());
}
