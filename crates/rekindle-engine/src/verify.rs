//! Building a valid derivation again, clean, beside its outputs, and comparing what comes of it with them.
//!
//! The outputs are not touched, nor what they were built with. One that was built clean and differs is compared with a build at its
//! final path, too, as that may be how it was made: the one counts from which it differs less. Compared are names, kinds, contents, link targets and the one bit of a mode that a store
//! keeps, whether a file is executable. An output that differs may be wrong, or its package may not be reproducible: so
//! after a difference it is built clean a second time. What differs between the two clean builds as well says nothing;
//! what does not makes the output wrong.
//!
//! An output that is equal and was incremental becomes verified. One that is wrong and was incremental makes all
//! checkpoints of its package suspect: they go into quarantine, and nothing starts from them. It is noted to be wrong, and
//! the next build that wants it makes it again, clean, and replaces it. So is what was built with it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rekindle_layers::{Node, NodeKind, Snapshot};
use rekindle_nix::{OutputName, StorePath};
use rekindle_sandbox::Cancel;
use rekindle_store::Staging;

use crate::building::Building;
use crate::engine::{BuildOptions, Engine, Report};
use crate::error::Error;
use crate::event::{BuildResult, Event};
use crate::fetch::Fetcher;
use crate::job::{Done, Job, Purpose};
use crate::mounted::Mounted;
use crate::outputs::Collector;
use crate::provenance::Provenance;
use crate::refuted::RefutedUsers;
use crate::scratch::OutputPaths;
use crate::unlock::unlock;

/// What came of comparing the outputs of a derivation with those of a clean build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// How it ended.
    pub verdict: VerificationVerdict,
    /// All that differs from the first clean build, by output and path.
    pub differences: Vec<OutputDifference>,
    /// How many checkpoints went into quarantine, of this package and those that were built with it.
    pub quarantined: usize,
    /// The derivations that were built with it, of which outputs are noted as wrong now, too.
    pub users: Vec<StorePath>,
    /// Whether an output is noted as wrong, now or by an earlier comparison: the next build replaces it. One that is equal may be, if what
    /// it was built with is.
    pub wrong: bool,
}

/// How a comparison with a clean build ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerificationVerdict {
    /// The outputs are what a clean build gives.
    Equal,
    /// They are not, though clean builds agree about it.
    Different,
    /// They are not, and clean builds do not agree with each other about any of it.
    NotReproducible,
}

/// One file of an output that is not what a clean build gives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutputDifference {
    /// The output.
    pub output: OutputName,
    /// The file, relative to the output; empty for the output itself.
    pub file: PathBuf,
    /// How it differs, as a clause that follows its name.
    pub how: &'static str,
    /// Whether two clean builds differ there, too.
    pub varies: bool,
}

impl Engine {
    /// Builds each of `goals`, which are `.drv` files in the store with valid outputs, clean, and compares. Each that was
    /// compared is in the report as [`BuildResult::Verified`].
    ///
    /// # Errors
    /// As for [`Engine::build`]; a goal whose outputs are not valid.
    pub fn verify(
        &self,
        goals: &[StorePath],
        options: &BuildOptions,
        fetcher: &dyn Fetcher,
        events: &(dyn Fn(Event) + Sync),
        cancel: &Cancel,
    ) -> Result<Report, Error> {
        for goal in goals {
            let drv = self.derivation(goal)?;
            for path in drv.outputs.values().filter_map(|output| output.path()) {
                self.store().add_temp_root(path)?;
                if !self.store().is_valid(path)? {
                    let path = self.store().store_dir().display(path);
                    return Err(Error::usage(format!("{path} is not built, so there is nothing to compare")));
                }
            }
        }
        let _sources = self.lay_out(goals)?;
        let options = BuildOptions { clean: true, base: None, ..options.clone() };
        self.for_themselves(goals, Purpose::Verify, &options, fetcher, events, cancel)
    }
}

/// A clean build, and how the outputs differ from it.
struct Comparison {
    is_exact: bool,
    staged: Vec<Staging>,
    differences: Vec<OutputDifference>,
}

