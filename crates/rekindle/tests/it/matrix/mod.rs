//! The edit matrix: after an edit, a build that goes on from the one before gives what a clean build gives.
//!
//! A case is a small project, an edit, and the outputs compared: names, bytes, modes and link targets. A suite is the
//! cases of one project: each starts from the same first build, so that build is made once. Where a build tool itself
//! is wrong after the edit (a header that nobody declared, an object that stays in an archive), the audit has to see it. What
//! nobody can see is there too, and asserted to differ, so that its mark goes when it is seen.

mod advice;
mod afterwards;
mod archives;
mod autotools;
mod awaited;
mod cargo;
mod carried;
mod chains;
mod cmake;
mod company;
mod copied;
mod damage;
mod doubts;
mod edit;
mod edits;
mod faults;
mod handed;
mod make;
mod meant;
mod meson;
mod moments;
mod null_builds;
mod once;
mod order;
mod probes;
mod python;
mod random;
mod random_wrong;
mod recipes;
mod shadows;
mod shapes;
mod undeclared;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::checkpoints::json;
use crate::project::{Finished, Place};
use crate::tree;
use edit::Edit;

/// The names of all kinds of edit that an incremental build has to get right.
const PROBES: [&str; 64] = [
    "archive_with_mtimes",
    "binary_changed",
    "binary_only_changed",
    "build_makes_symlink_needed_later",
    "cflags_env_changed",
    "cmake_make_edit_c",
    "cmake_make_edit_header",
    "cmake_make_new_file",
    "cmake_ninja_edit_c",
    "cmake_tarball_edit_c",
    "compiler_changed",
    "configure_generates_header",
    "control_edit_one_c",
    "crlf_file",
    "dangling_symlink_unchanged",
    "deleted_c_listed_lib",
    "deleted_c_wildcard_lib",
    "deleted_header",
    "deleted_installed_file",
    "deleted_only",
    "dependency_header_changed",
    "dir_becomes_file",
    "dotfile_root_changed",
    "dotfile_root_optional",
    "dotfile_root_unchanged",
    "dotfile_subdir_changed",
    "exec_bit_changed",
    "exec_bit_unchanged_kept",
    "file_becomes_dir",
    "file_emptied",
    "file_to_symlink",
    "filename_newline",
    "filename_spaces",
    "filename_tab",
    "filename_utf8_quote_backslash",
    "generated_by_make_from_source",
    "generated_shipped_older_than_source",
    "generated_shipped_only_y_edited",
    "hardlinked_files",
    "header_autotools_like_no_deptrack",
    "header_changed_depfiles",
    "header_changed_no_depfiles",
    "lf_to_crlf",
    "makeflags_define_changed",
    "new_c_file_used",
    "new_empty_dir",
    "new_empty_file",
    "new_file",
    "new_file_only",
    "new_header_shadows_old",
    "newline_eof_added",
    "no_change",
    "no_newline_eof",
    "orig_file_leftovers",
    "out_of_tree_make_edit_c",
    "prefix_embedded_in_object",
    "readonly_dir_in_build",
    "renamed_file",
    "revert_to_older_mtime_tarball",
    "source_modified_by_build",
    "symlink_retargeted",
    "symlink_unchanged",
    "text_has_diff_inside",
    "undeclared_read_deleted_source_still_builds",
];

/// What has to come of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// The outputs of both builds are equal.
    Equal,
    /// They are not: what was only asked for, and neither opened nor listed, nobody saw.
    Unseen,
    /// Both builds fail.
    BothFail,
}

/// An edit, and what has to come of it.
#[derive(Debug)]
struct Case {
    name: &'static str,
    edits: Vec<Edit>,
    expect: Expect,
    /// What may become of the build phase. Empty: anything.
    verdicts: &'static [&'static str],
}

impl Case {
    fn equal(name: &'static str, edits: Vec<Edit>) -> Case {
        Case { name, edits, expect: Expect::Equal, verdicts: &[] }
    }

    fn unseen(name: &'static str, edits: Vec<Edit>) -> Case {
        Case { expect: Expect::Unseen, ..Case::equal(name, edits) }
    }

    fn both_fail(name: &'static str, edits: Vec<Edit>) -> Case {
        Case { expect: Expect::BothFail, ..Case::equal(name, edits) }
    }

