//! Untrusted text as one harmless line, before any renderer sees it.
//!
//! Commit messages, authors and the providers' own words come from outside. Whatever shows them goes through here,
//! so that a message can neither move a terminal's cursor, nor turn the direction of the text around it, nor add a
//! line of its own. Markup is the renderers' business: each escapes what its own medium would interpret.

/// No renderer shows more of one text; the rest of a huge one is not even looked at.
const ENOUGH: usize = 4_000;

/// The first line that says anything, as `git log --oneline` would show it.
pub(crate) fn first_line(text: &str) -> String {
    text.split(is_line_break).map(flat).find(|line| !line.is_empty()).unwrap_or_default()
}

/// The whole text as one line: white space of any kind becomes one space, what is invisible or reorders goes.
pub(crate) fn flat(text: &str) -> String {
    let mut out = String::new();
    let mut gap = false;
    for c in text.chars().filter(|c| c.is_whitespace() || !is_invisible(*c)).take(ENOUGH) {
        if c.is_whitespace() {
            gap = !out.is_empty();
        } else {
            if std::mem::take(&mut gap) {
                out.push(' ');
            }
            out.push(c);
        }
    }
    out
}

/// A text cut to `max` characters, with an ellipsis when something was cut.
pub(crate) fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(max.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Whether an address from outside may be shown as one: HTTP or HTTPS, a plain host, and at most `max` characters,
/// all of RFC 3986. So no `|`, `<` or `>`, which would end a Slack link early; no backslash, which browsers read as a
/// slash; no user information, which hides the true host.
pub(crate) fn is_safe_url(url: &str, max: usize) -> bool {
    let Some(rest) = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")) else { return false };
    let host = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    url.len() <= max
        && host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':'))
        && rest.chars().all(|c| c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(c))
}

fn is_line_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Control characters, the bidirectional controls of Unicode Standard Annex 9, and characters that show nothing.
/// The zero-width joiners stay: emoji and several scripts are spelled with them.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_its_first_line_that_says_anything() {
        assert_eq!(first_line("\n \r\n Fix the\tlogin  form \n\nLong story"), "Fix the login form");
        assert_eq!(first_line("\u{202e}\n\u{0}"), "");
    }

    #[test]
    fn what_moves_a_cursor_or_turns_the_text_around_is_gone() {
        assert_eq!(flat("a\u{1b}[31mb\u{9b}2Jc\u{202e}d\u{2066}e\u{7}f"), "a[31mb2Jcdef");
        assert_eq!(flat("👩\u{200d}💻 coded"), "👩\u{200d}💻 coded");
    }

    #[test]
    fn a_cut_is_announced() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 4), "abc…");
    }
}
