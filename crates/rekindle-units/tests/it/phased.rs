//! Phases in a fresh bash each, with the state dumped and loaded between, leave what one bash leaves.
//!
//! The dump here is the one that SPEC G-III describes, in its plainest form; the engine has its own. What is tested
//! is that the script keeps its state where a dump can find it.

use std::fs;

use crate::harness::{Outcome, Sandbox, outcome};

/// Writes the shell's state to `$1`. The options come first: what follows runs without `set -e`.
const DUMP: &str = r#"
rekindleDump() {
    local file=$1 options
    options=$(set +o; printf 'set -%s\n' "${-//[^eu]/}")
    set +eu
    {
        declare -p | grep -v -E '^declare -[^ ]+ (BASH[A-Z_]*|_|PWD|OLDPWD|SHLVL|EUID|UID|PPID|RANDOM|SRANDOM|SECONDS|EPOCH[A-Z]*|LINENO|FUNCNAME|DIRSTACK|GROUPS|PIPESTATUS|SHELLOPTS|COMP_[A-Z]*|options|file)(=|$)' \
            | sed 's/^declare -\([^ ]*\) /declare -g\1 /; s/^declare -g-/declare -g/'
        declare -f
        shopt -p
        printf '%s\n' "$options"
        trap -p
        umask -p
        printf 'cd %q\n' "$PWD"
    } > "$file"
}
"#;

fn run_phased(sandbox: &Sandbox) -> Outcome {
    sandbox.clean();
    let state = sandbox.path("state.sh");
    let script = sandbox.file("dump.sh", DUMP.as_bytes());
    let save =
        format!("source '{}'; trap - EXIT; rekindleDump '{}'; exit 0", script.display(), state.display());
    let mut log = String::new();
    let mut step = |command: String, fresh: bool| {
        let mut bash = sandbox.bash();
        if !fresh {
            bash.env_clear();
        }
        let result = outcome(&bash.args(["--norc", "-c", &command]).output().expect("bash runs"));
        log.push_str(&result.log);
        result.success
    };
    let first =
        format!("source $stdenv/setup; definePhases; echo $phases > '{0}.phases'; {save}", state.display());
    let mut success = step(first, true);
    let phases = fs::read_to_string(state.with_extension("sh.phases")).unwrap_or_default();
    assert!(phases.contains("installPhase"), "{log}");
    let mut step = |command: String| {
        let mut bash = sandbox.bash();
        let result = outcome(&bash.env_clear().args(["--norc", "-c", &command]).output().expect("bash runs"));
        log.push_str(&result.log);
        result.success
    };
    for phase in phases.split_whitespace() {
        success = success && step(format!("source '{}'; runPhase {phase}; {save}", state.display()));
    }
    Outcome { success, log }
}

fn check(sandbox: &Sandbox) {
    let whole = sandbox.run();
    assert!(whole.success, "{}", whole.log);
    let expect = sandbox.trees();
    assert!(expect.len() > 1, "something was installed: {}", whole.log);
    let phased = run_phased(sandbox);
    assert!(phased.success, "{}", phased.log);
    assert_eq!(sandbox.trees(), expect, "{}", phased.log);
}

#[test]
fn hooks_arrays_options_and_directories_survive() {
    let sandbox = Sandbox::with_source(&[
        ("configure", "#!/bin/bash\nprintf '%s\\n' \"$@\" > config.out\n"),
        ("Makefile", "all:\n\techo $(FLAG) > built\ninstall:\n\tcp config.out built $(D)/\ncheck:\n\ttrue\n"),
        (".hidden/f", "x\n"),
    ]);
    let sandbox = sandbox
        .outputs(&["out", "dev"])
        .var("doCheck", "1")
        .var("preHook", "helper() { echo \"helped $1\"; }; preInstallHooks+=('helper \"two words\" > log')")
        .var(
            "preConfigure",
            "configureFlagsArray+=('--with=two words' $'--tab=\\t'); declare -gA map=([a b]='c d')",
        )
        .var("makeFlags", "FLAG=1 D=${out}")
        .var("postBuild", "shopt -s dotglob; umask 027; mkdir sub; cd sub; set -f; export EXPORTED='a\"b'")
        .var("preCheck", "cd ..; local_var=5")
        .var("preInstall", "set +f; mkdir -p $out; cp -r * $out/")
        .var(
            "postInstall",
            "printf '%s\\n' \"${map[a b]}\" \"$EXPORTED\" $local_var $foundMakefile $checkTarget \
             \"${configureFlagsArray[@]}\" \"$sourceRoot\" \"$(umask)\" > $out/state; mkdir -p $dev",
        );
    check(&sandbox);
    assert!(sandbox.files("out").contains(&".hidden/f".to_owned()));
    assert!(sandbox.read("state").contains("c d\na\"b\n5\n1\ncheck\n--with=two words\n"));
}

#[test]
fn cmake_and_ninja() {
    let lists = "cmake_minimum_required(VERSION 3.10)\nproject(demo C)\nadd_executable(hello hello.c)\n\
                 install(TARGETS hello)\n";
    let sandbox =
        Sandbox::with_source(&[("hello.c", "int main(void) { return 0; }\n"), ("CMakeLists.txt", lists)])
            .var("configurePhase", "cmakeConfigurePhase")
            .var("buildPhase", "ninjaBuildPhase")
            .var("installPhase", "ninjaInstallPhase");
    check(&sandbox);
}

#[test]
fn a_phase_that_fails_fails() {
    let sandbox = Sandbox::with_source(&[]).var("buildPhase", "false; echo unreachable");
    let phased = run_phased(&sandbox.var("failureHook", "echo '<failed>'"));
    assert!(!phased.success && !phased.log.contains("unreachable"), "{}", phased.log);
}
