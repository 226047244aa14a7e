//! `rekindle log`.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use rekindle_nix::StorePath;
use rekindle_store::Store;
use rekindle_units::manifest::FILE_NAME;

use super::{goals, print};
use crate::args::LogArgs;
use crate::cli_error::CliError;
use crate::project::Project;
use crate::recipes::Recipes;
use crate::session::Session;
use crate::target;

pub(super) fn run(session: &Session<'_>, args: &LogArgs) -> Result<ExitCode, CliError> {
    let store = session.store_to_read()?;
    let path = Path::new(&args.target);
    let is_package = path.file_name().is_some_and(|name| name == FILE_NAME) || path.is_dir();
    let in_store = target::resolve(path, &store).ok();
    goals::refuse_choice(is_package && in_store.is_none(), args.package.as_slice())?;
    let drv = if let Some((found, _)) = in_store {
        builder_of(&store, found)?
    } else if is_package {
        of_package(session, &store, args)?
    } else {
        let name = args.target.to_string_lossy();
        newest(&store, |drv| is_build_of(drv, &name))?.ok_or_else(|| {
            CliError::user(format!("there is no log of {name:?} in the store {}", store.root().display()))
                .hint("name a directory of a package, a package, or a store path")
        })?
    };
    let Some(log) = store.read_log(&drv)? else {
        let path = store.store_dir().display(&drv);
        return Err(CliError::user(format!("there is no log of {path}"))
            .hint("it was not built here, or its log was deleted"));
    };
    print(log)?;
    Ok(ExitCode::SUCCESS)
}

/// The derivation that made a path; a derivation stands for itself.
fn builder_of(store: &Store, path: StorePath) -> Result<StorePath, CliError> {
    if path.is_derivation() {
        return Ok(path);
    }
    let text = store.store_dir().display(&path);
    let Some(info) = store.path_info(&path)? else {
        return Err(CliError::user(format!("{text} is not in the store {}", store.root().display())));
    };
    let derivers = info.deriver.into_iter().chain(store.valid_derivers(&path)?);
    let mut with_log: Vec<StorePath> = derivers.filter(|drv| store.log_path(drv).is_some()).collect();
    with_log.pop().ok_or_else(|| CliError::user(format!("there is no log of the build of {text}")))
}

/// The derivation of a package as its sources are now, or the newest one of its name that has a log.
fn of_package(session: &Session<'_>, store: &Store, args: &LogArgs) -> Result<StorePath, CliError> {
    let target = target::Target::parse(&args.target, store.root())?;
    let dirs: Vec<_> = target.directory().into_iter().collect();
    let wanted: Vec<_> = args.package.iter().cloned().collect();
    let project = Project::load(&dirs, &wanted)?;
    let &[goal] = project.goals.as_slice() else {
        let names: Vec<_> =
            project.goals.iter().map(|at| project.members[*at].package.name.to_string()).collect();
        return Err(CliError::user(format!(
            "there are several packages; say which with -p: {}",
            names.join(", ")
        )));
    };
    // What it is now is not known where nothing can be written. Its newest log is there all the same.
    let is_writable = store.check_writable().is_ok();
    if is_writable {
        let engine = session.engine()?;
        let recipes = Recipes::lower(session, &engine, &project)?;
        let drv = recipes.packages[goal].path.clone();
        if store.log_path(&drv).is_some() {
            return Ok(drv);
        }
    }
    let name = project.members[goal].package.full_name();
    let older = newest(store, |drv| drv.drv_name().is_some_and(|drv| drv.as_str() == name))?;
    let Some(older) = older else {
        return Err(CliError::user(format!("there is no log of {name}")).hint("it was not built here yet"));
    };
    let look = session.environment.look_of_stderr();
    let path = store.store_dir().display(&older);
    let why = match is_writable {
        true => format!("{name} as it is now was not built yet"),
        false => {
            format!("whether {name} as it is now was built is only known where the store can be written")
        }
    };
    let warning = format!("{why}; this is the newest log, of {path}");
    // Whoever does not see it still gets the log.
    let _ = writeln!(io::stderr(), "{} {warning}", look.yellow("warning:"));
    Ok(older)
}

/// The derivation with the newest log of those that `matches`.
fn newest(store: &Store, matches: impl Fn(&StorePath) -> bool) -> Result<Option<StorePath>, CliError> {
    let candidates = store.logged()?.into_iter().filter(|path| path.is_derivation() && matches(path));
    let dated = candidates.filter_map(|drv| {
        let time = fs::metadata(store.log_path(&drv)?).and_then(|metadata| metadata.modified()).ok()?;
        Some((time, drv))
    });
    Ok(dated.max().map(|(_, drv)| drv))
}

/// Whether a derivation builds what is called `name`, with or without a version.
pub(super) fn is_build_of(drv: &StorePath, name: &str) -> bool {
    let Some(full) = drv.drv_name() else { return false };
    match full.as_str().strip_prefix(name) {
        Some("") => true,
        Some(rest) => {
            rest.strip_prefix('-').is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_named_with_or_without_its_version() {
        let drv = StorePath::new(&[1; 20], &"hello-world-2.10.drv".parse().expect("a name"));
        for (name, expected) in
            [("hello-world", true), ("hello-world-2.10", true), ("hello", false), ("2.10", false)]
        {
            assert_eq!(is_build_of(&drv, name), expected, "{name}");
        }
    }
}
