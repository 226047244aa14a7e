use std::collections::BTreeSet;

use rekindle_nix::aterm;

use super::*;
use crate::manifest::{BuildSystem, Flags, InputFrom, Manifest, PackageName, Phase, Source, SourceRules};

fn store_path(name: &str) -> StorePath {
    StorePath::from_base_name(format!("00bgd045z0d4icpbc2yyz4gx48ak44la-{name}").as_bytes())
        .expect("a store path")
}

/// Lowers the packages of a manifest in order, with made-up store paths for what is on disk.
fn lower_all(manifest: &str) -> Result<BTreeMap<String, Recipe>, Error> {
    let manifest = Manifest::parse(std::path::Path::new("m"), manifest).expect("a good manifest");
    let toolchain =
        ToolchainFacts { identity: "gcc-12".into(), path: "/usr/bin:/bin".into(), host_paths: Vec::new() };
    let (dir, setup) = (StoreDir::default(), store_path("rekindle-stdenv"));
    let stdenv = Stdenv { store_dir: &dir, system: "x86_64-linux", setup: &setup, toolchain: &toolchain };
    let (source, patch) = (store_path("source"), store_path("x.patch"));
    let mut made: BTreeMap<String, Recipe> = BTreeMap::new();
    for name in manifest.order()? {
        let package = &manifest.packages()[name];
        let inputs = package.inputs.iter().map(|input| match &input.from {
            InputFrom::Store(path) => Place::Stored(path),
            InputFrom::Package(name) => Place::Made(&made[name.as_str()]),
            _ => panic!("these tests have no such input"),
        });
        let facts = Resolved {
            source: (package.source != Source::None).then_some(Place::Stored(&source)),
            patches: package.patches.iter().map(|_| &patch).collect(),
            inputs: inputs.collect(),
            cargo_vendor: None,
        };
        let recipe = lower(&stdenv, package, &facts)?;
        made.insert(name.as_str().to_owned(), recipe);
    }
    Ok(made)
}

/// The environment without what every derivation has.
fn env(manifest: &str) -> String {
    let made = lower_all(manifest).unwrap_or_else(|error| panic!("{error}\n{manifest}"));
    let recipe = made.values().next_back().expect("one package");
    let common =
        ["builder", "name", "pname", "out", "rekindleToolchain", "src", "stdenv", "system", "toolchainPath"];
    let env = recipe.derivation.env.iter().map(|(name, value)| {
        (String::from_utf8_lossy(name).into_owned(), String::from_utf8_lossy(value).into_owned())
    });
    let env: Vec<_> = env
        .filter(|(name, value)| !common.contains(&name.as_str()) && (name != "outputs" || value != "out"))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    env.join(" ; ")
}

/// The whole text. Real Nix (2.8) computes the same paths from an expression with these attributes.
#[test]
fn a_derivation_is_stable() {
    let text = "[package]\nname = \"hello\"\nversion = \"1.0\"\nbuild-system = \"autotools\"\n\
                inputs = [\"/nix/store/00bgd045z0d4icpbc2yyz4gx48ak44la-zlib\"]\npatches = [\"x.patch\"]\n";
    let made = lower_all(text).expect("it lowers");
    let recipe = &made["hello"];
    let hash = "00bgd045z0d4icpbc2yyz4gx48ak44la";
    let out = "/nix/store/j89l9xjlmkfavb8h398z53590ka02kpg-hello-1.0";
    assert_eq!(
        String::from_utf8_lossy(&aterm::write(&recipe.derivation, &StoreDir::default())),
        format!(
            "Derive([(\"out\",\"{out}\",\"\",\"\")],[],[\"/nix/store/{hash}-rekindle-stdenv\",\
             \"/nix/store/{hash}-source\",\"/nix/store/{hash}-x.patch\",\"/nix/store/{hash}-zlib\"],\
             \"x86_64-linux\",\"/bin/bash\",[\"-e\",\"/nix/store/{hash}-rekindle-stdenv/default-builder.sh\"],\
             [(\"buildInputs\",\"/nix/store/{hash}-zlib\"),(\"builder\",\"/bin/bash\"),(\"name\",\"hello-1.0\"),\
             (\"out\",\"{out}\"),(\"outputs\",\"out\"),(\"patches\",\"/nix/store/{hash}-x.patch\"),\
             (\"pname\",\"hello\"),(\"rekindleToolchain\",\"gcc-12\"),(\"src\",\"/nix/store/{hash}-source\"),\
             (\"stdenv\",\"/nix/store/{hash}-rekindle-stdenv\"),(\"system\",\"x86_64-linux\"),\
             (\"toolchainPath\",\"/usr/bin:/bin\"),(\"version\",\"1.0\")])"
        )
    );
    assert_eq!(recipe.path.base_name(), "kk3nr5387ak2dcb237la3ds0kkycxqap-hello-1.0.drv");
}

