//! `docs/rekindle.schema.json` is what the types say.

use std::fs;
use std::path::Path;

#[test]
#[expect(clippy::disallowed_methods, reason = "how a test is told to write what it would compare")]
fn committed_schema_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rekindle.schema.json");
    let now = rekindle_units::manifest::json_schema();
    if std::env::var_os("REKINDLE_BLESS").is_some() {
        fs::write(&path, &now).expect("the schema can be written");
    }
    let committed = fs::read_to_string(&path).expect("docs/rekindle.schema.json is there");
    assert!(committed == now, "the schema changed: run the tests with REKINDLE_BLESS=1 and commit it");
}

#[test]
fn every_key_is_documented() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/manifest.md");
    let docs = fs::read_to_string(docs).expect("docs/manifest.md is there");
    let schema: serde_json::Value =
        serde_json::from_str(&rekindle_units::manifest::json_schema()).expect("the schema is JSON");
    let mut tables = vec![&schema];
    tables.extend(schema["$defs"].as_object().expect("definitions").values());
    let keys = tables.iter().filter_map(|table| table["properties"].as_object()).flat_map(|keys| keys.keys());
    let missing: Vec<_> = keys
        .filter(|key| ![format!("`{key}`"), format!("{key} = ")].iter().any(|text| docs.contains(text)))
        .collect();
    assert!(missing.is_empty(), "docs/manifest.md does not name {missing:?}");
}

#[test]
fn the_documented_examples_parse() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/manifest.md");
    let docs = fs::read_to_string(docs).expect("docs/manifest.md is there");
    let examples: Vec<_> =
        docs.split("```toml\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect();
    assert!(examples.len() >= 3, "the page has examples");
    for example in examples {
        if let Err(error) = rekindle_units::manifest::Manifest::parse(Path::new("example"), example) {
            panic!("{error}\n{example}");
        }
    }
}
