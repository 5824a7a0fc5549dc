//! What the emulator lacks, and templates without it.

use std::collections::BTreeMap;

use manifold_tests::local_aws::template::as_json;
use serde_json::{Value, json};

/// A type of resource that the emulator refuses, and what `!Ref` is in its place.
pub(super) struct Unknown {
    pub(super) kind: &'static str,
    pub(super) reference: Option<&'static str>,
    pub(super) why: &'static str,
}

pub(super) const UNKNOWN: [Unknown; 5] = [
    Unknown {
        kind: "AWS::CodeDeploy::Application",
        reference: Some("ApplicationName"),
        why: "the emulator has no CodeDeploy",
    },
    Unknown { kind: "AWS::CodeDeploy::DeploymentGroup", reference: None, why: "the emulator has no CodeDeploy" },
    Unknown { kind: "AWS::CodePipeline::Pipeline", reference: Some("Name"), why: "the emulator has no CodePipeline" },
    Unknown {
        kind: "AWS::EC2::SecurityGroupEgress",
        reference: None,
        why: "the emulator knows a security group's rules in the group only",
    },
    Unknown {
        kind: "AWS::EC2::SecurityGroupIngress",
        reference: None,
        why: "the emulator knows a security group's rules in the group only",
    },
];

/// A type of resource that the emulator has, without one of its properties.
pub(super) struct Half {
    pub(super) kind: &'static str,
    pub(super) property: &'static str,
    /// What the emulator says.
    pub(super) refusal: &'static str,
    pub(super) why: &'static str,
    /// What the property is here; without one the resource is left out.
    pub(super) instead: Option<u32>,
}

pub(super) const HALF: [Half; 2] = [
    Half {
        kind: "AWS::ECS::Service",
        property: "DesiredCount",
        refusal: "unsupported operand type(s) for -: 'str' and 'int'",
        why: "a number that comes from a parameter stays text",
        instead: Some(2),
    },
    Half {
        kind: "AWS::CloudWatch::Alarm",
        property: "Metrics",
        refusal: "(metric math) is not supported",
        why: "an alarm is about one metric",
        instead: None,
    },
];

/// The names that a removed resource is known by, for `${…}`.
pub(super) fn name_of(resource: &Value, property: &str) -> String {
    let made = &resource["Properties"][property];
    match (made.as_str(), made["Ref"].as_str(), made["Fn::Sub"].as_str()) {
        (Some(name), _, _) | (None, None, Some(name)) => name.to_owned(),
        (None, Some(parameter), _) => format!("${{{parameter}}}"),
        (None, None, None) => panic!("{property} is {made}"),
    }
}

/// A template without some resources, and with the names of these in their place.
pub(super) fn without(template: &mut Value, removed: &BTreeMap<String, Option<String>>) {
    for name in removed.keys() {
        template["Resources"].as_object_mut().unwrap().remove(name);
    }
    replace(template, removed);
}

pub(super) fn replace(value: &mut Value, removed: &BTreeMap<String, Option<String>>) {
    let named = |name: &str| removed.get(name).and_then(Option::as_ref);
    if let Some(name) = value.get("Ref").and_then(Value::as_str).and_then(named) {
        *value = json!({ "Fn::Sub": name });
        return;
    }
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| replace(value, removed)),
        Value::Object(fields) => {
            if let Some(Value::Array(order)) = fields.get_mut("DependsOn") {
                order.retain(|name| !removed.contains_key(name.as_str().unwrap()));
            }
            for (key, value) in fields {
                if let (Value::String(text), "Fn::Sub") = (&mut *value, key.as_str()) {
                    for (name, instead) in removed {
                        if let Some(instead) = instead {
                            *text = text.replace(&format!("${{{name}}}"), instead);
                        }
                    }
                }
                replace(value, removed);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The resources of a template, with their type.
pub(super) fn kinds(template: &Value) -> BTreeMap<String, String> {
    let resources = template["Resources"].as_object().unwrap();
    resources.iter().map(|(name, resource)| (name.clone(), resource["Type"].as_str().unwrap().to_owned())).collect()
}

pub(super) fn unknown(kind: &str) -> Option<&'static Unknown> {
    UNKNOWN.iter().find(|unknown| unknown.kind == kind)
}

/// A template for a Region: conditions of the emulator know no pseudo parameters, and take `AWS::Region` for nothing.
pub(super) fn in_region(text: &str, region: &str) -> Value {
    let mut template = as_json(text);
    if let Some(conditions) = template.get_mut("Conditions") {
        put_region(conditions, region);
    }
    template
}

fn put_region(value: &mut Value, region: &str) {
    if value.get("Ref").is_some_and(|name| name == "AWS::Region") {
        *value = json!(region);
        return;
    }
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| put_region(value, region)),
        Value::Object(fields) => fields.values_mut().for_each(|value| put_region(value, region)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A template as the emulator takes it, but for one peculiarity.
pub(super) fn suited(text: &str, region: &str, but_for: Option<&Half>) -> Value {
    let mut template = in_region(text, region);
    let mut removed = BTreeMap::new();
    for (name, kind) in kinds(&template) {
        if let Some(unknown) = unknown(&kind) {
            let reference = unknown.reference.map(|property| name_of(&template["Resources"][&name], property));
            removed.insert(name, reference);
            continue;
        }
        let is_asked = |half: &Half| but_for.is_none_or(|but_for| but_for.kind != half.kind);
        for half in HALF.iter().filter(|half| half.kind == kind && is_asked(half)) {
            let Some(property) = template["Resources"][&name]["Properties"].get_mut(half.property) else { continue };
            match half.instead {
                Some(number) => *property = json!(number),
                None => drop(removed.insert(name.clone(), None)),
            }
        }
    }
    without(&mut template, &removed);
    template
}
