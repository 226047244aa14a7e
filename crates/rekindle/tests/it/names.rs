//! Names that a terminal would not show as they are: whoever asks can tell the files apart.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use crate::project::Place;

#[test]
fn different_files_look_different() {
    let place = Place::new();
    let makefile = "all:\n\tmkdir out && for f in data/*; do cat \"$$f\" > \"out/$${f#data/}\"; done\n\
                    install:\n\tinstall -D Makefile $(PREFIX)/x\n";
    place.write("p", "rekindle.toml", "[package]\nname = \"probe\"\n");
    let root = place.write("p", "Makefile", makefile);
    fs::create_dir(root.join("data")).expect("ours");
    let names: [(&[u8], &str); 4] = [
        (b"newline", "newline"),
        (b"new\nline", r#"new\nline"#),
        (b"caf\xe9", r#"caf\xe9"#),
        (b"caf\xe8", r#"caf\xe8"#),
    ];
    for (name, _) in names {
        fs::write(root.join("data").join(OsStr::from_bytes(name)), "text").expect("ours");
    }
    place.build(&root, &[]);
    let ask = |args: &[&[u8]]| {
        let args: Vec<&OsStr> = args.iter().map(|arg| OsStr::from_bytes(arg)).collect();
        let finished = place.rekindle(&args).current_dir(&root).run();
        assert!(finished.success(), "{}", finished.stderr());
        finished.stdout()
    };
    let graph = ask(&[b"graph", b"--files"]);
    for (name, shown) in names {
        let is_plain = shown.as_bytes() == name;
        let quoted = |text: String| if is_plain { text } else { format!("\"{text}\"") };
        let why = ask(&[b"why", &[b"out/", name].concat()]);
        assert_eq!(why.lines().next(), Some(&*quoted(format!("out/{shown}"))), "{why}");
        assert!(why.contains(&quoted(format!("data/{shown}"))), "{why}");
        let word = if is_plain { format!("cat data/{shown}") } else { format!("cat $'data/{shown}'") };
        assert!(why.contains(&word), "{word} is not in {why}");
        // Once more quoted, in the language of Graphviz.
        let label = quoted(format!("out/{shown}")).replace('\\', r"\\").replace('"', r#"\""#);
        assert!(graph.contains(&format!("label=\"{label}\"")), "{label} is not in {graph}");
    }
}