    /// The build phase goes on from what it left.
    fn seeds(self) -> Case {
        Case { verdicts: &["seed"], ..self }
    }

    /// The build phase does not run as a whole.
    fn keeps(self) -> Case {
        Case { verdicts: &["seed", "skip"], ..self }
    }

    /// Nothing changed for the build phase.
    fn takes(self) -> Case {
        Case { verdicts: &["reuse"], ..self }
    }

    /// Nothing is taken for the build phase.
    fn runs(self) -> Case {
        Case { verdicts: &["run"], ..self }
    }
}

/// A project and the cases that start from it.
#[derive(Debug)]
struct Suite {
    project: Vec<Edit>,
    cases: Vec<Case>,
}

/// Checks all suites, and tells all that is wrong at once.
fn check(suites: impl IntoIterator<Item = Suite>) {
    let clean = Place::new();
    let wrong: Vec<String> = suites.into_iter().flat_map(|suite| suite.check(&clean)).collect();
    assert!(wrong.is_empty(), "{} cases are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

impl Suite {
    fn check(&self, clean: &Place) -> Vec<String> {
        let place = Place::new();
        let origin = place.path().join("origin");
        edit::make(&origin, &self.project);
        place.build(&origin, &[]);
        let first: BTreeSet<PathBuf> = checkpoints(&place).into_iter().collect();
        let mut wrong = Vec::new();
        for (number, case) in self.cases.iter().enumerate() {
            let root = place.path().join(format!("case-{number}"));
            edit::make(&root, &self.project);
            case.edits.iter().for_each(|edit| edit.apply(&root));
            if let Err(what) = case.check(&place, clean, &root) {
                wrong.push(format!("{}: {what}", case.name));
            }
            // The next case starts from the first build, too.
            for other in checkpoints(&place).iter().filter(|dir| !first.contains(*dir)) {
                fs::remove_dir_all(other).expect("our own directory");
            }
        }
        wrong
    }
}

impl Case {
    fn check(&self, place: &Place, clean: &Place, root: &Path) -> Result<(), String> {
        let ours = Built::of(place, root, &[]);
        let theirs = Built::of(clean, root, &["--clean"]);
        match (ours.outputs(place), theirs.outputs(clean), self.expect) {
            (None, None, Expect::BothFail) => return Ok(()),
            (Some(ours_is), Some(theirs_is), Expect::Equal | Expect::Unseen) => {
                let differs = tree::differences(&ours_is, &theirs_is);
                match (self.expect, differs.is_empty()) {
                    (Expect::Unseen, true) => {
                        return Err("is equal: it is seen now".to_owned());
                    }
                    (Expect::Equal, false) => {
                        return Err(format!("{differs:?} not as in a clean build\n{}", ours.told));
                    }
                    _ => {}
                }
            }
            (None, ..) => return Err(format!("fails\n{}", ours.told)),
            (_, None, _) => return Err(format!("a clean build fails\n{}", theirs.told)),
            _ => return Err("does not fail".to_owned()),
        }
        let verdict = ours.verdict("buildPhase");
        if !self.verdicts.is_empty() && !self.verdicts.contains(&verdict) {
            return Err(format!("the build phase: {verdict}\n{}", ours.told));
        }
        Ok(())
    }
}

/// A build that is over.
struct Built {
    report: Value,
    told: String,
}

impl Built {
    fn of(place: &Place, root: &Path, args: &[&str]) -> Built {
        Built::from(&place.rekindle(&["build", "--no-link", "--json", "-L"]).args(args).arg(root).run())
    }

    fn from(finished: &Finished) -> Built {
        let told = finished.stderr();
        let report = serde_json::from_str(&finished.stdout());
        Built { report: report.unwrap_or_else(|error| panic!("no report: {error}: {told}")), told }
    }

    /// Panics unless the build succeeded.
    #[track_caller]
    fn good(self) -> Built {
        assert!(self.report["success"] == true, "{}", self.told);
        self
    }

    /// How its outputs differ from those of a clean build in another place.
    fn differences_to_clean(&self, place: &Place, clean: &Place, root: &Path) -> Vec<PathBuf> {
        let theirs = Built::of(clean, root, &["--clean"]).good();
        let (one, other) = (self.outputs(place).expect("built"), theirs.outputs(clean).expect("built"));
        tree::differences(&one, &other)
    }

    /// Where the outputs of the last package that was asked for lie; `None` if it failed.
    fn outputs(&self, place: &Place) -> Option<Vec<PathBuf>> {
        let outputs = self.report["goals"].as_array()?.last()?["outputs"].as_object()?;
        let paths = outputs.values().map(|output| place.physical(output["path"].as_str().expect("a path")));
        Some(paths.collect())
    }

    /// What became of a phase of the last package that was built; `none` if nothing was.
    fn verdict(&self, phase: &str) -> &str {
        let judged = self.build()["verdicts"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found = judged.iter().rev().find(|judged| judged["phase"] == phase);
        found.and_then(|judged| judged["verdict"].as_str()).unwrap_or("none")
    }

    /// The name of the reason for that.
    fn reason(&self, phase: &str) -> &str {
        let judged = self.build()["verdicts"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found = judged.iter().rev().find(|judged| judged["phase"] == phase);
        found.and_then(|judged| judged["reason"].as_str()).unwrap_or("none")
    }

    /// The checkpoint that it went on from.
    fn base(&self) -> Option<&str> {
        self.build()["taken"]["base"].as_str()
    }

    /// The checkpoint of what was kept of it, if it failed.
    fn kept_by_failure(&self, place: &Place) -> Option<String> {
        if self.build()["failure"]["goesOn"] != true {
            return None;
        }
        let listed = json(&place.rekindle(&["checkpoint", "list", "--json"]).run());
        Some(listed["checkpoints"][0]["id"].as_str().expect("an identity").to_owned())
    }

    /// Whether anything of an earlier build is in it.
    fn takes_something(&self) -> bool {
        let steps = &self.build()["taken"]["steps"];
        ["reused", "skipped", "seeded"].iter().any(|how| steps[how].as_u64().is_some_and(|count| count > 0))
    }

    /// Whether a phase went on from what it had left, and an audit had something to say about that.
    fn is_audited(&self) -> bool {
        self.build()["audits"].as_array().is_some_and(|audits| !audits.is_empty())
    }

    /// Whether an audit found anything to be wrong.
    fn is_found(&self) -> bool {
        let audits = self.build()["audits"].as_array().map(Vec::as_slice).unwrap_or_default();
        audits.iter().any(|audit| audit["findings"].as_array().is_some_and(|findings| !findings.is_empty()))
    }

    fn build(&self) -> &Value {
        self.report["builds"].as_array().and_then(|builds| builds.last()).unwrap_or(&Value::Null)
    }
}

/// Builds incrementally and clean, panics unless both give the same, and returns how the first went.
#[track_caller]
fn equal(place: &Place, clean: &Place, root: &Path) -> Built {
    let ours = Built::of(place, root, &[]).good();
    let theirs = Built::of(clean, root, &["--clean"]).good();
    let (one, other) = (ours.outputs(place).expect("built"), theirs.outputs(clean).expect("built"));
    let differs = tree::differences(&one, &other);
    assert!(differs.is_empty(), "{differs:?} not as in a clean build: {}", ours.told);
    ours
}

/// The directories of all checkpoints that are whole.
fn checkpoints(place: &Place) -> Vec<PathBuf> {
    let entries = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let packages = entries(place.store().join("rekindle-1/checkpoints")).filter(|path| path.is_dir());
    packages.flat_map(entries).filter(|dir| dir.join("record").exists()).collect()
}

/// Panics unless the store verifies, every byte of it.
#[track_caller]
fn verify(place: &Place) {
    let verified = place.rekindle(&["store", "verify"]).run();
    assert!(verified.success(), "{}{}", verified.stdout(), verified.stderr());
}

#[test]
fn every_probe_is_there() {
    let suites = [
        archives::suites(),
        autotools::suites(),
        cmake::suites(),
        make::suites(),
        probes::suites(),
        recipes::suites(),
        shapes::suites(),
    ];
    let named: BTreeSet<_> =
        suites.iter().flatten().flat_map(|suite| suite.cases.iter().map(|case| case.name)).collect();
    let missing: Vec<_> = PROBES.iter().filter(|probe| !named.contains(*probe)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
