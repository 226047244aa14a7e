//! The links from where the user is to what was built, which also keep it from being collected.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rekindle_engine::Engine;
use rekindle_nix::{Derivation, OutputName};

use crate::cli_error::CliError;
use crate::report::Goal;

/// Says at once that a link could not be made, before a build that may take hours.
pub(super) fn check(engine: &Engine, base: &Path, goals: &[Goal]) -> Result<(), CliError> {
    for (goal, stem) in goals.iter().zip(stems(base, goals)) {
        for (at, output) in in_order(&*engine.derivation(&goal.drv)?).into_iter().enumerate() {
            let link = link(&stem, at, output);
            engine.store().check_root(&link).map_err(|error| {
                CliError::from(error).hint("--no-link makes no link, --out-link PATH another one")
            })?;
        }
    }
    Ok(())
}

/// The outputs as the derivation declares them; its first one is that which a link without suffix means.
pub(super) fn in_order(drv: &Derivation) -> Vec<&OutputName> {
    let declared = drv.env.get(b"outputs".as_slice()).cloned().unwrap_or_default();
    let place = |name: &OutputName| {
        declared.split(u8::is_ascii_whitespace).position(|word| word == name.as_str().as_bytes())
    };
    let mut names: Vec<&OutputName> = drv.outputs.keys().collect();
    names.sort_by_key(|name| place(name).unwrap_or(usize::MAX));
    names
}

/// Makes a link for each output of each goal, and notes it there.
pub(super) fn make(engine: &Engine, base: &Path, goals: &mut [Goal]) -> Result<(), CliError> {
    let stems = stems(base, goals);
    for (goal, stem) in goals.iter_mut().zip(stems) {
        let Some(outputs) = &mut goal.outputs else { continue };
        for (at, output) in outputs.iter_mut().enumerate() {
            let link = link(&stem, at, &output.name);
            engine.store().add_root(&link, &output.path)?;
            output.link = Some(link);
        }
    }
    Ok(())
}

/// The name of the link to the first output of each goal: `base` if there is only one goal, else with the package's name
/// behind it, and with a number where that is not enough.
fn stems(base: &Path, goals: &[Goal]) -> Vec<PathBuf> {
    if goals.len() == 1 {
        return vec![base.to_owned()];
    }
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let stem = |goal: &Goal| {
        let drv = goal.drv.drv_name().map(|name| name.to_string());
        let name = goal.package.clone().or(drv).unwrap_or_default();
        let count = taken.entry(name.clone()).and_modify(|count| *count += 1).or_insert(0);
        let mut stem = base.as_os_str().to_owned();
        stem.push(format!("-{name}"));
        if *count > 0 {
            stem.push(format!("-{count}"));
        }
        PathBuf::from(stem)
    };
    goals.iter().map(stem).collect()
}

/// The link to the output in this place.
fn link(stem: &Path, at: usize, output: &OutputName) -> PathBuf {
    if at == 0 { stem.to_owned() } else { for_output(stem, output) }
}

fn for_output(stem: &Path, output: &OutputName) -> PathBuf {
    let mut link = OsString::from(stem);
    link.push(format!("-{output}"));
    link.into()
}

#[cfg(test)]
mod tests {
    use rekindle_nix::StorePath;

    use super::*;

    #[test]
    fn several_packages_have_links_of_their_own() {
        let goal = |package: Option<&str>| Goal {
            drv: StorePath::new(&[1; 20], &"x-1.drv".parse().expect("a name")),
            package: package.map(str::to_owned),
            directory: None,
            outputs: None,
        };
        let check = |packages: &[Option<&str>], expected: &[&str]| {
            let goals: Vec<_> = packages.iter().map(|package| goal(*package)).collect();
            assert_eq!(
                stems(Path::new("d/result"), &goals),
                expected.iter().map(PathBuf::from).collect::<Vec<_>>()
            );
        };
        check(&[Some("a")], &["d/result"]);
        check(&[Some("a"), Some("b")], &["d/result-a", "d/result-b"]);
        check(&[Some("a"), Some("a"), None], &["d/result-a", "d/result-a-1", "d/result-x-1"]);
        assert_eq!(
            for_output(Path::new("result"), &"dev".parse().expect("a name")),
            PathBuf::from("result-dev")
        );
    }
}
