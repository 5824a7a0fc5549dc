//! Slack's rules, checked as strictly as its servers do, and a little more.

use manifold_core::summary::Payload;
use serde_json::Value;

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Fails unless Slack would take the payload and nothing in it could ping, link or format on somebody else's behalf.
#[track_caller]
pub(crate) fn assert_slack_limits(payload: &Payload) {
    assert_eq!(payload.check_limits(), Ok(()), "what the local Slack would answer");
    assert!((1..=300).contains(&units(&payload.text)), "a fallback of {} units", units(&payload.text));
    assert_markup(&payload.text);
    assert!((1..=50).contains(&payload.blocks.len()), "{} blocks", payload.blocks.len());
    let mut total = 0;
    for (index, block) in payload.blocks.iter().enumerate() {
        match block["type"].as_str().unwrap() {
            "header" => {
                assert_eq!(index, 0, "the headline comes first");
                total += text(&block["text"], "plain_text", 150);
            }
            "section" => total += text(&block["text"], "mrkdwn", 3_000),
            "context" => {
                let elements = block["elements"].as_array().unwrap();
                assert!((1..=10).contains(&elements.len()), "{} context elements", elements.len());
                total += elements.iter().map(|element| text(element, "mrkdwn", 3_000)).sum::<usize>();
            }
            "actions" => {
                let buttons = block["elements"].as_array().unwrap();
                assert!((1..=25).contains(&buttons.len()), "{} buttons", buttons.len());
                total += buttons.iter().map(button).sum::<usize>();
            }
            other => panic!("a block of type {other}"),
        }
    }
    assert!(total <= 10_000, "{total} units in all blocks");
}

/// A button's text and that of its question. Whatever turns red asks once more.
#[track_caller]
fn button(button: &Value) -> usize {
    assert_eq!(button["type"], "button");
    let id = button["action_id"].as_str().unwrap();
    assert!(id.starts_with("manifold.") && units(id) <= 255, "{id}");
    assert!((1..=2_000).contains(&units(button["value"].as_str().unwrap())), "{button}");
    assert!([Value::Null, "primary".into(), "danger".into()].contains(&button["style"]), "{button}");
    assert_eq!(button["style"] == "danger", !button["confirm"].is_null(), "{button}");
    let mut total = text(&button["text"], "plain_text", 75);
    if !button["confirm"].is_null() {
        for (part, most) in [("title", 100), ("text", 300), ("confirm", 30), ("deny", 30)] {
            total += text(&button["confirm"][part], "plain_text", most);
        }
    }
    total
}

#[track_caller]
fn text(object: &Value, kind: &str, max: usize) -> usize {
    assert_eq!(object["type"], kind);
    let text = object["text"].as_str().unwrap();
    assert!((1..=max).contains(&units(text)), "{} units where {max} are allowed: {text}", units(text));
    if kind == "mrkdwn" {
        assert_eq!(object["verbatim"], true, "bare addresses and names would be linked in {text}");
        assert_markup(text);
    } else {
        assert!(!text.contains(['<', '>', '&']), "{text}");
    }
    units(text)
}

/// Every `<…>` is one of ours, every `&` begins one of the three entities, and formats are closed where they opened.
#[track_caller]
fn assert_markup(text: &str) {
    let hidden = |c: char| {
        (c.is_control() && c != '\n')
            || ('\u{202a}'..='\u{202e}').contains(&c)
            || ('\u{2066}'..='\u{2069}').contains(&c)
    };
    assert!(!text.contains(hidden), "hidden characters in {text:?}");
    let mut rest = text;
    while let Some(at) = rest.find(['<', '>', '&']) {
        rest = &rest[at..];
        if rest.starts_with('&') {
            let entity = ["&amp;", "&lt;", "&gt;"].into_iter().find(|entity| rest.starts_with(entity));
            rest = &rest[entity.unwrap_or_else(|| panic!("a broken entity at {rest:.40?}")).len()..];
            continue;
        }
        assert!(rest.starts_with('<'), "a stray > at {rest:?}");
        let end = rest.find('>').unwrap_or_else(|| panic!("an unclosed token at {rest:?}"));
        let token = &rest[1..end];
        assert!(!token.contains(['<', '\n', '`']), "{token:?}");
        let (target, label) = token.split_once('|').unwrap_or_else(|| panic!("a token without a label: {token:?}"));
        assert!(!label.is_empty() && !label.contains('|'), "{token:?}");
        if let Some(date) = target.strip_prefix("!date^") {
            let (seconds, format) = date.split_once('^').unwrap();
            assert!(seconds.parse::<u64>().is_ok() && format == "{date_short_pretty} {time}", "{token:?}");
        } else {
            let scheme = target.starts_with("https://") || target.starts_with("http://");
            let plain = target.chars().all(|c| c.is_ascii_graphic() && !"<>|\"\\^`{}".contains(c));
            let host = target.split("//").nth(1).and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap();
            assert!(scheme && plain && !host.contains('@'), "not an address of ours: {token:?}");
        }
        rest = &rest[end + 1..];
    }
    for line in text.split('\n') {
        assert_eq!(line.matches('`').count() % 2, 0, "an open code span in {line:?}");
        assert!(!line.starts_with("&gt;"), "a quotation that nobody meant: {line:?}");
    }
}
