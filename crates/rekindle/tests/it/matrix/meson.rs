//! Meson.

use super::edit::{Edit, replace, write};
use super::make::{MANIFEST, c_files};
use super::{Case, Suite, check, edits};

const BUILD: &str = "\
project('probe', 'c')
conf = configuration_data()
conf.set('CONFIG', 1)
configure_file(output: 'config.h', configuration: conf)
executable('prog', 'main.c', 'a.c', 'b.c', install: true)
install_subdir('share', install_dir: '.')
";

fn project() -> Vec<Edit> {
    let mut project = vec![write("rekindle.toml", MANIFEST), write("meson.build", BUILD)];
    project.extend(c_files());
    project.push(replace("a.c", "\"a.h\"", "\"a.h\"\n#include \"config.h\""));
    project.push(replace("a.c", "A + 1", "A + CONFIG"));
    project.extend(edits::data());
    project
}

#[test]
fn meson() {
    let cases = vec![
        Case::equal("source", vec![replace("b.c", "2", "3")]).seeds(),
        Case::equal("header", vec![write("a.h", "#define A 9\n")]).seeds(),
        Case::equal("what configures", vec![replace("meson.build", "'CONFIG', 1", "'CONFIG', 5")]),
        Case::equal(
            "a comment for what configures",
            vec![replace("meson.build", "conf = ", "# Why not.\nconf = "), replace("b.c", "2", "4")],
        )
        .seeds(),
        Case::equal(
            "new source",
            vec![
                write("c.c", "int c(void) { return 3; }\n"),
                replace("meson.build", "'b.c'", "'b.c', 'c.c'"),
            ],
        ),
    ];
    check([Suite { project: project(), cases: cases.into_iter().chain(edits::of_data()).collect() }]);
}
