//! `rekindle build`.

use std::process::ExitCode;
use std::time::Instant;

use rekindle_engine::{BuildOptions, BuildResult, Engine, FailureKind, Report};
use rekindle_nix::StorePath;

use super::{goals, links, page, print, print_json};
use crate::args::{BuildArgs, HowArgs};
use crate::cli_error::CliError;
use crate::fetch::HostFetcher;
use crate::interrupt::Interrupt;
use crate::report::{self, Console, Goal, LinkedOutput, Transcript};
use crate::session::Session;

pub(super) fn run(session: &Session<'_>, args: &BuildArgs) -> Result<ExitCode, CliError> {
    let interrupt = Interrupt::listen()?;
    let began = (super::gc::now(), Instant::now());
    if let Some(path) = &args.report {
        page::check(path)?;
    }
    let base = args.from.as_deref().map(|id| goals::named_base(session, id)).transpose()?;
    let (engine, wanted) = goals::load(session, &args.how)?;
    let drvs: Vec<StorePath> = wanted.goals.iter().map(|goal| goal.drv.clone()).collect();
    if interrupt.is_set() {
        return Err(CliError::interrupted());
    }
    if args.dry_run {
        return dry_run(&engine, &drvs, args);
    }
    if !args.no_link {
        links::check(&engine, &args.out_link, &wanted.goals)?;
    }
    let console = Console::new(goals::transcript(session, &args.how));
    for warning in &wanted.warnings {
        console.warn(warning);
    }
    let fetcher = HostFetcher::new(session.environment, session.cache_dir()?, wanted.locks);
    let options = BuildOptions {
        exact_path: args.exact_path,
        phased: !args.no_phases,
        clean: args.clean,
        base,
        ..goals::options(&args.how, wanted.toolchains)
    };
    let events = |event| console.event(&event);
    let report = engine.build(&drvs, &options, &fetcher, &events, interrupt.cancel())?;
    let (history, transcript) = console.close(&report.results);
    let complete = drvs.iter().all(|drv| report.outputs.contains_key(drv));
    let code = exit_code(&report, complete, &interrupt);
    let mut goals = wanted.goals;
    for goal in &mut goals {
        goal.outputs = linked_outputs(&engine, &report, &goal.drv)?;
    }
    if !args.no_link {
        links::make(&engine, &args.out_link, &mut goals)?;
    }
    tell(&args.how, &transcript, &history, &goals);
    if let Some(path) = &args.report {
        page::make(session, path, &goals, &history, (began.0, began.1.elapsed()), code)?;
    }
    if args.how.json {
        print_json(&report::report(&goals, &history, code))?;
    } else if args.print_out_paths {
        let outputs = goals.iter().filter_map(|goal| goal.outputs.as_ref()).flatten();
        let lines = outputs.map(|output| engine.store().store_dir().display(&output.path) + "\n");
        print(lines.collect::<String>())?;
    }
    Ok(ExitCode::from(code))
}

fn dry_run(engine: &Engine, drvs: &[StorePath], args: &BuildArgs) -> Result<ExitCode, CliError> {
    let planned = engine.plan(drvs, args.clean)?;
    let display = |drv: &StorePath| engine.store().store_dir().display(drv);
    if args.how.json {
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
    if text.is_empty() && !args.how.quiet {
        text.push_str("nothing would be built\n");
    }
    print(text)?;
    Ok(ExitCode::SUCCESS)
}

/// The exit code of what was done; `complete` says whether all of it was.
pub(super) fn exit_code(report: &Report, complete: bool, interrupt: &Interrupt) -> u8 {
    let code = report::exit_code(report.results.iter().map(|(_, result)| result));
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
    let declared = engine.derivation(drv)?;
    let provenances = engine.provenances();
    let found = links::in_order(&declared).into_iter().filter_map(|name| {
        let path = outputs.get(name)?;
        Some(LinkedOutput {
            name: name.clone(),
            path: path.clone(),
            real_path: engine.store().real_path(path),
            link: None,
            provenance: provenances.read(path),
        })
    });
    Ok(Some(found.collect()))
}

/// Says what came of it, on standard error.
pub(super) fn tell(how: &HowArgs, transcript: &Transcript, history: &report::History, goals: &[Goal]) {
    let mut lines = Vec::new();
    if how.verbose {
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
    if !how.quiet {
        for output in goals.iter().filter_map(|goal| goal.outputs.as_ref()).flatten() {
            if let Some(link) = &output.link {
                lines.push(transcript.linked(link, &output.real_path));
            }
        }
    }
    transcript.write(&lines);
}
