//! `rekindle drv show`.

use std::path::PathBuf;
use std::process::ExitCode;

use rekindle_nix::{Derivation, Output, StoreDir, StorePath};
use serde_json::{Map, Value, json};

use super::{print, print_json};
use crate::args::DrvShowArgs;
use crate::cli_error::CliError;
use crate::project::Project;
use crate::recipes::Recipes;
use crate::report::Look;
use crate::session::Session;
use crate::target::Target;

pub(super) fn show(session: &Session<'_>, args: &DrvShowArgs) -> Result<ExitCode, CliError> {
    let root = session.store_root()?;
    let targets = args.targets.iter().map(|target| Target::parse(target, &root));
    let targets: Vec<Target> = targets.collect::<Result<_, _>>()?;
    let dirs: Vec<PathBuf> = targets.iter().filter_map(Target::directory).collect();
    let mut shown: Vec<(StorePath, Derivation)> = Vec::new();
    if !dirs.is_empty() {
        let project = Project::load(&dirs, &args.packages)?;
        let engine = session.engine()?;
        let recipes = Recipes::lower(session, &engine, &project)?;
        if args.drv {
            recipes.commit(&engine)?;
        }
        let goals = project.goals.iter().map(|at| &recipes.packages[*at]);
        shown.extend(goals.map(|recipe| (recipe.path.clone(), recipe.derivation.clone())));
    }
    for drv in targets.iter().filter_map(Target::derivation) {
        let derivation = session.store_to_read()?.read_derivation(&drv)?;
        shown.push((drv, derivation));
    }
    let dir = StoreDir::default();
    if args.drv {
        print(shown.iter().map(|(path, _)| dir.display(path) + "\n").collect::<String>())?;
    } else if args.json {
        let map: Map<_, _> =
            shown.iter().map(|(path, drv)| (dir.display(path), as_json(&dir, drv))).collect();
        print_json(&map.into())?;
    } else {
        let look = session.environment.look_of_stdout();
        let texts: Vec<_> = shown.iter().map(|(path, drv)| as_text(&look, &dir, path, drv)).collect();
        print(texts.join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What `nix derivation show` prints of a derivation.
fn as_json(dir: &StoreDir, drv: &Derivation) -> Value {
    let output = |output: &Output| {
        let mut value = Map::new();
        if let Some(path) = output.path() {
            value.insert("path".to_owned(), dir.display(path).into());
        }
        if let Output::Fixed { address, .. } = output {
            let hash = address.hash();
            value.insert("hash".to_owned(), hash.to_hex().into());
            value.insert(
                "hashAlgo".to_owned(),
                format!("{}{}", address.method().prefix(), hash.algorithm()).into(),
            );
        }
        Value::from(value)
    };
    let inputs = drv.input_drvs.iter().map(|(path, outputs)| {
        let names: Vec<_> = outputs.iter().map(ToString::to_string).collect();
        (dir.display(path), json!({ "dynamicOutputs": {}, "outputs": names }))
    });
    json!({
        "args": drv.args.iter().map(|arg| text(arg)).collect::<Vec<_>>(),
        "builder": text(&drv.builder),
        "env": drv.env.iter().map(|(name, value)| (text(name), text(value).into())).collect::<Map<_, _>>(),
        "inputDrvs": inputs.collect::<Map<_, _>>(),
        "inputSrcs": drv.input_srcs.iter().map(|path| dir.display(path)).collect::<Vec<_>>(),
        "name": drv.name.as_str(),
        "outputs": drv.outputs.iter().map(|(name, it)| (name.to_string(), output(it))).collect::<Map<_, _>>(),
        "system": text(&drv.system),
    })
}

/// A derivation for people.
fn as_text(look: &Look, dir: &StoreDir, path: &StorePath, drv: &Derivation) -> String {
    let mut shown = format!("{}\n", look.bold(&drv.name));
    let mut line = |key: &str, value: String| {
        shown.push_str(&format!("  {} {value}\n", look.cyan(format_args!("{key:<11}"))));
    };
    line("derivation", dir.display(path));
    line("system", text(&drv.system));
    let command = std::iter::once(&drv.builder).chain(&drv.args).map(|word| text(word));
    line("builder", command.collect::<Vec<_>>().join(" "));
    for (name, output) in &drv.outputs {
        let path =
            output.path().map_or_else(|| "not known before it is built".to_owned(), |path| dir.display(path));
        line("output", format!("{name}  {path}"));
    }
    for source in &drv.input_srcs {
        line("source", dir.display(source));
    }
    for (input, outputs) in &drv.input_drvs {
        let names: Vec<_> = outputs.iter().map(ToString::to_string).collect();
        line("input", format!("{}  {}", dir.display(input), names.join(" ")));
    }
    for (name, value) in &drv.env {
        let value = text(value);
        let value = if value.contains('\n') {
            let lines = value.trim_end_matches('\n').split('\n');
            lines.map(|line| format!("\n      {line}")).collect::<String>()
        } else {
            value
        };
        line("variable", format!("{} = {}", text(name), printable(&value)));
    }
    shown
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Without what would move the cursor of a terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| *c == '\n' || !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn derivation() -> Derivation {
        let out = StorePath::new(&[3; 20], &"a-1".parse().expect("a name"));
        Derivation {
            name: "a-1".parse().expect("a name"),
            outputs: BTreeMap::from([("out".parse().expect("a name"), Output::InputAddressed(out))]),
            input_drvs: BTreeMap::new(),
            input_srcs: BTreeSet::new(),
            system: b"x86_64-linux".into(),
            builder: b"/bin/bash".into(),
            args: vec![b"-e".into()],
            env: BTreeMap::from([(b"script".to_vec(), b"one\ntwo\x1b[1m\n".to_vec())]),
        }
    }

    #[test]
    fn a_derivation_is_shown_line_by_line() {
        let path = StorePath::new(&[4; 20], &"a-1.drv".parse().expect("a name"));
        let shown = as_text(&Look::PLAIN, &StoreDir::default(), &path, &derivation());
        let expected = format!(
            "a-1\n  derivation  /nix/store/{path}\n  system      x86_64-linux\n  builder     /bin/bash -e\n  \
             output      out  /nix/store/{}\n  variable    script = \n      one\n      two[1m\n",
            StorePath::new(&[3; 20], &"a-1".parse().expect("a name"))
        );
        assert_eq!(shown, expected);
    }

    #[test]
    fn json_is_what_nix_shows() {
        let value = as_json(&StoreDir::default(), &derivation());
        let keys: Vec<_> = value.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(keys, ["args", "builder", "env", "inputDrvs", "inputSrcs", "name", "outputs", "system"]);
        assert_eq!(value["env"]["script"], "one\ntwo\u{1b}[1m\n");
    }
}
