//! `rekindle verify`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use rekindle_engine::{
    BuildResult, Engine, Provenance, Provenances, Toolchain, Verification, VerificationVerdict,
};
use rekindle_nix::StorePath;
use rekindle_units::cargo::Lock;
use rekindle_units::manifest::FILE_NAME;
use serde_json::{Map, Value, json};

use super::{build, goals, print, print_json};
use crate::args::{HowArgs, VerifyArgs};
use crate::cli_error::CliError;
use crate::fetch::HostFetcher;
use crate::interrupt::Interrupt;
use crate::report::{self, Console};
use crate::session::Session;
use crate::target;
use crate::toolchain::toolchains_of;

pub(super) fn run(session: &Session<'_>, args: &VerifyArgs) -> Result<ExitCode, CliError> {
    let interrupt = Interrupt::listen()?;
    session.store_to_read()?;
    let (engine, mut chosen) = choose(session, args)?;
    if let Some(share) = args.sample {
        chosen.drvs.retain(|drv| has_unproven(&engine, drv));
        sample(&mut chosen.drvs, share)?;
    }
    if interrupt.is_set() {
        return Err(CliError::interrupted());
    }
    let how = how(args, Vec::new());
    let console = Console::new(goals::transcript(session, &how));
    for warning in &chosen.warnings {
        console.warn(warning);
    }
    let fetcher = HostFetcher::new(session.environment, session.cache_dir()?, chosen.locks);
    let options = goals::options(&how, chosen.toolchains);
    let events = |event| console.event(&event);
    let report = engine.verify(&chosen.drvs, &options, &fetcher, &events, interrupt.cancel())?;
    let (history, transcript) = console.close(&report.results);
    let result_of =
        |drv: &StorePath| report.results.iter().find(|(of, _)| of == drv).map(|(_, result)| result);
    let complete = chosen.drvs.iter().all(|drv| matches!(result_of(drv), Some(BuildResult::Verified(_))));
    let code = build::exit_code(&report, complete, &interrupt);
    build::tell(&how, &transcript, &history, &[]);
    if args.json {
        let list = chosen.drvs.iter().map(|drv| as_json(&engine, drv, result_of(drv)));
        let list = list.collect::<Result<Vec<_>, _>>()?;
        print_json(&report::about("verified", &list, &history, code))?;
    } else if chosen.drvs.is_empty() && !args.quiet {
        print("nothing to verify: no output is incremental or wrong\n")?;
    }
    Ok(ExitCode::from(code))
}

/// What is verified.
#[derive(Default)]
struct Chosen {
    drvs: Vec<StorePath>,
    toolchains: Vec<Toolchain>,
    locks: Vec<Lock>,
    warnings: Vec<String>,
}

fn choose(session: &Session<'_>, args: &VerifyArgs) -> Result<(Engine, Chosen), CliError> {
    let here = [OsString::from(".")];
    let targets: &[OsString] = match (&args.targets[..], args.sample) {
        ([], None) => &here,
        (targets, _) => targets,
    };
    let (dirs, others): (Vec<_>, Vec<_>) = targets.iter().cloned().partition(is_package);
    goals::refuse_choice(!dirs.is_empty(), &args.packages)?;
    let mut chosen = Chosen::default();
    let engine = if dirs.is_empty() {
        session.engine()?
    } else {
        let (engine, wanted) = goals::load(session, &how(args, dirs))?;
        for goal in &wanted.goals {
            if !is_built(&engine, &goal.drv)? {
                let name = goal.drv.drv_name().map_or_else(String::new, |name| name.to_string());
                return Err(CliError::user(format!("{name} as its sources are now is not built"))
                    .hint("build it first, or name what was built: `rekindle verify ./result`"));
            }
        }
        chosen.drvs.extend(wanted.goals.into_iter().map(|goal| goal.drv));
        (chosen.locks, chosen.warnings) = (wanted.locks, wanted.warnings);
        chosen.toolchains = wanted.toolchains;
        engine
    };
    let mut in_store = Vec::new();
    for target in &others {
        in_store.extend(named(&engine, target)?);
    }
    if targets.is_empty() {
        let (able, unable) = unproven(&engine)?;
        in_store = able;
        if unable > 0 {
            chosen.warnings.push(format!("of what is incremental {unable} cannot be verified: its sources are in no checkpoint any more"));
        }
    }
    chosen.toolchains.extend(toolchains_of(&engine, &in_store)?);
    chosen.drvs.extend(in_store);
    let mut seen = BTreeSet::new();
    chosen.drvs.retain(|drv| seen.insert(drv.clone()));
    Ok((engine, chosen))
}

fn is_package(target: &OsString) -> bool {
    let path = Path::new(target);
    let is_link_to_output = path.is_symlink();
    path.file_name().is_some_and(|name| name == FILE_NAME) || (path.is_dir() && !is_link_to_output)
}

