//! The protocol: order, hooks, switches, flags.

use crate::harness::Sandbox;

/// Writes its words to the log in a way that no other line does.
const SAY: &str = "say() { printf '<%s>' \"$@\"; echo; }; ";

fn said(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.starts_with('<')).collect()
}

#[test]
fn hooks_and_phases_run_in_order() {
    let mut sandbox = Sandbox::with_source(&[("f", "")]).var("doCheck", "1").var("doInstallCheck", "1");
    sandbox = sandbox.var("doDist", "1").var("distPhase", "runHook preDist; echo '<dist>'; runHook postDist");
    for phase in
        ["Unpack", "Patch", "Configure", "Build", "Check", "Install", "Fixup", "InstallCheck", "Dist"]
    {
        for place in ["pre", "post"] {
            let name = format!("{place}{phase}");
            sandbox = sandbox.var(&name, &format!("echo '<{name}>'"));
        }
    }
    let custom = [
        ("prePhases", "p0"),
        ("preConfigurePhases", "p1"),
        ("preBuildPhases", "p2"),
        ("preInstallPhases", "p3"),
        ("preFixupPhases", "p4"),
        ("preDistPhases", "p5"),
        ("postPhases", "p6 p7"),
    ];
    for (list, names) in custom {
        sandbox = sandbox.var(list, names);
        for name in names.split(' ') {
            sandbox = sandbox.var(name, &format!("echo '<{name}>'; mkdir -p $out"));
        }
    }
    let log = sandbox.build();
    let expect = "p0 preUnpack postUnpack prePatch postPatch p1 preConfigure postConfigure p2 preBuild postBuild \
                  preCheck postCheck p3 preInstall postInstall p4 preFixup postFixup preInstallCheck \
                  postInstallCheck p5 preDist dist postDist p6 p7";
    let expect: Vec<_> = expect.split_whitespace().map(|word| format!("<{word}>")).collect();
    assert_eq!(said(&log), expect, "{log}");
    let headers: Vec<_> = log.lines().filter_map(|line| line.strip_prefix("Running phase: ")).collect();
    assert_eq!(headers[0..3], ["p0", "unpackPhase", "patchPhase"], "{log}");
}

#[test]
fn a_hook_is_a_function_then_arrays() {
    let hook = format!(
        "{SAY} preBuild() {{ say function; }}; one() {{ say one \"$@\"; }}; \
         preBuildHooks+=(one 'say \"text with spaces\"'); preInstallHooks+=(one)"
    );
    let log = Sandbox::with_source(&[])
        .var("preHook", &hook)
        .var("preBuild", "say variable")
        .var("preInstall", "say variable")
        .var("installPhase", "runHook preInstall x; mkdir $out")
        .build();
    assert_eq!(said(&log), ["<function>", "<one>", "<text with spaces>", "<variable>", "<one><x>"], "{log}");
}

#[test]
fn switches() {
    let all = ["unpack", "patch", "configure", "build", "check", "install", "fixup", "installCheck", "dist"];
    let mut sandbox = Sandbox::with_source(&[]).var("prePhases", "mk").var("mk", "mkdir $out");
    for phase in all {
        sandbox = sandbox.var(&format!("{phase}Phase"), &format!("sourceRoot=.; echo '<{phase}>'"));
    }
    let log = sandbox.build();
    assert_eq!(
        said(&log),
        ["<unpack>", "<patch>", "<configure>", "<build>", "<install>", "<fixup>"],
        "{log}"
    );
    for (switch, gone) in [
        ("dontUnpack", "<unpack>"),
        ("dontPatch", "<patch>"),
        ("dontConfigure", "<configure>"),
        ("dontBuild", "<build>"),
        ("dontInstall", "<install>"),
        ("dontFixup", "<fixup>"),
    ] {
        sandbox = sandbox.var(switch, "1");
        let log = sandbox.build();
        assert!(!log.contains(gone), "{switch}: {log}");
        sandbox = sandbox.var(switch, "");
    }
    let log = sandbox.var("doCheck", "1").var("doInstallCheck", "1").var("doDist", "1").build();
    assert_eq!(said(&log).len(), all.len(), "{log}");
}

