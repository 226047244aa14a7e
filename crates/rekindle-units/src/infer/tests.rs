use proptest::prelude::*;

use super::*;

fn listing(directory: &str, files: &[(&str, &str)]) -> Listing {
    let entries = files.iter().map(|(name, text)| (OsString::from(name), Some(text.as_bytes().to_vec())));
    Listing { directory: directory.into(), entries: entries.collect(), has_ninja: true }
}

/// What was decided: `system name version (by)`.
fn told(listing: &Listing) -> String {
    let Inferred { package, decided_by, .. } = infer(listing).expect("recognised");
    let system = package.build_system.expect("inferring is choosing one").as_str();
    format!("{system} {} {} ({decided_by})", package.name, package.version.as_deref().unwrap_or("-"))
}

#[test]
fn typical_projects() {
    for (directory, files, expect) in [
        (
            "lua-5.4.4",
            &[("Makefile", "PLAT= guess\nINSTALL_TOP= /usr/local\n"), ("README", "")][..],
            "make lua 5.4.4 (Makefile)",
        ),
        ("redis", &[("Makefile", "")], "make redis - (Makefile)"),
        (
            "zlib-1.3",
            &[("configure", ""), ("CMakeLists.txt", "project(zlib)"), ("Makefile", "")],
            "autotools zlib 1.3 (configure)",
        ),
        (
            "src",
            &[("configure", ""), ("configure.ac", "AC_INIT([GNU Hello], [2.12.1], [bug@x])")],
            "autotools hello 2.12.1 (configure)",
        ),
        (
            "src",
            &[
                (
                    "configure",
                    "# x\nPACKAGE_NAME='GNU Hello'\nPACKAGE_TARNAME='hello'\nPACKAGE_VERSION='2.10'\n",
                ),
                ("configure.ac", "AC_INIT([GNU Hello], m4_esyscmd([x]))"),
            ],
            "autotools hello 2.10 (configure)",
        ),
        (
            "src",
            &[("configure.ac", "AC_INIT([My Thing], [1], [bug], [my-thing], [https://x])")],
            "autotools my-thing 1 (configure.ac)",
        ),
        (
            "x",
            &[("configure.ac", "dnl AC_INIT([no],[0])\n  AC_INIT(hello, 1.0)\n"), ("Makefile", "")],
            "autotools hello 1.0 (configure.ac)",
        ),
        (
            "git-tree-2.0",
            &[("configure.ac", "AC_INIT([tree], m4_esyscmd([./version.sh]))")],
            "autotools tree 2.0 (configure.ac)",
        ),
        ("old_1.1", &[("configure.in", "AC_INIT(main.c)")], "autotools old 1.1 (configure.in)"),
        (
            "d",
            &[(
                "CMakeLists.txt",
                "cmake_minimum_required(VERSION 3.1)\n# project(no)\nPROJECT(\n  \"Demo\" VERSION 1.2.3\n LANGUAGES C)\n",
            )],
            "cmake Demo 1.2.3 (CMakeLists.txt)",
        ),
        ("d-0.1", &[("CMakeLists.txt", "project(${NAME} VERSION ${V})")], "cmake d 0.1 (CMakeLists.txt)"),
        (
            "d",
            &[(
                "meson.build",
                "project('demo', ['c', 'cpp'],\n  license: 'MIT', # version: '0'\n  version : '1.2-rc1',\n)",
            )],
            "meson demo 1.2-rc1 (meson.build)",
        ),
        (
            "d",
            &[("meson.build", "project('demo', 'c', version: run_command('x').stdout())")],
            "meson demo - (meson.build)",
        ),
        (
            "d",
            &[
                ("Cargo.toml", "[package]\nname = \"rip\"\nversion = \"1.0.0\""),
                ("Cargo.lock", ""),
                ("Makefile", ""),
            ],
            "cargo rip 1.0.0 (Cargo.toml)",
        ),
        (
            "mono-3",
            &[
                ("Cargo.toml", "[workspace]\nmembers = []\n[workspace.package]\nversion = \"2.0\""),
                ("Cargo.lock", ""),
            ],
            "cargo mono 2.0 (Cargo.toml)",
        ),
        (
            "d",
            &[
                (
                    "Cargo.toml",
                    "[package]\nname = \"w\"\nversion.workspace = true\n[workspace.package]\nversion = \"2.1\"",
                ),
                ("Cargo.lock", ""),
            ],
            "cargo w 2.1 (Cargo.toml)",
        ),
        ("d", &[("Cargo.toml", "not toml ["), ("Cargo.lock", "")], "cargo d - (Cargo.toml)"),
        (
            "my project (copy)",
            &[("GNUmakefile", ""), ("Makefile", "")],
            "make my-project--copy - (GNUmakefile)",
        ),
        ("...", &[("makefile", "")], "make package - (makefile)"),
        ("lib-v2.0", &[("makefile", "")], "make lib 2.0 (makefile)"),
    ] {
        assert_eq!(told(&listing(directory, files)), expect, "{directory}");
    }
}

