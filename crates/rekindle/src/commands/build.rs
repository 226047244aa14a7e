//! `rekindle build`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use rekindle_engine::{BuildOptions, BuildResult, Engine, FailureKind, Report, Toolchain, Visibility};
use rekindle_nix::StorePath;
use rekindle_units::cargo::Lock;
use rekindle_units::late;

use super::{links, print, print_json};
use crate::args::BuildArgs;
use crate::cli_error::CliError;
use crate::fetch::HostFetcher;
use crate::interrupt::Interrupt;
use crate::project::Project;
use crate::recipes::Recipes;
use crate::report::{self, Advice, Console, Goal, LinkedOutput, Transcript, Verbosity};
use crate::session::Session;
use crate::target::Target;
use crate::toolchain::toolchains_of;

/// At most so many packages are built at a time unless the user says otherwise: each may use all processors.
const MOST_JOBS: usize = 8;

/// What is to be built, in the store.
struct Wanted {
    goals: Vec<Goal>,
    toolchains: Vec<Toolchain>,
    locks: Vec<Lock>,
    warnings: Vec<String>,
}

pub(super) fn run(session: &Session<'_>, args: &BuildArgs) -> Result<ExitCode, CliError> {
    let interrupt = Interrupt::listen()?;
    let root = session.store_root()?;
    let targets = args.targets.iter().map(|target| Target::parse(target, &root));
    let targets: Vec<Target> = targets.collect::<Result<_, _>>()?;
    let dirs: Vec<PathBuf> = targets.iter().filter_map(Target::directory).collect();
    let project = if dirs.is_empty() { None } else { Some(Project::load(&dirs, &args.packages)?) };
    let engine = session.engine()?;
    let wanted = wanted(session, &engine, &targets, project.as_ref())?;
    let drvs: Vec<StorePath> = wanted.goals.iter().map(|goal| goal.drv.clone()).collect();
    if interrupt.is_set() {
        return Err(CliError::interrupted());
    }
    if args.dry_run {
        return dry_run(&engine, &drvs, args);
    }
    let console = Console::new(transcript(session, args));
    for warning in &wanted.warnings {
        console.warn(warning);
    }
    let fetcher = HostFetcher::new(session.environment, session.cache_dir()?, wanted.locks);
    let options = options(args, wanted.toolchains);
    let events = |event| console.event(&event);
    let report = engine.build(&drvs, &options, &fetcher, &events, interrupt.cancel())?;
    let (history, transcript) = console.close(&report.results);
    let code = exit_code(&report, &drvs, &interrupt);
    let mut goals = wanted.goals;
    for goal in &mut goals {
        goal.outputs = linked_outputs(&engine, &report, &goal.drv)?;
    }
    if !args.no_link {
        links::make(&engine, &args.out_link, &mut goals)?;
    }
    tell(args, &transcript, &history, &goals);
    if args.json {
        print_json(&report::report(&goals, &history, code))?;
    } else if args.print_out_paths {
        let outputs = goals.iter().filter_map(|goal| goal.outputs.as_ref()).flatten();
        let lines = outputs.map(|output| engine.store().store_dir().display(&output.path) + "\n");
        print(lines.collect::<String>())?;
    }
    Ok(ExitCode::from(code))
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
    let toolchains = if let Some(project) = project {
        let recipes = Recipes::lower(session, engine, project)?;
        recipes.offer(engine)?;
        for &at in &project.goals {
            let member = &project.members[at];
            let name = member.package.name.to_string();
            goals.push(goal(recipes.packages[at].path.clone(), Some(name), Some(member.dir.clone())));
        }
        (locks, warnings) = (recipes.locks, recipes.warnings);
        recipes.toolchains
    } else {
        toolchains_of(engine.store(), &in_store)?
    };
    goals.extend(in_store.into_iter().map(|drv| goal(drv, None, None)));
    Ok(Wanted { goals, toolchains, locks, warnings })
}

fn options(args: &BuildArgs, toolchains: Vec<Toolchain>) -> BuildOptions {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    BuildOptions {
        jobs: args.jobs.map_or_else(|| (processors / 2).clamp(1, MOST_JOBS), usize::from),
        cores: if args.cores == 0 { processors } else { args.cores.into() },
        keep_failed: args.keep_failed,
        keep_going: args.keep_going,
        exact_path: args.exact_path,
        phased: !args.no_phases,
        clean: args.clean,
        sight: Some(sight),
        toolchains,
        time_limit: args.timeout,
        idle_limit: args.max_silent_time,
    }
}