#[test]
fn phases_and_flags() {
    for (manifest, expect) in [
        ("build-system = \"autotools\"", ""),
        ("build-system = \"autotools\"\nphases.autoreconf = true", "preConfigurePhases=autoreconfPhase"),
        ("build-system = \"make\"", "dontConfigure=1 ; makeFlags=PREFIX=${out} prefix=${out}"),
        (
            "build-system = \"make\"\noutputs = [\"bin\", \"dev\"]\nflags.make = [\"V=1\"]",
            "bin=@ ; dev=@ ; dontConfigure=1 ; makeFlags=PREFIX=${bin} prefix=${bin} V=1 ; outputs=bin dev",
        ),
        (
            "build-system = \"cmake\"\nflags = { cmake = [\"-DA=b c\", \"-DD=e\"], make = [\"-v\"] }",
            "buildPhase=ninjaBuildPhase ; checkPhase=cmakeCheckPhase ; cmakeFlags=-DA=b c\n-DD=e\n ; \
             cmakeGenerator=Ninja ; configurePhase=cmakeConfigurePhase ; installPhase=ninjaInstallPhase ; ninjaFlags=-v",
        ),
        (
            "build-system = \"cmake-make\"",
            "checkPhase=cmakeCheckPhase ; cmakeGenerator=Unix Makefiles ; configurePhase=cmakeConfigurePhase",
        ),
        (
            "build-system = \"meson\"\nflags.meson = [\"-Da=1\"]",
            "buildPhase=ninjaBuildPhase ; checkPhase=mesonCheckPhase ; configurePhase=mesonConfigurePhase ; \
             installPhase=mesonInstallPhase ; mesonFlags=-Da=1",
        ),
        (
            "build-system = \"cargo\"\nflags.cargo = [\"--bins\"]",
            "buildPhase=cargoBuildPhase ; cargoFlags=--bins ; checkPhase=cargoCheckPhase ; \
             configurePhase=cargoConfigurePhase ; installPhase=cargoInstallPhase",
        ),
        (
            "build-system = \"custom\"\nphases.install = \"i\"",
            "dontBuild=1 ; dontConfigure=1 ; installPhase=i",
        ),
        ("source = false\nphases.command = \"c\"", "buildCommand=c ; dontUnpack=1"),
        (
            "build-system = \"autotools\"\nphases = { check = true, install-check = \"t\", dist = false, skip = [\"fixup\"] }",
            "doCheck=1 ; doInstallCheck=1 ; dontFixup=1 ; installCheckPhase=t",
        ),
        (
            "build-system = \"autotools\"\nphases = { pre-install-check = \"a\", post-build = \"b\", build = \"c\" }",
            "buildPhase=c ; postBuild=b ; preInstallCheck=a",
        ),
        ("build-system = \"autotools\"\nenv = { X = \"1 2\", dontStrip = \"1\" }", "X=1 2 ; dontStrip=1"),
    ] {
        let found = env(&format!("[package]\nname = \"x\"\n{manifest}\n"));
        let found = found.split(" ; ").map(|pair| match pair.split_once('=') {
            Some((name, value)) if value.starts_with("/nix/store/") => format!("{name}=@"),
            _ => pair.to_owned(),
        });
        assert_eq!(found.collect::<Vec<_>>().join(" ; "), expect, "{manifest}");
    }
}

#[test]
fn inputs_choose_outputs() {
    let text = "[packages.lib]\nbuild-system = \"make\"\noutputs = [\"out\", \"dev\", \"doc\"]\n\
                [packages.one]\nbuild-system = \"make\"\noutputs = [\"main\", \"aux\"]\n\
                [packages.user]\nbuild-system = \"make\"\n\
                inputs = [\"lib\", { package = \"one\", env = \"ONE\" }, { package = \"lib\", outputs = [\"doc\"], propagate = true }]\n";
    let made = lower_all(text).expect("it lowers");
    let output = |package: &str, output: &str| {
        let name = OutputName::new(output).expect("a name");
        StoreDir::default().display(made[package].output(&name).expect("an output"))
    };
    let user = &made["user"].derivation;
    let variable = |name: &str| String::from_utf8_lossy(&user.env[name.as_bytes()]).into_owned();
    assert_eq!(variable("buildInputs"), format!("{} {}", output("lib", "dev"), output("one", "main")));
    assert_eq!(variable("propagatedBuildInputs"), output("lib", "doc"));
    assert_eq!(variable("ONE"), output("one", "main"));
    let wanted: Vec<_> = user.input_drvs[&made["lib"].path].iter().map(OutputName::as_str).collect();
    assert_eq!(wanted, ["dev", "doc"]);

    let error = lower_all(&text.replace("\"doc\"], propagate", "\"nope\"], propagate"))
        .map(|_| ())
        .expect_err("no output");
    assert_eq!(error.to_string(), "package user: its input lib has no output `nope`");
}

