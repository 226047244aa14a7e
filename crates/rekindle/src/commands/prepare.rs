//! `rekindle prepare`.

use std::process::ExitCode;

use rekindle_engine::{BuildOptions, BuildResult};
use rekindle_nix::StorePath;
use serde_json::Value;

use super::{build, checkpoint, goals, print, print_json};
use crate::args::PrepareArgs;
use crate::cli_error::CliError;
use crate::fetch::HostFetcher;
use crate::interrupt::Interrupt;
use crate::report::{self, Console, Goal};
use crate::session::Session;

pub(super) fn run(session: &Session<'_>, args: &PrepareArgs) -> Result<ExitCode, CliError> {
    let interrupt = Interrupt::listen()?;
    let base = args.from.as_deref().map(|id| goals::named_base(session, id)).transpose()?;
    let (engine, wanted) = goals::load(session, &args.how)?;
    let drvs: Vec<StorePath> = wanted.goals.iter().map(|goal| goal.drv.clone()).collect();
    if interrupt.is_set() {
        return Err(CliError::interrupted());
    }
    let console = Console::new(goals::transcript(session, &args.how));
    for warning in &wanted.warnings {
        console.warn(warning);
    }
    let fetcher = HostFetcher::new(session.environment, session.cache_dir()?, wanted.locks);
    let options = BuildOptions { clean: args.clean, base, ..goals::options(&args.how, wanted.toolchains) };
    let events = |event| console.event(&event);
    let report = engine.prepare(&drvs, &options, &fetcher, &events, interrupt.cancel())?;
    let (history, transcript) = console.close(&report.results);
    let prepared = |goal: &Goal| {
        report.results.iter().find_map(|(drv, result)| match result {
            BuildResult::Prepared { checkpoint, existed } if *drv == goal.drv => {
                Some((checkpoint.clone(), *existed))
            }
            _ => None,
        })
    };
    let found: Vec<_> = wanted.goals.iter().map(prepared).collect();
    let code = build::exit_code(&report, found.iter().all(Option::is_some), &interrupt);
    build::tell(&args.how, &transcript, &history, &[]);
    if args.how.json {
        let store = session.checkpoints()?;
        let mut list: Vec<Value> = Vec::new();
        for (goal, found) in wanted.goals.iter().zip(&found) {
            let Some((id, existed)) = found else { continue };
            let mut value = checkpoint::details_as_json(&store.details(id)?);
            value["existed"] = (*existed).into();
            value["directory"] = goal.directory.as_ref().map(|dir| dir.to_string_lossy().into_owned()).into();
            list.push(value);
        }
        print_json(&report::about("checkpoints", &list, &history, code))?;
    } else {
        print(found.iter().flatten().map(|(id, _)| format!("{id}\n")).collect::<String>())?;
    }
    Ok(ExitCode::from(code))
}
