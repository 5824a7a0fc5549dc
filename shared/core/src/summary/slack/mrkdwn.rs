//! Slack's mrkdwn, written so that nothing from outside can speak it.
//!
//! - `&`, `<` and `>` become entities (Slack, "Formatting message text", escaping), **before** anything is cut; what is
//!   cut is always a whole character or a whole entity.
//! - Slack has no escape for `*`, `_`, `~` and the backtick, nor for `:shortcodes:`. Where one of them could open a
//!   format, a look-alike stands in its place. A zero-width character beside it would depend on how each client's
//!   parser sees that character; a look-alike depends on nothing. Inside a word (`snake_case`) they do nothing and
//!   stay as they are.
//! - The providers' own words go into a code span, where nothing is interpreted but its end.
//! - No line begins with untrusted text, so that `>` and lists stay ours.
//!
//! Lengths are in UTF-16 units, the largest of the units in which Slack may count.

use crate::summary::clean;
use crate::time::Timestamp;

/// The longest console link that is shown as one: the longest pipeline name still fits.
const MAX_CONSOLE_URL: usize = 420;
/// The longest link to a revision that is shown as one.
const MAX_REVISION_URL: usize = 600;

/// A text's length, in UTF-16 units.
pub(crate) fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Untrusted text as plain words of at most `max` units.
pub(crate) fn prose(text: &str, max: usize) -> String {
    let chars: Vec<char> = clean::flat(text).chars().collect();
    fill(chars.iter().enumerate().map(|(index, _)| plain(&chars, index)), max)
}

/// Untrusted text as a link's label: plain words without the `|` that ends the address.
pub(crate) fn label(text: &str, max: usize) -> String {
    prose(&text.replace('|', "\u{1c0}"), max)
}

/// Untrusted text in a code span, its ticks not counted. `None` when there is nothing to show: an empty span would
/// show its ticks.
pub(crate) fn code(text: &str, max: usize) -> Option<String> {
    let chars: Vec<char> = clean::flat(text).chars().collect();
    let inside = fill(chars.iter().map(|c| if *c == '`' { Piece::Other('\u{2cb}') } else { escaped(*c) }), max);
    (!inside.is_empty()).then(|| format!("`{inside}`"))
}

/// A link into a console, with a label that is mrkdwn already; just the label when there is no link to show.
pub(crate) fn console_link(url: Option<&str>, label: &str) -> String {
    let known = url.filter(|url| crate::console::is_console_link(url));
    link(known, MAX_CONSOLE_URL, label)
}

/// A link to a revision at whatever provider, if its address is one that can be shown safely.
pub(crate) fn revision_link(url: Option<&str>, label: &str) -> String {
    link(url, MAX_REVISION_URL, label)
}

/// A point in time in the reader's own time zone; where Slack can't, RFC 3339 in UTC.
pub(crate) fn date(at: Timestamp) -> String {
    let seconds = at.as_seconds();
    match seconds {
        0..=253_402_300_799 => format!("<!date^{seconds}^{{date_short_pretty}} {{time}}|{at}>"),
        _ => at.to_string(),
    }
}

fn link(url: Option<&str>, max: usize, label: &str) -> String {
    match url.filter(|url| clean::is_safe_url(url, max)) {
        Some(url) => format!("<{}|{label}>", url.replace('&', "&amp;")),
        None => label.to_owned(),
    }
}

/// One character as it is written: whole, or not at all.
#[derive(Clone, Copy)]
enum Piece {
    Entity(&'static str),
    Other(char),
}

impl Piece {
    fn units(self) -> usize {
        match self {
            Self::Entity(entity) => entity.len(),
            Self::Other(c) => c.len_utf16(),
        }
    }

