//! By whose age a build tool decides whether to configure again.
//!
//! A step that configures and runs again leaves most files as they were. They keep their times, so that nothing is made again for
//! them. But CMake, Meson and autoconf also tell the build tool to configure once more if a source is newer than the rules that were
//! written from it. In a clean build none is. In a tree that is gone on with, a changed source is newer than all that is old, so the
//! build tool would configure beside the point, and the audit would find sources that the build has made. So what is compared like
//! that gets the time of changed sources, as if it had just been written, which it was.
//!
//! Which files these are is read from what was written: the outputs of ninja's generator edges, CMake's `Makefile.cmake`, autoconf's
//! `config.status`. One that is missed costs a clean build, and one too many that what depends on it is made again. It is never a
//! wrong result, as all of them are what a clean build would start from.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rekindle_layers::{FileType, TreeChange, TreeChangeKind, View};
use rekindle_plan::trace::{name_of, resolve};

use crate::error::Error;
use crate::ninja::{self, Instructions};
use crate::tree_reader::{TreeReader, same_content};

/// As many files of a layer are asked what they list. A project has a few of them.
const MOST_LISTS: usize = 100;

/// Of all that is listed so many bytes are compared: a builder can make any number of large files.
const MOST_COMPARED: u64 = 1 << 30;

/// What steps wrote again, in these layers, just as it was, and what build tools compare with sources: beside what is `applied`
/// anyway to the tree `onto` from the tree that there is `now`.
pub(crate) fn written_again(
    layers: &[PathBuf],
    now: &[PathBuf],
    onto: &[PathBuf],
    applied: &[TreeChange],
) -> Result<Vec<TreeChange>, Error> {
    let mut listed = BTreeSet::new();
    for layer in layers {
        // What cannot be read was left so by the step.
        listed.extend(compared(layer).unwrap_or_default());
    }
    if listed.is_empty() {
        return Ok(Vec::new());
    }
    let applied: HashSet<&[u8]> = applied.iter().map(|change| change.path.as_os_str().as_bytes()).collect();
    let trees = [TreeReader::open(now)?, TreeReader::open(onto)?];
    let mut room = MOST_COMPARED;
    let is_the_same = |path: &Vec<u8>| {
        let [Some(now), Some(then)] = trees.each_ref().map(|tree| tree.metadata(path)) else { return false };
        let are_files = [now, then].iter().all(|file| file.file_type == FileType::File);
        if !are_files || now.size != then.size || now.size > room {
            return false;
        }
        room -= now.size;
        // The step that goes on may have made something else of it.
        same_content([&trees[0], &trees[1]], path)
    };
    let again = listed.into_iter().filter(|path| !applied.contains(&path[..])).filter(is_the_same);
    let change = |path| TreeChange { path: OsString::from_vec(path).into(), kind: TreeChangeKind::Content };
    Ok(again.map(change).collect())
}

/// Those that the files in the layer of a step list, if it has configured.
fn compared(layer: &Path) -> Result<BTreeSet<Vec<u8>>, Error> {
    let mut lists = Vec::new();
    View::of_layers(&[layer], Path::new(""))?.walk(|walked| {
        let is_list =
            [&b"build.ninja"[..], b"Makefile.cmake", b"config.status"].contains(&walked.name().as_bytes());
        if is_list && walked.metadata().file_type == FileType::File && lists.len() < MOST_LISTS {
            lists.push(walked.path().as_os_str().as_bytes().to_vec());
        }
        Ok::<(), Error>(())
    })?;
    let tree = TreeReader::open(&[layer.to_owned()])?;
    Ok(lists.iter().flat_map(|path| told_by(&tree, path)).collect())
}

/// The paths that one file lists.
fn told_by(tree: &TreeReader, path: &[u8]) -> Vec<Vec<u8>> {
    let own = directory_of(path);
    let text = || tree.content(path).unwrap_or_default();
    match name_of(path) {
        b"build.ninja" => {
            let read = |path: &[u8]| tree.content_up_to(path, ninja::MOST_TEXT as u64);
            let told = Instructions::new([&b"ninja"[..]].into_iter(), own, &read);
            told.generated().map(<[u8]>::to_vec).collect()
        }
        b"Makefile.cmake" if name_of(own) == b"CMakeFiles" => {
            cmake(&text()).map(|name| resolve(directory_of(own), name)).collect()
        }
        b"config.status" => autoconf(&text()).map(|name| resolve(own, &name)).collect(),
        _ => Vec::new(),
    }
}

fn directory_of(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(b"", |slash| &path[..slash])
}

/// What CMake's makefiles compare with what they were made from: the words of a list of CMake's.
fn cmake(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let list = lines.skip_while(|line| *line != b"set(CMAKE_MAKEFILE_OUTPUTS").skip(1);
    list.map_while(|line| line.strip_prefix(b"\"")?.strip_suffix(b"\""))
}

/// What `config.status` makes, as automake's makefiles ask it to, and itself. Headers are not compared themselves: a stamp stands beside
/// each.
fn autoconf(text: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let mut names = vec![b"config.status".to_vec()];
    let mut headers: usize = 0;
    for line in text.split(|byte| *byte == b'\n') {
        let Some((variable, words)) = assignment(line) else { continue };
        // `made:template:...`
        let made =
            words.split(u8::is_ascii_whitespace).filter_map(|word| word.split(|byte| *byte == b':').next());
        for name in made.filter(|name| !name.is_empty()) {
            if variable == b"config_headers" {
                headers += 1;
                let directory = &name[..name.len() - name_of(name).len()];
                names.push([directory, b"stamp-h", headers.to_string().as_bytes()].concat());
                continue;
            }
            names.push(name.to_vec());
            // A command makes `po/Makefile` of that.
            names.extend(name.strip_suffix(b".in").map(<[u8]>::to_vec));
        }
    }
    names.into_iter()
}