/// Which phase sees how much of an attribute.
fn sight(attribute: &str, phase: &str) -> Visibility {
    match late::sight(attribute, phase) {
        late::Sight::Text => Visibility::Text,
        late::Sight::Presence => Visibility::Presence,
        late::Sight::Nothing => Visibility::Nothing,
    }
}

fn transcript(session: &Session<'_>, args: &BuildArgs) -> Transcript {
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

fn dry_run(engine: &Engine, drvs: &[StorePath], args: &BuildArgs) -> Result<ExitCode, CliError> {
    let planned = engine.plan(drvs)?;
    let display = |drv: &StorePath| engine.store().store_dir().display(drv);
    if args.json {
        print_json(&serde_json::json!({
            "version": 1,
            "toBuild": planned.to_build.iter().map(display).collect::<Vec<_>>(),
            "toFetch": planned.to_fetch.iter().map(display).collect::<Vec<_>>(),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for (what, drvs) in [("fetched", &planned.to_fetch), ("built", &planned.to_build)] {
        if !drvs.is_empty() {
            text.push_str(&format!("{} would be {what}:\n", drvs.len()));
            drvs.iter().for_each(|drv| text.push_str(&format!("  {}\n", display(drv))));
        }
    }
    if text.is_empty() && !args.quiet {
        text.push_str("nothing would be built\n");
    }
    print(text)?;
    Ok(ExitCode::SUCCESS)
}

fn exit_code(report: &Report, drvs: &[StorePath], interrupt: &Interrupt) -> u8 {
    let code = report::exit_code(report.results.iter().map(|(_, result)| result));
    let complete = drvs.iter().all(|drv| report.outputs.contains_key(drv));
    match code {
        _ if interrupt.is_set() && !complete => super::INTERRUPTED,
        // Something was abandoned, and what it needs is not among the results.
        0 if !complete => 1,
        code => code,
    }
}

fn linked_outputs(
    engine: &Engine,
    report: &Report,
    drv: &StorePath,
) -> Result<Option<Vec<LinkedOutput>>, CliError> {
    let Some(outputs) = report.outputs.get(drv) else { return Ok(None) };
    // In the order that the derivation declares; its first output is the one that a link without suffix means.
    let declared = engine.derivation(drv)?;
    let order = declared.env.get(b"outputs".as_slice()).cloned().unwrap_or_default();
    let place = |name: &str| order.split(u8::is_ascii_whitespace).position(|word| word == name.as_bytes());
    let mut found: Vec<LinkedOutput> = outputs
        .iter()
        .map(|(name, path)| LinkedOutput {
            name: name.clone(),
            path: path.clone(),
            real_path: engine.store().real_path(path),
            link: None,
        })
        .collect();
    found.sort_by_key(|output| place(output.name.as_str()).unwrap_or(usize::MAX));
    Ok(Some(found))
}

/// Says what came of it, on standard error.
fn tell(args: &BuildArgs, transcript: &Transcript, history: &report::History, goals: &[Goal]) {
    let mut lines = Vec::new();
    if args.verbose {
        lines.extend(history.builds().iter().flat_map(|build| transcript.summary(build)));
    }
    let failed = |build: &&report::Build| match &build.end {
        Some((BuildResult::Failed(failure), _)) => failure.kind != FailureKind::Cancelled,
        _ => false,
    };
    let failures = history.builds().iter().filter(failed).count();
    let abandoned =
        history.builds().iter().filter(|build| matches!(build.end, Some((BuildResult::Abandoned, _))));
    let abandoned = abandoned.count();
    if failures > 0 && abandoned > 0 {
        lines.push(
            transcript.warning(&format!("{abandoned} not tried, because of what failed or was stopped")),
        );
    }
    if !args.quiet {
        for output in goals.iter().filter_map(|goal| goal.outputs.as_ref()).flatten() {
            if let Some(link) = &output.link {
                lines.push(transcript.linked(link, &output.real_path));
            }
        }
    }
    transcript.write(&lines);
}
