//! CBOR (RFC 8949), as far as CloudWatch's protocol needs it here: numbers, text, lists and maps.

use serde_json::{Map, Value, json};
use wiremock::ResponseTemplate;

const NUMBER: u8 = 0;
const TEXT: u8 = 3;
const LIST: u8 = 4;
const MAP: u8 = 5;
/// Ends a list or map of indefinite length.
const BREAK: u8 = 0xff;

/// What CloudWatch answers in Smithy's protocol RPC v2 CBOR.
pub(crate) fn answer(body: &Value) -> ResponseTemplate {
    reply(200, body)
}

/// An error in the same protocol.
pub(crate) fn error(status: u16, code: &str) -> ResponseTemplate {
    reply(status, &json!({"__type": format!("com.amazonaws.cloudwatch#{code}"), "message": format!("{code} in words")}))
}

fn reply(status: u16, body: &Value) -> ResponseTemplate {
    let mut bytes = Vec::new();
    write(body, &mut bytes);
    ResponseTemplate::new(status)
        .insert_header("smithy-protocol", "rpc-v2-cbor")
        .set_body_raw(bytes, "application/cbor")
}

fn write(value: &Value, out: &mut Vec<u8>) {
    let mut head = |major: u8, length: usize| {
        let length = u8::try_from(length).expect("short");
        // Up to 23 a length is in the head itself, and up to 255 in the byte after it.
        match length {
            0..=23 => out.push(major << 5 | length),
            24..=255 => out.extend([major << 5 | 24, length]),
        }
    };
    match value {
        Value::String(text) => {
            head(TEXT, text.len());
            out.extend(text.as_bytes());
        }
        Value::Array(values) => {
            head(LIST, values.len());
            values.iter().for_each(|value| write(value, out));
        }
        Value::Object(fields) => {
            head(MAP, fields.len());
            for (name, value) in fields {
                write(&json!(name), out);
                write(value, out);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => panic!("not written here: {value}"),
    }
}

/// Reads one value.
pub(crate) fn read(bytes: &[u8]) -> Value {
    let mut left = bytes;
    let value = next(&mut left).expect("a value");
    assert!(left.is_empty(), "more than one value: {left:?}");
    value
}

/// The next value; `None` for the end of what has no length.
fn next(left: &mut &[u8]) -> Option<Value> {
    let head = take(left, 1)[0];
    if head == BREAK {
        return None;
    }
    let length = match head & 0x1f {
        short @ 0..=23 => Some(usize::from(short)),
        24 => Some(usize::from(take(left, 1)[0])),
        31 => None,
        other => panic!("a length that is not read here: {other}"),
    };
    let members = |left: &mut &[u8]| (0..length.unwrap_or(usize::MAX)).map_while(|_| next(left)).collect::<Vec<_>>();
    Some(match head >> 5 {
        NUMBER => json!(length),
        TEXT => json!(String::from_utf8(take(left, length.expect("whole text")).to_vec()).unwrap()),
        LIST => Value::Array(members(left)),
        MAP => {
            let mut fields = Map::new();
            for _ in 0..length.unwrap_or(usize::MAX) {
                let Some(name) = next(left) else { break };
                fields.insert(name.as_str().unwrap().to_owned(), next(left).expect("a value"));
            }
            Value::Object(fields)
        }
        other => panic!("a kind that is not read here: {other}"),
    })
}

fn take<'a>(left: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = left.split_at(count);
    *left = rest;
    taken
}