#[test]
fn phases_can_be_listed() {
    let sandbox = Sandbox::new()
        .var("phases", "\n  b installPhase\n\ta\n")
        .var("a", "echo '<a>'")
        .var("b", "echo '<b>'");
    let log = sandbox.var("installPhase", "echo '<install>'; mkdir $out").build();
    assert_eq!(said(&log), ["<b>", "<install>", "<a>"], "{log}");
}

#[test]
fn a_variable_wins_over_the_function() {
    let sandbox = Sandbox::with_source(&[]).var("preHook", "buildPhase() { echo '<function>'; }");
    let sandbox = sandbox.var("installPhase", "mkdir $out");
    assert_eq!(said(&sandbox.build()), ["<function>"]);
    assert_eq!(said(&sandbox.var("buildPhase", "echo '<variable>'").build()), ["<variable>"]);
}

#[test]
fn build_command_takes_the_place_of_everything() {
    let sandbox =
        Sandbox::new().var("buildCommand", "echo hi > $out; echo $SOURCE_DATE_EPOCH $TZ $LC_ALL >> $out");
    let log = sandbox.build();
    assert!(!log.contains("Running phase"), "{log}");
    assert_eq!(std::fs::read_to_string(sandbox.output("out")).expect("out"), "hi\n315532800 UTC C\n");
    std::fs::remove_file(sandbox.output("out")).expect("a file goes");

    let sandbox = Sandbox::new();
    let script = sandbox.file("command.sh", b"mkdir $out; echo path > $out/f\n");
    let sandbox = sandbox.var("buildCommandPath", script.to_str().expect("plain"));
    sandbox.build();
    assert_eq!(sandbox.read("f"), "path\n");
}

#[test]
fn failure_runs_its_hook_and_success_the_other() {
    let hooks = |sandbox: Sandbox| {
        sandbox
            .var("failureHook", "echo '<failed>'")
            .var("exitHook", "echo '<done>'")
            .var("postInstall", "echo '<not reached>'")
    };
    for (phase, text) in [
        ("buildPhase", "false; echo '<not reached>'"),
        ("buildPhase", "x=$(false); echo '<not reached>'"),
        ("buildPhase", "false | true; echo '<not reached>'"),
        ("buildPhase", "echo $unsetVariable; echo '<not reached>'"),
        ("preBuild", "exit 3"),
    ] {
        let outcome = hooks(Sandbox::with_source(&[])).var(phase, text).run();
        assert!(!outcome.success, "{text}: {}", outcome.log);
        assert_eq!(said(&outcome.log), ["<failed>"], "{text}");
    }
    let log = hooks(Sandbox::with_source(&[])).var("installPhase", "mkdir $out").build();
    assert_eq!(said(&log), ["<done>"]);

    let sandbox = Sandbox::with_source(&[]).var("succeedOnFailure", "1").var("buildPhase", "exit 7");
    sandbox.build();
    assert_eq!(sandbox.read("nix-support/failed"), "7");
}

#[test]
fn flags_are_words_lines_or_arrays() {
    let configure = "#!/bin/bash\nprintf '<%s>' \"$@\"; echo\n";
    let sandbox = Sandbox::with_source(&[("configure", configure)]).var("installPhase", "mkdir $out");
    let out = sandbox.output("out").display().to_string();
    let log = sandbox.build();
    assert_eq!(said(&log), [format!("<--prefix={out}>")]);

    let sandbox = sandbox.var("configureFlags", "--a --b=*  --c=${out}/etc ");
    assert_eq!(said(&sandbox.build()), [format!("<--prefix={out}><--a><--b=*><--c={out}/etc>")]);

    let sandbox = sandbox.var("configureFlags", "--a=one two\n--b\n").var("dontAddPrefix", "1");
    let sandbox = sandbox.var("preConfigure", "configureFlagsArray+=('--c=x  y' '--d=&$HOME')");
    assert_eq!(said(&sandbox.build()), ["<--a=one two><--b><--c=x  y><--d=&$HOME>"]);

    let sandbox = sandbox.var("configureFlags", "").var("preConfigure", "").var("dontAddPrefix", "");
    let sandbox = sandbox.var("prefixKey", "-prefix ").var("configureScript", "./configure sub");
    assert_eq!(said(&sandbox.build()), [format!("<sub><-prefix><{out}>")]);
}

