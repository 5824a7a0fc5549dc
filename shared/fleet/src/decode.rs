//! From a tree to typed values, gathering every problem on the way.
//!
//! One declaration (the [`mapping!`] macro) gives a type its fields, their reading, the list of names that an
//! unknown field is compared with, and the JSON Schema that editors use. They cannot drift apart.
//!
//! A part that cannot be read is reported once and stays [`Slot::Broken`]; whoever looks at it later knows
//! that there is nothing more to say about it.

use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::layout::Amount;
use crate::path::Path;
use crate::problem::{Draft, Sink, Span, closest, listed, quoted};
use crate::yaml::{Key, Kind, Node, Scalar, Sort};

/// Something that is read from a node.
pub(crate) trait Decode: Sized {
    /// Reads the value; `None` when it is broken, and then that was reported. `place` is where a problem with
    /// the value as a whole is shown.
    fn decode(node: &Node, place: Span, path: &Path<'_>, out: &mut Sink) -> Option<Self>;
}

/// What was found where a value may be.
#[derive(Debug, Default)]
pub(crate) enum Slot<T> {
    /// Nothing was written.
    #[default]
    Absent,
    /// Something was written that cannot be read; it was reported.
    Broken,
    /// A good value.
    Given(T),
}

impl<T> Slot<T> {
    /// The value, when it was given and is good.
    pub(crate) const fn given(&self) -> Option<&T> {
        match self {
            Self::Given(value) => Some(value),
            Self::Absent | Self::Broken => None,
        }
    }

    pub(crate) const fn is_broken(&self) -> bool {
        matches!(self, Self::Broken)
    }

    pub(crate) const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The value by itself, when it was given and is good.
    pub(crate) fn take(self) -> Option<T> {
        match self {
            Self::Given(value) => Some(value),
            Self::Absent | Self::Broken => None,
        }
    }

    fn of(value: Option<T>) -> Self {
        value.map_or(Self::Broken, Self::Given)
    }
}

impl<T: JsonSchema> JsonSchema for Slot<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A text with a meaning: a name, an id, a duration, a template.
pub(crate) trait Leaf: Sized {
    /// What a valid value looks like, as a noun phrase for messages.
    const EXPECTED: &'static str;

    /// Reads the text.
    fn parse(text: &str) -> Result<Self, Vec<Fault>>;

    /// The JSON Schema of the text.
    fn schema() -> Schema;
}

/// What is wrong with a text, and with which of its characters.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) part: Option<Range<usize>>,
    pub(crate) draft: Draft,
}

impl Fault {
    /// The text as a whole is not what was expected.
    pub(crate) fn whole(draft: Draft) -> Vec<Self> {
        vec![Self { part: None, draft }]
    }
}

/// A value with its place in the file.
#[derive(Debug, Clone)]
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

impl<T: Leaf> Decode for Spanned<T> {
    fn decode(node: &Node, _: Span, path: &Path<'_>, out: &mut Sink) -> Option<Self> {
        let span = node.span;
        let scalar = match &node.kind {
            Kind::Scalar(scalar) => scalar,
            Kind::List(_) | Kind::Mapping(_) => {
                out.report(span, path, mismatch(T::EXPECTED, node));
                return None;
            }
        };
        match scalar.sort {
            Sort::Text => {}
            Sort::Null => {
                out.report(span, path, mismatch(T::EXPECTED, node));
                return None;
            }
            Sort::Boolean | Sort::Integer | Sort::Float => {
                let mut help = format!("put it in quotes: {}", quoted(&scalar.text));
                if scalar.text.starts_with('0') && scalar.text.len() > 1 {
                    help += " (a number loses its leading zeros)";
                }
                out.report(span, path, mismatch(T::EXPECTED, node).help(help));
                return None;
            }
        }
        match T::parse(&scalar.text) {
            Ok(value) => Some(Self { value, span }),
            Err(faults) => {
                for fault in faults {
                    out.report(within(span, scalar, fault.part.as_ref()), path, fault.draft);
                }
                None
            }
        }
    }
}

/// The part of a scalar's span, when the text stands there character by character.
fn within(span: Span, scalar: &Scalar, part: Option<&Range<usize>>) -> Span {
    match (part, scalar.offset) {
        (Some(part), Some(offset)) => span.part(&(part.start + offset..part.end + offset)),
        (Some(_), None) | (None, Some(_) | None) => span,
    }
}

