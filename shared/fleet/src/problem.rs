//! What is wrong with a fleet file: every problem at once, each with its place and its remedy.
//!
//! A problem points at the text that its author has to change, not at the place where the check tripped.

use std::fmt;
use std::ops::Range;

use crate::path::Path;

/// A place in the text, counted as the YAML scanner counts: in characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// Counted from 1.
    pub(crate) line: u32,
    /// Counted from 1.
    pub(crate) column: u32,
    /// How many characters, line breaks included.
    pub(crate) length: u32,
}

impl Span {
    /// The first character of a text.
    pub(crate) const START: Self = Self { line: 1, column: 1, length: 0 };

    /// A part of this span; only meaningful when the span stays on one line.
    pub(crate) fn part(self, part: &Range<usize>) -> Self {
        let clip = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        Self { line: self.line, column: self.column.saturating_add(clip(part.start)), length: clip(part.len()) }
    }
}

/// One thing that is wrong with a fleet file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    line: u32,
    column: u32,
    range: Range<usize>,
    path: String,
    message: String,
    /// Whether the message reads "… in `path`" instead of "`path`: …".
    inside: bool,
    help: Option<String>,
    did_you_mean: Option<String>,
}

impl Problem {
    /// The line, counted from 1.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.line
    }

    /// The column, counted from 1 in characters.
    #[must_use]
    pub fn column(&self) -> u32 {
        self.column
    }

    /// The bytes of the text to underline: on one line, within the text, on character boundaries, and empty
    /// only when there is nothing to underline (an empty file, the end of a line).
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Where it is in the document, such as `apps.web.waves[1].select`; empty for the document itself.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What was expected, or how to put it right.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The name that was probably meant.
    #[must_use]
    pub fn did_you_mean(&self) -> Option<&str> {
        self.did_you_mean.as_deref()
    }
}

impl fmt::Display for Problem {
    /// One line without a position: what, where, the remedy, and the likely meant name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.path.as_str(), self.inside) {
            ("", _) => f.write_str(&self.message)?,
            (path, true) => write!(f, "{} in {path}", self.message)?,
            (path, false) => write!(f, "{path}: {}", self.message)?,
        }
        if let Some(help) = &self.help {
            write!(f, "; {help}")?;
        }
        if let Some(name) = &self.did_you_mean {
            write!(f, "; did you mean {name:?}?")?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a fleet file, in the order of the text. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    file: String,
    problems: Vec<Problem>,
}

impl Problems {
    /// The problems, in the order of the text.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.problems.iter()
    }

    /// How many there are; at least 1.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.problems.len()
    }

    /// A file that was refused although no problem was found in it.
    pub(crate) fn unreadable(file: &str) -> Self {
        let problem = Problem {
            line: 1,
            column: 1,
            range: 0..0,
            path: String::new(),
            message: "the file could not be read".to_owned(),
            inside: false,
            help: None,
            did_you_mean: None,
        };
        Self { file: file.to_owned(), problems: vec![problem] }
    }

    /// The name of the file as it was given to [`crate::Fleet::parse`].
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    /// One problem a line: `fleet.yaml:12:9: unknown field "wave" in apps.web; …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}:{}:{}: {problem}", self.file, problem.line, problem.column)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A problem that is being written: a message, and what helps.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) message: String,
    pub(crate) inside: bool,
    pub(crate) help: Option<String>,
    pub(crate) did_you_mean: Option<String>,
}

impl Draft {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), inside: false, help: None, did_you_mean: None }
    }

    /// The message is about something in the place: "unknown field … in apps.web".
    pub(crate) fn inside(mut self) -> Self {
        self.inside = true;
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn suggest(mut self, name: Option<&str>) -> Self {
        self.did_you_mean = name.map(str::to_owned);
        self
    }
}

/// Gathers problems while a file is read.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    drafts: Vec<(Span, String, Draft)>,
    /// How many more there were than are told.
    untold: usize,
}

/// The most problems that are told of one file. Nobody reads more at once, and a few aliases could make millions.
const MOST_PROBLEMS: usize = 25_000;

impl Sink {
    pub(crate) fn report(&mut self, span: Span, path: &Path<'_>, draft: Draft) {
        if self.drafts.len() < MOST_PROBLEMS {
            self.drafts.push((span, path.to_string(), draft));
        } else {
            self.untold += 1;
        }
    }

    /// Whether names may still be suggested for a problem. After many problems they may not: thousands of
    /// unknown names compared with thousands of known ones would take minutes.
    pub(crate) fn may_suggest(&self) -> bool {
        const SUGGESTED: usize = 100;
        self.drafts.len() < SUGGESTED
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.drafts.is_empty()
    }

