//! Time as an argument: a point in time, and spans in whole milliseconds. Nothing here reads a clock.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in time, in milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// A span of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(i64);

impl Timestamp {
    /// From milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, as DynamoDB's time to live and Slack's date markup want them.
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Reads RFC 3339, with or without a fraction; finer than a millisecond is cut.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let parsed = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        i64::try_from(parsed.unix_timestamp_nanos().div_euclid(1_000_000)).ok().map(Self)
    }

    /// The span from `earlier` to `self`, never negative: clocks of different hosts disagree.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        let millis = self.0.saturating_sub(earlier.0);
        Span(if millis < 0 { 0 } else { millis })
    }

    /// This point plus a span.
    #[must_use]
    pub const fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with whole seconds, such as `2026-10-26T13:49:40Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match OffsetDateTime::from_unix_timestamp(self.as_seconds()).ok().and_then(|t| t.format(&Rfc3339).ok()) {
            Some(text) => f.write_str(&text),
            None => write!(f, "{} ms", self.0),
        }
    }
}

impl Span {
    /// From milliseconds; negative becomes zero.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(if millis < 0 { 0 } else { millis })
    }

    /// From seconds; negative becomes zero.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self::from_millis(seconds.saturating_mul(1000))
    }

    /// From minutes.
    #[must_use]
    pub const fn from_minutes(minutes: i64) -> Self {
        Self::from_seconds(minutes.saturating_mul(60))
    }

    /// Milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The sum of two spans.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Seconds, rounded up: a wait is never shorter than asked for.
    #[must_use]
    pub const fn as_seconds_ceil(self) -> i64 {
        self.0.saturating_add(999).div_euclid(1000)
    }
}

impl fmt::Display for Span {
    /// The two largest units: `42 s`, `8 min 20 s`, `1 h 3 min`, `2 d 4 h`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1000;
        let (days, hours, minutes, rest) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        let pair = |f: &mut fmt::Formatter<'_>, a: i64, unit_a: &str, b: i64, unit_b: &str| {
            if b == 0 { write!(f, "{a} {unit_a}") } else { write!(f, "{a} {unit_a} {b} {unit_b}") }
        };
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{rest} s"),
            (0, 0, _) => pair(f, minutes, "min", rest, "s"),
            (0, _, _) => pair(f, hours, "h", minutes, "min"),
            _ => pair(f, days, "d", hours, "h"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stamps_read_and_print_rfc_3339() {
        let at = Timestamp::parse_rfc3339("2026-10-26T13:49:39.208Z").unwrap();
        assert_eq!(at.to_string(), "2026-10-26T13:49:39Z");
        assert_eq!(Timestamp::parse_rfc3339("2026-10-26T15:49:39.208+02:00"), Some(at));
        assert_eq!(Timestamp::parse_rfc3339("yesterday"), None);
    }

    #[test]
    fn spans_print_their_two_largest_units() {
        let shown: Vec<String> =
            [900, 42_000, 500_000, 3_780_000, 187_200_000].map(|ms| Span::from_millis(ms).to_string()).into();
        assert_eq!(shown, ["0 s", "42 s", "8 min 20 s", "1 h 3 min", "2 d 4 h"]);
    }

    #[test]
    fn a_span_is_never_negative_however_clocks_disagree() {
        assert_eq!(Timestamp::from_millis(5).since(Timestamp::from_millis(9)), Span::from_millis(0));
    }
}
