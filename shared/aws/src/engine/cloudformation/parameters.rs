//! A template configuration file, as CodePipeline reads it: `{"Parameters": {…}, "Tags": {…}}` (CodePipeline User Guide,
//! "CloudFormation artifacts").

use std::collections::BTreeMap;

use aws_sdk_s3::Client;
use manifold_core::engine::S3Object;
use serde_json::{Map, Value};

use super::READ;
use crate::engine::Trouble;

/// The largest file that is read, in bytes: that of a template.
const LARGEST: usize = 1024 * 1024;

/// What the file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct File {
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) tags: BTreeMap<String, String>,
}

/// Reads the file.
pub(super) async fn read(client: &Client, object: &S3Object) -> Result<File, Trouble> {
    let unusable = |why: String| {
        let detail = Some(format!("{object}: {why}"));
        Trouble::failed("The parameters file can't be used".to_owned(), detail, None)
    };
    let too_large = || unusable(format!("it has more than {LARGEST} bytes"));
    let request = client.get_object().bucket(object.bucket()).key(object.key());
    let mut output = request.send().await.map_err(Trouble::of(READ)).map_err(|trouble| named(object, trouble))?;
    if output.content_length.and_then(|length| usize::try_from(length).ok()).is_some_and(|length| length > LARGEST) {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = output.body.next().await {
        let chunk = chunk.map_err(|error| named(object, Trouble::empty(READ, &error.to_string())))?;
        if bytes.len() + chunk.len() > LARGEST {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    parse(&bytes).map_err(unusable)
}

/// Says which object a call was about.
fn named(object: &S3Object, trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Failed { operation, mut failure } => {
            failure.message = format!("{object}: {}", failure.message);
            Trouble::Failed { operation, failure }
        }
        refused @ Trouble::Refused(_) => refused,
    }
}

/// What is wrong is told without any of the values, which may be secrets.
fn parse(bytes: &[u8]) -> Result<File, String> {
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| format!("no JSON at line {}, column {}", error.line(), error.column()))?;
    let Value::Object(file) = value else { return Err("it is no object".to_owned()) };
    if let Some(other) = file.keys().find(|key| !matches!(key.as_str(), "Parameters" | "Tags")) {
        return Err(format!("it has {other:?}, and may have Parameters and Tags"));
    }
    Ok(File { parameters: texts(&file, "Parameters")?, tags: texts(&file, "Tags")? })
}

fn texts(file: &Map<String, Value>, section: &str) -> Result<BTreeMap<String, String>, String> {
    let named = match file.get(section) {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(named)) => named,
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            return Err(format!("{section} is no object"));
        }
    };
    let text = |(name, value): (&String, &Value)| match value {
        Value::String(text) => Ok((name.clone(), text.clone())),
        Value::Number(_) | Value::Bool(_) => Ok((name.clone(), value.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(format!("{section}.{name} is no text")),
    };
    named.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_numbers_and_switches_are_read() {
        let file = parse(br#"{"Parameters": {"Stage": "prod", "Count": 3, "Loud": true}, "Tags": {"team": "web"}}"#);
        let texts = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(
            file.unwrap(),
            File {
                parameters: texts(&[("Stage", "prod"), ("Count", "3"), ("Loud", "true")]),
                tags: texts(&[("team", "web")])
            }
        );
        assert_eq!(parse(b"{}").unwrap(), File::default());
    }

    #[test]
    fn what_is_wrong_is_told_without_the_values() {
        for (text, expected) in [
            ("{\"Parameters\": hunter2}", "no JSON at line 1, column 16"),
            ("[]", "it is no object"),
            ("{\"StackPolicy\": {}}", "it has \"StackPolicy\", and may have Parameters and Tags"),
            ("{\"Parameters\": \"hunter2\"}", "Parameters is no object"),
            ("{\"Tags\": {\"a\": [\"hunter2\"]}}", "Tags.a is no text"),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err(), expected);
        }
    }
}
