//! What a question about a build is about: a package, its newest checkpoint, and perhaps a file of it.
//!
//! A word is a directory (then its package), a path (then a file), or a name. A file of the build tree has other names
//! outside, so it is looked for in several ways; what cannot be found is told with names that are like it.

mod names;
mod unobserved;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rekindle_engine::{CheckpointInfo, CheckpointStore, Made, StepTraces, Told};
use rekindle_nix::StorePath;
use rekindle_plan::explain::{Lineage, StepRuns};
use rekindle_plan::{SourceChange, quote};
use rekindle_store::Store;

use crate::cli_error::CliError;
use crate::project::Project;
use crate::report::{one_line, short_id};
use crate::session::Session;
use crate::target;
pub(super) use names::shown;
use names::{in_output, normal, roots};
pub(super) use unobserved::ANOTHER;

/// So long is what stands before the name in a store path: the hash and a dash.
const HASH: usize = 33;

/// The phase that puts something where the outputs are.
const INSTALL: &str = "installPhase";

/// So many names that are like a wrong one are told.
const MOST_LIKE_IT: usize = 3;

/// A build that can be asked about.
pub(super) struct Subject {
    pub(super) info: CheckpointInfo,
    pub(super) made: Made,
    /// What became of its steps.
    pub(super) told: Vec<Told>,
    /// How its sources differ from those that it went on from, if that is known.
    pub(super) changes: Option<Vec<SourceChange>>,
    traces: Vec<StepTraces>,
    /// The phase that was not observed in its build, so that what is known of it is of an earlier one.
    pub(super) borrowed: Option<String>,
    /// The directory of the package, if it is known.
    dir: Option<PathBuf>,
}

/// What was asked for.
pub(super) enum Asked {
    /// The package as a whole.
    Package,
    /// A file, as the user named it.
    File(FileName),
}

/// How a file can be named.
pub(super) enum FileName {
    /// A path.
    Path(PathBuf),
    /// What is in an output: the name of the output without its hash, and the rest.
    InOutput(String, PathBuf),
}

/// A file that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Its path in the tree.
    Known(Vec<u8>),
    /// It is among the sources, and nobody looked at it.
    Untouched,
}

/// Finds what the user asks about.
pub(super) fn find(
    session: &Session<'_>,
    what: Option<&OsStr>,
    package: Option<&str>,
    checkpoint: Option<&str>,
) -> Result<(Subject, Asked), CliError> {
    let store = session.checkpoints()?;
    let here = OsString::from(".");
    let word = what.unwrap_or(&here);
    let path = Path::new(word);
    let is_output = !path.is_dir() || path.is_symlink();
    let in_store = session.store_to_read()?;
    if let (true, Some((output, rest))) = (is_output, in_output_of(path, &in_store)) {
        let drv = in_store.path_info(&output)?.and_then(|info| info.deriver);
        let mut subject = match checkpoint {
            Some(id) => Subject::of(&store, &store.resolve(id)?, None)?,
            None => {
                let is_of = |made: &Made| drv.as_ref().is_some_and(|drv| made.drv == drv.base_name());
                newest(&store, is_of, None)?.ok_or_else(|| {
                    CliError::user(format!("there is no checkpoint of the build of {}", path.display()))
                        .hint("it was not built here, or its checkpoint was removed; build it again")
                })?
            }
        };
        subject.borrow_install(&store)?;
        let asked = match rest.as_os_str().is_empty() {
            true => Asked::Package,
            false => Asked::File(FileName::InOutput(output.name().to_string(), rest)),
        };
        return Ok((subject, asked));
    }
    let is_word = !word.as_bytes().contains(&b'/') && !path.exists();
    let named = match (is_word && package.is_none(), word.to_str()) {
        (true, Some(name)) => newest(&store, |made| is_called(made, name), None)?,
        _ => None,
    };
    if let (Some(subject), None) = (named, checkpoint) {
        return Ok((subject, Asked::Package));
    }
    let (dir, asked) = match path.is_dir() {
        true => (path, Asked::Package),
        false => (Path::new("."), Asked::File(FileName::Path(path.to_owned()))),
    };
    if let Some(id) = checkpoint {
        let dir = std::path::absolute(dir).ok();
        return Ok((Subject::of(&store, &store.resolve(id)?, dir)?, asked));
    }
    let (name, dir) = match package {
        Some(name) => (name.to_owned(), package_in(dir, Some(name)).ok().map(|(_, dir)| dir)),
        None => package_in(dir, None).map(|(name, dir)| (name, Some(dir))).map_err(|error| {
            match (&asked, is_word) {
                (Asked::File(_), true) => CliError::user(format!(
                    "there is neither a package with a checkpoint nor a file of a package here that is called {}",
                    one_line(word.as_bytes())
                ))
                .hint("`rekindle checkpoint list` says of which packages there are checkpoints"),
                _ => error.hint("-p NAME names the package"),
            }
        })?,
    };
    let subject = newest(&store, |made| is_called(made, &name), dir)?.ok_or_else(|| {
        CliError::user(format!("there is no checkpoint of {name}"))
            .hint("`rekindle build` makes one, unless the package does not build phase by phase")
    })?;
    Ok((subject, asked))
}