#[test]
fn make_gets_its_flags() {
    let makefile = "all check install bonus:\n\t@printf '<%s %s %s>\\n' $@ '$(A)' '$(MAKEFLAGS)'\n";
    let sandbox = Sandbox::with_source(&[("Makefile", makefile)])
        .var("makeFlags", "A=1 2\n")
        .var("doCheck", "1")
        .var("checkFlags", "C=1")
        .var("installTargets", "install bonus")
        .var("postInstall", "mkdir -p $out");
    let log = sandbox.build();
    let said = said(&log);
    assert_eq!(said.len(), 4, "{log}");
    assert!(said[0].starts_with("<all 1 2") && said[0].contains("-j2"), "{log}");
    assert!(said[1].starts_with("<check 1 2") && said[1].contains("C=1"), "{log}");
    assert!(said[2].starts_with("<install 1 2") && !said[2].contains("-j"), "{log}");
    assert!(said[3].starts_with("<bonus 1 2"), "{log}");

    let log = sandbox.var("enableParallelBuilding", "").var("makefile", "Makefile").build();
    assert!(!log.lines().any(|line| line.starts_with("<all") && line.contains("-j")), "{log}");
}

#[test]
fn nothing_to_make_is_said() {
    let log = Sandbox::with_source(&[]).var("doCheck", "1").var("postInstall", "mkdir -p $out").build();
    assert_eq!(log.matches("no Makefile, doing nothing").count(), 3, "{log}");
    assert!(log.contains("no configure script, doing nothing"), "{log}");

    let sandbox = Sandbox::with_source(&[("makefile", "all install:\n\t@true\n")]).var("doCheck", "1");
    let log = sandbox.var("postInstall", "mkdir -p $out").var("doInstallCheck", "1").build();
    assert!(log.contains("no check or test target") && log.contains("no installcheck target"), "{log}");
}

#[test]
fn structured_attributes() {
    let sandbox = Sandbox::with_source(&[("configure", "#!/bin/bash\nprintf '<%s>' \"$@\"; echo\n")]);
    let quote = |name: &str| sandbox.output(name).display().to_string();
    let attributes = format!(
        "declare -A outputs=([dev]='{}' [out]='{}')\ndeclare configureFlags=('--a b' c)\n\
         declare -A env=([EXPORTED]='v 1')\ndeclare src='{}'\ndeclare name=demo\n\
         declare installPhase='mkdir -p $out $dev; bash -c '\"'\"'echo \"<$EXPORTED>\"'\"'\"\n",
        quote("dev"),
        quote("out"),
        sandbox.text(&format!("store/{}-source", crate::harness::HASH)),
    );
    let file = sandbox.file("attrs.sh", attributes.as_bytes());
    let sandbox = sandbox.outputs(&[]).var("dontAddOutputFlags", "1");
    let mut command = sandbox.bash();
    command.env_remove("outputs").env_remove("name").env_remove("src").env_remove("stdenv");
    sandbox.file("attrs.sh", format!("{attributes}declare stdenv='{}'\n", sandbox.text("stdenv")).as_bytes());
    sandbox.clean();
    let builder = sandbox.text("stdenv/default-builder.sh");
    let command = command.env("NIX_ATTRS_SH_FILE", &file).args(["-e", &builder]);
    let outcome = crate::harness::outcome(&command.output().expect("bash runs"));
    assert!(outcome.success, "{}", outcome.log);
    let out = sandbox.output("out").display().to_string();
    assert_eq!(said(&outcome.log), [format!("<--prefix={out}><--a b><c>"), "<v 1>".to_owned()]);
}