#[test]
fn what_does_not_fit_is_an_error() {
    let conflict =
        lower_all("[package]\nname = \"x\"\nbuild-system = \"cmake\"\nenv.buildPhase = \"mine\"\n");
    let error = conflict.map(|_| ()).expect_err("set twice");
    assert_eq!(
        error.to_string(),
        "package x: `buildPhase` is set twice, once by Rekindle for something else"
    );
    let error = lower_all("[package]\nname = \"x\"\n").map(|_| ()).expect_err("no build system");
    assert_eq!(error.to_string(), "package x: its build system is not known");
    let nul = lower_all("[package]\nname = \"x\"\nbuild-system = \"make\"\nphases.build = \"\\u0000\"\n");
    assert_eq!(
        nul.map(|_| ()).expect_err("NUL").to_string(),
        "package x: the text of `buildPhase` has a NUL in it"
    );
}

/// Whatever is edited, the derivation is another one; what is only a rule for the sources is in their path already.
#[test]
fn every_change_changes_the_path() {
    let base = Package::new(PackageName::new("x").expect("a name"), BuildSystem::Make);
    let toolchain = ToolchainFacts { identity: "a".into(), path: "/bin".into(), host_paths: Vec::new() };
    let (dir, setup, source) = (StoreDir::default(), store_path("rekindle-stdenv"), store_path("source"));
    let path = |package: &Package, toolchain: &ToolchainFacts| {
        let stdenv = Stdenv { store_dir: &dir, system: "s", setup: &setup, toolchain };
        let facts = Resolved { source: Some(Place::Stored(&source)), ..Resolved::default() };
        lower(&stdenv, package, &facts).expect("it lowers").path
    };
    let mut seen = BTreeSet::from([path(&base, &toolchain)]);
    let mut check = |package: &Package, toolchain: &ToolchainFacts, what: &str| {
        assert!(seen.insert(path(package, toolchain)), "{what} changes nothing");
    };
    let change = |edit: &dyn Fn(&mut Package)| {
        let mut package = base.clone();
        edit(&mut package);
        package
    };
    check(&change(&|x| x.version = Some("1".into())), &toolchain, "version");
    check(&change(&|x| x.build_system = Some(BuildSystem::Meson)), &toolchain, "build system");
    check(&change(&|x| x.outputs.push(OutputName::new("dev").expect("a name"))), &toolchain, "outputs");
    check(&change(&|x| drop(x.env.insert("A".into(), String::new()))), &toolchain, "env");
    check(&change(&|x| x.phases.skip = vec![Phase::Fixup]), &toolchain, "skip");
    check(&change(&|x| x.flags = Flags { make: vec!["a".into()], ..Flags::default() }), &toolchain, "flags");
    let other = ToolchainFacts { identity: "b".into(), ..toolchain.clone() };
    check(&base, &other, "toolchain");
    let other = ToolchainFacts { host_paths: vec!["/opt".into()], ..toolchain.clone() };
    check(&base, &other, "host paths");
    let rules = SourceRules { include: vec!["*".into()], exclude: Vec::new() };
    assert_eq!(path(&change(&|x| x.rules = rules.clone()), &toolchain), path(&base, &toolchain));
}

#[test]
fn orders_and_circles() {
    let check = |graph: &[(&'static str, &[&'static str])]| {
        order(graph.iter().map(|(key, uses)| (*key, uses.to_vec()))).map_err(|error| error.to_string())
    };
    assert_eq!(check(&[]), Ok(vec![]));
    assert_eq!(check(&[("b", &["a"]), ("a", &[]), ("c", &["a", "b", "?"])]), Ok(vec!["a", "b", "c"]));
    let circle = |names: &str| Err(format!("packages depend on each other in a circle: {names}"));
    assert_eq!(check(&[("a", &["a"])]), circle("a -> a"));
    assert_eq!(check(&[("a", &["b"]), ("b", &["c"]), ("c", &["d", "b"]), ("d", &[])]), circle("b -> c -> b"));
    // No recursion: depth is nothing special.
    let names: Vec<String> = (0..100_000).map(|index| format!("{index:06}")).collect();
    let chain =
        names.iter().enumerate().map(|(index, name)| (name, names.get(index + 1).into_iter().collect()));
    assert_eq!(order(chain).map(|order| order.len()).ok(), Some(100_000));
}

#[test]
fn reserved_names_are_sorted() {
    assert!(RESERVED.is_sorted());
}
