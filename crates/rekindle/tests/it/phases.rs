//! Phase by phase, and as one step: the outputs are equal, whatever the phases do to their shell and to the outputs.

use std::path::Path;

use crate::project::{Place, example, full_run};

/// A package of which every phase is given.
fn custom(place: &Place, phases: &str) -> std::path::PathBuf {
    let manifest = format!(
        "[package]\nname = \"custom\"\nversion = \"1\"\nbuild-system = \"custom\"\n\n[phases]\n{phases}\n"
    );
    place.write("project", "data.txt", "some data\n");
    place.write("project", "rekindle.toml", manifest)
}

fn nar_hash(place: &Place, path: &str) -> String {
    let info = place.rekindle(&["store", "path-info", "--json", path]).run();
    let json: serde_json::Value = serde_json::from_str(&info.stdout()).expect("JSON");
    json[0]["narHash"].as_str().expect("a hash").to_owned()
}

/// Builds `source` phase by phase and as one step; the outputs are equal. Returns what the first build printed.
fn check_equal(source: &Path) -> String {
    let (phased, whole) = (Place::new(), Place::new());
    let finished = phased.rekindle(&["build", "--no-link", "--print-out-paths", "-L"]).arg(source).run();
    assert!(finished.success(), "{}", finished.stderr());
    let paths: Vec<String> = finished.stdout().lines().map(str::to_owned).collect();
    assert_eq!(whole.build(source, &["--no-phases"]), paths);
    for path in &paths {
        assert_eq!(nar_hash(&phased, path), nar_hash(&whole, path), "{path}");
    }
    assert_eq!(phased.leftovers(), Vec::<String>::new());
    assert_eq!(whole.leftovers(), Vec::<String>::new());
    finished.stderr()
}

#[test]
fn examples_are_equal() {
    for name in ["hello-make", "hello-cmake", "hello-meson", "hello-autotools"] {
        if full_run() || ["hello-make", "hello-autotools"].contains(&name) {
            check_equal(&example(name));
        }
    }
}

#[test]
fn the_state_of_the_shell_goes_on() {
    let place = Place::new();
    let source = custom(
        &place,
        r#"
configure = '''
    words=("a b" "c'd" $'e\nf')
    declare -gA table=([key one]=1 [two]="2 2")
    declare -ga empty=()
    greet() { printf 'hello %s\n' "$1"; }
    export -f greet
    exported=yes; export exported
    mkdir -p "sub dir/it's"; cd "sub dir/it's"
    umask 027
    shopt -s extglob dotglob
    set +u
    echo kept > /tmp/kept
'''
build = '''
    {
        printf '<%s>\n' "${words[@]}"
        printf '%s=%s\n' two "${table[two]}" one "${table[key one]}"
        echo "${#empty[@]} ${undefined}"
        bash -c 'greet world; echo "$exported"'
        pwd; umask; shopt -q dotglob && echo dotglob
        case abab in +(ab)) echo extglob ;; esac
        cat /tmp/kept
    } > out.txt
'''
install = 'install -D out.txt $out/out.txt; install -D -m 644 ../../data.txt $out/data.txt'
"#,
    );
    check_equal(&source);
    let text =
        std::fs::read_to_string(place.physical(&place.build(&source, &[])[0]).join("out.txt")).expect("text");
    let expected = "<a b>\n<c'd>\n<e\nf>\ntwo=2 2\none=1\n0 \nhello world\nyes\n/build/source/sub dir/it's\n0027\n\
                    dotglob\nextglob\nkept\n";
    assert_eq!(text, expected);
}

/// The phases for which a shell was started.
fn started(place: &Place, source: &Path) -> Vec<String> {
    let finished = place.rekindle(&["build", "--no-link", "--json"]).arg(source).run();
    assert!(finished.success(), "{}", finished.stderr());
    let report: serde_json::Value = serde_json::from_str(&finished.stdout()).expect("JSON");
    let steps = report["builds"][0]["steps"].as_array().expect("steps").clone();
    steps.iter().map(|step| step["phase"].as_str().expect("a phase").to_owned()).collect()
}