    fn write(self, out: &mut String) {
        match self {
            Self::Entity(entity) => out.push_str(entity),
            Self::Other(c) => out.push(c),
        }
    }
}

/// As many pieces as fit; an ellipsis, which has its place kept, when some don't.
fn fill(pieces: impl Iterator<Item = Piece>, max: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    let mut cut_here = 0;
    for piece in pieces {
        if used + piece.units() > max {
            out.truncate(cut_here);
            out.push('…');
            return out;
        }
        piece.write(&mut out);
        used += piece.units();
        if used < max {
            cut_here = out.len();
        }
    }
    out
}

fn escaped(c: char) -> Piece {
    match c {
        '&' => Piece::Entity("&amp;"),
        '<' => Piece::Entity("&lt;"),
        '>' => Piece::Entity("&gt;"),
        c => Piece::Other(c),
    }
}

fn plain(text: &[char], index: usize) -> Piece {
    let is_word = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(|c| c.is_alphanumeric());
    let inside_word = is_word(index.checked_sub(1)) && is_word(index.checked_add(1));
    match text[index] {
        '`' => Piece::Other('\u{2cb}'),
        '*' if !inside_word => Piece::Other('\u{2217}'),
        '_' if !inside_word => Piece::Other('\u{2cd}'),
        '~' if !inside_word => Piece::Other('\u{223c}'),
        ':' if opens_shortcode(&text[index + 1..]) => Piece::Other('\u{2236}'),
        c => escaped(c),
    }
}

/// Whether a colon before this text would open an emoji such as `:+1:`.
fn opens_shortcode(after: &[char]) -> bool {
    let is_name = |c: &&char| c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '\'');
    let name: String = after.iter().take_while(is_name).collect();
    // A time such as 13:49:40 is not an emoji; the few that are spelled with digits are.
    let could_be = name.contains(|c: char| !c.is_ascii_digit()) || matches!(name.as_str(), "100" | "1234");
    could_be && after.get(name.chars().count()) == Some(&':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrusted_text_can_neither_ping_nor_link_nor_format() {
        assert_eq!(prose("<!channel> & <@U1|x>", 99), "&lt;!channel&gt; &amp; &lt;@U1|x&gt;");
        assert_eq!(prose("*bold* _it_ ~no~ `code`", 99), "∗bold∗ ˍitˍ ∼no∼ ˋcodeˋ");
        assert_eq!(prose("snake_case 2*3 at 13:49:40", 99), "snake_case 2*3 at 13:49:40");
        assert_eq!(prose("all :white_check_mark: :+1::100:", 99), "all ∶white_check_mark: ∶+1:∶100:");
        assert_eq!(code("a `b` <c>", 99).unwrap(), "`a ˋbˋ &lt;c&gt;`");
        assert_eq!(code("\u{202e}", 99), None);
    }

    #[test]
    fn a_cut_falls_between_entities_and_keeps_the_length() {
        for max in 1..40 {
            for text in [prose("a<b>&&<c>😀😀 end", max), label("<<<<<|<<<<<<<", max)] {
                assert!(units(&text) <= max, "{text} is longer than {max}");
                let mut rest = text.as_str();
                while let Some(at) = rest.find('&') {
                    rest = &rest[at..];
                    let entity = ["&amp;", "&lt;", "&gt;"].into_iter().find(|entity| rest.starts_with(entity));
                    rest = &rest[entity.expect("a whole entity").len()..];
                }
            }
        }
        assert_eq!(prose("abc", 3), "abc");
        assert_eq!(prose("abcd", 3), "ab…");
    }

    #[test]
    fn an_address_that_could_end_the_link_or_hide_its_host_is_not_linked() {
        let shown = |url: &str| revision_link(Some(url), "id");
        assert_eq!(
            shown("https://github.com/o/r/commit/1?a=1&b=2"),
            "<https://github.com/o/r/commit/1?a=1&amp;b=2|id>"
        );
        for refused in [
            "javascript:alert(1)",
            "https://github.com/a|b",
            "https://github.com/a>b",
            "https://github.com/a b",
            "https://github.com@evil.example/",
            "https://evil.example\\@github.com/",
            "https:///nowhere",
            "https://github.com/\u{202e}x",
        ] {
            assert_eq!(shown(refused), "id", "{refused}");
        }
        assert_eq!(console_link(Some("https://evil.example\\@eu-west-1.console.aws.amazon.com/"), "id"), "id");
        assert_eq!(console_link(Some("https://evil.example/"), "id"), "id");
    }
}
