//! A Python package with `.pyc` files: they hold the time of their source, in whole seconds.

use super::edit::{Edit, replace, write};
use super::{Case, Suite, check, edits};

/// Compiles as Python does when it first imports, with the time of the source; or so that only its content counts.
fn project(mode: &str) -> Vec<Edit> {
    let manifest = format!(
        "\
[package]
name = \"probe\"
version = \"1\"
build-system = \"custom\"
[package.phases]
build = '''
unset SOURCE_DATE_EPOCH
python3 -m compileall -q --invalidation-mode {mode} probe
PYTHONPATH=. python3 generate.py > generated.txt
'''
install = '''
mkdir -p $out/lib
cp -rP --preserve=timestamps probe $out/lib/probe
cp -rP share $out/share
cp generated.txt $out/
'''
"
    );
    let mut project = vec![
        write("rekindle.toml", manifest),
        write("probe/__init__.py", "from . import value\n"),
        write("probe/value.py", "V = 1\n"),
        write("probe/other.py", "V = 1\n"),
        write("generate.py", "import probe.value, probe.other\nprint(probe.value.V, probe.other.V)\n"),
    ];
    project.extend(edits::data());
    project
}

fn cases() -> Vec<Case> {
    vec![
        Case::equal("same size", vec![replace("probe/value.py", "1", "2")]),
        Case::equal("new module", vec![write("probe/third.py", "V = 3\n"), replace("generate.py", "1", "3")]),
    ]
}

#[test]
fn python_with_times() {
    check([Suite { project: project("timestamp"), cases: cases() }]);
}

#[test]
fn python_with_digests() {
    let cases = cases().into_iter().chain(edits::of_data()).collect();
    check([Suite { project: project("checked-hash"), cases }]);
}