/// The store path that a file is in, and where in it, even if there is none of this name.
pub(super) fn in_output_of(path: &Path, store: &Store) -> Option<(StorePath, PathBuf)> {
    if let Ok(found) = target::resolve(path, store) {
        return Some(found);
    }
    let above = path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
    above.into_iter().find_map(|above| {
        let (output, inside) = target::resolve(above, store).ok()?;
        Some((output, inside.join(path.strip_prefix(above).ok()?)))
    })
}

/// The name and directory of the package in a directory.
fn package_in(dir: &Path, wanted: Option<&str>) -> Result<(String, PathBuf), CliError> {
    let wanted: Vec<String> = wanted.map(str::to_owned).into_iter().collect();
    let project = Project::load(&[dir.to_owned()], &wanted)?;
    match project.goals[..] {
        [goal] => {
            let member = &project.members[goal];
            Ok((member.package.name.to_string(), member.dir.clone()))
        }
        _ => {
            let names = project.goals.iter().map(|at| project.members[*at].package.name.to_string());
            let names: Vec<String> = names.collect();
            Err(CliError::user(format!("there are several packages; say which: {}", names.join(", "))))
        }
    }
}

/// Whether a checkpoint is of the package of this name, with or without its version.
pub(super) fn is_called(made: &Made, name: &str) -> bool {
    let full = made.drv.get(HASH..).and_then(|rest| rest.strip_suffix(".drv"));
    made.package == name || full == Some(name)
}

fn newest(
    store: &CheckpointStore,
    is_wanted: impl Fn(&Made) -> bool,
    dir: Option<PathBuf>,
) -> Result<Option<Subject>, CliError> {
    let found = store.list().into_iter().find(|info| info.made.as_ref().is_some_and(&is_wanted));
    found.map(|info| Subject::of(store, &info.id, dir)).transpose()
}

