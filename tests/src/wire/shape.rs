//! What a request must look like: the shapes of an API reference, with their limits.
//!
//! The services themselves pass over members that they do not know. They are refused here, because a test that sends one
//! does not do what it says.

use serde_json::Value;

/// A shape of the API reference.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    Text {
        min: usize,
        max: usize,
        allowed: fn(char) -> bool,
    },
    /// A UUID in lower case.
    Uuid,
    OneOf(&'static [&'static str]),
    Number {
        min: i64,
        max: i64,
    },
    Truth,
    /// Seconds since the epoch, with or without a fraction.
    Moment,
    List {
        min: usize,
        max: usize,
        of: &'static Self,
    },
    Members(&'static [Member]),
}

#[derive(Clone, Copy)]
pub(crate) struct Member {
    name: &'static str,
    is_required: bool,
    shape: Shape,
}

pub(crate) const fn must(name: &'static str, shape: Shape) -> Member {
    Member { name, is_required: true, shape }
}

pub(crate) const fn may(name: &'static str, shape: Shape) -> Member {
    Member { name, is_required: false, shape }
}

pub(crate) const fn text(min: usize, max: usize) -> Shape {
    Shape::Text { min, max, allowed: |_| true }
}

impl Shape {
    /// Adds what is wrong with a value that stands `at` a path.
    pub(crate) fn check(self, value: &Value, at: &str, problems: &mut Vec<String>) {
        let mut fails = |constraint: &str| {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            problems.push(format!("Value '{shown}' at '{at}' failed to satisfy constraint: {constraint}"));
        };
        match (self, value) {
            (Self::Text { min, max, allowed }, Value::String(text)) => {
                let length = text.chars().count();
                if length < min {
                    fails(&format!("Member must have length greater than or equal to {min}"));
                } else if length > max {
                    fails(&format!("Member must have length less than or equal to {max}"));
                } else if !text.chars().all(allowed) {
                    fails("Member must satisfy regular expression pattern");
                }
            }
            (Self::Uuid, Value::String(text)) if is_uuid(text) => {}
            (Self::Uuid, Value::String(_)) => fails("Member must satisfy regular expression pattern"),
            (Self::OneOf(values), Value::String(text)) if values.contains(&text.as_str()) => {}
            (Self::OneOf(values), Value::String(_)) => {
                fails(&format!("Member must satisfy enum value set: [{}]", values.join(", ")));
            }
            (Self::Number { min, max }, Value::Number(number)) => {
                if !number.as_i64().is_some_and(|number| (min..=max).contains(&number)) {
                    fails(&format!("Member must have value between {min} and {max}"));
                }
            }
            (Self::Truth, Value::Bool(_)) | (Self::Moment, Value::Number(_)) => {}
            (Self::List { min, max, of }, Value::Array(items)) => {
                if !(min..=max).contains(&items.len()) {
                    fails(&format!("Member must have length between {min} and {max}"));
                }
                for (index, item) in (1_usize..).zip(items) {
                    of.check(item, &format!("{at}.{index}.member"), problems);
                }
            }
            (Self::Members(members), Value::Object(fields)) => {
                let path = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
                for member in members {
                    match fields.get(member.name) {
                        None | Some(Value::Null) if member.is_required => problems.push(format!(
                            "Value null at '{}' failed to satisfy constraint: Member must not be null",
                            path(member.name)
                        )),
                        None | Some(Value::Null) => {}
                        Some(value) => member.shape.check(value, &path(member.name), problems),
                    }
                }
                for name in fields.keys().filter(|name| !members.iter().any(|member| member.name == **name)) {
                    problems.push(format!("there is no member '{}'", path(name)));
                }
            }
            (
                Self::Text { .. }
                | Self::Uuid
                | Self::OneOf(_)
                | Self::Number { .. }
                | Self::Truth
                | Self::Moment
                | Self::List { .. }
                | Self::Members(_),
                _,
            ) => fails("Member must be of another type"),
        }
    }
}

/// What is wrong with the body of a request that has these members, in the words of the services; nothing when it is
/// right.
pub(crate) fn problems(members: &'static [Member], body: &Value) -> Option<String> {
    let mut problems = Vec::new();
    Shape::Members(members).check(body, "", &mut problems);
    if problems.is_empty() && body.is_object() {
        return None;
    }
    let s = if problems.len() == 1 { "" } else { "s" };
    Some(format!("{} validation error{s} detected: {}", problems.len(), problems.join("; ")))
}

/// `[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`.
fn is_uuid(text: &str) -> bool {
    let is_hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let parts = text.split('-').collect::<Vec<_>>();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(|part| is_hex(part))
}
