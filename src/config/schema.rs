//! The file's JSON schema, for editors: `config/nantucket.schema.json`.

use super::Config;

/// The schema as JSON text.
pub fn schema() -> String {
    let schema = schemars::schema_for!(Config);
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written anew with `NANTUCKET_GOLDEN=write`.
    #[test]
    fn the_shipped_schema_is_the_current_one() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/nantucket.schema.json");
        if std::env::var("NANTUCKET_GOLDEN").is_ok_and(|value| value == "write") {
            std::fs::write(&path, schema()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), schema(), "NANTUCKET_GOLDEN=write writes it anew");
    }

    #[test]
    fn it_refuses_unknown_keys() {
        let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["$defs"]["Limits"]["additionalProperties"], false);
    }
}
