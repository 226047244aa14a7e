//! What the observer keeps of look-ups is what the kernel would say.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rekindle_sandbox::{Records, Status, Touch};

use super::Place;
use crate::fixture::run;

/// The paths that the process which looked for `mark` has opened, as recorded.
fn opened(records: &Records, mark: &str) -> BTreeSet<PathBuf> {
    let mark = PathBuf::from("/build/shuffle").join(mark);
    let index = records.index();
    let id = records.paths.id(&mark).expect("it was looked for");
    let [who] = index.processes(id) else { panic!("one process looks for {}", mark.display()) };
    let accesses = &records.process(*who).accesses;
    let read = accesses.iter().filter(|access| access.touch.any(Touch::READ | Touch::LISTED));
    // By a descriptor that it got from its parent it could read its output.
    let own = read.filter(|access| !access.touch.any(Touch::INHERITED));
    own.map(|access| records.paths.path(access.path)).collect()
}

/// Two processes and two threads make, remove, rename, exchange and link names at random; then they hold still without being heard
/// of again, and two processes, one after the other, open every name and say where the kernel led them.
#[test]
fn what_is_kept_of_names_that_change_is_what_the_kernel_says() {
    let way = "shuffle";
    let ran = run(&Place::new(&[way]).spec("static", &[way]));
    assert_eq!(ran.exit.status, Status::Code(0), "{}", ran.output);
    let records = ran.exit.records.expect("it was asked for");
    assert!(records.complete, "{}", records.reason);
    let (mut turns, mut found) = (0, 0);
    for line in ran.output.lines() {
        let mut words = line.split(' ');
        let mark = words.next().expect("there is always one");
        let expect: BTreeSet<PathBuf> = words.map(PathBuf::from).collect();
        assert_eq!(opened(&records, mark), expect, "{mark}");
        turns += 1;
        found += expect.len();
    }
    assert_eq!(turns, 80);
    assert!(found > 200, "only {found} were there");
}