impl Job<'_> {
    /// Builds clean and compares.
    pub(crate) fn verify(
        &self,
        collector: &Collector<'_>,
        inputs: &[StorePath],
        mounted: Option<&Mounted>,
    ) -> Result<BuildResult, Error> {
        let store = self.engine.store();
        let names: Vec<&OutputName> = collector.outputs.iter().map(|output| &output.name).collect();
        let valid: Vec<PathBuf> =
            collector.outputs.iter().map(|output| store.real_path(&output.final_path)).collect();
        let compare_with = |is_exact: bool| -> Result<Result<Comparison, BuildResult>, Error> {
            let building = Building::new(self, collector, inputs, mounted)?;
            let building = if is_exact { building.at_final_path() } else { building };
            Ok(match staged(building)? {
                Ok(staged) => {
                    let differences = compare(&names, &valid, &places(&staged))?;
                    Ok(Comparison { is_exact, staged, differences })
                }
                Err(result) => Err(result),
            })
        };
        let mut clean = match compare_with(false)? {
            Ok(comparison) => comparison,
            Err(result) => return Ok(result),
        };
        let noted = self.engine.provenances();
        let is_wrong = || collector.outputs.iter().any(|output| noted.is_wrong(&output.final_path));
        let is_clean = |output: &OutputPaths| noted.read(&output.final_path) == Some(Provenance::Clean);
        // What was built clean may have been built at its final path from the start, which some builds can tell.
        if !clean.differences.is_empty()
            && collector.outputs.iter().all(is_clean)
            && let Ok(exact) = compare_with(true)?
            && exact.differences.len() < clean.differences.len()
        {
            clean = exact;
        }
        if clean.differences.is_empty() {
            // As long as something wrong is there to build with, equal proves nothing.
            let is_doubtful = inputs.iter().any(|input| noted.is_wrong(input));
            if !is_doubtful {
                self.note_verified(collector)?;
            }
            return Ok(BuildResult::Verified(Verification {
                verdict: VerificationVerdict::Equal,
                differences: Vec::new(),
                quarantined: 0,
                users: Vec::new(),
                wrong: is_wrong(),
            }));
        }
        let again = match compare_with(clean.is_exact)? {
            Ok(comparison) => comparison,
            Err(result) => return Ok(result),
        };
        let mut differences = clean.differences;
        let varying: BTreeSet<(OutputName, PathBuf)> =
            compare(&names, &places(&clean.staged), &places(&again.staged))?
                .into_iter()
                .map(|difference| (difference.output, difference.file))
                .collect();
        for difference in &mut differences {
            difference.varies = varying.contains(&(difference.output.clone(), difference.file.clone()));
        }
        if differences.iter().all(|difference| difference.varies) {
            let (verdict, users) = (VerificationVerdict::NotReproducible, Vec::new());
            let nothing = Verification { verdict, differences, quarantined: 0, users, wrong: false };
            return Ok(BuildResult::Verified(nothing));
        }
        let refuted = self.refute(collector)?;
        Ok(BuildResult::Verified(Verification {
            verdict: VerificationVerdict::Different,
            differences,
            quarantined: refuted.quarantined,
            users: refuted.drvs,
            wrong: is_wrong(),
        }))
    }

    /// Notes that the outputs are what a clean build gives.
    fn note_verified(&self, collector: &Collector<'_>) -> Result<(), Error> {
        let noted = self.engine.provenances();
        collector.outputs.iter().try_for_each(|output| match noted.read(&output.final_path) {
            Some(Provenance::Incremental { base } | Provenance::Wrong { base }) => {
                noted.write(&output.final_path, &Provenance::Verified { base })
            }
            _ => Ok(()),
        })
    }

    /// Notes that they are not. What was clean says nothing of checkpoints; what was found wrong before said it then.
    fn refute(&self, collector: &Collector<'_>) -> Result<RefutedUsers, Error> {
        let noted = self.engine.provenances();
        let mut of = None;
        for output in collector.outputs {
            if let Some(Provenance::Incremental { base } | Provenance::Verified { base }) =
                noted.read(&output.final_path)
            {
                noted.write(&output.final_path, &Provenance::Wrong { base: base.clone() })?;
                of = Some(base);
            }
        }
        let Some(base) = of else { return Ok(RefutedUsers::default()) };
        let (package, system) = self.package();
        let quarantined = self.engine.checkpoints().quarantine(&package, &system)?;
        let mut refuted = self.engine.refute_users(self.drv_path(), &base)?;
        refuted.quarantined += quarantined;
        Ok(refuted)
    }
}

