//! Reading one JSON object leniently, with the path of every field at hand for the error.
//!
//! `serde` derives would be shorter, but their errors do not say which field they speak of, and one field of the
//! wrong shape would cost the whole event.

use std::str::FromStr;

use serde_json::{Map, Value};

use super::error::DecodeError;
use crate::ids::InvalidId;
use crate::time::Timestamp;

/// Whole numbers up to here are exact in a float.
const EXACT_IN_F64: f64 = 9_007_199_254_740_992.0;

/// One JSON object and the path to it. Null and blank texts count as absent everywhere.
pub(super) struct Fields<'a> {
    object: &'a Map<String, Value>,
    path: String,
}

impl<'a> Fields<'a> {
    /// The object at `path`, which is empty for the outermost one.
    pub(super) fn of(value: &'a Value, path: String) -> Result<Self, DecodeError> {
        match value.as_object() {
            Some(object) => Ok(Self { object, path }),
            None => {
                let field = if path.is_empty() { "the input".to_owned() } else { path };
                Err(DecodeError::invalid(field, value, "a json object"))
            }
        }
    }

    /// The path of a field of this object.
    pub(super) fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The field, unless it is absent, null or blank.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null() && value.as_str().is_none_or(|s| !s.trim().is_empty()))
    }

    /// The field, or the error that it is missing.
    fn required(&self, name: &str, expected: &'static str) -> Result<&'a Value, DecodeError> {
        self.get(name).ok_or_else(|| DecodeError::Missing { field: self.path(name), expected })
    }

    /// The names of all fields, absent or not.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.object.keys().map(String::as_str)
    }

    /// Each field with its name.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.object.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// A nested object that must be there.
    pub(super) fn object(&self, name: &str) -> Result<Fields<'a>, DecodeError> {
        Fields::of(self.required(name, "a json object")?, self.path(name))
    }

    /// A nested object, if there is one.
    pub(super) fn object_opt(&self, name: &str) -> Option<Fields<'a>> {
        Fields::of(self.get(name)?, self.path(name)).ok()
    }

    /// The elements of a nested array; none when it is absent or something else.
    pub(super) fn elements(&self, name: &str) -> &'a [Value] {
        self.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// A text, whole and untrusted; a number or a flag is read as its text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        text(self.get(name)?)
    }

    /// A text that must be there, of at most `max` characters.
    pub(super) fn required_text(&self, name: &str, max: usize, expected: &'static str) -> Result<String, DecodeError> {
        let value = self.required(name, expected)?;
        text(value)
            .filter(|text| text.chars().count() <= max)
            .ok_or_else(|| DecodeError::invalid(self.path(name), value, expected))
    }

    /// A validated name that must be there.
    pub(super) fn id<T: FromStr<Err = InvalidId>>(&self, name: &str, expected: &'static str) -> Result<T, DecodeError> {
        let value = self.required(name, expected)?;
        text(value)
            .and_then(|text| text.trim().parse().ok())
            .ok_or_else(|| DecodeError::invalid(self.path(name), value, expected))
    }

    /// A validated name, if it is there and valid.
    pub(super) fn id_opt<T: FromStr<Err = InvalidId>>(&self, name: &str) -> Option<T> {
        self.text(name)?.trim().parse().ok()
    }

    /// A count, if it is there and readable.
    pub(super) fn count(&self, name: &str) -> Option<u32> {
        u32::try_from(whole(self.get(name)?)?).ok()
    }

    /// A count that may be absent, but not unreadable.
    pub(super) fn strict_count(&self, name: &str) -> Result<Option<u32>, DecodeError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match whole(value).and_then(|number| u32::try_from(number).ok()) {
            Some(count) => Ok(Some(count)),
            None => Err(DecodeError::invalid(self.path(name), value, "a whole number from 0 to 4294967295")),
        }
    }

    /// A point in time in RFC 3339, if it is there and readable.
    pub(super) fn time(&self, name: &str) -> Option<Timestamp> {
        time(self.get(name)?)
    }

    /// A point in time in RFC 3339 that may be absent, but not unreadable.
    pub(super) fn strict_time(&self, name: &str) -> Result<Option<Timestamp>, DecodeError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match time(value) {
            Some(at) => Ok(Some(at)),
            None => Err(DecodeError::invalid(self.path(name), value, TIME)),
        }
    }

    /// A point in time in RFC 3339 that must be there.
    pub(super) fn required_time(&self, name: &str) -> Result<Timestamp, DecodeError> {
        self.strict_time(name)?.ok_or_else(|| DecodeError::Missing { field: self.path(name), expected: TIME })
    }

    /// A point in time in milliseconds since the epoch, if it is there and readable.
    pub(super) fn epoch_millis(&self, name: &str) -> Option<Timestamp> {
        i64::try_from(whole(self.get(name)?)?).ok().map(Timestamp::from_millis)
    }
}