#[test]
fn no_shell_is_started_for_a_phase_that_is_off() {
    let place = Place::new();
    let ends = "exitHook = \"echo the end >> $out/end\"";
    let source = custom(&place, &format!("install = 'mkdir $out'\n\n[env]\n{ends}\n"));
    let phases = started(&place, &source);
    let off = ["checkPhase", "installCheckPhase", "distPhase"];
    assert!(!phases.iter().any(|phase| off.contains(&phase.as_str())), "{phases:?}");
    assert!(phases.contains(&"fixupPhase".to_owned()), "{phases:?}");
    check_equal(&source);
    let end = || {
        let path = place.build(&source, &[]);
        std::fs::read_to_string(place.physical(&path[0]).join("end")).expect("it came to its end")
    };
    assert_eq!(end(), "the end\n");
    // Even without a fixup phase there is a last one, after the outputs have moved.
    let env = format!("install = 'mkdir $out; echo $out > $out/path; dontFixup=1'\n\n[env]\n{ends}\n");
    custom(&place, &env);
    let phases = started(&place, &source);
    assert!(!phases.contains(&"fixupPhase".to_owned()), "{phases:?}");
    check_equal(&source);
    assert_eq!(end(), "the end\n");
}

#[test]
fn a_phase_that_is_switched_on_by_another_one_runs() {
    let place = Place::new();
    let source = custom(
        &place,
        r#"
build = 'if grep -q some data.txt; then doCheck=1; fi'
install = 'mkdir $out; cp checked $out/ || echo unchecked > $out/checked; doInstallCheck=1'

[env]
checkPhase = 'echo checked > checked'
installCheckPhase = 'echo more >> $out/checked'
distPhase = 'echo never >> $out/checked'
"#,
    );
    let text = |place: &Place| {
        let path = place.build(&source, &[]);
        std::fs::read_to_string(place.physical(&path[0]).join("checked")).expect("text")
    };
    check_equal(&source);
    assert_eq!(text(&place), "checked\nmore\n");
    // What switches it depends on a source, and the build goes on from the one before.
    place.write("project", "data.txt", "other data\n");
    assert_eq!(text(&place), "unchecked\nmore\n");
    assert_eq!(text(&Place::new()), "unchecked\nmore\n");
    place.write("project", "data.txt", "some other data\n");
    assert_eq!(text(&place), "checked\nmore\n");
    // Switched by an attribute that the phases before do not see.
    let source = custom(&place, "install = 'mkdir $out'\ninstall-check = 'echo late > $out/checked'\n");
    check_equal(&source);
    assert_eq!(text(&place), "late\n");
}

#[test]
fn a_scratch_path_in_a_compressed_file_is_found() {
    let place = Place::new();
    let source = custom(
        &place,
        r#"
install = '''
    mkdir -p $out
    echo "installed in $out" | gzip -n > $out/note.gz
    echo "installed in $out" > $out/note.txt
'''
"#,
    );
    let said = check_equal(&source);
    assert!(said.contains("note.gz"), "the reason is said: {said}");
    let path = place.build(&source, &[])[0].clone();
    let unpacked = std::process::Command::new("gzip")
        .arg("-dc")
        .arg(place.physical(&path).join("note.gz"))
        .output()
        .expect("gzip");
    assert_eq!(String::from_utf8_lossy(&unpacked.stdout), format!("installed in {path}\n"));
}

#[test]
fn a_path_that_a_compiler_cut_is_whole_in_the_end() {
    // However the compiler copies the string, the program prints the path where it lies.
    for flags in ["-O0", "-O1", "-O2", "-O3", "-Os", "-O2 -mavx2", "-O2 -fPIC -pie"] {
        let place = Place::new();
        place.write(
            "project",
            "main.c",
            "#include <stdio.h>\n#include <string.h>\nchar text[300];\n\
             int main(void) { strcpy(text, PREFIX \"/lib\"); puts(text); return 0; }\n",
        );
        let install = format!("mkdir -p $out; gcc {flags} -DPREFIX=\"\\\"$out\\\"\" -o $out/show main.c");
        let source = custom(&place, &format!("install = '{install}'"));
        let path = place.build(&source, &[])[0].clone();
        let shown =
            std::process::Command::new(place.physical(&path).join("show")).output().expect("it starts");
        assert_eq!(String::from_utf8_lossy(&shown.stdout).trim_end(), format!("{path}/lib"), "{flags}");
    }
}

