//! What `build`, `prepare` and `verify` have in common: what the user names, in the store, and how it is built and told.

use std::path::PathBuf;
use std::thread;

use rekindle_engine::{BuildOptions, Engine, NamedBase, Rules, Toolchain, Visibility};
use rekindle_nix::StorePath;
use rekindle_units::cargo::Lock;
use rekindle_units::late;

use crate::args::HowArgs;
use crate::cli_error::CliError;
use crate::project::Project;
use crate::recipes::Recipes;
use crate::report::{Advice, Goal, Transcript, Verbosity};
use crate::session::Session;
use crate::target::Target;
use crate::toolchain::toolchains_of;

/// At most so many packages are built at a time unless the user says otherwise: each may use all processors.
const MOST_JOBS: usize = 8;

/// What is to be built, in the store.
pub(super) struct Wanted {
    pub(super) goals: Vec<Goal>,
    pub(super) toolchains: Vec<Toolchain>,
    pub(super) locks: Vec<Lock>,
    pub(super) warnings: Vec<String>,
}

/// Finds out what is to be built, and puts it into the store.
pub(super) fn load(session: &Session<'_>, how: &HowArgs) -> Result<(Engine, Wanted), CliError> {
    let root = session.store_root()?;
    let targets = how.targets.iter().map(|target| Target::parse(target, &root));
    let targets: Vec<Target> = targets.collect::<Result<_, _>>()?;
    let dirs: Vec<PathBuf> = targets.iter().filter_map(Target::directory).collect();
    refuse_choice(!dirs.is_empty(), &how.packages)?;
    let project = if dirs.is_empty() { None } else { Some(Project::load(&dirs, &how.packages)?) };
    let engine = session.engine()?;
    let wanted = wanted(session, &engine, &targets, project.as_ref())?;
    Ok((engine, wanted))
}

/// Refuses `-p` where nothing was named that has packages to choose from: who gives it does not mean all of what was.
pub(super) fn refuse_choice(has_directory: bool, packages: &[String]) -> Result<(), CliError> {
    match packages.first() {
        Some(name) if !has_directory => {
            Err(CliError::user(format!("-p {name} says which package of a directory, and none is named")))
        }
        _ => Ok(()),
    }
}

/// The checkpoint that the user named by the first digits of its identity.
pub(super) fn named_base(session: &Session<'_>, prefix: &str) -> Result<NamedBase, CliError> {
    let checkpoints = session.checkpoints()?;
    Ok(checkpoints.named(&checkpoints.resolve(prefix)?)?)
}

/// Lowers packages and writes all that is needed to the store; finds the derivations that are there already.
fn wanted(
    session: &Session<'_>,
    engine: &Engine,
    targets: &[Target],
    project: Option<&Project>,
) -> Result<Wanted, CliError> {
    let in_store: Vec<StorePath> = targets.iter().filter_map(Target::derivation).collect();
    for drv in &in_store {
        if !engine.store().is_valid(drv)? {
            let path = engine.store().store_dir().display(drv);
            return Err(CliError::user(format!(
                "{path} is not in the store {}; `{} drv show --drv DIR` writes the derivation of a directory",
                engine.store().root().display(),
                session.program()
            )));
        }
    }
    let goal = |drv, package: Option<String>, directory| Goal { drv, package, directory, outputs: None };
    let mut goals: Vec<Goal> = Vec::new();
    let (mut locks, mut warnings) = (Vec::new(), Vec::new());
    let mut toolchains = toolchains_of(engine, &in_store)?;
    if let Some(project) = project {
        let recipes = Recipes::lower(session, engine, project)?;
        recipes.offer(engine)?;
        for &at in &project.goals {
            let member = &project.members[at];
            let name = member.package.name.to_string();
            goals.push(goal(recipes.packages[at].path.clone(), Some(name), Some(member.dir.clone())));
        }
        toolchains.extend_from_slice(recipes.toolchains());
        (locks, warnings) = (recipes.locks, recipes.warnings);
    }
    goals.extend(in_store.into_iter().map(|drv| goal(drv, None, None)));
    Ok(Wanted { goals, toolchains, locks, warnings })
}

/// How it is built, as far as all commands let the user say it.
pub(super) fn options(args: &HowArgs, toolchains: Vec<Toolchain>) -> BuildOptions {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    BuildOptions {
        jobs: args.jobs.map_or_else(|| (processors / 2).clamp(1, MOST_JOBS), usize::from),
        cores: if args.cores == 0 { processors } else { args.cores.into() },
        keep_failed: args.keep_failed,
        keep_going: args.keep_going,
        exact_path: false,
        phased: true,
        clean: false,
        base: None,
        observe: !args.no_observe,
        rules: rules(),
        sight: Some(sight),
        toolchains,
        time_limit: args.timeout,
        idle_limit: args.max_silent_time,
    }
}

/// By which rules builds are audited: all of them. A program that is made for its own tests can be told to forget one,
/// so that they can show that it is needed.
fn rules() -> Rules {
    #[cfg(debug_assertions)]
    if let Some(name) = crate::environment::audit_without() {
        return Rules::without(&name).unwrap_or(Rules::ALL);
    }
    Rules::ALL
}

/// Which phase sees how much of an attribute.
fn sight(attribute: &str, phase: &str) -> Visibility {
    match late::sight(attribute, phase) {
        late::Sight::Text => Visibility::Text,
        late::Sight::Presence => Visibility::Presence,
        late::Sight::Nothing => Visibility::Nothing,
    }
}

/// How it is told.
pub(super) fn transcript(session: &Session<'_>, args: &HowArgs) -> Transcript {
    let verbosity = match (args.quiet, args.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    Transcript {
        look: session.environment.look_of_stderr(),
        verbosity,
        board: verbosity != Verbosity::Quiet && session.environment.can_redraw(),
        logs: args.print_build_logs,
        advice: Advice {
            program: session.program(),
            targets: args.targets.iter().map(|target| target.to_string_lossy().into_owned()).collect(),
        },
    }
}
