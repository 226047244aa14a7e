use super::*;
use crate::explain::tests::{Script, clean_build, runs};
use crate::trace::Trace;

fn drawn(
    build: &[Trace],
    now: usize,
    wanted: Option<&str>,
    show: Show,
    limit: Option<usize>,
) -> (Vec<String>, ProcessGraph) {
    let lineage = Lineage::new(vec![runs("buildPhase", build, now)]);
    let wanted = wanted.map(|path| format!("build/source/{path}").into_bytes());
    let graph = draw(&lineage, wanted.as_deref(), show, limit);
    let name = |at: usize| match &graph.nodes[at] {
        Node::Task { task } => {
            let argv = &lineage.exec(task.at, lineage.leader(*task)).expect("executed").argv;
            format!("`{}`", String::from_utf8_lossy(&argv.iter().collect::<Vec<_>>().join(&b' ')))
        }
        Node::File { path, origin } => {
            format!("{}{}", String::from_utf8_lossy(path), if *origin == Origin::Source { "!" } else { "" })
                .replace("build/source/", "")
        }
    };
    let mut edges: Vec<String> = graph
        .edges
        .iter()
        .map(|edge| {
            let through = edge.through.as_deref().map(|it| format!(" by {}", String::from_utf8_lossy(it)));
            let through = through.unwrap_or_default().replace("build/source/", "");
            format!("{} -> {}{through}", name(edge.from), name(edge.to))
        })
        .collect();
    edges.sort();
    (edges, graph)
}

#[test]
fn a_file_comes_from_what_its_makers_read() {
    let (edges, graph) = drawn(&[clean_build()], 1, Some("a.o"), Show::Both, None);
    assert_eq!(edges, ["`gcc -c a.c` -> a.o", "a.c! -> `gcc -c a.c`", "x.h! -> `gcc -c a.c`"]);
    assert_eq!((graph.nodes.len(), graph.left_out), (4, 0));
    assert!(matches!(&graph.nodes[0], Node::File { origin: Origin::MadeNow, .. }));
}

#[test]
fn tasks_alone_are_connected_by_files() {
    let (edges, _) = drawn(&[clean_build()], 1, Some("prog"), Show::Tasks, None);
    assert_eq!(
        edges,
        [
            // The archive was changed in place: it is one file, and two have made it.
            "`ar cr lib.a b.o` -> `gcc -o prog a.o lib.a` by lib.a",
            "`ar cr lib.a b.o` -> `ranlib lib.a` by lib.a",
            "`gcc -c a.c` -> `gcc -o prog a.o lib.a` by a.o",
            "`gcc -c b.c` -> `ar cr lib.a b.o` by b.o",
            "`ranlib lib.a` -> `gcc -o prog a.o lib.a` by lib.a",
        ]
    );
}

#[test]
fn files_alone_are_connected_by_programs() {
    let (edges, _) = drawn(&[clean_build()], 1, Some("lib.a"), Show::Files, None);
    assert_eq!(edges, ["b.c! -> b.o by gcc", "b.o -> lib.a by ar", "y.h! -> b.o by gcc"]);
}

#[test]
fn without_a_wish_all_that_is_left_is_there() {
    let (edges, graph) = drawn(&[clean_build()], 1, None, Show::Both, None);
    assert!(edges.contains(&"`sh -c` -> index".to_owned()), "{edges:?}");
    let files = graph.nodes.iter().filter(|node| matches!(node, Node::File { .. })).count();
    // Sources: a.c, b.c, x.h, y.h. Products: a.o, b.o, lib.a, prog, index.
    assert_eq!(files, 9);
    assert!(!edges.iter().any(|edge| edge.contains("/usr") || edge.contains("lib.tmp")), "{edges:?}");
}

#[test]
fn a_limit_leaves_out_what_is_far() {
    let (_, graph) = drawn(&[clean_build()], 1, Some("prog"), Show::Both, Some(3));
    assert_eq!(graph.nodes.len(), 3);
    assert!(graph.left_out > 5 && graph.edges.iter().all(|edge| edge.from < 3 && edge.to < 3));
}

#[test]
fn who_copies_many_made_each_of_its_own_name() {
    let mut script = Script::new();
    let copy = script.run(0, "cp -r a b");
    for file in 0..100 {
        script.read(copy, &format!("a/{file}"));
        script.write(copy, &format!("b/{file}"));
    }
    let (edges, _) = drawn(&[script.trace()], 1, None, Show::Files, None);
    assert_eq!(edges.len(), 100);
    assert!(edges.contains(&"a/7! -> b/7 by cp".to_owned()), "{edges:?}");
}
