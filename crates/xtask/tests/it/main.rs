//! The workspace obeys its own rules.

/// Every finding is printed, so that one run of the tests tells all there is to mend.
#[test]
fn the_workspace_is_tidy() {
    let findings = xtask::tidy::check_workspace(&xtask::workspace_root()).expect("the workspace can be read");
    let list: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "{} findings:\n{}", list.len(), list.join("\n"));
}
