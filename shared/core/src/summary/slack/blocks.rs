//! Block Kit within the limits that [`payload`](crate::summary::payload) states.
//!
//! Slack rejects the *whole* message when one block is too long, or all of them together are.

use serde_json::{Value, json};

use super::mrkdwn::units;
use crate::summary::payload::MOST_SECTION_TEXT;

/// The blocks of one message.
#[derive(Debug, Default)]
pub(crate) struct Blocks(Vec<Value>);

impl Blocks {
    /// The headline: plain text, in which only shortcodes are interpreted.
    pub(crate) fn header(&mut self, text: &str) {
        self.0.push(json!({ "type": "header", "text": { "type": "plain_text", "text": text, "emoji": true } }));
    }

    /// Lines, in as few sections as they need. Without `expand`, Slack would fold a long section away.
    pub(crate) fn lines(&mut self, lines: &[String]) {
        let mut text = String::new();
        for line in lines {
            if !text.is_empty() && units(&text) + 1 + units(line) > MOST_SECTION_TEXT {
                self.section(&std::mem::take(&mut text));
            }
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(line);
        }
        if !text.is_empty() {
            self.section(&text);
        }
    }

    /// Small print; Slack allows 10 elements.
    pub(crate) fn context(&mut self, texts: &[String]) {
        let elements: Vec<Value> = texts.iter().map(|text| mrkdwn(text)).collect();
        if !elements.is_empty() {
            self.0.push(json!({ "type": "context", "elements": elements }));
        }
    }

    /// Buttons, side by side. Slack allows 25 of them.
    pub(crate) fn actions(&mut self, buttons: Vec<Button>) {
        let elements: Vec<Value> = buttons.into_iter().map(Button::into_value).collect();
        if !elements.is_empty() {
            self.0.push(json!({ "type": "actions", "elements": elements }));
        }
    }

    /// As a payload takes them.
    pub(crate) fn into_values(self) -> Vec<Value> {
        self.0
    }

    fn section(&mut self, text: &str) {
        self.0.push(json!({ "type": "section", "expand": true, "text": mrkdwn(text) }));
    }
}

/// A button (Slack, "Button element").
#[derive(Debug)]
pub(crate) struct Button {
    /// Names the kind of button; unique within its block.
    pub(crate) id: &'static str,
    /// Its words.
    pub(crate) label: &'static str,
    /// `primary` is green, `danger` red.
    pub(crate) style: Option<&'static str>,
    /// What comes back when it is pressed.
    pub(crate) value: String,
    /// What is asked once more.
    pub(crate) confirm: Option<Confirm>,
}

/// A question before a press counts (Slack, "Confirmation dialog object").
#[derive(Debug)]
pub(crate) struct Confirm {
    /// At most 100 characters.
    pub(crate) title: &'static str,
    /// At most 300.
    pub(crate) text: String,
    /// At most 30.
    pub(crate) yes: &'static str,
}

/// What takes the question back.
const NO: &str = "Cancel";

impl Button {
    fn into_value(self) -> Value {
        let mut button = json!({
            "type": "button",
            "action_id": self.id,
            "text": plain(self.label),
            "value": self.value,
        });
        if let Some(style) = self.style {
            button["style"] = json!(style);
        }
        if let Some(Confirm { title, text, yes }) = self.confirm {
            button["confirm"] = json!({
                "title": plain(title),
                "text": plain(&text),
                "confirm": plain(yes),
                "deny": plain(NO),
                "style": "danger",
            });
        }
        button
    }
}

fn plain(text: &str) -> Value {
    json!({ "type": "plain_text", "text": text })
}

/// What buttons cost of a message's text, their questions included.
pub(crate) fn cost_of_buttons(buttons: &[Button]) -> usize {
    let question = |confirm: &Confirm| units(confirm.title) + units(&confirm.text) + units(confirm.yes) + units(NO);
    buttons.iter().map(|button| units(button.label) + button.confirm.as_ref().map_or(0, question)).sum()
}

/// `verbatim`: a bare address, `#channel` or `@name` in somebody's commit message stays text (Slack, "Text object").
fn mrkdwn(text: &str) -> Value {
    json!({ "type": "mrkdwn", "text": text, "verbatim": true })
}

/// What lines cost, each with its line break.
pub(crate) fn cost(lines: &[String]) -> usize {
    lines.iter().map(|line| units(line) + 1).sum()
}

/// A list that may have to be cut: what separates its items, the units that it may use, and how many items a
/// reader wants to see.
#[derive(Debug, Clone, Copy)]
pub(crate) struct List {
    /// Between two items.
    pub(crate) separator: &'static str,
    /// The room, in UTF-16 units.
    pub(crate) room: usize,
    /// The most items.
    pub(crate) at_most: usize,
}

impl List {
    /// The items that fit and, when some don't, one more that says so: `more` is told how many are shown.
    pub(crate) fn fit(self, mut items: Vec<String>, more: impl Fn(usize) -> String) -> Vec<String> {
        let between = units(self.separator);
        let lengths: Vec<usize> = items.iter().map(|item| units(item) + between).collect();
        let mut shown = 0;
        let mut used = 0;
        while let Some(length) =
            lengths.get(shown).filter(|length| shown < self.at_most && used + **length <= self.room)
        {
            used += length;
            shown += 1;
        }
        if shown == items.len() {
            return items;
        }
        let mut rest = more(shown);
        while shown > 0 && used + units(&rest) + between > self.room {
            shown -= 1;
            used -= lengths[shown];
            rest = more(shown);
        }
        items.truncate(shown);
        items.push(rest);
        items
    }

    /// The same as one text.
    pub(crate) fn join(self, items: Vec<String>, more: impl Fn(usize) -> String) -> String {
        self.fit(items, more).join(self.separator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_shows_what_fits_and_says_what_does_not() {
        let items = || ["one", "two", "three"].map(str::to_owned).to_vec();
        let fit = |room, at_most| {
            List { separator: ", ", room, at_most }.join(items(), |shown| format!("+{} more", 3 - shown))
        };
        assert_eq!(fit(99, 9), "one, two, three");
        assert_eq!(fit(99, 2), "one, two, +1 more");
        assert_eq!(fit(16, 9), "one, +2 more");
        assert_eq!(fit(12, 9), "+3 more");
    }

    #[test]
    fn lines_go_into_as_few_sections_as_they_need() {
        let mut blocks = Blocks::default();
        blocks.lines(&["x".repeat(2_000), "y".repeat(999), "z".to_owned()]);
        let lengths: Vec<usize> =
            blocks.into_values().iter().map(|block| units(block["text"]["text"].as_str().unwrap())).collect();
        assert_eq!(lengths, [3_000, 1]);
    }
}