impl<T: Leaf> JsonSchema for Spanned<T> {
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }
    fn schema_id() -> Cow<'static, str> {
        std::any::type_name::<T>().into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        T::schema()
    }
}

/// "expected …, found …".
pub(crate) fn mismatch(expected: &str, node: &Node) -> Draft {
    Draft::new(format!("expected {expected}, found {}", node.found()))
}

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whole<const MIN: u32, const MAX: u32> {
    pub(crate) value: u32,
}

impl<const MIN: u32, const MAX: u32> Decode for Whole<MIN, MAX> {
    fn decode(node: &Node, _: Span, path: &Path<'_>, out: &mut Sink) -> Option<Self> {
        let value = match &node.kind {
            Kind::Scalar(Scalar { sort: Sort::Integer, text, .. }) => text.parse().ok(),
            Kind::Scalar(_) | Kind::List(_) | Kind::Mapping(_) => None,
        };
        match value {
            Some(value) if (MIN..=MAX).contains(&value) => Some(Self { value }),
            Some(_) | None => {
                let expected =
                    if MIN == MAX { format!("{MIN}") } else { format!("a whole number from {MIN} to {MAX}") };
                out.report(node.span, path, mismatch(&expected, node));
                None
            }
        }
    }
}

impl<const MIN: u32, const MAX: u32> JsonSchema for Whole<MIN, MAX> {
    fn schema_name() -> Cow<'static, str> {
        format!("Whole{MIN}to{MAX}").into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        if MIN == MAX {
            json_schema!({ "const": MIN })
        } else {
            json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
        }
    }
}

/// How many of a wave's targets: a number from `MIN` to `MAX`, or a share of the wave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share<const MIN: u32, const MAX: u32> {
    pub(crate) value: Amount,
    pub(crate) span: Span,
}

impl<const MIN: u32, const MAX: u32> Decode for Share<MIN, MAX> {
    fn decode(node: &Node, _: Span, path: &Path<'_>, out: &mut Sink) -> Option<Self> {
        // None of something, or at least one of it: so with a number, and with a share.
        let least = if MIN == 0 { 0 } else { 1 };
        let value = match &node.kind {
            Kind::Scalar(Scalar { sort: Sort::Integer, text, .. }) => {
                text.parse().ok().filter(|count| (MIN..=MAX).contains(count)).map(Amount::Count)
            }
            Kind::Scalar(Scalar { sort: Sort::Text, text, .. }) => Amount::percent(text, least),
            Kind::Scalar(_) | Kind::List(_) | Kind::Mapping(_) => None,
        };
        if value.is_none() {
            let expected = format!("a whole number from {MIN} to {MAX}, or {least}% to 100% of the wave");
            out.report(node.span, path, mismatch(&expected, node));
        }
        Some(Self { value: value?, span: node.span })
    }
}

impl<const MIN: u32, const MAX: u32> JsonSchema for Share<MIN, MAX> {
    fn schema_name() -> Cow<'static, str> {
        format!("Share{MIN}to{MAX}").into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let share = if MIN == 0 { "^([0-9]|[1-9][0-9]|100)%$" } else { "^([1-9][0-9]?|100)%$" };
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": MIN, "maximum": MAX },
            { "type": "string", "pattern": share }
        ] })
    }
}

/// Yes or no.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag(pub(crate) bool);

impl Decode for Flag {
    fn decode(node: &Node, _: Span, path: &Path<'_>, out: &mut Sink) -> Option<Self> {
        match &node.kind {
            Kind::Scalar(Scalar { sort: Sort::Boolean, text, .. }) => Some(Self(text.eq_ignore_ascii_case("true"))),
            Kind::Scalar(_) | Kind::List(_) | Kind::Mapping(_) => {
                out.report(node.span, path, mismatch("true or false", node));
                None
            }
        }
    }
}

impl JsonSchema for Flag {
    fn schema_name() -> Cow<'static, str> {
        "Flag".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "boolean", "default": false })
    }
}

/// A mapping from names of the user's choice, in the order of the file.
#[derive(Debug)]
pub(crate) struct Map<K, V> {
    pub(crate) span: Span,
    pub(crate) entries: Vec<(Spanned<K>, Slot<V>)>,
    /// Whether every key could be read: if not, an unknown name elsewhere may be a follow-up.
    pub(crate) intact: bool,
}

