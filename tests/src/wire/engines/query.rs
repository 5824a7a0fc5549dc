//! The AWS Query protocol: a form in which `Parameters.member.1.ParameterKey` is a member of a structure in a list, and
//! an answer in XML (Smithy specification, "AWS Query protocol").

use reqwest::Url;
use serde_json::{Map, Value};

/// The body of a request as a structure, without `Action` and `Version`. All leaves are text.
pub(super) fn body(form: &[u8]) -> Result<Value, String> {
    let mut url = Url::parse("http://localhost/").map_err(|error| error.to_string())?;
    url.set_query(Some(&String::from_utf8_lossy(form)));
    let mut body = Value::Object(Map::new());
    for (name, value) in url.query_pairs() {
        if name == "Version" {
            if value != "2010-05-15" {
                return Err(format!("there is no version {value} of CloudFormation"));
            }
        } else if name != "Action" {
            put(&mut body, &name.split('.').collect::<Vec<_>>(), &value)?;
        }
    }
    Ok(lists(body))
}

fn put(body: &mut Value, path: &[&str], value: &str) -> Result<(), String> {
    let [first, rest @ ..] = path else {
        *body = Value::String(value.to_owned());
        return Ok(());
    };
    let members = body.as_object_mut().ok_or_else(|| format!("{first} is in what is no structure"))?;
    put(members.entry(*first).or_insert_with(|| Value::Object(Map::new())), rest, value)
}

/// `{"member": {"1": …, "2": …}}` is a list.
fn lists(value: Value) -> Value {
    let Value::Object(members) = value else { return value };
    let is_list = members.len() == 1 && members.contains_key("member");
    if !is_list {
        return Value::Object(members.into_iter().map(|(name, value)| (name, lists(value))).collect());
    }
    let items = members.into_iter().next().map(|(_, items)| items);
    let Some(Value::Object(items)) = items else { return Value::Array(Vec::new()) };
    let mut items: Vec<(usize, Value)> =
        items.into_iter().map(|(at, item)| (at.parse().unwrap_or_default(), lists(item))).collect();
    items.sort_by_key(|(at, _)| *at);
    Value::Array(items.into_iter().map(|(_, item)| item).collect())
}

const NAMESPACE: &str = "http://cloudformation.amazonaws.com/doc/2010-05-15/";

/// The answer with this result: an object whose lists are of `member`s.
pub(super) fn answer(operation: &str, result: &Value) -> String {
    let mut xml = String::new();
    element(&mut xml, &format!("{operation}Result"), result);
    format!(
        "<{operation}Response xmlns=\"{NAMESPACE}\">{xml}<ResponseMetadata>\
         <RequestId>b9b4b068-3a41-11e5-94eb-example</RequestId></ResponseMetadata></{operation}Response>"
    )
}

/// An error.
pub(super) fn error(code: &str, message: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code><Message>{}</Message></Error>\
         <RequestId>b9b4b068-3a41-11e5-94eb-example</RequestId></ErrorResponse>",
        escaped(message)
    )
}

fn element(xml: &mut String, name: &str, value: &Value) {
    let inner = match value {
        Value::Null => return,
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(value) => escaped(value),
        Value::Array(items) => {
            let mut inner = String::new();
            items.iter().for_each(|item| element(&mut inner, "member", item));
            inner
        }
        Value::Object(members) => {
            let mut inner = String::new();
            members.iter().for_each(|(name, value)| element(&mut inner, name, value));
            inner
        }
    };
    xml.push_str(&format!("<{name}>{inner}</{name}>"));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_form_is_read_as_the_structure_that_it_spells() {
        let form = b"Action=CreateChangeSet&Version=2010-05-15&StackName=web&Capabilities.member.1=CAPABILITY_IAM\
            &Parameters.member.2.ParameterKey=B&Parameters.member.1.ParameterKey=A%26&Tags=";
        let expected = json!({
            "StackName": "web", "Capabilities": ["CAPABILITY_IAM"],
            "Parameters": [{"ParameterKey": "A&"}, {"ParameterKey": "B"}], "Tags": "",
        });
        assert_eq!(body(form), Ok(expected));
        assert!(body(b"Action=DescribeStacks&Version=2011-01-01").is_err());
        assert!(body(b"StackName=web&StackName.member.1=web").is_err());
    }

    #[test]
    fn an_answer_is_escaped_and_leaves_out_what_is_null() {
        let xml = answer("DescribeStacks", &json!({"Stacks": [{"StackName": "a<&>b", "RoleARN": null, "Flag": true}]}));
        let stacks = "<Stacks><member><StackName>a&lt;&amp;&gt;b</StackName><Flag>true</Flag></member></Stacks>";
        let stacks_sorted = "<Stacks><member><Flag>true</Flag><StackName>a&lt;&amp;&gt;b</StackName></member></Stacks>";
        assert!(xml.contains(stacks) || xml.contains(stacks_sorted), "{xml}");
    }
}