/// A line of `config.status` that lists what it makes.
fn assignment(line: &[u8]) -> Option<(&[u8], &[u8])> {
    const LISTS: [&[u8]; 3] = [b"config_files", b"config_headers", b"config_commands"];
    let at = line.iter().position(|byte| *byte == b'=')?;
    let (variable, words) = (&line[..at], line[at + 1..].strip_prefix(b"\"")?.strip_suffix(b"\"")?);
    LISTS.contains(&variable).then_some((variable, words))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Writes these files in a directory of their own.
    fn layer(files: &[(&str, &str)]) -> tempfile::TempDir {
        let layer = tempfile::tempdir().expect("a temporary directory");
        for (path, text) in files {
            let path = layer.path().join(path);
            fs::create_dir_all(path.parent().expect("it is in the layer")).expect("our own directory");
            fs::write(path, text).expect("our own file");
        }
        layer
    }

    fn paths(changes: Vec<TreeChange>) -> Vec<String> {
        changes.into_iter().map(|change| change.path.to_string_lossy().into_owned()).collect()
    }

    /// What is found among these files, which are the same in all trees.
    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let layer = layer(files);
        let layers = [layer.path().to_owned()];
        paths(written_again(&layers, &layers, &layers, &[]).expect("it can be read"))
    }

    #[test]
    fn what_is_another_or_applied_is_left_alone() {
        let status = ("config.status", "config_files=\" same other gone applied\"\n");
        let wrote = layer(&[status, ("same", "1"), ("other", "1"), ("gone", "1"), ("applied", "1")]);
        let after = layer(&[status, ("same", "1"), ("other", "2"), ("applied", "1")]);
        let [wrote, after] = [&wrote, &after].map(|tree| [tree.path().to_owned()]);
        let applied = [TreeChange { path: "applied".into(), kind: TreeChangeKind::Mode }];
        let found = written_again(&wrote, &wrote, &after, &applied).expect("they can be read");
        assert_eq!(paths(found), ["config.status", "same"]);
    }

    #[test]
    fn nobody_makes_it_compare_without_end() {
        let status = ("config.status", "config_files=\" small large\"\n");
        let wrote = layer(&[status, ("small", "1")]);
        let large = fs::File::create(wrote.path().join("large")).expect("our own file");
        large.set_len(MOST_COMPARED + 1).expect("a file with nothing in it");
        let wrote = [wrote.path().to_owned()];
        let found = written_again(&wrote, &wrote, &wrote, &[]).expect("it can be read");
        assert_eq!(paths(found), ["config.status", "small"]);
    }

    #[test]
    fn what_generators_make_for_ninja() {
        let manifest = "include rules.ninja\nbuild build.ninja out.cmake: again ../list.txt\n  generator = 1\n\
            build x: c ../x.c\nbuild /b/other.cmake: again ../list.txt\n  generator = 1\n";
        let rules = "rule again\n  command = again\nrule c\n  command = c\n";
        let files = [
            ("b/build.ninja", manifest),
            ("b/rules.ninja", rules),
            ("b/out.cmake", ""),
            ("b/other.cmake", ""),
            ("b/x", ""),
        ];
        assert_eq!(found(&files), ["b/build.ninja", "b/other.cmake", "b/out.cmake"]);
        // What cannot be read whole tells nothing.
        assert_eq!(found(&[("b/build.ninja", manifest)]), [""; 0]);
    }

    #[test]
    fn what_cmake_compares_under_make() {
        let text = "set(CMAKE_MAKEFILE_DEPENDS\n  \"CMakeCache.txt\"\n  )\n\n# The corresponding makefile is:\n\
            set(CMAKE_MAKEFILE_OUTPUTS\n  \"Makefile\"\n  \"CMakeFiles/cmake.check_cache\"\n  )\n\
            set(CMAKE_MAKEFILE_PRODUCTS\n  \"config.h\"\n  )\n";
        let files = [
            ("b/CMakeFiles/Makefile.cmake", text),
            ("b/CMakeFiles/cmake.check_cache", ""),
            ("b/Makefile", ""),
            ("b/CMakeCache.txt", ""),
            ("b/config.h", ""),
        ];
        assert_eq!(found(&files), ["b/CMakeFiles/cmake.check_cache", "b/Makefile"]);
    }

    #[test]
    fn what_config_status_makes() {
        let text = "#! /bin/bash\nconfig_files=\" Makefile sub/x.pc:sub/x.pc.in po/Makefile.in\"\n\
            config_headers=\" config.h sub/other.h:sub/other.in\"\nconfig_commands=\" depfiles libtool\"\n\
            ac_cs_config=\"--prefix=/usr\"\n";
        let files =
            ["Makefile", "sub/x.pc", "po/Makefile.in", "po/Makefile", "config.h", "stamp-h1", "sub/stamp-h2"];
        let files = files.iter().chain(&["libtool", "other"]).map(|path| (*path, ""));
        let files: Vec<_> = [("config.status", text)].into_iter().chain(files).collect();
        let expect = [
            "Makefile",
            "config.status",
            "libtool",
            "po/Makefile",
            "po/Makefile.in",
            "stamp-h1",
            "sub/stamp-h2",
            "sub/x.pc",
        ];
        assert_eq!(found(&files), expect);
    }
}
