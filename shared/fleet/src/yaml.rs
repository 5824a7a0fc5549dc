//! A YAML document as a tree with positions.
//!
//! This is the only module that knows the YAML library. It resolves aliases and merge keys (`<<`), types
//! scalars by the YAML 1.2 core schema, and reports what a reader would otherwise pass over in silence:
//! duplicate keys, second documents, tags. It knows nothing of fleets.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use crate::path::Path;
use crate::problem::{Draft, Sink, Span, quoted, shown};

/// Nesting beyond this is refused; a fleet file needs nine levels.
const MAX_DEPTH: usize = 64;

/// How many nodes all aliases of a document may stand for together. Without a bound a few nested anchors
/// stand for more nodes than any memory holds.
const MAX_ALIASED_NODES: usize = 1_000_000;

/// A value with its place.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) kind: Kind,
    /// How many nodes the value consists of, itself included.
    weight: usize,
}

/// What a value is.
#[derive(Debug)]
pub(crate) enum Kind {
    Scalar(Scalar),
    List(Vec<Rc<Node>>),
    Mapping(Vec<(Key, Rc<Node>)>),
}

/// A scalar: its text, and what the core schema makes of it.
#[derive(Debug)]
pub(crate) struct Scalar {
    pub(crate) text: Box<str>,
    pub(crate) sort: Sort,
    /// Where the text begins in the span when it is there character by character, so that a part of the
    /// text can be pointed at.
    pub(crate) offset: Option<usize>,
}

/// The type of a scalar by the YAML 1.2 core schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Null,
    Boolean,
    Integer,
    Float,
    Text,
}

/// A mapping's key.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) text: Rc<str>,
    pub(crate) span: Span,
}

impl Node {
    /// What the value is, for "expected …, found …".
    pub(crate) fn found(&self) -> String {
        match &self.kind {
            Kind::Mapping(_) => "a mapping".to_owned(),
            Kind::List(_) => "a list".to_owned(),
            Kind::Scalar(scalar) => match scalar.sort {
                Sort::Null => "nothing".to_owned(),
                Sort::Boolean => format!("the boolean {}", shown(&scalar.text)),
                Sort::Integer | Sort::Float => format!("the number {}", shown(&scalar.text)),
                Sort::Text => format!("the text {}", quoted(&scalar.text)),
            },
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(Scalar { sort: Sort::Null, .. }))
    }
}

/// Reads the one document of a file. `None` when there is nothing to go on with; then a problem was reported.
pub(crate) fn read(text: &str, out: &mut Sink) -> Option<Rc<Node>> {
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        let (event, span) = match next {
            Ok((event, span)) => (event, mark(&span)),
            Err(error) => {
                out.report(at(&error), &Path::Root, Draft::new(format!("invalid YAML: {}", error.info())));
                return None;
            }
        };
        if let Err(Fatal) = builder.event(event, span, out) {
            return None;
        }
    }
    if builder.root.is_none() && out.is_empty() {
        let draft =
            Draft::new("the file is empty").help("expected a mapping with version, hub, regions, accounts and apps");
        out.report(Span::START, &Path::Root, draft);
    }
    builder.root
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn mark(span: &saphyr_parser::Span) -> Span {
    let length = span.end.index().saturating_sub(span.start.index());
    Span { line: number(span.start.line()), column: number(span.start.col() + 1), length: number(length) }
}

fn at(error: &ScanError) -> Span {
    Span { line: number(error.marker().line()), column: number(error.marker().col() + 1), length: 1 }
}

/// A problem after which reading on makes no sense.
struct Fatal;

/// A collection that is being read.
enum Frame {
    List { span: Span, anchor: usize, items: Vec<Rc<Node>> },
    Mapping { span: Span, anchor: usize, entries: Vec<(Key, Rc<Node>)>, pending: Pending },
}

/// What the next node of a mapping is.
enum Pending {
    Key,
    Value(Key),
    /// The value of a key that was refused.
    Nothing,
}

