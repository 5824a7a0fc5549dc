//! Words from outside, as an error shows them.

/// The most that is shown, in characters, escapes included.
const MOST: usize = 300;

/// One line of at most 300 characters: control and direction characters are escaped, and what is longer is cut. A parser's
/// error may repeat what it could not read, and that may be all of a megabyte.
#[must_use]
pub fn brief(text: &str) -> String {
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let escaped = c.escape_debug();
        let plain = matches!(c, '"' | '\'' | '\\');
        used += if plain { 1 } else { escaped.len() };
        if used >= MOST {
            out.push('…');
            break;
        }
        match plain {
            true => out.push(c),
            false => out.extend(escaped),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_stays_and_what_is_long_or_breaks_a_line_does_not() {
        assert_eq!(brief("unknown variant `a\"b`, expected \\ or 'c'"), "unknown variant `a\"b`, expected \\ or 'c'");
        assert_eq!(brief("a\nb\u{202e}"), "a\\nb\\u{202e}");
        for text in ["x".repeat(1 << 20), "\0".repeat(1 << 20), "日".repeat(MOST)] {
            let brief = brief(&text);
            assert!(brief.chars().count() <= MOST && brief.ends_with('…'), "{brief}");
        }
    }
}
