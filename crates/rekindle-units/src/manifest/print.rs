//! Writes a manifest as TOML, for `rekindle init`. What has its default is not written.

use std::fmt::Write as _;

use super::Fetch;
use super::{Flags, Input, InputFrom, Manifest, Package, Phase, Source, Toolchain, ToolchainKind};
use rekindle_nix::{OutputName, StoreDir};

/// Writes a whole manifest.
pub(super) fn manifest(manifest: &Manifest) -> String {
    let mut text = String::new();
    match manifest.only() {
        Some(package) => table(&mut text, package, "package", ""),
        None => {
            for (name, package) in &manifest.packages {
                let header = format!("packages.{}", key(name.as_str()));
                table(&mut text, package, &header, &format!("{header}."));
            }
        }
    }
    text
}

fn table(text: &mut String, package: &Package, header: &str, prefix: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    line(text, format_args!("[{header}]"));
    line(text, format_args!("name = {}", quoted(package.name.as_str())));
    if let Some(version) = &package.version {
        line(text, format_args!("version = {}", quoted(version)));
    }
    match &package.source {
        Source::Path(path) if path.as_os_str() == "." => {
            line(text, format_args!("# A directory, a tarball, or {{ url = \"…\", hash = \"sha256-…\" }}."));
            line(text, format_args!("source = \".\""));
        }
        Source::Path(path) => line(text, format_args!("source = {}", quoted(&path.to_string_lossy()))),
        Source::Fetch(fetch) => line(text, format_args!("source = {{ {} }}", fetched(fetch))),
        Source::None => line(text, format_args!("source = false")),
    }
    list(text, "include", &package.rules.include);
    list(text, "exclude", &package.rules.exclude);
    let patches: Vec<_> = package.patches.iter().map(|patch| patch.to_string_lossy().into_owned()).collect();
    list(text, "patches", &patches);
    if let Some(system) = package.build_system {
        line(text, format_args!("# autotools, make, cmake, cmake-make, meson, cargo or custom."));
        line(text, format_args!("build-system = {}", quoted(system.as_str())));
    }
    if package.outputs != [OutputName::out()] {
        list(text, "outputs", &words(&package.outputs));
    }
    if !package.inputs.is_empty() {
        line(text, format_args!("inputs = ["));
        for used in &package.inputs {
            line(text, format_args!("    {},", input(used)));
        }
        line(text, format_args!("]"));
    }
    if package.copy_tree {
        line(text, format_args!("copy-tree = true"));
    }
    phases(text, package, prefix);
    if !package.env.is_empty() {
        line(text, format_args!("\n[{prefix}env]"));
        for (name, value) in &package.env {
            line(text, format_args!("{} = {}", key(name), quoted(value)));
        }
    }
    flags(text, &package.flags, prefix);
    if package.toolchain != Toolchain::default() {
        line(text, format_args!("\n[{prefix}toolchain]"));
        let ToolchainKind::Host = package.toolchain.kind;
        line(text, format_args!("kind = \"host\""));
        let paths: Vec<_> =
            package.toolchain.paths.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        list(text, "paths", &paths);
    }
}

fn phases(text: &mut String, package: &Package, prefix: &str) {
    let phases = &package.phases;
    if *phases == super::Phases::default() {
        return;
    }
    line(text, format_args!("\n[{prefix}phases]"));
    let skip: Vec<_> = phases.skip.iter().map(|phase| phase.as_str().to_owned()).collect();
    list(text, "skip", &skip);
    if phases.autoreconf {
        line(text, format_args!("# There is no configure script yet: autoreconf makes it."));
        line(text, format_args!("autoreconf = true"));
    }
    if let Some(command) = &phases.command {
        line(text, format_args!("command = {}", quoted(command)));
    }
    for phase in Phase::ALL {
        let custom = phases.custom.get(&phase);
        let run = custom.and_then(|custom| custom.run.as_ref());
        if let (Some(switch), None) = (phases.enable.get(&phase), run) {
            line(text, format_args!("{} = {switch}", phase.as_str()));
        }
        let Some(custom) = custom else { continue };
        for (place, script) in [("pre-", &custom.pre), ("", &custom.run), ("post-", &custom.post)] {
            if let Some(script) = script {
                line(text, format_args!("{place}{} = {}", phase.as_str(), quoted(script)));
            }
        }
    }
}

fn flags(text: &mut String, flags: &Flags, prefix: &str) {
    if *flags == Flags::default() {
        return;
    }
    line(text, format_args!("\n[{prefix}flags]"));
    list(text, "configure", &flags.configure);
    list(text, "make", &flags.make);
    list(text, "build", &flags.build);
    list(text, "check", &flags.check);
    list(text, "install", &flags.install);
    list(text, "cmake", &flags.cmake);
    list(text, "meson", &flags.meson);
    list(text, "cargo", &flags.cargo);
}

fn input(input: &Input) -> String {
    let is_plain = input.outputs.is_empty() && input.env.is_none() && !input.propagate;
    let mut text = match &input.from {
        InputFrom::Store(path) if is_plain => return quoted(&StoreDir::default().display(path)),
        InputFrom::Package(name) if is_plain => return quoted(name.as_str()),
        InputFrom::Store(path) => format!("store = {}", quoted(&StoreDir::default().display(path))),
        InputFrom::Package(name) => format!("package = {}", quoted(name.as_str())),
        InputFrom::Directory(path, package) => {
            let mut text = format!("path = {}", quoted(&path.to_string_lossy()));
            if let Some(package) = package {
                let _ = write!(text, ", package = {}", quoted(package.as_str()));
            }
            text
        }
        InputFrom::Fetch(fetch) => fetched(fetch),
    };
    if !input.outputs.is_empty() {
        let outputs: Vec<_> = words(&input.outputs).iter().map(|output| quoted(output)).collect();
        let _ = write!(text, ", outputs = [{}]", outputs.join(", "));
    }
    if let Some(env) = &input.env {
        let _ = write!(text, ", env = {}", quoted(env));
    }
    if input.propagate {
        text.push_str(", propagate = true");
    }
    format!("{{ {text} }}")
}

fn fetched(fetch: &Fetch) -> String {
    let mut text = format!("url = {}, hash = {}", quoted(&fetch.url), quoted(&fetch.hash));
    if let Some(name) = &fetch.name {
        let _ = write!(text, ", name = {}", quoted(name));
    }
    text
}

fn words(outputs: &[OutputName]) -> Vec<String> {
    outputs.iter().map(|output| output.as_str().to_owned()).collect()
}

fn list(text: &mut String, name: &str, values: &[String]) {
    if !values.is_empty() {
        let values: Vec<_> = values.iter().map(|value| quoted(value)).collect();
        line(text, format_args!("{name} = [{}]", values.join(", ")));
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = writeln!(text, "{arguments}");
}

/// A TOML string; scripts of several lines keep them.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A key, in quotes where it has to be.
fn key(text: &str) -> String {
    let is_bare = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if is_bare { text.to_owned() } else { quoted(text) }
}
