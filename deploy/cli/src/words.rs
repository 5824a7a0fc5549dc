//! Small words and signs that the commands share.

use manifold_core::run::{Outcome, Status};

/// `1 target`, `10,000 targets`.
pub(crate) fn counted(count: usize, one: &str) -> String {
    let number = grouped(count);
    if count == 1 { format!("{number} {one}") } else { format!("{number} {one}s") }
}

/// Thousands apart, as the summary writes them.
pub(crate) fn grouped(number: impl ToString) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The sign that the summary has for a state. One column wide in every terminal font.
pub(crate) const fn symbol(status: Status) -> &'static str {
    match status {
        Status::Waiting | Status::Queued => "○",
        Status::Starting => "…",
        Status::Running => "▶",
        Status::Stopping => "◼",
        Status::Ended(Outcome::Succeeded) => "✔",
        Status::Ended(Outcome::Failed) => "✖",
        Status::Ended(Outcome::Unreachable) => "⊘",
        Status::Ended(Outcome::TimedOut) => "⧖",
        Status::Ended(Outcome::Superseded) => "»",
        Status::Ended(Outcome::Canceled) => "■",
        Status::Ended(Outcome::Skipped) => "–",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_thousands_are_told_apart() {
        assert_eq!(counted(1, "target"), "1 target");
        assert_eq!(counted(0, "failure"), "0 failures");
        assert_eq!(counted(10_000, "target"), "10,000 targets");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