impl<K, V> Map<K, V> {
    /// The entries that could be read.
    pub(crate) fn given(&self) -> impl Iterator<Item = (&Spanned<K>, &V)> {
        self.entries.iter().filter_map(|(key, value)| value.given().map(|value| (key, value)))
    }
}

impl<K: Leaf, V: Decode> Decode for Map<K, V> {
    fn decode(node: &Node, place: Span, path: &Path<'_>, out: &mut Sink) -> Option<Self> {
        let Kind::Mapping(nodes) = &node.kind else {
            out.report(node.span, path, mismatch(&format!("a mapping whose keys are each {}", K::EXPECTED), node));
            return None;
        };
        let (mut entries, mut intact) = (Vec::with_capacity(nodes.len()), true);
        for (key, value) in nodes {
            let here = path.field(&key.text);
            let value = V::decode(value, key.span, &here, out);
            match K::parse(&key.text) {
                Ok(name) => entries.push((Spanned { value: name, span: key.span }, Slot::of(value))),
                Err(faults) => {
                    intact = false;
                    for fault in faults {
                        out.report(key.span, path, fault.draft);
                    }
                }
            }
        }
        Some(Self { span: place, entries, intact })
    }
}

impl<K: Leaf, V: JsonSchema> JsonSchema for Map<K, V> {
    fn schema_name() -> Cow<'static, str> {
        format!("MapOf{}", V::schema_name()).into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<V>();
        json_schema!({ "type": "object", "propertyNames": K::schema(), "additionalProperties": value })
    }
}

/// A list with at least one entry.
#[derive(Debug)]
pub(crate) struct List<T> {
    pub(crate) span: Span,
    pub(crate) items: Vec<Slot<T>>,
}

impl<T> List<T> {
    /// Whether every entry could be read.
    pub(crate) fn intact(&self) -> bool {
        !self.items.iter().any(Slot::is_broken)
    }

    /// The entries that could be read, with their positions.
    pub(crate) fn given(&self) -> impl Iterator<Item = (usize, &T)> {
        self.items.iter().enumerate().filter_map(|(index, item)| item.given().map(|item| (index, item)))
    }
}

impl<T: Decode> Decode for List<T> {
    fn decode(node: &Node, place: Span, path: &Path<'_>, out: &mut Sink) -> Option<Self> {
        let Kind::List(nodes) = &node.kind else {
            out.report(node.span, path, mismatch("a list", node));
            return None;
        };
        items(nodes, place, path, out)
    }
}

fn items<T: Decode>(nodes: &[Rc<Node>], place: Span, path: &Path<'_>, out: &mut Sink) -> Option<List<T>> {
    if nodes.is_empty() {
        out.report(place, path, Draft::new("the list is empty").help("add an entry, or leave the field out"));
        return None;
    }
    let items =
        nodes.iter().enumerate().map(|(index, node)| Slot::of(T::decode(node, node.span, &path.item(index), out)));
    Some(List { span: place, items: items.collect() })
}

impl<T: JsonSchema> JsonSchema for List<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("ListOf{}", T::schema_name()).into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<T>();
        json_schema!({ "type": "array", "items": item, "minItems": 1 })
    }
}

/// A list that may be written without brackets when it has one entry.
#[derive(Debug)]
pub(crate) struct Many<T>(pub(crate) List<T>);

impl<T: Leaf> Decode for Many<Spanned<T>> {
    fn decode(node: &Node, place: Span, path: &Path<'_>, out: &mut Sink) -> Option<Self> {
        match &node.kind {
            Kind::List(nodes) => items(nodes, place, path, out).map(Self),
            Kind::Scalar(_) => {
                let item = Spanned::decode(node, place, path, out)?;
                Some(Self(List { span: place, items: vec![Slot::Given(item)] }))
            }
            Kind::Mapping(_) => {
                out.report(node.span, path, mismatch(&format!("{}, or a list of such", T::EXPECTED), node));
                None
            }
        }
    }
}

impl<T: Leaf> JsonSchema for Many<Spanned<T>> {
    fn schema_name() -> Cow<'static, str> {
        "OneOrMany".into()
    }
    fn schema_id() -> Cow<'static, str> {
        format!("OneOrMany{}", std::any::type_name::<T>()).into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let list = List::<Spanned<T>>::json_schema(generator);
        json_schema!({ "anyOf": [T::schema(), list] })
    }
}