/// What a time must look like.
const TIME: &str = "a time such as 2026-10-26T13:49:40Z";

fn time(value: &Value) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(value.as_str()?.trim())
}

/// A scalar as text: whole numbers without a fraction, so that a float `123456789012.0` is still an account.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(whole(value).map_or_else(|| number.to_string(), |whole| whole.to_string())),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A whole number, however it is written: `7`, `7.0`, `"7"` or `"7.0"`.
///
/// CodePipeline writes `7.0` today, wrote `7` before, and its published schema says `"7"` (CodePipeline User Guide,
/// "Monitoring CodePipeline events").
fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().or_else(|| whole_float(number.as_f64()?)),
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| whole_float(text.parse().ok()?))
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn whole_float(number: f64) -> Option<u64> {
    // The comparison refuses what is not a number, too.
    ((0.0..=EXACT_IN_F64).contains(&number) && number.fract() == 0.0).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_count_is_read_from_every_shape_that_a_number_takes() {
        let cases = [
            (json!(7), Some(7)),
            (json!(7.0), Some(7)),
            (json!("7"), Some(7)),
            (json!("7.0"), Some(7)),
            (json!(" 7 "), Some(7)),
            (json!("7e0"), Some(7)),
            (json!(0.0), Some(0)),
            (json!(u32::MAX), Some(u32::MAX)),
            (json!(u64::from(u32::MAX) + 1), None),
            (json!(1e300), None),
            (json!(7.5), None),
            (json!(-1), None),
            (json!("-1.0"), None),
            (json!("seven"), None),
            (json!("NaN"), None),
            (json!("inf"), None),
            (json!(true), None),
            (json!([7]), None),
            (json!({"n": 7}), None),
        ];
        for (written, read) in cases {
            let object = json!({ "n": written });
            let fields = Fields::of(&object, String::new()).unwrap();
            assert_eq!(fields.count("n"), read, "{written}");
            match read {
                Some(_) => assert_eq!(fields.strict_count("n"), Ok(read), "{written}"),
                None => assert!(fields.strict_count("n").is_err(), "{written}"),
            }
        }
    }

    #[test]
    fn null_and_blank_and_absent_are_the_same_nothing() {
        let object = json!({ "null": null, "empty": "", "blank": " \n" });
        let fields = Fields::of(&object, "detail".to_owned()).unwrap();
        for name in ["null", "empty", "blank", "absent"] {
            assert_eq!(fields.text(name), None);
            assert_eq!(fields.strict_count(name), Ok(None));
            assert_eq!(fields.strict_time(name), Ok(None));
            let error = fields.required_text(name, 10, "a name").unwrap_err();
            assert_eq!(error.to_string(), format!("detail.{name} is missing, expected a name"));
        }
    }

    #[test]
    fn a_number_where_a_text_is_meant_is_its_text() {
        assert_eq!(text(&json!(123_456_789_012_u64)).as_deref(), Some("123456789012"));
        assert_eq!(text(&json!(123_456_789_012.0)).as_deref(), Some("123456789012"));
        assert_eq!(text(&json!(1.5)).as_deref(), Some("1.5"));
        assert_eq!(text(&json!(-3)).as_deref(), Some("-3"));
        assert_eq!(text(&json!(["a"])), None);
    }
}
