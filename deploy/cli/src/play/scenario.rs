//! Reading a scenario: prose and commands. What commands told before is left out.

use anyhow::Result;

use crate::input::advise;

/// A scenario as it is written.
pub(super) struct Scenario<'a> {
    /// Where its fleet is.
    pub(super) fleet: Source<'a>,
    /// Its text, in order.
    pub(super) parts: Vec<Part<'a>>,
}

/// Where a fleet file is.
pub(super) enum Source<'a> {
    /// In the scenario.
    Inline(String),
    /// In a file, relative to the scenario's.
    File(&'a str),
}

/// A part of a scenario.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// Text that stays as it is.
    Prose(&'a str),
    /// A command, without its `$ `.
    Command {
        /// What stands in its line.
        line: &'a str,
        /// The line's number, from 1.
        number: usize,
    },
}

/// In which block a line is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    None,
    Fleet,
    Console,
    Other,
}

impl<'a> Scenario<'a> {
    /// Reads a scenario.
    ///
    /// # Errors
    /// It names no fleet file.
    pub(super) fn read(name: &str, text: &'a str) -> Result<Self> {
        let mut parts = Vec::new();
        let (mut inline, mut file) = (String::new(), None);
        let mut block = Block::None;
        for (index, line) in text.split_inclusive('\n').enumerate() {
            let bare = line.trim_end();
            if let Some(language) = bare.strip_prefix("```") {
                block = match (block, language) {
                    (Block::None, "yaml") => Block::Fleet,
                    (Block::None, "console") => Block::Console,
                    (Block::None, _) => Block::Other,
                    (Block::Fleet | Block::Console | Block::Other, _) => Block::None,
                };
                parts.push(Part::Prose(line));
                continue;
            }
            match block {
                Block::Console => {
                    // Everything else in the block is what a command told.
                    parts.extend(bare.strip_prefix("$ ").map(|line| Part::Command { line, number: index + 1 }));
                }
                Block::Fleet => {
                    if inline.is_empty() {
                        // Its problems are told with the lines of the scenario.
                        inline = "\n".repeat(index);
                    }
                    inline.push_str(line);
                    parts.push(Part::Prose(line));
                }
                Block::None => {
                    file = file.or_else(|| bare.strip_prefix("Fleet: ").map(|path| path.trim_matches('`')));
                    parts.push(Part::Prose(line));
                }
                Block::Other => parts.push(Part::Prose(line)),
            }
        }
        let fleet = match (inline.is_empty(), file) {
            (false, _) => Source::Inline(inline),
            (true, Some(path)) => Source::File(path),
            (true, None) => {
                return Err(advise(
                    format!("{name} names no fleet file"),
                    "put the fleet into a block of ```yaml, or name its file in a line of its own: Fleet: fleet.yaml",
                ));
            }
        };
        Ok(Self { fleet, parts })
    }
}

/// Of a scenario that was played: the headings, the commands and what they told.
pub(super) fn transcript(played: &str) -> String {
    let mut out = String::new();
    let mut is_console = false;
    for line in played.split_inclusive('\n') {
        if let Some(language) = line.trim_end().strip_prefix("```") {
            is_console = language == "console";
            continue;
        }
        if is_console || line.starts_with('#') {
            let begins = line.starts_with("$ ") || line.starts_with('#');
            if begins && !out.is_empty() && !out.ends_with("\n\n") {
                out.push('\n');
            }
            out.push_str(line);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "# Title\n\nFleet: `fleet.yaml`\n\n```console\n$ wait 1m\nold\n$ slack\n```\nProse\n```text\n$ no\n```\n";

    #[test]
    fn commands_stand_in_console_blocks_and_what_they_told_is_left_out() {
        let Scenario { fleet, parts } = Scenario::read("a.md", TEXT).unwrap();
        assert!(matches!(fleet, Source::File("fleet.yaml")));
        let commands: Vec<&Part<'_>> = parts.iter().filter(|part| matches!(part, Part::Command { .. })).collect();
        let command = |line, number| Part::Command { line, number };
        assert_eq!(commands, [&command("wait 1m", 6), &command("slack", 8)]);
        assert!(!parts.contains(&Part::Prose("old\n")) && parts.contains(&Part::Prose("$ no\n")));
    }

    #[test]
    fn a_scenario_without_a_fleet_is_refused_with_what_to_write() {
        let error = Scenario::read("a.md", "# Title\n").err().unwrap().to_string();
        assert!(error.contains("a.md names no fleet file") && error.contains("Fleet: fleet.yaml"), "{error}");
    }

    #[test]
    fn a_transcript_has_headings_and_consoles() {
        assert_eq!(transcript(TEXT), "# Title\n\n$ wait 1m\nold\n\n$ slack\n");
    }
}
