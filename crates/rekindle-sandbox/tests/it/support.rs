//! What a machine is said to be able to do.

use rekindle_sandbox::{Feature, Sandbox};
use tempfile::tempdir;

use crate::fixture::sandbox;

#[test]
fn a_machine_that_passes_these_tests_can_do_it_all() {
    let scratch = tempdir().expect("a directory");
    let support = sandbox().support(scratch.path());
    let features: Vec<_> = support.capabilities.iter().map(|capability| capability.feature).collect();
    assert_eq!(
        features,
        [
            Feature::Namespaces,
            Feature::Loopback,
            Feature::Seccomp,
            Feature::Overlay,
            Feature::Watch,
            Feature::Observe,
            Feature::Kvm
        ]
    );
    for capability in &support.capabilities {
        match &capability.verdict {
            Ok(()) => {}
            Err(lack) if capability.feature == Feature::Kvm => {
                assert!(lack.why.contains("/dev/kvm"), "{lack:?}");
            }
            Err(lack) => panic!("{:?}: {lack:?}", capability.feature),
        }
    }
    assert_eq!(std::fs::read_dir(scratch.path()).expect("it is there").count(), 0);
}

#[test]
fn a_lack_says_what_it_is() {
    let scratch = tempdir().expect("a directory");
    let support = Sandbox::with_helper("/bin/true").support(&scratch.path().join("none"));
    let why = |feature| {
        let capability = support.capabilities.iter().find(|capability| capability.feature == feature);
        let lack = capability.expect("all are listed").verdict.as_ref().expect_err("it cannot work");
        (lack.why.clone(), lack.mend.clone())
    };
    assert_eq!(why(Feature::Namespaces).0, "/bin/true is no sandbox helper");
    assert_eq!(why(Feature::Namespaces).1, "its main must begin with child_main");
    assert!(why(Feature::Overlay).0.contains("/none"));
}
