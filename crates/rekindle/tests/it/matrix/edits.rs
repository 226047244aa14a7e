//! The edits that every build tool has to get right, in the directory of data that each project installs.

use super::Case;
use super::edit::{Edit, dir, link, mode, remove, rename, write};
use crate::project::full_run;

/// The data: one file of each kind.
pub(super) fn data() -> Vec<Edit> {
    vec![
        write("share/text", "text\n"),
        write("share/.dot", "dot\n"),
        write("share/with space", "space\n"),
        write("share/tool", "#!/bin/sh\n"),
        mode("share/tool", 0o755),
        write("share/plain", "plain\n"),
        link("share/link", "text"),
        link("share/dangling", "nowhere"),
        write("share/sub/deep/file", "deep\n"),
        write("share/gone", "gone\n"),
    ]
}

/// One edit of each kind, each a case; in a bounded run those that do not meet are one case.
pub(super) fn of_data() -> Vec<Case> {
    let apart: Vec<(&'static str, Vec<Edit>)> = vec![
        ("data changed", vec![write("share/text", "other\n")]),
        ("data binary", vec![write("share/plain", b"\0\xff\r\n\x01")]),
        ("data new", vec![write("share/new", "new\n")]),
        ("data new and empty", vec![write("share/empty", "")]),
        ("data new directory", vec![write("share/more/deep/file", "new\n")]),
        ("data empty directory", vec![dir("share/hollow")]),
        ("data executable", vec![mode("share/with space", 0o755)]),
        ("data not executable", vec![mode("share/tool", 0o644)]),
        ("data link elsewhere", vec![link("share/link", "plain")]),
        ("data dot file", vec![write("share/.dot", "other\n")]),
        ("data directory to file", vec![write("share/sub", "file\n")]),
        ("data removed", vec![remove("share/gone")]),
    ];
    let meets: Vec<(&'static str, Vec<Edit>)> = vec![
        ("data renamed", vec![rename("share/text", "share/sub/text")]),
        ("data emptied", vec![write("share/plain", "")]),
        ("data file to link", vec![link("share/tool", "plain")]),
        ("data file to directory", vec![write("share/gone/file", "in\n")]),
        ("data link to file", vec![write("share/link", "file\n")]),
        ("data directory removed", vec![remove("share/sub/deep"), dir("share/sub")]),
    ];
    if full_run() {
        return apart.into_iter().chain(meets).map(|(name, edits)| Case::equal(name, edits)).collect();
    }
    let all = |list: Vec<(_, Vec<Edit>)>| list.into_iter().flat_map(|(_, edits)| edits).collect();
    vec![Case::equal("data changed in many ways", all(apart)), Case::equal("data moved about", all(meets))]
}