#[test]
fn what_else_was_found_is_reported() {
    let found = infer(&listing(
        "z",
        &[("configure", ""), ("configure.ac", ""), ("CMakeLists.txt", ""), ("Makefile", "")],
    ));
    assert_eq!(found.expect("recognised").also_found, ["CMakeLists.txt", "Makefile"]);
}

#[test]
fn cmake_without_ninja_uses_make() {
    let mut listing = listing("d", &[("CMakeLists.txt", "project(x)")]);
    listing.has_ninja = false;
    assert_eq!(told(&listing), "cmake-make x - (CMakeLists.txt)");
}

#[test]
fn only_configure_ac_needs_autoreconf() {
    let found = infer(&listing("d", &[("configure.ac", "")])).expect("recognised");
    assert!(found.package.phases.autoreconf);
    assert!(found.notes[0].contains("autoreconf"), "{:?}", found.notes);
    let found = infer(&listing("d", &[("configure.ac", ""), ("configure", "")])).expect("recognised");
    assert!(!found.package.phases.autoreconf && found.notes.is_empty());
}

#[test]
fn lua_has_its_own_word_for_the_prefix() {
    let found = infer(&listing("lua", &[("Makefile", "INSTALL_TOP= /usr/local\n")])).expect("recognised");
    assert_eq!(found.package.flags.make, ["INSTALL_TOP=${out}"]);
    let found =
        infer(&listing("x", &[("Makefile", "# INSTALL_TOP\nall: $(INSTALL_TOP)\n")])).expect("recognised");
    assert!(found.package.flags.make.is_empty());
}

#[test]
fn a_manifest_without_build_system_is_completed() {
    let parse = |text: &str| Manifest::parse(std::path::Path::new("m"), text).expect("good").only().cloned();
    let mut package = parse("[package]\nname = \"mine\"\n[flags]\nmake = [\"V=1\"]\n").expect("one");
    let lua = infer(&listing("lua-5.4", &[("Makefile", "INSTALL_TOP= /usr/local\n")])).expect("recognised");
    lua.complete(&mut package);
    assert_eq!(package.build_system, Some(BuildSystem::Make));
    assert_eq!(package.flags.make, ["INSTALL_TOP=${out}", "V=1"]);
    assert_eq!((package.name.as_str(), &package.version), ("mine", &None));

    let mut said = parse("[package]\nname = \"mine\"\nbuild-system = \"meson\"\n").expect("one");
    let before = said.clone();
    lua.complete(&mut said);
    assert_eq!(said, before);
}

#[test]
fn nothing_lists_what_was_looked_for() {
    let error =
        infer(&listing("docs", &[("README", ""), ("configure.sh", "")])).map(|_| ()).expect_err("nothing");
    assert_eq!(
        error.to_string(),
        "no build system was recognised in docs: there is none of Cargo.toml, configure, meson.build, \
         CMakeLists.txt, configure.ac, configure.in, GNUmakefile, makefile, Makefile; `rekindle.toml` can say how \
         it is built"
    );
    let error = infer(&listing("c", &[("Cargo.toml", "")])).map(|_| ()).expect_err("no lock");
    assert!(error.to_string().contains("no Cargo.lock; run `cargo generate-lockfile`"), "{error}");
    assert_eq!(error.kind(), crate::ErrorKind::NotRecognised);
}

#[test]
fn the_written_manifest_says_the_same() {
    let tree = listing("x-1", &[("configure.ac", "AC_INIT([x],[2])"), ("Makefile", "INSTALL_TOP=x\n")]);
    let found = infer(&tree).expect("recognised");
    let text = found.to_toml();
    assert_eq!(
        text,
        "# Written by `rekindle init`, because there is a configure.ac.\n\
         # There is also Makefile: set build-system to build with that instead.\n\
         # configure.ac without configure: autoreconf (autoconf, automake) will run.\n\n\
         [package]\nname = \"x\"\nversion = \"2\"\n\
         # A directory, a tarball, or { url = \"…\", hash = \"sha256-…\" }.\nsource = \".\"\n\
         # autotools, make, cmake, cmake-make, meson, cargo or custom.\nbuild-system = \"autotools\"\n\n\
         [phases]\n# There is no configure script yet: autoreconf makes it.\nautoreconf = true\n"
    );
    let parsed = Manifest::parse(std::path::Path::new("rekindle.toml"), &text).expect("it parses");
    assert_eq!(parsed.only(), Some(&found.package));
}

proptest! {
    #[test]
    fn no_content_makes_it_panic(directory in "\\PC{0,20}", name in 0..MARKERS.len(), text in "\\PC{0,80}", head in 0..5_usize) {
        let head = ["", "AC_INIT(", "project(", "[package]\n", "project('"][head];
        let text = format!("{head}{text}");
        let listing = listing(&directory, &[(MARKERS[name].0, &text), ("Cargo.lock", "")]);
        let found = infer(&listing).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let parsed = Manifest::parse(std::path::Path::new("m"), &found.to_toml());
        let parsed = parsed.map_err(|error| TestCaseError::fail(format!("{error}\n{}", found.to_toml())))?;
        prop_assert_eq!(parsed.only(), Some(&found.package));
    }
}