/// A mapping that may be left empty, as in `us-east-1:`.
#[derive(Debug)]
pub(crate) struct Maybe<T>(pub(crate) T);

impl<T: Decode> Decode for Maybe<T> {
    fn decode(node: &Node, place: Span, path: &Path<'_>, out: &mut Sink) -> Option<Self> {
        T::decode(node, place, path, out).map(Self)
    }
}

impl<T: JsonSchema> JsonSchema for Maybe<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("Maybe{}", T::schema_name()).into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [value, { "type": "null" }] })
    }
}

/// The fields of one mapping while they are read.
pub(crate) struct Fields<'n, 'p> {
    entries: &'n [(Key, Rc<Node>)],
    place: Span,
    path: &'p Path<'p>,
}

impl<'n, 'p> Fields<'n, 'p> {
    /// Reports a value that is no mapping, and fields that are not in `known`. Nothing at all counts as an
    /// empty mapping, so that the message names what is missing.
    pub(crate) fn open(
        node: &'n Node,
        place: Span,
        path: &'p Path<'p>,
        known: &[&str],
        out: &mut Sink,
    ) -> Option<Self> {
        let entries: &[(Key, Rc<Node>)] = match &node.kind {
            Kind::Mapping(entries) => entries,
            Kind::Scalar(Scalar { sort: Sort::Null, .. }) => &[],
            Kind::Scalar(_) | Kind::List(_) => {
                let expected = format!("a mapping with {}", listed(known.iter().copied()));
                out.report(node.span, path, mismatch(&expected, node));
                return None;
            }
        };
        for (key, _) in entries {
            // Anchors need a place to be written down: the document's own `x-` fields.
            let extension = matches!(path, Path::Root) && key.text.starts_with("x-");
            if !known.contains(&key.text.as_ref()) && !extension {
                let draft = Draft::new(format!("unknown field {}", quoted(&key.text)))
                    .inside()
                    .help(format!("expected {}", listed(known.iter().copied())))
                    .suggest(closest(&key.text, known.iter().copied()));
                out.report(key.span, path, draft);
            }
        }
        Some(Self { entries, place, path })
    }

    pub(crate) fn optional<T: Decode>(&self, name: &str, out: &mut Sink) -> Slot<T> {
        match self.entries.iter().find(|(key, _)| key.text.as_ref() == name) {
            Some((key, node)) if !node.is_null() => Slot::of(T::decode(node, key.span, &self.path.field(name), out)),
            Some(_) | None => Slot::Absent,
        }
    }

    pub(crate) fn required<T: Decode>(&self, name: &str, out: &mut Sink) -> Slot<T> {
        match self.optional(name, out) {
            Slot::Absent => {
                let place = self.entries.iter().find(|(key, _)| key.text.as_ref() == name);
                let place = place.map_or(self.place, |(key, _)| key.span);
                out.report(place, self.path, Draft::new(format!("missing field {name:?}")).inside());
                Slot::Broken
            }
            slot @ (Slot::Broken | Slot::Given(_)) => slot,
        }
    }
}

/// Declares a mapping with fixed fields: its type, its reading and its schema.
macro_rules! mapping {
    (
        $(#[$meta:meta])*
        struct $name:ident {
            required { $( $(#[$required_meta:meta])* $required:ident: $required_type:ty, )* }
            optional { $( $(#[$optional_meta:meta])* $optional:ident: $optional_type:ty, )* }
        }
    ) => {
        #[derive(Debug, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        #[allow(dead_code, reason = "some fields are only for readers of the file, and not every mapping is pointed at as a whole")]
        $(#[$meta])*
        pub(crate) struct $name {
            $( $(#[$required_meta])* pub(crate) $required: Slot<$required_type>, )*
            $( $(#[$optional_meta])* #[schemars(default)] pub(crate) $optional: Slot<$optional_type>, )*
            #[schemars(skip)]
            pub(crate) span: Span,
        }

        impl Decode for $name {
            fn decode(node: &Node, place: Span, path: &Path<'_>, out: &mut Sink) -> Option<Self> {
                const KNOWN: &[&str] = &[$( stringify!($required), )* $( stringify!($optional), )*];
                let fields = Fields::open(node, place, path, KNOWN, out)?;
                Some(Self {
                    $( $required: fields.required(stringify!($required), out), )*
                    $( $optional: fields.optional(stringify!($optional), out), )*
                    span: place,
                })
            }
        }
    };
}
pub(crate) use mapping;
