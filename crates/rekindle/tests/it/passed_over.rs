//! Phases that are passed over, and those that must not be, for what they only looked for. The judge is a clean build in another store.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::project::Invocation;
use crate::slips::{Built, Project};

/// An install phase that never opens what it decides by.
const MANIFEST: &str = "[package]\nname = \"p\"\nversion = \"1\"\nbuild-system = \"custom\"\n[phases]\n\
    build = \"cp text made\"\n\
    install = '''echo it installs; mkdir $out; cp made $out; for file in extra script; do \
    if test -x $file; then echo program; elif test -e $file; then echo file; fi > $out/$file; done'''\n";

#[test]
fn an_install_phase_counts_what_comes_and_goes_and_what_it_reads() {
    let project = Project::of(&[("text", "one\n"), ("script", "one\n"), ("other", "one\n")]);
    project.put("rekindle.toml", MANIFEST);
    let installs = |built: &Built| {
        let log = project.place.rekindle(&["log", &built.drv]).run().stdout();
        log.contains("it installs")
    };
    assert!(installs(&project.builds()));
    // A clean build before each edit: what goes on from another one installs in any case.
    let edited = |edit: &dyn Fn()| {
        assert!(project.built(&["--clean"], Invocation::run).success);
        edit();
        installs(&project.builds())
    };
    assert!(!edited(&|| project.put("other", "two\n")));
    assert!(edited(&|| project.put("extra", "")));
    let script = project.root.join("script");
    let executable = fs::Permissions::from_mode(0o755);
    assert!(edited(&|| fs::set_permissions(&script, executable.clone()).expect("our own file")));
    assert!(edited(&|| fs::remove_file(&script).expect("our own file")));
    assert!(edited(&|| project.put("text", "two\n")));
}
