//! Golden messages, meanings, and that every manifest survives being written.

use std::path::Path;

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Manifest, Error> {
    Manifest::parse(Path::new("rekindle.toml"), text)
}

fn one(text: &str) -> Package {
    let manifest = parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    manifest.only().expect("one package").clone()
}

#[test]
fn mistakes_say_where_and_what() {
    let mut wrong = Vec::new();
    for (text, expect) in [
        ("", "1:1: there is no [package] and no [packages.NAME]"),
        ("[package]\nnmae = \"x\"\n", "2:1: unknown key `nmae`; did you mean `name`?"),
        (
            "[package]\nname = \"x\"\nbuild_system = \"make\"\n",
            "3:1: unknown key `build_system`; did you mean `build-system`?",
        ),
        ("[pakage]\nname = \"x\"\n", "1:2: unknown key `pakage`; did you mean `package`?"),
        (
            "zebra = 1\n",
            "1:1: unknown key `zebra`; known are package, packages, phases, env, flags, toolchain",
        ),
        (
            "[package]\nname = \"x\"\n[phases]\npostinstall = \"\"\n",
            "4:1: unknown key `postinstall`; did you mean `post-install`?",
        ),
        ("[package]\nname = \"x\"\n[flags]\ncmkae = []\n", "4:1: unknown key `cmkae`; did you mean `cmake`?"),
        (
            "[package]\nname = \"x\"\nbuild-system = \"mesno\"\n",
            "3:16: unknown value `mesno`; did you mean `meson`?",
        ),
        (
            "[package]\nname = \"x\"\n[phases]\nskip = [\"chek\"]\n",
            "4:9: unknown value `chek`; did you mean `check`?",
        ),
        (
            "[package]\nname = \"x\"\n[toolchain]\nkind = \"nix\"\n",
            "4:8: unknown value `nix`; known are host",
        ),
        ("package = 1\n", "1:11: expected a table, found integer `1`"),
        ("env = []\n", "1:7: expected a table, found a list"),
        ("[package]\nname = 3\n", "2:8: expected a string, found integer `3`"),
        ("[package]\nname = \"x\"\nversion = 1.0\n", "3:11: expected a string, found floating point `1.0`"),
        ("[package]\nname = \"x\"\npatches = \"a\"\n", "3:11: expected a list, found string \"a\""),
        (
            "[package]\nname = \"x\"\nsource = 1\n",
            "3:10: expected a path, a table with url and hash, or false, found integer `1`",
        ),
        (
            "[package]\nname = \"x\"\nsource = true\n",
            "3:10: source is a path, a table with url and hash, or false",
        ),
        ("[package]\nname = \"x\"\nsource = { url = \"https://a/b\" }\n", "3:10: the key `hash` is missing"),
        (
            "[package]\nname = \"x\"\nsource = { url = \"https://a/b\", hsah = \"\" }\n",
            "3:33: unknown key `hsah`; did you mean `hash`?",
        ),
        (
            "[package]\nname = \"x\"\ninputs = [1]\n",
            "3:11: expected a store path, a package's name, or a table, found integer `1`",
        ),
        (
            "[package]\nname = \"x\"\n[phases]\ncheck = 1\n",
            "4:9: expected a script, true or false, found integer `1`",
        ),
        ("[package]\nname = \"x\"\n[env]\nA = 1\n", "4:5: expected a string, found integer `1`"),
        ("[package]\nversion = \"1\"\n", "1:1: [package] has no name"),
        (
            "[package]\nname = \"a b\"\n",
            "2:8: `a b` cannot be a package's name: it has the character ' '; only ASCII letters, digits and + - . _ ? = are allowed",
        ),
        ("[package]\nname = \"\"\n", "2:8: `` cannot be a package's name: it is empty"),
        ("[package]\nname = \".x\"\n", "2:8: `.x` cannot be a package's name: it starts with a dot"),
        (
            "[package]\nname = \"x\"\nversion = \"1/2\"\n",
            "3:11: `1/2` cannot be a version: it has the character '/'; only ASCII letters, digits and + - . _ ? = are allowed",
        ),
        ("[package]\nname = \"x\"\noutputs = []\n", "3:11: a package has at least one output"),
        ("[package]\nname = \"x\"\noutputs = [\"out\", \"out\"]\n", "3:19: the output `out` is there twice"),
        (
            "[package]\nname = \"x\"\noutputs = [\"my-out\"]\n",
            "3:12: `my-out` cannot be an output's name: it is not the name of a shell variable (letters, digits and _, not starting with a digit)",
        ),
        (
            "[package]\nname = \"x\"\noutputs = [\"src\"]\n",
            "3:12: `src` cannot be an output's name: that is the name of a variable which Rekindle sets itself",
        ),
        (
            "[package]\nname = \"x\"\n[env]\nPATH = \"/x\"\n",
            "4:1: `PATH` cannot be an environment variable here: Rekindle sets it itself",
        ),
        (
            "[package]\nname = \"x\"\n[env]\nout = \"/x\"\n",
            "4:1: `out` is the path of the output of that name",
        ),
        (
            "[package]\nname = \"x\"\n[env]\n\"a b\" = \"/x\"\n",
            "4:1: `a b` cannot be an environment variable here: it is not the name of a shell variable (letters, digits and _, not starting with a digit)",
        ),
        (
            "[package]\nname = \"x\"\npatches = [\"\"]\n",
            "3:12: a path cannot be empty; \".\" is the manifest's directory",
        ),
        (
            "[package]\nname = \"x\"\nsource = { url = \"nowhere\", hash = \"\" }\n",
            "3:18: `nowhere` is not a URL",
        ),
        (
            "[package]\nname = \"x\"\nsource = { url = \"https://a/b\", hash = \"123\" }\n",
            "3:40: `123` is not a hash; write `sha256-…` or `sha256:…`",
        ),
        (
            "[package]\nname = \"x\"\ninputs = [\"/usr/lib\"]\n",
            "3:11: `/usr/lib` is not a store path; a directory is { path = \"…\" }",
        ),
        (
            "[package]\nname = \"x\"\ninputs = [\"codek\"]\n[packages.codec]\n",
            "4:2: a manifest has either [package] or [packages.NAME], not both",
        ),
        (
            "[packages.x]\ninputs = [\"codek\"]\n[packages.codec]\n",
            "2:11: there is no package `codek` in this manifest; did you mean `codec`?",
        ),
        (
            "[package]\nname = \"x\"\ninputs = [{}]\n",
            "3:11: an input has exactly one of store, package, path, url (or path with package)",
        ),
        (
            "[package]\nname = \"x\"\ninputs = [{ path = \"a\", url = \"b\" }]\n",
            "3:11: an input has exactly one of store, package, path, url (or path with package)",
        ),
        (
            "[package]\nname = \"x\"\ninputs = [{ path = \"a\", hash = \"b\" }]\n",
            "3:32: `hash` goes with `url`",
        ),
        ("[package]\nname = \"x\"\ninputs = [{ url = \"https://a/b\" }]\n", "3:19: `url` needs a `hash`"),
        (
            "[package]\nname = \"x\"\nphases.command = \"\"\n[phases]\nbuild = \"\"\n",
            "4:1: [phases] and [package.phases] are the same; keep one",
        ),
        ("[packages.x]\n[env]\nA = \"1\"\n", "2:1: [env] is for [package]; here it is [packages.NAME.env]"),
        (
            "[package]\nname = \"x\"\n[phases]\nskip = [\"build\", \"build\"]\n",
            "4:18: `build` is skipped twice",
        ),
        (
            "[package]\nname = \"x\"\n[phases]\ncheck = true\nskip = [\"check\"]\n",
            "5:9: `check` is both skipped and asked for",
        ),
        (
            "[package]\nname = \"x\"\n[phases]\ncommand = \"a\"\nbuild = \"b\"\n",
            "3:1: `command` takes the place of all phases; nothing else goes with it",
        ),
        (
            "[package]\nname = \"x\"\nbuild-system = \"custom\"\n",
            "2:8: build-system `custom` needs `install` or `command` in its phases",
        ),
        ("[package]\nname = \"x\"\n[flags]\nmake = [\"a\\nb\"]\n", "4:9: a flag is one line and not empty"),
        ("[package]\nname = \"x\"\n[toolchain]\npaths = [\"bin\"]\n", "4:10: a toolchain's path is absolute"),
        ("[packages]\n", "1:1: [packages] is empty"),
        ("[packages.a]\nname = \"c\"\n[packages.b]\nname = \"c\"\n", "4:8: there are two packages named `c`"),
        ("[package\n", "1:9: unclosed table, expected `]`"),
        ("[package]\nname = \"x\"\nname = \"y\"\n", "3:1: duplicate key"),
    ] {
        let error = parse(text).map(|_| ()).expect_err(text);
        assert_eq!(error.kind(), crate::ErrorKind::Manifest);
        let found = error.to_string();
        if found != format!("rekindle.toml:{expect}") {
            wrong.push(format!("{text}    found {found}\n  expected rekindle.toml:{expect}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn defaults() {
    let package = one("[package]\nname = \"x\"\n");
    assert_eq!(package.source, Source::Path(".".into()));
    assert_eq!(package.outputs, [OutputName::out()]);
    assert_eq!(package.build_system, None);
    assert_eq!(package.toolchain.kind, ToolchainKind::Host);
    assert!(!package.copy_tree);
    assert_eq!(package.full_name(), "x");
}

#[test]
fn everything_said_is_kept() {
    let package = one(r#"
        [package]
        name = "x"
        version = "1.2"
        source = { url = "https://example.org/a.tar.gz?x=1", hash = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" }
        include = ["src/**"]
        exclude = ["*.o"]
        patches = ["a.patch", "b.patch"]
        build-system = "cmake-make"
        copy-tree = true
        outputs = ["out", "dev"]
        inputs = [
            "/nix/store/00bgd045z0d4icpbc2yyz4gx48ak44la-zlib",
            { path = "../lib", package = "codec", outputs = ["dev"], propagate = true, env = "LIB" },
        ]
        [phases]
        skip = ["fixup"]
        check = "run-tests"
        install-check = true
        dist = false
        post-install = "echo"
        [env]
        A = "1"
        [flags]
        make = ["V=1", "X=a b"]
        [toolchain]
        kind = "host"
        paths = ["/opt/x"]
    "#);
    assert_eq!(package.full_name(), "x-1.2");
    let Source::Fetch(fetch) = &package.source else { panic!("{:?}", package.source) };
    assert_eq!(fetch.file_name(), "a.tar.gz");
    assert_eq!(package.rules.include, ["src/**"]);
    assert_eq!(package.rules.exclude, ["*.o"]);
    assert_eq!(package.patches.len(), 2);
    assert_eq!(package.build_system, Some(BuildSystem::CmakeMake));
    assert!(matches!(&package.inputs[0].from, InputFrom::Store(path) if path.name() == "zlib"));
    let input = &package.inputs[1];
    assert!(
        matches!(&input.from, InputFrom::Directory(path, Some(name)) if path == Path::new("../lib") && name.as_str() == "codec")
    );
    assert!(input.propagate && input.env.as_deref() == Some("LIB") && input.outputs[0].as_str() == "dev");
    assert_eq!(package.phases.skip, [Phase::Fixup]);
    assert_eq!(package.phases.enable.get(&Phase::Check), Some(&true));
    assert_eq!(package.phases.enable.get(&Phase::Dist), Some(&false));
    assert_eq!(package.phases.custom[&Phase::Check].run.as_deref(), Some("run-tests"));
    assert_eq!(package.phases.custom[&Phase::Install].post.as_deref(), Some("echo"));
    assert_eq!(package.flags.make, ["V=1", "X=a b"]);
    assert_eq!(package.toolchain.paths, [Path::new("/opt/x")]);
    assert!(package.copy_tree);
    assert_eq!(
        parse(&Manifest::single(package.clone()).to_toml()).expect("what is printed parses"),
        Manifest::single(package)
    );
}

#[test]
fn packages_are_ordered_by_use_and_circles_are_shown() {
    let manifest =
        parse("[packages.a]\ninputs = [\"b\", \"c\"]\n[packages.b]\ninputs = [\"c\"]\n[packages.c]\n")
            .expect("fine");
    let order: Vec<_> = manifest.order().expect("no circle").into_iter().map(PackageName::as_str).collect();
    assert_eq!(order, ["c", "b", "a"]);
    let circle = "[packages.a]\ninputs = [\"b\"]\n[packages.b]\ninputs = [\"c\"]\n[packages.c]\ninputs = [{ package = \"b\" }]\n";
    let error = parse(circle).expect("each is fine").order().map(|_| ()).expect_err("a circle");
    assert_eq!(error.to_string(), "packages depend on each other in a circle: b -> c -> b");
    assert_eq!(error.kind(), crate::ErrorKind::Cycle);
}

#[test]
fn several_packages_are_printed_and_read() {
    let manifest = parse("[packages.\"a.b\"]\n[packages.\"a.b\".env]\nX = \"\"\"1\n2\"\"\"\n[packages.c]\nsource = false\n[packages.c.phases]\ncommand = \"x 'y' \\\"z\\\"\"\n").expect("fine");
    assert_eq!(parse(&manifest.to_toml()).expect("printed"), manifest);
    assert_eq!(manifest.only(), None);
}

/// Any text that TOML can hold.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{1,12}", "(\\PC|\n|'|\"|\\\\){1,8}"].prop_filter("no NUL", |text| !text.contains('\0'))
}

fn line() -> impl Strategy<Value = String> {
    text().prop_map(|text| text.replace('\n', " "))
}

fn scripts() -> impl Strategy<Value = Phases> {
    let script = || proptest::option::of(text());
    let custom = (script(), script(), script()).prop_map(|(run, pre, post)| PhaseText { run, pre, post });
    (proptest::collection::btree_map(0..9_usize, custom, 0..4), any::<bool>(), any::<bool>()).prop_map(
        |(custom, autoreconf, dist)| {
            let mut phases = Phases { autoreconf, ..Phases::default() };
            for (index, text) in custom {
                if text != PhaseText::default() {
                    phases.custom.insert(Phase::ALL[index], text);
                }
            }
            for phase in [Phase::Check, Phase::InstallCheck, Phase::Dist] {
                let has_script = phases.custom.get(&phase).is_some_and(|text| text.run.is_some());
                if has_script || dist {
                    phases.enable.insert(phase, true);
                }
            }
            if !phases.custom.contains_key(&Phase::Build) {
                phases.skip.push(Phase::Build);
            }
            phases
        },
    )
}

fn package() -> impl Strategy<Value = Package> {
    let lists = || proptest::collection::vec(line(), 0..3);
    let env = proptest::collection::btree_map("[A-Z]{2,4}_X", text(), 0..3);
    ("[a-z0-9][a-z0-9+._?=-]{0,9}", 0..6_usize, scripts(), env, (lists(), lists(), lists(), lists()))
        .prop_map(|(name, system, phases, env, (a, b, c, d))| {
            let mut package =
                Package::new(PackageName::new(&name).expect("a good name"), BuildSystem::ALL[system]);
            package.phases = phases;
            package.env = env;
            package.copy_tree = system % 2 == 0;
            package.rules = SourceRules { include: a.clone(), exclude: b.clone() };
            package.patches = c.iter().map(PathBuf::from).collect();
            package.flags = Flags { configure: a, make: b, cargo: c, meson: d, ..Flags::default() };
            package
        })
}

proptest! {
    #[test]
    fn printing_and_parsing_gives_the_same(packages in proptest::collection::vec(package(), 1..3)) {
        let packages = packages.into_iter().map(|package| (package.name.clone(), package)).collect();
        let manifest = Manifest { packages };
        let text = manifest.to_toml();
        let again = parse(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(again, manifest, "{}", text);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC*") {
        let _ = parse(&text);
    }

    #[test]
    fn no_manifest_like_text_makes_it_panic(lines in proptest::collection::vec(
        prop_oneof![
            Just("[package]".to_owned()), Just("[phases]".to_owned()), Just("[packages.a]".to_owned()),
            Just("name = \"a\"".to_owned()), Just("inputs = [\"a\"]".to_owned()),
            "(name|source|inputs|outputs|skip|check|kind|env|flags) = \\PC{0,12}",
            "[a-z-]{1,8} = (1|true|\"[a-zé ]{0,5}\"|\\[\\]|\\{\\}|\\[\\[\"x\"\\]\\])",
        ], 0..8)) {
        let _ = parse(&lines.join("\n"));
    }
}
