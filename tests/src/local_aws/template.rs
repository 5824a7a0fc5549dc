//! What CloudFormation made of a property: the installed template with its parameters filled in.
//!
//! Needed for what the emulator does not keep: the hub bus's policy, and names of resources that it does not have. The
//! functions that these use are understood; any other is a panic.

use std::collections::BTreeMap;

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// A template and the values of its parameters.
#[derive(Debug)]
pub struct Template {
    body: Value,
    parameters: BTreeMap<String, String>,
}

/// What `!Ref AWS::NoValue` leaves: nothing.
const NO_VALUE: &str = "\u{0}no value";

impl Template {
    /// Reads a template; parameters that are not given have their defaults.
    ///
    /// # Panics
    /// It is not a template.
    #[must_use]
    pub fn new(text: &str, given: BTreeMap<String, String>) -> Self {
        let documents = Yaml::load_from_str(text).expect("the installed template is YAML");
        let body = plain(&documents[0]);
        let mut parameters = BTreeMap::new();
        for (name, parameter) in body["Parameters"].as_object().into_iter().flatten() {
            match &parameter["Default"] {
                Value::String(default) => parameters.insert(name.clone(), default.clone()),
                Value::Number(default) => parameters.insert(name.clone(), default.to_string()),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
            };
        }
        parameters.extend(given);
        Self { body, parameters }
    }

    /// A property of a resource, its intrinsic functions evaluated.
    ///
    /// # Panics
    /// It uses a function or refers to something that this does not know.
    #[must_use]
    pub fn property(&self, resource: &str, property: &str) -> Value {
        self.evaluate(&self.body["Resources"][resource]["Properties"][property])
    }

    fn evaluate(&self, value: &Value) -> Value {
        match value {
            Value::Array(values) => values.iter().map(|value| self.evaluate(value)).filter(exists).collect(),
            Value::Object(fields) => match fields.iter().next() {
                Some((function, argument)) if fields.len() == 1 && function.starts_with('!') => {
                    self.call(function, argument)
                }
                _ => Value::Object(
                    fields
                        .iter()
                        .map(|(key, value)| (key.clone(), self.evaluate(value)))
                        .filter(|(_, value)| exists(value))
                        .collect(),
                ),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }
    }

    fn call(&self, function: &str, argument: &Value) -> Value {
        let word = |value: &Value| value.as_str().expect("a name").to_owned();
        match function {
            "!Ref" => {
                let name = word(argument);
                if name == "AWS::NoValue" {
                    return json!(NO_VALUE);
                }
                let value = self.reference(&name);
                let list = self.body["Parameters"][&name]["Type"] == "CommaDelimitedList";
                if list { value.split(',').map(|part| json!(part.trim())).collect() } else { json!(value) }
            }
            "!Sub" => json!(self.substitute(&word(argument))),
            "!If" => {
                let holds = self.condition(&self.body["Conditions"][word(&argument[0])]);
                self.evaluate(&argument[if holds { 1 } else { 2 }])
            }
            "!Select" => {
                let index = argument[0].as_i64().and_then(|index| usize::try_from(index).ok()).expect("an index");
                self.evaluate(&argument[1])[index].clone()
            }
            other => panic!("{other} is not understood here"),
        }
    }

    fn condition(&self, condition: &Value) -> bool {
        if let Some(inner) = condition.get("!Not") {
            return !self.condition(&inner[0]);
        }
        let pair = condition.get("!Equals").unwrap_or_else(|| panic!("condition {condition} is not understood here"));
        self.evaluate(&pair[0]) == self.evaluate(&pair[1])
    }

    fn reference(&self, name: &str) -> String {
        self.parameters.get(name).cloned().unwrap_or_else(|| panic!("{name} is neither a parameter nor a known name"))
    }

    fn substitute(&self, text: &str) -> String {
        let mut parts = text.split("${");
        let mut done = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').expect("a closed ${");
            done.push_str(&self.reference(name));
            done.push_str(rest);
        }
        done
    }
}

