//! The JSON schema of `rekindle.toml`, for editors. `docs/rekindle.schema.json` is its committed text.

use super::file::File;

/// Returns the schema as indented JSON with a final line break.
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(File);
    let mut text = serde_json::to_string_pretty(schema.as_value()).unwrap_or_default();
    text.push('\n');
    text
}
