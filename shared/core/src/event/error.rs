//! Why an input was refused.

use serde_json::Value;

/// How much of an offending value an error may quote, in characters.
const QUOTED_CHARS: usize = 80;

/// Why an input could not be read. It names the field and what was expected there, and quotes at most
/// 80 characters of what was found; of a CodePipeline job, which carries credentials, it quotes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The text is not JSON, or it nests too deeply.
    #[error("not json at line {line}, column {column}: {reason}")]
    NotJson {
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1; 0 right after a line break.
        column: usize,
        /// What the parser says. It never repeats the text.
        reason: String,
    },
    /// A field that nothing can be done without is absent, null or blank.
    #[error("{field} is missing, expected {expected}")]
    Missing {
        /// The path of the field.
        field: String,
        /// What should have been there, as a noun phrase.
        expected: &'static str,
    },
    /// A field holds something that is not what it must be.
    #[error("{field} is {value}, expected {expected}")]
    Invalid {
        /// The path of the field.
        field: String,
        /// What was found, cut and escaped.
        value: String,
        /// What should have been there, as a noun phrase.
        expected: &'static str,
    },
    /// The text is larger than anything AWS delivers; it was not even parsed.
    #[error("{bytes} bytes are too large, expected at most {limit}")]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// A JSON object of no shape that a function is invoked with.
    #[error(
        "an object with the keys {keys} is no input, expected an sqs batch, a codepipeline job, an eventbridge event \
         or a schedule's tick"
    )]
    UnknownInput {
        /// The names of its keys, cut and escaped; never their values.
        keys: String,
    },
}

impl DecodeError {
    /// The syntax error of a parser, without any of the text.
    pub(super) fn not_json(error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let whole = error.to_string();
        let reason = whole.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&whole);
        Self::NotJson { line, column, reason: reason.to_owned() }
    }

    /// A field with an unusable value.
    pub(super) fn invalid(field: String, value: &Value, expected: &'static str) -> Self {
        Self::Invalid { field, value: quote(value), expected }
    }

    /// The same error with the value it quotes taken out, for inputs that carry credentials.
    pub(super) fn without_value(self) -> Self {
        match self {
            Self::Invalid { field, value: _, expected } => {
                Self::Invalid { field, value: "unusable (its value is withheld)".to_owned(), expected }
            }
            same
            @ (Self::NotJson { .. } | Self::Missing { .. } | Self::TooLarge { .. } | Self::UnknownInput { .. }) => same,
        }
    }
}

/// A value as an error shows it: scalars cut and escaped, of anything larger only what it is.
fn quote(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quote_text(text),
        Value::Array(items) => format!("an array of {}", items.len()),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// A text in quotes, with control and direction characters escaped, cut so that the whole fits.
pub(super) fn quote_text(text: &str) -> String {
    let mut quoted = String::from('"');
    let mut used = 3;
    for c in text.chars() {
        let escaped = c.escape_debug();
        used += escaped.len();
        if used > QUOTED_CHARS {
            quoted.push('…');
            break;
        }
        quoted.extend(escaped);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_field_and_what_was_expected() {
        let error = DecodeError::invalid("detail.state".to_owned(), &serde_json::json!([1, 2]), "a state");
        assert_eq!(error.to_string(), "detail.state is an array of 2, expected a state");
        let error = DecodeError::Missing { field: "account".to_owned(), expected: "an account" };
        assert_eq!(error.to_string(), "account is missing, expected an account");
    }

    #[test]
    fn a_quoted_text_is_short_and_can_neither_break_a_line_nor_turn_its_direction() {
        assert_eq!(quote_text("short"), "\"short\"");
        assert_eq!(quote_text("a\nb\u{202e}c"), "\"a\\nb\\u{202e}c\"");
        for text in ["x".repeat(5000), "\u{202e}".repeat(5000), "é".repeat(81)] {
            let quoted = quote_text(&text);
            assert!(quoted.chars().count() <= QUOTED_CHARS && quoted.ends_with("…\""), "{quoted}");
        }
    }

    #[test]
    fn a_syntax_error_says_where_and_repeats_nothing_of_the_text() {
        let error = serde_json::from_str::<Value>("{\n\"a\": hunter2}").unwrap_err();
        assert_eq!(DecodeError::not_json(&error).to_string(), "not json at line 2, column 6: expected value");
    }
}