#[test]
fn hard_links_are_one_file_in_all_phases() {
    let place = Place::new();
    let source = custom(
        &place,
        "configure = 'echo first > one; ln one other; ln one third'\n\
         build = 'echo second >> one'\n\
         install = 'mkdir -p $out; cat one other third > $out/all'\n",
    );
    let said = check_equal(&source);
    assert!(said.contains("in a copy of its tree"), "the reason is said: {said}");
    let all = place.physical(&place.build(&source, &[])[0]).join("all");
    assert_eq!(std::fs::read_to_string(all).expect("text"), "first\nsecond\n".repeat(3));
}

#[test]
fn a_process_that_outlives_its_phase_makes_one_step() {
    let place = Place::new();
    let source = custom(
        &place,
        r#"
build = 'mkfifo pipe; (while read -r line < pipe; do echo "$line" >> answers; done) & sleep 0.1'
install = '''
    echo question > pipe; until [ -s answers ]; do sleep 0.01; done; rm pipe
    install -D answers $out/answers
'''
"#,
    );
    let said = check_equal(&source);
    assert!(said.contains("build"), "the phase is named: {said}");
}

#[test]
fn a_phase_that_leaves_its_shell_makes_one_step() {
    let place = Place::new();
    let source =
        custom(&place, "build = 'mkdir -p $out; echo early > $out/early; exit 0'\ninstall = 'false'\n");
    check_equal(&source);
}

#[test]
fn what_a_build_locks_is_the_same_for_root_and_for_others() {
    let place = Place::new();
    let source = custom(
        &place,
        r#"
build = 'mkdir sealed; touch sealed/x; chmod 0 sealed/x sealed'
install = 'mkdir -p $out/d; echo s > $out/d/secret'
post-fixup = 'chmod 0 $out/d/secret $out/d'
"#,
    );
    check_equal(&source);
    let (root, user) = (Place::new(), Place::new());
    let path = root.build(&source, &[])[0].clone();
    let finished = user.rekindle_as_user(&["build", "--no-link"]).arg(&source).run();
    assert!(finished.success(), "{}", finished.stderr());
    assert_eq!(nar_hash(&root, &path), nar_hash(&user, &path));
    assert_eq!(user.leftovers(), Vec::<String>::new());
}

#[test]
fn several_outputs_refer_to_each_other_at_their_final_paths() {
    let place = Place::new();
    let manifest = r#"
[package]
name = "many"
version = "1"
build-system = "custom"
outputs = ["out", "dev", "doc"]
[phases]
install = '''
mkdir -p $out $dev $doc
echo "$doc" > $out/refs
echo "$doc" > $dev/refs
ln -s $doc/refs $doc/link
'''
"#;
    let source = place.write("project", "rekindle.toml", manifest);
    check_equal(&source);
    let paths = place.build(&source, &[]);
    let refs = std::fs::read_to_string(place.physical(&paths[0]).join("refs")).expect("text");
    assert_eq!(refs.trim_end(), paths[2]);
}

#[test]
fn a_failure_tells_its_phase_and_keeps_the_tree() {
    let place = Place::new();
    let source = custom(
        &place,
        "configure = 'echo made > made.txt'\nbuild = 'for i in $(seq 40); do echo line $i; done; exit 7'\n\
         install = 'true'\n",
    );
    let finished = place.rekindle(&["build", "--keep-failed"]).arg(&source).run();
    assert_eq!(finished.code(), Some(100), "{}", finished.stderr());
    let said = finished.stderr();
    for expected in ["buildPhase", "line 40", "line 16", "custom-1", "log"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(!said.contains("line 15\n"), "only the last 25 lines: {said}");
    let kept = place.store().join("rekindle-1/failed");
    let tree = std::fs::read_dir(kept).expect("kept").next().expect("one").expect("readable").path();
    assert_eq!(std::fs::read_to_string(tree.join("build/source/made.txt")).expect("kept"), "made\n");
    assert!(tree.join("env-vars").exists());
    assert_eq!(place.leftovers(), Vec::<String>::new());
}
