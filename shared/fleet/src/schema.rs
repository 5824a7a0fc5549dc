//! The JSON Schema of the fleet file, for editors.

use schemars::generate::SchemaSettings;

use crate::file::File;

/// The JSON Schema (draft 7, which YAML editors know best) of a fleet file, generated from the types that
/// read it. What a schema cannot say (that names refer to something, that templates render) only
/// [`crate::Fleet::parse`] checks.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    SchemaSettings::draft07().into_generator().into_root_schema_for::<File>().into()
}
