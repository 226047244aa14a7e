//! CMake, with ninja and with make.

use super::edit::{Edit, mode, remove, replace, write};
use super::make::c_files;
use super::recipes::tarball;
use super::{Case, Suite, check, edits};

const LISTS: &str = "\
cmake_minimum_required(VERSION 3.16)
project(probe C)
file(GLOB parts CONFIGURE_DEPENDS part*.c)
configure_file(config.h.in config.h)
add_executable(prog main.c a.c b.c ${parts})
target_include_directories(prog PRIVATE ${CMAKE_CURRENT_BINARY_DIR})
install(TARGETS prog DESTINATION bin)
install(DIRECTORY share DESTINATION . USE_SOURCE_PERMISSIONS)
";

pub(super) fn project(system: &str) -> Vec<Edit> {
    let manifest = format!("[package]\nname = \"probe\"\nversion = \"1\"\nbuild-system = \"{system}\"\n");
    let mut project = vec![write("rekindle.toml", manifest), write("CMakeLists.txt", LISTS)];
    project.extend(c_files());
    project.push(write("part1.c", "int part(void) { return 1; }\n"));
    project.push(write("config.h.in", "#define CONFIG 1\n"));
    project.push(replace("main.c", "\"a.h\"", "\"a.h\"\n#include \"config.h\""));
    project.push(replace("main.c", "printf(", "printf(\"%d \", CONFIG); printf("));
    project.extend(edits::data());
    project
}

fn suite(system: &str, edit_c: &'static str, more: Vec<Case>) -> Suite {
    let cases = vec![
        Case::equal(edit_c, vec![replace("b.c", "2", "3")]).seeds(),
        // Its rules come out as they were, and are not made once more while it builds.
        Case::equal("what configures", vec![write("config.h.in", "#define CONFIG 5\n")]).seeds(),
        Case::equal(
            "a comment for what configures",
            vec![replace("CMakeLists.txt", "project(", "# Why not.\nproject("), replace("b.c", "2", "4")],
        )
        .seeds(),
    ];
    Suite { project: project(system), cases: cases.into_iter().chain(more).chain(edits::of_data()).collect() }
}

fn with_make() -> Suite {
    let more = vec![
        Case::equal("cmake_make_edit_header", vec![write("a.h", "#define A 9\n")]).seeds(),
        Case::equal("cmake_make_new_file", vec![write("part2.c", "int p(void) { return 3; }\n")]).seeds(),
        Case::equal("new source and one removed", vec![write("part2.c", "int p;\n"), remove("part1.c")]),
    ];
    suite("cmake-make", "cmake_make_edit_c", more)
}

fn with_ninja() -> Suite {
    let more = vec![
        Case::equal("header", vec![write("a.h", "#define A 9\n")]).seeds(),
        Case::equal("new source and one removed", vec![write("part2.c", "int p;\n"), remove("part1.c")])
            .seeds(),
        Case::equal(
            "other flags",
            vec![replace("CMakeLists.txt", "project(probe C)", "project(probe C)\nadd_definitions(-DX)")],
        )
        .seeds(),
    ];
    suite("cmake", "cmake_ninja_edit_c", more)
}

fn from_tarball() -> Suite {
    let lists = LISTS.replace("configure_file(config.h.in config.h)\n", "");
    let lists = lists.replace("install(DIRECTORY share DESTINATION . USE_SOURCE_PERMISSIONS)\n", "");
    tarball("cmake_tarball_edit_c", "cmake", &c_files(), ("CMakeLists.txt", &lists))
}

pub(super) fn suites() -> Vec<Suite> {
    vec![with_make(), with_ninja(), from_tarball()]
}

#[test]
fn cmake_with_make() {
    check([with_make()]);
}

#[test]
fn cmake_with_ninja() {
    check([with_ninja(), from_tarball()]);
}

/// Ninja leaves what no rule makes any more.
#[test]
fn what_is_no_target_any_more() {
    let lists = "\
cmake_minimum_required(VERSION 3.16)
project(probe C)
add_executable(prog main.c a.c b.c)
add_executable(other main.c a.c b.c)
install(DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/ DESTINATION bin
    FILES_MATCHING PATTERN prog PATTERN other PATTERN CMakeFiles EXCLUDE)
";
    let manifest = "[package]\nname = \"probe\"\nversion = \"1\"\nbuild-system = \"cmake\"\n";
    let mut project = c_files();
    project.extend([write("rekindle.toml", manifest), write("CMakeLists.txt", lists)]);
    let fewer = replace("CMakeLists.txt", "add_executable(other main.c a.c b.c)\n", "");
    check([Suite { project, cases: vec![Case::equal("a target less", vec![fewer]).seeds()] }]);
}

#[test]
fn a_generator_that_is_a_script() {
    let mut project = project("cmake");
    project.push(write("gen.sh", "#!/bin/sh\nsed 's/^/int g = /; s/$/;/' \"$1\" > \"$2\"\n"));
    project.push(mode("gen.sh", 0o755));
    project.push(write("value.txt", "4\n"));
    project.push(replace(
        "CMakeLists.txt",
        "add_executable(prog",
        "add_custom_command(OUTPUT g.c DEPENDS gen.sh value.txt\n\
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/gen.sh ${CMAKE_CURRENT_SOURCE_DIR}/value.txt g.c)\n\
         add_executable(prog ${CMAKE_CURRENT_BINARY_DIR}/g.c",
    ));
    let cases = vec![
        Case::equal("what is generated from", vec![write("value.txt", "5\n")]).seeds(),
        Case::equal("what generates", vec![replace("gen.sh", "int", "long")]).seeds(),
    ];
    check([Suite { project, cases }]);
}