impl Subject {
    /// The build that made a checkpoint.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub(super) fn of(store: &CheckpointStore, id: &str, dir: Option<PathBuf>) -> Result<Subject, CliError> {
        let info = store.details(id)?.info;
        let Some(made) = info.made.clone() else {
            let why = info.unusable.clone().unwrap_or_default();
            return Err(CliError::user(format!("the checkpoint {id} cannot be read: {why}")));
        };
        Ok(Subject {
            made,
            told: store.told(id)?,
            changes: store.source_changes(id)?,
            traces: store.traces(id)?,
            borrowed: None,
            dir,
            info,
        })
    }

    /// Takes what is known of the phase that installs from the nearest build before, if it was not observed in this one:
    /// after a phase that went on it is not.
    pub(super) fn borrow_install(&mut self, store: &CheckpointStore) -> Result<(), CliError> {
        let has_it = |traces: &[StepTraces]| traces.iter().any(|step| step.phase == INSTALL);
        let mut base = self.made.base.clone();
        while let Some(id) = base.filter(|_| !has_it(&self.traces)) {
            let Ok(details) = store.details(&id) else { return Ok(()) };
            base = details.info.made.and_then(|made| made.base);
            if details.steps.iter().any(|step| step.phase == INSTALL) {
                let found = store.traces(&id)?.into_iter().find(|step| step.phase == INSTALL);
                self.traces.extend(found.map(|step| StepTraces { now: 0, ..step }));
                self.borrowed = Some(INSTALL.to_owned());
            }
        }
        Ok(())
    }

    /// What the processes of the build did, and of those that it went on from.
    ///
    /// # Errors
    /// They were not observed.
    pub(super) fn lineage(&self) -> Result<Lineage<'_>, CliError> {
        if self.traces.is_empty() {
            let error = CliError::user(format!(
                "what the processes of the build of {} did is not known: they were not observed for the checkpoint {}",
                self.name(),
                short_id(&self.info.id)
            ));
            return Err(match self.of_failure() {
                Some(hint) => error.hint(hint),
                None => error.hint("build it without --no-observe").hint(ANOTHER),
            });
        }
        Ok(Lineage::new(self.traces.iter().map(|step| self.runs(step)).collect()))
    }

    /// Whether any processes were observed.
    pub(super) fn is_observed(&self) -> bool {
        !self.traces.is_empty()
    }

    fn runs<'s>(&'s self, step: &'s StepTraces) -> StepRuns<'s> {
        let StepTraces { phase, runs, now } = step;
        let told = self.told_of(phase);
        let whole = told.map_or(*now > 0 && *now >= runs.len(), |told| told.verdict == "run");
        StepRuns { phase, runs, now: *now, whole }
    }

    /// What became of a phase.
    pub(super) fn told_of(&self, phase: &str) -> Option<&Told> {
        self.told.iter().find(|told| told.phase == phase)
    }

    /// The name and version of the package.
    pub(super) fn name(&self) -> &str {
        let name = self.made.drv.get(HASH..).and_then(|rest| rest.strip_suffix(".drv"));
        name.unwrap_or(&self.made.package)
    }

    /// The path in the tree of a file that was asked for.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn locate(&self, lineage: &Lineage<'_>, name: &FileName) -> Result<Found, CliError> {
        let (shown, candidates, end) = match name {
            FileName::InOutput(output, rest) => {
                let shown = quote::name(Path::new(output).join(rest).as_os_str().as_bytes());
                (shown, in_output(lineage, output, rest), PathBuf::new())
            }
            FileName::Path(path) => self.candidates(lineage, path),
        };
        if let Some(path) = candidates.iter().find(|path| lineage.knows(path)) {
            return Ok(Found::Known(path.clone()));
        }
        if !end.as_os_str().is_empty() {
            match &lineage.ending_in(end.as_os_str().as_bytes())[..] {
                [] => {}
                [one] => return Ok(Found::Known(one.clone())),
                several => {
                    let names: Vec<String> = several.iter().take(10).map(|path| names::shown(path)).collect();
                    return Err(CliError::user(format!(
                        "{shown} stands for several files: {}",
                        names.join(", ")
                    )));
                }
            }
        }
        let failure = self.of_failure();
        let not_known = if failure.is_none() { self.not_known(name, &shown) } else { None };
        let is_there = |dir: &PathBuf| dir.join(&end).symlink_metadata().is_ok();
        if !end.as_os_str().is_empty() && self.dir.as_ref().is_some_and(is_there) {
            return not_known.map_or(Ok(Found::Untouched), Err);
        }
        let is_known = not_known.is_none();
        let error = not_known.unwrap_or_else(|| {
            CliError::user(format!("no process of the build of {} made or read {shown}", self.name()))
        });
        if let Some(hint) = failure {
            return Err(error.hint(hint));
        }
        let like_it: Vec<String> = match candidates.first() {
            Some(path) => lineage.nearest(path, MOST_LIKE_IT).iter().map(|path| names::shown(path)).collect(),
            None => Vec::new(),
        };
        Err(match &like_it[..] {
            [] if !is_known => error,
            [] => error.hint("`rekindle graph --files` has all files that it made"),
            names => error.hint(format!("did you mean {}?", names.join(", "))),
        })
    }

    /// What helps where the build failed.
    fn of_failure(&self) -> Option<String> {
        self.made.failed.as_ref().map(|failed| {
            let phase = one_line(failed.as_bytes());
            let kept = if self.made.reached == *failed { "only what it had made before" } else { "nothing" };
            format!("it failed in {phase}, of which {kept} is kept; --checkpoint asks about an earlier build")
        })
    }

    /// What the user may have meant by a path: for a message, the paths in the tree, and what they end in.
    fn candidates(&self, lineage: &Lineage<'_>, path: &Path) -> (String, Vec<Vec<u8>>, PathBuf) {
        let shown = quote::name(path.as_os_str().as_bytes());
        let plain = normal(path);
        let bytes = |path: &Path| path.as_os_str().as_bytes().to_vec();
        if let Ok(inside) = plain.strip_prefix("/")
            && (inside.starts_with("build") || inside.starts_with("tmp"))
            && lineage.knows(inside.as_os_str().as_bytes())
        {
            return (shown, vec![bytes(inside)], PathBuf::new());
        }
        let dir = self.dir.as_deref();
        let here = std::path::absolute(path).map(|path| normal(&path)).ok();
        // A name relative to a directory within the package, or to the package itself.
        let of_package = here.as_ref().zip(dir).and_then(|(here, dir)| here.strip_prefix(dir).ok());
        let relative = match plain.strip_prefix("/") {
            Ok(inside) => of_package.unwrap_or(inside).to_owned(),
            Err(_) => of_package.unwrap_or(&plain).to_owned(),
        };
        let mut found: Vec<Vec<u8>> = roots(lineage)
            .into_iter()
            .map(|root| [&root[..], b"/", relative.as_os_str().as_bytes()].concat())
            .collect();
        found.push(bytes(&plain));
        (shown, found, relative)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_called_with_and_without_their_version() {
        let made = Made {
            package: "hello".to_owned(),
            system: String::new(),
            drv: "0c3z9kq4wvj5h8ya1xlrmnb7dfgps2i6-hello-2.10.drv".to_owned(),
            created: 0,
            depth: 0,
            base: None,
            phases: Vec::new(),
            reached: String::new(),
            failed: None,
        };
        for (name, expected) in [("hello", true), ("hello-2.10", true), ("hello-2", false), ("hell", false)] {
            assert_eq!(is_called(&made, name), expected, "{name}");
        }
    }
}