/// A template as JSON, its functions in their long form: `{"Fn::Sub": …}`, `{"Ref": …}`.
///
/// # Panics
/// It is not a template.
#[must_use]
pub fn as_json(text: &str) -> Value {
    let documents = Yaml::load_from_str(text).expect("a template is YAML");
    long(plain(&documents[0]))
}

fn long(value: Value) -> Value {
    match value {
        Value::Array(values) => values.into_iter().map(long).collect(),
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(key, value)| long_field(key, value)).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

fn long_field(key: String, value: Value) -> (String, Value) {
    match (key.strip_prefix('!'), &value) {
        (None, _) => (key, long(value)),
        (Some(name @ ("Ref" | "Condition")), _) => (name.to_owned(), value),
        (Some("GetAtt"), Value::String(path)) => {
            let (resource, attribute) = path.split_once('.').expect("a resource and its attribute");
            ("Fn::GetAtt".to_owned(), json!([resource, attribute]))
        }
        (Some(function), _) => (format!("Fn::{function}"), long(value)),
    }
}

fn exists(value: &Value) -> bool {
    value.as_str() != Some(NO_VALUE)
}

/// YAML as JSON; a tagged node becomes an object of its tag.
fn plain(node: &Yaml<'_>) -> Value {
    match node {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
        Yaml::Value(Scalar::String(value)) => json!(value),
        Yaml::Sequence(nodes) => nodes.iter().map(plain).collect(),
        Yaml::Mapping(entries) => {
            let mut fields = Map::new();
            for (key, value) in entries {
                fields.insert(key.as_str().expect("keys are text").to_owned(), plain(value));
            }
            Value::Object(fields)
        }
        Yaml::Tagged(tag, node) => json!({format!("!{}", tag.suffix): plain(node)}),
        Yaml::Representation(text, _, Some(tag)) => json!({format!("!{}", tag.suffix): text}),
        Yaml::Representation(text, _, None) => json!(text),
        Yaml::Alias(_) | Yaml::BadValue => panic!("CloudFormation takes no such YAML"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(organization: &str) -> Template {
        let given = BTreeMap::from([
            ("MemberAccounts".to_owned(), "444455556666,777788889999".to_owned()),
            ("OrganizationId".to_owned(), organization.to_owned()),
            ("AWS::Partition".to_owned(), "aws".to_owned()),
            ("AWS::Region".to_owned(), "us-east-1".to_owned()),
            ("AWS::AccountId".to_owned(), "111122223333".to_owned()),
        ]);
        Template::new(include_str!("../../../deploy/hub.yaml"), given)
    }

    #[test]
    fn functions_have_a_long_form() {
        let template =
            as_json("{a: !Ref B, c: !GetAtt D.E.F, g: !If [H, !Sub 'i${J}', 1], k: [!Condition L], m: '!n'}");
        let expected = json!({
            "a": {"Ref": "B"}, "c": {"Fn::GetAtt": ["D", "E.F"]}, "g": {"Fn::If": ["H", {"Fn::Sub": "i${J}"}, 1]},
            "k": [{"Condition": "L"}], "m": "!n",
        });
        assert_eq!(template, expected);
    }

    #[test]
    fn the_bus_policy_is_rendered_as_cloudformation_would() {
        let statement = hub("").property("HubBus", "Policy")["Statement"][0].clone();
        assert_eq!(statement["Principal"], json!({"AWS": ["444455556666", "777788889999"]}));
        assert_eq!(statement["Resource"], "arn:aws:events:us-east-1:111122223333:event-bus/manifold");
        assert!(statement["Condition"].get("StringEquals").is_none(), "{statement}");
        let statement = hub("o-exampleorg1").property("HubBus", "Policy")["Statement"][0].clone();
        assert_eq!(statement["Condition"]["StringEquals"], json!({"aws:PrincipalOrgID": "o-exampleorg1"}));
    }
}
