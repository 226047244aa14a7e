//! Stamps: empty files of which only the time counts.

use super::Built;
use super::edit::{self, write};
use super::make::with_makefile;
use crate::project::Place;

const MAKEFILE: &str = "\
prog: stamp
\tcp made prog
stamp: a.h
\tcp a.h made
\ttouch $@
other.stamp: a.h; cat a.h > other; touch $@
prog: other.stamp
install: prog
\tinstall -D prog $(PREFIX)/bin/prog
\tinstall -D other $(PREFIX)/bin/other
";

/// `touch` leaves what is in a file. If that is nothing, the file is as new as one that was just made, and the build tool need not
/// run a second time.
#[test]
fn what_is_touched_again_is_made_again() {
    let (place, clean) = (Place::new(), Place::new());
    let root = place.path().join("project");
    edit::make(&root, &with_makefile(MAKEFILE));
    Built::of(&place, &root, &[]).good();
    write("a.h", "#define A 77\n").apply(&root);
    let ours = Built::of(&place, &root, &[]).good();
    let differences = ours.differences_to_clean(&place, &clean, &root);
    assert!(differences.is_empty(), "{differences:?}\n{}", ours.told);
    let audits = &ours.build()["audits"];
    assert_eq!(audits[0]["phase"], "buildPhase", "{}", ours.told);
    assert_eq!(audits[0]["rounds"], 1, "{}", ours.told);
}
