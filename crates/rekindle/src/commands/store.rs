//! `rekindle store`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rekindle_engine::{Provenance, Provenances};
use rekindle_nix::StorePath;
use rekindle_store::{Listed, ListedKind, PathInfo, Store};
use serde_json::{Value, json};

use super::{gc, print, print_json};
use crate::args::StoreCommand;
use crate::cli_error::CliError;
use crate::report::{self, Look, spoken_bytes};
use crate::session::Session;
use crate::target;

pub(super) fn run(session: &Session<'_>, command: &StoreCommand) -> Result<ExitCode, CliError> {
    match command {
        StoreCommand::PathInfo { paths, recursive, all, json } => {
            path_info(&session.store_to_read()?, paths, *recursive, *all, *json)
        }
        StoreCommand::Verify { no_contents, json } => {
            let look = session.environment.look_of_stdout();
            verify(&session.store_to_read()?, &look, !no_contents, *json)
        }
        StoreCommand::Ls { path, recursive, long, json } => {
            list(&session.store_to_read()?, path, *recursive, *long, *json)
        }
        StoreCommand::Gc(args) => gc::run(session, args),
        StoreCommand::Roots { json } => roots(&session.store_to_read()?, *json),
    }
}

fn path_info(
    store: &Store,
    paths: &[PathBuf],
    recursive: bool,
    all: bool,
    json: bool,
) -> Result<ExitCode, CliError> {
    let mut wanted: BTreeSet<StorePath> = BTreeSet::new();
    for path in paths {
        wanted.insert(target::resolve(path, store)?.0);
    }
    if all {
        wanted = store.all_valid()?;
    } else if recursive {
        wanted = store.closure(&wanted)?;
    }
    let provenances = Provenances::of(store.root());
    let infos = wanted.iter().map(|path| store.require(path)).collect::<Result<Vec<_>, _>>()?;
    if json {
        let info = |info: &PathInfo| info_as_json(store, info, provenances.read(&info.path).as_ref());
        print_json(&infos.iter().map(info).collect::<Vec<_>>().into())?;
    } else {
        let info = |info: &PathInfo| info_as_text(store, info, provenances.read(&info.path).as_ref());
        print(infos.iter().map(info).collect::<String>())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What `nix path-info --json` prints of a path, and how it came about.
fn info_as_json(store: &Store, info: &PathInfo, provenance: Option<&Provenance>) -> Value {
    let display = |path: &StorePath| store.store_dir().display(path);
    json!({
        "path": display(&info.path),
        "ca": info.ca.as_ref().map(ToString::to_string),
        "deriver": info.deriver.as_ref().map(display),
        "narHash": info.nar_hash.to_sri(),
        "narSize": info.nar_size,
        "provenance": report::provenance(provenance),
        "references": info.references.iter().map(display).collect::<Vec<_>>(),
        "registrationTime": info.registration_time,
        "signatures": info.signatures.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "ultimate": info.ultimate,
    })
}

fn info_as_text(store: &Store, info: &PathInfo, provenance: Option<&Provenance>) -> String {
    let display = |path: &StorePath| store.store_dir().display(path);
    let mut text = format!("{}\n", display(&info.path));
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(text, "  {key:<11} {value}");
    };
    line("on disk", &store.real_path(&info.path).display().to_string());
    line("nar hash", &info.nar_hash.to_sri());
    line("nar size", &info.nar_size.map_or_else(|| "not recorded".to_owned(), spoken_bytes));
    if let Some(deriver) = &info.deriver {
        line("made by", &display(deriver));
    }
    let how = provenance.map(|provenance| match provenance {
        Provenance::Clean => "clean".to_owned(),
        Provenance::Incremental { base } => format!("incremental, from checkpoint {base}"),
        Provenance::Verified { base } => {
            format!("incremental, from checkpoint {base}; verified: equal to a clean build")
        }
        Provenance::Wrong { base } => {
            format!("incremental, from checkpoint {base}; wrong: a clean build gives something else")
        }
    });
    if let Some(how) = how {
        line("provenance", &how);
    }
    if let Some(ca) = &info.ca {
        line("content", &ca.to_string());
    }
    for reference in info.references.iter().filter(|reference| **reference != info.path) {
        line("refers to", &display(reference));
    }
    for signature in &info.signatures {
        line("signature", &signature.to_string());
    }
    text
}

fn verify(store: &Store, look: &Look, contents: bool, json: bool) -> Result<ExitCode, CliError> {
    let problems = store.verify(contents)?;
    let sound = problems.iter().all(rekindle_store::Problem::is_harmless);
    if json {
        let problem = |problem: &rekindle_store::Problem| json!({ "message": problem.to_string(), "harmless": problem.is_harmless() });
        print_json(&json!({ "sound": sound, "problems": problems.iter().map(problem).collect::<Vec<_>>() }))?;
    } else {
        let mut text = String::new();
        for problem in &problems {
            let word = if problem.is_harmless() { look.yellow("note:") } else { look.red("error:") };
            let _ = writeln!(text, "{word} {problem}");
        }
        let paths = store.all_valid()?.len();
        let verdict = if sound { "the store is sound" } else { "the store is damaged" };
        let _ = writeln!(text, "{verdict}: {paths} paths in {}", store.root().display());
        print(text)?;
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn list(store: &Store, path: &Path, recursive: bool, long: bool, json: bool) -> Result<ExitCode, CliError> {
    let (found, inner) = target::resolve(path, store)?;
    let mut listed = store.ls(&found, &inner)?;
    if !recursive {
        listed.retain(|file| file.path.components().count() <= 1);
    }
    // A directory stands for what is in it.
    if listed.len() > 1 || listed.iter().any(|file| file.kind == ListedKind::Directory) {
        listed.retain(|file| !file.path.as_os_str().is_empty());
    }
    if json {
        print_json(&listed.iter().map(listed_as_json).collect::<Vec<_>>().into())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = Vec::new();
    for file in &listed {
        let name = if file.path.as_os_str().is_empty() { path } else { &file.path };
        if long {
            let (kind, size) = match &file.kind {
                ListedKind::Directory => ("dr-xr-xr-x", 0),
                ListedKind::File { size, executable: true } => ("-r-xr-xr-x", *size),
                ListedKind::File { size, executable: false } => ("-r--r--r--", *size),
                ListedKind::Symlink { .. } => ("lrwxrwxrwx", 0),
            };
            text.extend(format!("{kind} {size:>12} ").bytes());
        }
        text.extend(std::os::unix::ffi::OsStrExt::as_bytes(name.as_os_str()));
        if let (true, ListedKind::Symlink { target }) = (long, &file.kind) {
            text.extend(b" -> ");
            text.extend(std::os::unix::ffi::OsStrExt::as_bytes(target.as_os_str()));
        }
        text.push(b'\n');
    }
    print(text)?;
    Ok(ExitCode::SUCCESS)
}

fn listed_as_json(file: &Listed) -> Value {
    let path = file.path.to_string_lossy();
    match &file.kind {
        ListedKind::Directory => json!({ "path": path, "type": "directory" }),
        ListedKind::File { size, executable } => {
            json!({ "path": path, "type": "regular", "size": size, "executable": executable })
        }
        ListedKind::Symlink { target } => {
            json!({ "path": path, "type": "symlink", "target": target.to_string_lossy() })
        }
    }
}

fn roots(store: &Store, json: bool) -> Result<ExitCode, CliError> {
    let roots = store.roots()?;
    if json {
        let root = |root: &rekindle_store::GcRoot| json!({ "link": root.link.to_string_lossy(), "path": store.store_dir().display(&root.target) });
        print_json(&roots.iter().map(root).collect::<Vec<_>>().into())?;
    } else {
        let line = |root: &rekindle_store::GcRoot| {
            format!("{} -> {}\n", root.link.display(), store.store_dir().display(&root.target))
        };
        print(roots.iter().map(line).collect::<String>())?;
    }
    Ok(ExitCode::SUCCESS)
}