/// The derivations of a store path, a link to one, a `.drv` file, or a package's name.
fn named(engine: &Engine, target: &OsString) -> Result<Vec<StorePath>, CliError> {
    let store = engine.store();
    let (text, root) = (target.to_string_lossy(), store.root().display());
    if let Ok((path, _)) = target::resolve(Path::new(target), store) {
        if path.is_derivation() {
            return Ok(vec![path]);
        }
        let info = store.path_info(&path)?;
        let info = info.ok_or_else(|| CliError::user(format!("{text} is not in the store {root}")))?;
        for drv in info.deriver.into_iter().chain(store.valid_derivers(&path)?) {
            if engine.derivation(&drv).is_ok() {
                return Ok(vec![drv]);
            }
        }
        return Err(CliError::user(format!("{text} was not built here, so it cannot be built again"))
            .hint("`rekindle store verify` compares it with what was registered"));
    }
    let mut found = BTreeSet::new();
    for path in store.all_valid()?.iter().filter(|path| !path.is_derivation()) {
        if let Some(drv) = store.path_info(path)?.and_then(|info| info.deriver)
            && super::log::is_build_of(&drv, &text)
            && engine.derivation(&drv).is_ok()
            && is_built(engine, &drv)?
        {
            found.insert(drv);
        }
    }
    if found.is_empty() {
        return Err(CliError::user(format!(
            "nothing that is called {text:?} was built into the store {root}"
        ))
        .hint("name a directory of a package, a package, or a store path"));
    }
    Ok(found.into_iter().collect())
}

/// The derivations of all outputs that are unproven and can be built again, and how many cannot.
fn unproven(engine: &Engine) -> Result<(Vec<StorePath>, usize), CliError> {
    let store = engine.store();
    let mut drvs = BTreeSet::new();
    let mut unknown = 0;
    for path in store.all_valid()? {
        if !is_unproven(&engine.provenances(), &path) {
            continue;
        }
        match store.path_info(&path)?.and_then(|info| info.deriver) {
            Some(drv) => _ = drvs.insert(drv),
            None => unknown += 1,
        }
    }
    let all = drvs.len();
    let able = engine.rebuildable(drvs)?;
    let unable = unknown + all - able.len();
    Ok((able.into_iter().collect(), unable))
}

fn has_unproven(engine: &Engine, drv: &StorePath) -> bool {
    let Ok(drv) = engine.derivation(drv) else { return false };
    let mut outputs = drv.outputs.values().filter_map(|output| output.path());
    outputs.any(|path| is_unproven(&engine.provenances(), path))
}

/// Whether an output is incremental and was not compared yet, or was found wrong and is still there.
fn is_unproven(provenances: &Provenances, output: &StorePath) -> bool {
    matches!(provenances.read(output), Some(Provenance::Incremental { .. } | Provenance::Wrong { .. }))
}

fn is_built(engine: &Engine, drv: &StorePath) -> Result<bool, CliError> {
    let drv = engine.derivation(drv)?;
    for output in drv.outputs.values() {
        match output.path() {
            Some(path) if engine.store().is_valid(path)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Keeps a share, but at least one, at random.
fn sample(drvs: &mut Vec<StorePath>, percent: u8) -> Result<(), CliError> {
    use std::io::Read as _;
    let wanted = (drvs.len() * usize::from(percent)).div_ceil(100);
    let path = Path::new("/dev/urandom");
    let mut random = std::fs::File::open(path).map_err(|error| CliError::io("read", path, &error))?;
    for at in 0..wanted {
        let mut bytes = [0; 8];
        random.read_exact(&mut bytes).map_err(|error| CliError::io("read", path, &error))?;
        let left = (drvs.len() - at) as u64;
        drvs.swap(at, at + (u64::from_le_bytes(bytes) % left) as usize);
    }
    drvs.truncate(wanted);
    Ok(())
}

fn how(args: &VerifyArgs, targets: Vec<OsString>) -> HowArgs {
    HowArgs {
        targets,
        packages: args.packages.clone(),
        json: args.json,
        print_build_logs: args.print_build_logs,
        jobs: args.jobs,
        cores: args.cores,
        keep_going: true,
        keep_failed: false,
        no_observe: true,
        timeout: args.timeout,
        max_silent_time: args.max_silent_time,
        quiet: args.quiet,
        verbose: false,
    }
}

fn as_json(engine: &Engine, drv: &StorePath, result: Option<&BuildResult>) -> Result<Value, CliError> {
    let derivation = engine.derivation(drv)?;
    let display = |path: &StorePath| engine.store().store_dir().display(path);
    let outputs: Map<String, Value> = derivation
        .outputs
        .iter()
        .filter_map(|(name, output)| Some((name, output.path()?)))
        .map(|(name, path)| {
            let provenance = engine.provenances().read(path);
            let provenance = report::provenance(provenance.as_ref());
            (name.to_string(), json!({ "path": display(path), "provenance": provenance }))
        })
        .collect();
    let mut value = json!({ "drvPath": display(drv), "outputs": outputs, "result": "failed" });
    if let Some(BuildResult::Verified(Verification { verdict, differences, quarantined, users, .. })) = result
    {
        value["result"] = match verdict {
            VerificationVerdict::Equal => "equal",
            VerificationVerdict::Different => "different",
            VerificationVerdict::NotReproducible => "not-reproducible",
        }
        .into();
        let difference = |difference: &rekindle_engine::OutputDifference| {
            json!({
                "output": difference.output.to_string(),
                "file": difference.file.to_string_lossy(),
                "how": difference.how,
                "varies": difference.varies,
            })
        };
        value["differences"] = differences.iter().map(difference).collect();
        value["quarantinedCheckpoints"] = (*quarantined).into();
        let users = users.iter().map(display);
        value["wrongUsers"] = users.collect();
    }
    Ok(value)
}