#[derive(Default)]
struct Builder {
    root: Option<Rc<Node>>,
    documents: usize,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Rc<Node>>,
    aliased: usize,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, span: Span, out: &mut Sink) -> Result<(), Fatal> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    let draft = Draft::new("a second document begins here")
                        .help("a fleet file is one document; remove the `---`");
                    out.report(span, &Path::Root, draft);
                    return Err(Fatal);
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let tag = core_tag(tag.as_deref(), span, out);
                let node =
                    Node { span, kind: Kind::Scalar(scalar(text.into(), style, tag.as_deref(), span)), weight: 1 };
                self.finish(Rc::new(node), anchor, out);
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    out.report(span, &Path::Root, Draft::new("this alias is inside of its own anchor"));
                    return Err(Fatal);
                };
                self.aliased = self.aliased.saturating_add(node.weight);
                if self.aliased > MAX_ALIASED_NODES {
                    let draft = Draft::new(format!("the aliases stand for more than {MAX_ALIASED_NODES} values"));
                    out.report(span, &Path::Root, draft.help("repeat less"));
                    return Err(Fatal);
                }
                self.finish(node, 0, out);
            }
            Event::SequenceStart(anchor, tag) => {
                core_tag(tag.as_deref(), span, out);
                self.open(Frame::List { span, anchor, items: Vec::new() }, span, out)?;
            }
            Event::MappingStart(anchor, tag) => {
                core_tag(tag.as_deref(), span, out);
                self.open(Frame::Mapping { span, anchor, entries: Vec::new(), pending: Pending::Key }, span, out)?;
            }
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(Frame::List { span, anchor, items }) => {
                    let weight = items.iter().fold(1_usize, |sum, item| sum.saturating_add(item.weight));
                    self.finish(Rc::new(Node { span, kind: Kind::List(items), weight }), anchor, out);
                }
                Some(Frame::Mapping { span, anchor, entries, pending: _ }) => {
                    let entries = merged(entries, out);
                    let weight = entries.iter().fold(1_usize, |sum, (_, value)| sum.saturating_add(value.weight));
                    self.finish(Rc::new(Node { span, kind: Kind::Mapping(entries), weight }), anchor, out);
                }
                None => {}
            },
        }
        Ok(())
    }

    fn open(&mut self, frame: Frame, span: Span, out: &mut Sink) -> Result<(), Fatal> {
        if self.stack.len() >= MAX_DEPTH {
            out.report(span, &Path::Root, Draft::new(format!("nested more than {MAX_DEPTH} levels deep")));
            return Err(Fatal);
        }
        self.stack.push(frame);
        Ok(())
    }

    /// Puts a complete node where it belongs.
    fn finish(&mut self, node: Rc<Node>, anchor: usize, out: &mut Sink) {
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame::List { items, .. }) => items.push(node),
            Some(Frame::Mapping { entries, pending, .. }) => {
                *pending = match std::mem::replace(pending, Pending::Key) {
                    Pending::Key => match &node.kind {
                        Kind::Scalar(scalar) => {
                            Pending::Value(Key { text: scalar.text.as_ref().into(), span: node.span })
                        }
                        Kind::List(_) | Kind::Mapping(_) => {
                            out.report(
                                node.span,
                                &Path::Root,
                                Draft::new(format!("expected a name as key, found {}", node.found())),
                            );
                            Pending::Nothing
                        }
                    },
                    Pending::Value(key) => {
                        entries.push((key, node));
                        Pending::Key
                    }
                    Pending::Nothing => Pending::Key,
                };
            }
        }
    }
}

/// Refuses tags but those of the core schema, and gives the latter's suffix, such as `str`.
fn core_tag(tag: Option<&Tag>, span: Span, out: &mut Sink) -> Option<String> {
    let tag = tag?;
    if tag.is_yaml_core_schema() {
        return Some(tag.suffix.clone());
    }
    out.report(
        span,
        &Path::Root,
        Draft::new(format!("unknown YAML tag {:?}", format!("{}{}", tag.handle, tag.suffix))).help("remove it"),
    );
    None
}

fn scalar(text: Box<str>, style: ScalarStyle, tag: Option<&str>, span: Span) -> Scalar {
    let plain = style == ScalarStyle::Plain && tag != Some("str");
    let sort = if plain { sort(&text) } else { Sort::Text };
    let quotes = match style {
        ScalarStyle::Plain => Some(0),
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Some(1),
        ScalarStyle::Literal | ScalarStyle::Folded => None,
    };
    // Escapes and line folding make the written text longer than the value.
    let offset = quotes.filter(|quote| number(text.chars().count() + 2 * quote) == span.length);
    Scalar { text, sort, offset }
}

