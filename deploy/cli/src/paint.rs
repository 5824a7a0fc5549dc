//! Colours for the summary's text. The words come from the core; without colours they are unchanged.

use std::fmt::Write;

use console::{Style, style};

/// The summary in colours, if standard output takes them.
pub(crate) fn summary(text: &str) -> String {
    if console::colors_enabled() { paint(text) } else { text.to_owned() }
}

fn paint(text: &str) -> String {
    let mut painted = String::with_capacity(text.len() * 2);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        match (index, line.strip_prefix("What to do: ")) {
            (0, _) => push(&mut painted, &style_of(line).unwrap_or_default().bold(), line),
            (_, Some(advice)) => push(&mut painted, &Style::new().bold(), &format!("What to do: {advice}")),
            (_, None) if line.trim_start().starts_with("https://") => push(&mut painted, &Style::new().dim(), line),
            (_, None) => cells(&mut painted, line),
        }
        painted.push_str(end);
    }
    painted
}

/// Paints every part of a line that begins with a sign: the cells of a grid, the counts of a list.
fn cells(painted: &mut String, line: &str) {
    let mut rest = line;
    while !rest.is_empty() {
        // A part ends where the next cell or the next count begins.
        let end = ["  ", ", "].iter().filter_map(|gap| rest.find(gap).map(|at| at + gap.len())).min();
        let (part, tail) = rest.split_at(end.unwrap_or(rest.len()));
        let text = part.trim_start();
        let (indent, text) = part.split_at(part.len() - text.len());
        painted.push_str(indent);
        match style_of(text) {
            Some(style) => push(painted, &style, text),
            None => painted.push_str(text),
        }
        rest = tail;
    }
}

fn push(painted: &mut String, with: &Style, text: &str) {
    // Writing to a text can't fail.
    let _ = write!(painted, "{}", with.clone().force_styling(true).apply_to(text));
}

fn style_of(part: &str) -> Option<Style> {
    let (sign, _) = part.split_once(' ')?;
    Some(match sign {
        "✔" => Style::new().green(),
        "✖" | "⊘" | "⧖" => Style::new().red(),
        "!" | "?" | "▶" | "◼" | "…" => Style::new().yellow(),
        "»" | "■" => Style::new().magenta(),
        "–" | "○" => Style::new().dim(),
        _ => return None,
    })
}

/// The word that an error begins with, if standard error takes colours.
pub(crate) fn error_word(word: &str) -> String {
    style(word).for_stderr().red().bold().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "! web: completed with failures on 1 of 4 targets\n\n✖ 1 failed, ✔ 3 succeeded\n\n             dev          \
                        prod\n  us-east-1  ✔ succeeded  ✖ failed\n  eu-west-1   ✔ succeeded  –\n\n✖ Boom: 1 target\n    \
                        https://example.com/\n\nWhat to do: Mend the cause.\n";

    #[test]
    fn colours_change_no_word() {
        assert_eq!(console::strip_ansi_codes(&paint(TEXT)), TEXT);
    }

    #[test]
    fn every_cell_has_the_colour_of_its_sign() {
        let painted = paint(TEXT);
        for green in
            ["\u{1b}[32m✔ 3 succeeded", "us-east-1  \u{1b}[32m✔ succeeded", "eu-west-1   \u{1b}[32m✔ succeeded"]
        {
            assert!(painted.contains(green), "{green:?} in {painted:?}");
        }
        for red in ["\u{1b}[31m✖ 1 failed", "\u{1b}[31m✖ failed", "\u{1b}[31m✖ Boom"] {
            assert!(painted.contains(red), "{red:?} in {painted:?}");
        }
    }
}