    /// Places every problem in the text; `None` when there is none.
    pub(crate) fn finish(self, file: &str, text: &str) -> Option<Problems> {
        let mut lines = Lines::of(text);
        let mut drafts = self.drafts;
        drafts.sort_by_key(|(span, ..)| (span.line, span.column));
        let mut problems: Vec<Problem> = drafts
            .into_iter()
            .map(|(span, path, draft)| {
                let (line, column, range) = lines.locate(span);
                Problem {
                    line,
                    column,
                    range,
                    path,
                    message: one_line(draft.message),
                    inside: draft.inside,
                    help: draft.help.map(one_line),
                    did_you_mean: draft.did_you_mean,
                }
            })
            .collect();
        // The sort is stable, so problems at one place stay in the order in which they were found.
        problems.sort_by_key(|problem| (problem.line, problem.column));
        // An alias is read once for every use; its problem is one problem all the same.
        let mut seen = std::collections::HashSet::new();
        problems.retain(|p| seen.insert((p.range.start, p.message.clone())));
        if let (Some(last), 1..) = (problems.last(), self.untold) {
            let message = format!("{} more problems are not told; mend those that are first", self.untold);
            problems.push(Problem { message, path: String::new(), help: None, did_you_mean: None, ..last.clone() });
        }
        if problems.is_empty() { None } else { Some(Problems { file: file.to_owned(), problems }) }
    }
}

/// Problems are shown one a line, whatever a library's message or a value in the file contains.
fn one_line(text: String) -> String {
    if text.contains(['\n', '\r']) { text.split_whitespace().collect::<Vec<_>>().join(" ") } else { text }
}

/// Where each line begins and ends, in bytes, line breaks excluded.
struct Lines<'t> {
    text: &'t str,
    lines: Vec<Range<usize>>,
    /// The place that was located last: its line, how many characters come before it there, and how many bytes.
    last: (usize, usize, usize),
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Self {
        let bytes = text.as_bytes();
        // A byte order mark is no character of the first line.
        let mut start = if text.starts_with('\u{feff}') { 3 } else { 0 };
        let mut lines = Vec::new();
        for (at, byte) in bytes.iter().enumerate() {
            match (byte, bytes.get(at + 1)) {
                (b'\r', Some(b'\n')) => {}
                (b'\n', _) => {
                    let end = if at > start && bytes[at - 1] == b'\r' { at - 1 } else { at };
                    lines.push(start..end);
                    start = at + 1;
                }
                (b'\r', _) => {
                    lines.push(start..at);
                    start = at + 1;
                }
                _ => {}
            }
        }
        lines.push(start..bytes.len());
        Self { text, lines, last: (0, 0, 0) }
    }

    /// Clamps a span into the text: a scanner may point just past the end of a line or of the file.
    fn locate(&mut self, span: Span) -> (u32, u32, Range<usize>) {
        let last = self.lines.len();
        let line = usize::try_from(span.line).unwrap_or(last).clamp(1, last);
        let bytes = self.lines[line - 1].clone();
        let content = &self.text[bytes.clone()];
        let skip = usize::try_from(span.column).unwrap_or(1).max(1) - 1;
        let length = usize::try_from(span.length).unwrap_or(usize::MAX).max(1);
        // A file may be one long line with many problems: counting goes on from the one before.
        let (mut column, mut from) = match self.last {
            (same, column, from) if same == line && column <= skip => (column, from),
            _ => (0, 0),
        };
        while column < skip
            && let Some(c) = content[from..].chars().next()
        {
            column += 1;
            from += c.len_utf8();
        }
        self.last = (line, column, from);
        let rest = &content[from..];
        let to = from + rest.char_indices().nth(length).map_or(rest.len(), |(at, _)| at);
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        (number(line), number(column + 1), bytes.start + from..bytes.start + to.max(from))
    }
}

/// The candidate that was probably meant by `name`: close in spelling, or the same but for case.
pub(crate) fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const COMPARED: usize = 2000;
    // Comparing takes time and memory by both lengths, and no name of anything is that long.
    const LONGEST: usize = 200;
    if name.len() > LONGEST {
        return None;
    }
    let lower = name.to_lowercase();
    // A third of the characters may be off: enough for a typo, too few to turn one word into another.
    let allowed = (name.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .take(COMPARED)
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= 4 * allowed)
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *candidate != name)
        // Two letters apart, and the opposite of what was meant.
        .filter(|(_, candidate)| (lower.as_str(), *candidate) != ("include", "exclude"))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A value of the file as a message quotes it: escaped, and cut when it is long.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    if text.chars().count() > SHOWN {
        let cut: String = text.chars().take(SHOWN).collect();
        format!("{:?}", cut + "…")
    } else {
        format!("{text:?}")
    }
}

/// The same without quotes, for what is no text.
pub(crate) fn shown(text: &str) -> String {
    if text.chars().count() > 60 { quoted(text) } else { text.to_owned() }
}

/// Alternatives as a message lists them: `a, b or c`; cut when there are many.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 16;
    let names: Vec<&str> = names.into_iter().collect();
    match names.as_slice() {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [few @ .., last] if few.len() < SHOWN => format!("{} or {last}", few.join(", ")),
        many => format!("{} or one of {} more", many[..SHOWN].join(", "), many.len() - SHOWN),
    }
}

/// Some of many, with how many there are: `dev/us-east-1, prod/us-east-1 and 3 more`.
pub(crate) fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 3;
    match names {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [few @ .., last] if few.len() < SHOWN => format!("{} and {last}", few.join(", ")),
        many => format!("{} and {} more", many[..SHOWN].join(", "), many.len() - SHOWN),
    }
}