/// What the YAML 1.2 core schema (section 10.3.2) makes of a plain scalar.
fn sort(text: &str) -> Sort {
    let digits = |text: &str, ok: fn(char) -> bool| !text.is_empty() && text.chars().all(ok);
    let decimal = |text: &str| digits(text, |c| c.is_ascii_digit());
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Sort::Null,
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => return Sort::Boolean,
        ".nan" | ".NaN" | ".NAN" => return Sort::Float,
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let octal = text.strip_prefix("0o").is_some_and(|rest| digits(rest, |c| c.is_digit(8)));
    let hexadecimal = text.strip_prefix("0x").is_some_and(|rest| digits(rest, |c| c.is_ascii_hexdigit()));
    if decimal(unsigned) || octal || hexadecimal {
        return Sort::Integer;
    }
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Sort::Float;
    }
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(m, e)| (m, Some(e)));
    let float = match mantissa.split_once('.') {
        None => decimal(mantissa),
        Some(("", fraction)) => decimal(fraction),
        Some((whole, "")) => decimal(whole),
        Some((whole, fraction)) => decimal(whole) && decimal(fraction),
    };
    let scaled = exponent.is_none_or(|e| decimal(e.strip_prefix(['-', '+']).unwrap_or(e)));
    if float && scaled { Sort::Float } else { Sort::Text }
}

/// Drops and reports duplicate keys, then adds what merge keys bring; what is written out always wins.
fn merged(entries: Vec<(Key, Rc<Node>)>, out: &mut Sink) -> Vec<(Key, Rc<Node>)> {
    let mut seen: HashSet<Rc<str>> = HashSet::with_capacity(entries.len());
    let (mut kept, mut merges) = (Vec::with_capacity(entries.len()), Vec::new());
    for (key, value) in entries {
        if key.text.as_ref() == "<<" {
            merges.push((key, value));
        } else if seen.insert(Rc::clone(&key.text)) {
            kept.push((key, value));
        } else {
            let draft = Draft::new(format!("duplicate key {}", quoted(&key.text)));
            out.report(key.span, &Path::Root, draft.help("each key may be given once; remove or rename one of them"));
        }
    }
    for (key, value) in merges {
        let sources: &[Rc<Node>] = match &value.kind {
            Kind::List(list) => list,
            Kind::Mapping(_) | Kind::Scalar(_) => std::slice::from_ref(&value),
        };
        for source in sources {
            let Kind::Mapping(more) = &source.kind else {
                out.report(
                    key.span,
                    &Path::Root,
                    Draft::new(format!("`<<` merges mappings, found {}", source.found())),
                );
                continue;
            };
            for (key, value) in more {
                if seen.insert(Rc::clone(&key.text)) {
                    kept.push((key.clone(), Rc::clone(value)));
                }
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_typed_by_the_core_schema() {
        let sorts = [
            "", "~", "true", "yes", "012", "0o17", "0x1F", "-3", "1.5", "1.", ".5", "1e3", "-.inf", "1.2.3", "e5", "v1",
        ];
        let expected = {
            use Sort::{Boolean, Float, Integer, Null, Text};
            [
                Null, Null, Boolean, Text, Integer, Integer, Integer, Integer, Float, Float, Float, Float, Float, Text,
                Text, Text,
            ]
        };
        assert_eq!(sorts.map(sort), expected);
    }

    #[test]
    fn a_handful_of_nested_anchors_cannot_exhaust_memory() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..40 {
            let alias = format!("*a{}", level - 1);
            text += &format!("a{level}: &a{level} [{}]\n", [alias.as_str(); 10].join(", "));
        }
        let mut out = Sink::default();
        assert!(read(&text, &mut out).is_none());
        let problems = out.finish("f", &text).unwrap().to_string();
        assert!(problems.contains("the aliases stand for more than"), "{problems}");
    }

    #[test]
    fn nesting_is_bounded() {
        let text = "[".repeat(100);
        let mut out = Sink::default();
        assert!(read(&text, &mut out).is_none());
        assert!(out.finish("f", &text).unwrap().to_string().contains("nested more than 64 levels deep"));
    }
}
