//! Tests of the whole crate through its public face.

mod edit_loop;

/// A module that is not declared here would never run.
#[test]
fn no_file_is_forgotten() {
    let main = include_str!("main.rs");
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it")).unwrap();
    for file in files {
        let name = file.unwrap().file_name().into_string().unwrap();
        let module = name.strip_suffix(".rs").unwrap_or(&name);
        assert!(module == "main" || main.contains(&format!("mod {module};")), "{module}");
    }
}