/// Where the outputs lie.
fn places(staged: &[Staging]) -> Vec<PathBuf> {
    staged.iter().map(|staging| staging.path().join("output")).collect()
}

/// Builds, and makes what comes of it readable; or tells what came of it instead.
fn staged(building: Building<'_>) -> Result<Result<Vec<Staging>, BuildResult>, Error> {
    let staged = match building.run()? {
        Done::Staged(staged) => staged,
        done => return Ok(Err(done.into_result())),
    };
    for staging in &staged {
        let place = staging.path().join("output");
        unlock(&place).map_err(|error| Error::io("make readable", &place, error))?;
    }
    Ok(Ok(staged))
}

/// Compares output by output.
fn compare(
    names: &[&OutputName],
    ours: &[PathBuf],
    theirs: &[PathBuf],
) -> Result<Vec<OutputDifference>, Error> {
    let mut differences = Vec::new();
    for ((name, ours), theirs) in names.iter().zip(ours).zip(theirs) {
        let (ours, theirs) = (Snapshot::of_path(ours)?, Snapshot::of_path(theirs)?);
        let mut note = |file: &Path, how| {
            let (output, file) = ((*name).clone(), file.to_owned());
            differences.push(OutputDifference { output, file, how, varies: false });
        };
        for (path, our) in ours.nodes() {
            match theirs.get(path) {
                None => note(path, "is not made by a clean build"),
                Some(their) => difference(our, their).into_iter().for_each(|how| note(path, how)),
            }
        }
        let missing = theirs.nodes().filter(|(path, _)| ours.get(path).is_none());
        missing.for_each(|(path, _)| note(path, "is missing, and a clean build makes it"));
    }
    differences.sort();
    Ok(differences)
}

/// How two files differ, as far as a store keeps it.
fn difference(ours: &Node, theirs: &Node) -> Option<&'static str> {
    const EXECUTABLE: u32 = 0o100;
    match (&ours.kind, &theirs.kind) {
        (NodeKind::File { size, digest }, NodeKind::File { size: their_size, digest: their_digest }) => {
            if (size, digest) != (their_size, their_digest) {
                Some("has other content")
            } else if (ours.mode ^ theirs.mode) & EXECUTABLE != 0 {
                Some("has another mode")
            } else {
                None
            }
        }
        (NodeKind::Symlink { target }, NodeKind::Symlink { target: their_target }) => {
            (target != their_target).then_some("points elsewhere")
        }
        (NodeKind::Directory, NodeKind::Directory) => None,
        _ => Some("is of another kind"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn all_that_a_store_keeps_is_compared_and_nothing_else() {
        let (ours, theirs) =
            (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        for (dir, content, target) in [(ours.path(), "one", "x"), (theirs.path(), "two", "y")] {
            let file = |name: &str, text: &str, mode| {
                fs::write(dir.join(name), text).expect("written");
                fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).expect("set");
            };
            file("content", content, 0o644);
            file("same", "same", if content == "one" { 0o444 } else { 0o640 });
            file("mode", "same", if content == "one" { 0o444 } else { 0o755 });
            symlink(target, dir.join("link")).expect("linked");
            fs::create_dir(dir.join("dir")).expect("made");
        }
        fs::write(ours.path().join("dir/old"), "").expect("written");
        fs::write(theirs.path().join("new"), "").expect("written");
        fs::create_dir(ours.path().join("kind")).expect("made");
        fs::write(theirs.path().join("kind"), "").expect("written");
        let name: OutputName = "out".parse().expect("a name");
        let found = compare(&[&name], &[ours.path().into()], &[theirs.path().into()]).expect("compared");
        let found: Vec<_> = found.iter().map(|one| (one.file.to_str().expect("text"), one.how)).collect();
        let expected = [
            ("content", "has other content"),
            ("dir/old", "is not made by a clean build"),
            ("kind", "is of another kind"),
            ("link", "points elsewhere"),
            ("mode", "has another mode"),
            ("new", "is missing, and a clean build makes it"),
        ];
        assert_eq!(found, expected);
        assert_eq!(compare(&[&name], &[ours.path().into()], &[ours.path().into()]).expect("compared"), []);
    }
}
