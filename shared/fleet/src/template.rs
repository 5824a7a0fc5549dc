//! Texts with `{{ names }}`: checked when they are read, so that nothing about them is left to fail later.
//!
//! A template is a text with expressions: a name, optionally with filters, as in
//! `{{ account.name }}-{{ region | replace("-", "") }}`. There are no statements, tests or calculations: every
//! name and every filter is seen before anything is rendered, whatever the values turn out to be.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use manifold_core::ids::{Region, RunId};
use manifold_core::release::Release;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, filters};
use schemars::{Schema, json_schema};

use crate::decode::{Fault, Leaf};
use crate::model::{Account, Hub};
use crate::problem::{Draft, closest, listed};

/// What CodePipeline takes as the value of a variable (API reference, `PipelineVariable`): 1–1000 characters.
pub(crate) const MAX_VALUE_CHARS: usize = 1000;

/// How many characters of a release's message templates see.
const MAX_MESSAGE_CHARS: usize = 200;

/// Every name, and what it depends on. `account.tags.*` stands for the tags.
const NAMES: &[(&str, Uses)] = &[
    ("account.name", Uses::ACCOUNT),
    ("account.id", Uses::ACCOUNT),
    ("account.tags.*", Uses::ACCOUNT),
    ("region", Uses::REGION),
    ("partition", Uses::NOTHING),
    ("app", Uses::NOTHING),
    ("hub.account", Uses::NOTHING),
    ("hub.region", Uses::NOTHING),
    ("run", Uses::RUN),
    ("release.revision", Uses { revision: true, ..Uses::RELEASE }),
    ("release.short_revision", Uses::RELEASE),
    ("release.message", Uses::RELEASE),
    ("release.author", Uses::RELEASE),
    ("release.branch", Uses::RELEASE),
    ("release.repository", Uses::RELEASE),
    ("release.url", Uses::RELEASE),
    ("release.pipeline", Uses::RELEASE),
    ("release.execution", Uses::RELEASE),
];

/// The prefix of a name that is one of the account's own tags.
const TAG: &str = "account.tags.";

/// The prefix of a name that is one of the app's parameters; only in a [`Document`].
const PARAMETER: &str = "parameters.";

/// Every filter. None can fail for one text and not for another, so trying a template once is enough.
const FILTERS: &[&str] = &["default", "lower", "replace", "trim", "upper"];

/// What a template depends on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Uses {
    pub(crate) account: bool,
    pub(crate) region: bool,
    /// The run's id, known when a run opens.
    pub(crate) run: bool,
    /// Anything of the release, known when a run opens.
    pub(crate) release: bool,
    /// The whole revision: what pins a target.
    pub(crate) revision: bool,
}

impl Uses {
    const NOTHING: Self = Self { account: false, region: false, run: false, release: false, revision: false };
    const ACCOUNT: Self = Self { account: true, ..Self::NOTHING };
    const REGION: Self = Self { region: true, ..Self::NOTHING };
    const RUN: Self = Self { run: true, ..Self::NOTHING };
    const RELEASE: Self = Self { release: true, ..Self::NOTHING };
    /// A parameter's value may depend on all of it. Whether it pins is the parameter's business.
    const ANYTHING: Self = Self { account: true, region: true, run: true, release: true, revision: false };

    fn and(self, other: Self) -> Self {
        Self {
            account: self.account || other.account,
            region: self.region || other.region,
            run: self.run || other.run,
            release: self.release || other.release,
            revision: self.revision || other.revision,
        }
    }

    /// Whether the text is decided by the fleet file alone.
    pub(crate) const fn is_static(self) -> bool {
        !self.run && !self.release
    }
}

/// A text whose every name and filter is known. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    source: Arc<str>,
    /// Whether there is anything to render.
    literal: bool,
    uses: Uses,
    names: Arc<[Box<str>]>,
}

impl Template {
    pub(crate) fn uses(&self) -> Uses {
        self.uses
    }

    pub(crate) fn source(&self) -> &Arc<str> {
        &self.source
    }

    pub(crate) fn is_literal(&self) -> bool {
        self.literal
    }

    /// The account's tags that it names.
    pub(crate) fn tags(&self) -> impl Iterator<Item = &str> {
        self.names.iter().filter_map(|name| name.strip_prefix(TAG))
    }

    /// The app's parameters that it names.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.names.iter().filter_map(|name| name.strip_prefix(PARAMETER))
    }

    /// The release's parts that it names, such as `author`.
    fn release_parts(&self) -> impl Iterator<Item = &str> {
        self.names.iter().filter_map(|name| name.strip_prefix("release."))
    }
}

/// The longest AppSpec, rendered or not, in characters: a plan stores 25 targets in one item.
pub(crate) const MAX_DOCUMENT_CHARS: usize = 4096;

/// A longer text that the values of parameters can be put into, by `parameters.<name>`.
#[derive(Debug, Clone)]
pub(crate) struct Document(pub(crate) Template);

impl Leaf for Document {
    const EXPECTED: &'static str = "a text";

    fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        if let Some(fault) = document_fault(text) {
            return Err(Fault::whole(Draft::new(fault)));
        }
        Template::read(text, true).map(Self)
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": MAX_DOCUMENT_CHARS })
    }
}

/// Why a rendered text cannot be a document.
pub(crate) fn document_fault(text: &str) -> Option<String> {
    let length = text.chars().count();
    (length == 0 || length > MAX_DOCUMENT_CHARS)
        .then(|| format!("it has 1 to {MAX_DOCUMENT_CHARS} characters, this one has {length}"))
}

impl Leaf for Template {
    const EXPECTED: &'static str = "a text";

    fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let template = Self::read(text, false)?;
        match value_fault(text).filter(|_| template.literal) {
            Some(fault) => Err(Fault::whole(Draft::new(fault))),
            None => Ok(template),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

impl Template {
    /// Reads a text, in which parameters may or may not be named.
    fn read(text: &str, parameters: bool) -> Result<Self, Vec<Fault>> {
        let plain = !(text.contains("{{") || text.contains("{%") || text.contains("{#"));
        if plain {
            return Ok(Self { source: text.into(), literal: true, uses: Uses::NOTHING, names: Arc::new([]) });
        }
        for (opening, what) in [("{%", "statements"), ("{#", "comments")] {
            if let Some(at) = text.find(opening) {
                let draft = Draft::new(format!("templates have no {what} (`{opening}`)"))
                    .help("only expressions are allowed, as in {{ account.name }}");
                return Err(vec![Fault { part: Some(chars(text, at..at + opening.len())), draft }]);
            }
        }
        let mut environment = environment();
        environment.set_debug(true);
        if let Err(error) = environment.template_from_str(text) {
            let part = error.range().map(|range| chars(text, range));
            let reason = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
            let draft = Draft::new(format!("invalid template: {reason}"))
                .help("expected names with filters, each in {{ and }}, as in {{ release.branch | default(\"main\") }}");
            return Err(vec![Fault { part, draft }]);
        }
        let (names, faults) = names(text, parameters);
        if !faults.is_empty() {
            return Err(faults);
        }
        let uses = names.iter().filter_map(|name| known(name, parameters)).fold(Uses::NOTHING, Uses::and);
        Ok(Self { source: text.into(), literal: false, uses, names: names.into_iter().map(Box::from).collect() })
    }
}

/// Why a rendered text cannot be the value of a pipeline variable.
pub(crate) fn value_fault(text: &str) -> Option<String> {
    let length = text.chars().count();
    if length == 0 {
        Some("a value must not be empty".to_owned())
    } else if length > MAX_VALUE_CHARS {
        Some(format!("a value has at most {MAX_VALUE_CHARS} characters, this one has {length}"))
    } else {
        None
    }
}

/// What a name depends on; `None` for a name that does not exist.
fn known(name: &str, parameters: bool) -> Option<Uses> {
    if parameters && name.strip_prefix(PARAMETER).is_some_and(|name| !name.is_empty() && !name.contains('.')) {
        return Some(Uses::ANYTHING);
    }
    if name.strip_prefix(TAG).is_some_and(|tag| !tag.is_empty() && !tag.contains('.')) {
        return Some(Uses::ACCOUNT);
    }
    NAMES.iter().find(|(known, _)| *known == name && !name.ends_with('*')).map(|(_, uses)| *uses)
}

/// A range of bytes as a range of characters.
fn chars(text: &str, bytes: Range<usize>) -> Range<usize> {
    let count = |end: usize| text.char_indices().take_while(|(at, _)| *at < end).count();
    count(bytes.start)..count(bytes.end)
}

/// The names in a template whose syntax is valid, and what is wrong with its words.
fn names(text: &str, parameters: bool) -> (BTreeSet<&str>, Vec<Fault>) {
    let (mut names, mut faults) = (BTreeSet::new(), Vec::new());
    for (range, is_filter) in words(text) {
        let word = &text[range.clone()];
        let constant = matches!(word, "true" | "false" | "none" | "True" | "False" | "None");
        let draft = if is_filter {
            let draft = Draft::new(format!("unknown filter {word:?}"))
                .help(format!("expected {}", listed(FILTERS.iter().copied())));
            (!FILTERS.contains(&word)).then(|| draft.suggest(closest(word, FILTERS.iter().copied())))
        } else if constant {
            None
        } else if known(word, parameters).is_some() {
            names.insert(word);
            None
        } else {
            Some(unknown(word))
        };
        faults.extend(draft.map(|draft| Fault { part: Some(chars(text, range)), draft }));
    }
    (names, faults)
}

fn unknown(word: &str) -> Draft {
    if matches!(word, "if" | "else" | "and" | "or" | "not" | "in" | "is") {
        return Draft::new(format!("templates do not support {word:?}"))
            .help("only names with filters are allowed, as in {{ account.name | upper }}");
    }
    let all = NAMES.iter().map(|(name, _)| *name);
    let parts: Vec<&str> =
        all.clone().filter(|name| name.strip_prefix(word).is_some_and(|rest| rest.starts_with('.'))).collect();
    if parts.is_empty() {
        // A tag has any name, so that the list of names can't hold what was meant.
        let tag = word
            .strip_prefix("account.")
            .and_then(|rest| rest.split_once('.'))
            .filter(|(group, _)| closest(group, ["tags"]).is_some())
            .map(|(_, tag)| format!("account.tags.{tag}"));
        Draft::new(format!("unknown name {word:?}"))
            .help(format!("expected {}", listed_all(all.clone())))
            .suggest(tag.as_deref().or_else(|| closest(word, all)))
    } else {
        Draft::new(format!("{word:?} is a group of names")).help(format!("expected {}", listed_all(parts)))
    }
}

fn listed_all<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// The words inside of `{{ }}`, dotted names as one, each with whether it stands where a filter stands.
///
/// The text has passed the template parser, so quotes and brackets are balanced.
fn words(text: &str) -> Vec<(Range<usize>, bool)> {
    let bytes = text.as_bytes();
    let is_word = |at: usize| bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_' || !b.is_ascii());
    let skip_blanks = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        at
    };
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(open) = text[at..].find("{{") {
        at += open + 2;
        let mut after_pipe = false;
        while at < bytes.len() && !bytes[at..].starts_with(b"}}") {
            match bytes[at] {
                quote @ (b'"' | b'\'') => {
                    at += 1;
                    while at < bytes.len() && bytes[at] != quote {
                        at += if bytes[at] == b'\\' { 2 } else { 1 };
                    }
                    at += 1;
                }
                byte if byte.is_ascii_digit() => {
                    while is_word(at) {
                        at += 1;
                    }
                    after_pipe = false;
                }
                _ if is_word(at) => {
                    let start = at;
                    loop {
                        while is_word(at) {
                            at += 1;
                        }
                        if bytes.get(at) == Some(&b'.') && is_word(at + 1) { at += 1 } else { break }
                    }
                    found.push((start..at, after_pipe));
                    after_pipe = false;
                }
                byte => {
                    after_pipe = byte == b'|' || (after_pipe && byte.is_ascii_whitespace());
                    at += 1;
                }
            }
        }
        at = skip_blanks(at.min(bytes.len()));
    }
    found
}

/// The template language: expressions over given names, a few filters, nothing undefined, nothing escaped.
fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_debug(false);
    environment.add_filter("default", filters::default);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("replace", filters::replace);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("upper", filters::upper);
    environment
}

/// The compiled templates of a fleet.
#[derive(Debug, Clone)]
pub(crate) struct Templates {
    environment: Environment<'static>,
}

/// What a template's names stand for. What a template does not use may be left out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) base: &'a BTreeMap<&'static str, Value>,
    pub(crate) account: Option<&'a Value>,
    pub(crate) region: Option<&'a Region>,
}

/// Why a template did not render.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RenderError {
    /// The release has no such part, such as `author`.
    Absent(String),
    /// A filter refused what it was given.
    Failed(String),
}

impl Templates {
    pub(crate) fn new() -> Self {
        Self { environment: environment() }
    }

    /// Compiles a template; adding one again changes nothing.
    pub(crate) fn add(&mut self, template: &Template) -> Result<(), RenderError> {
        if template.literal || self.environment.get_template(&template.source).is_ok() {
            return Ok(());
        }
        let source = template.source.to_string();
        self.environment.add_template_owned(source.clone(), source).map_err(|error| failed(&error))
    }

    /// Renders a template that was added.
    pub(crate) fn render(&self, template: &Template, scope: &Scope<'_>) -> Result<Arc<str>, RenderError> {
        if template.literal {
            return Ok(Arc::clone(&template.source));
        }
        let mut names = scope.base.clone();
        if let Some(account) = scope.account {
            names.insert("account", account.clone());
        }
        if let Some(region) = scope.region {
            names.insert("region", Value::from(region.as_str()));
        }
        let compiled = self.environment.get_template(&template.source).map_err(|error| failed(&error))?;
        compiled.render(Value::from(names)).map(Arc::from).map_err(|error| {
            let release = scope.base.get("release");
            let absent =
                |part: &&str| release.is_some_and(|r| r.get_attr(part).is_ok_and(|value| value.is_undefined()));
            match (error.kind(), template.release_parts().find(absent)) {
                (ErrorKind::UndefinedError, Some(part)) => RenderError::Absent(part.to_owned()),
                _ => failed(&error),
            }
        })
    }
}

fn failed(error: &minijinja::Error) -> RenderError {
    RenderError::Failed(error.detail().map_or_else(|| error.kind().to_string(), str::to_owned))
}

/// The names that every template of an app may use.
pub(crate) fn base(app: &str, hub: &Hub) -> BTreeMap<&'static str, Value> {
    let hub_names = [("account", Value::from(hub.account().as_str())), ("region", Value::from(hub.region().as_str()))];
    BTreeMap::from([
        ("app", Value::from(app)),
        ("partition", Value::from(hub.region().partition().as_str())),
        ("hub", Value::from(BTreeMap::from(hub_names))),
    ])
}

/// The names of an account.
pub(crate) fn account(account: &Account) -> Value {
    Value::from(BTreeMap::from([
        ("name", Value::from(account.name())),
        ("id", Value::from(account.id().as_str())),
        ("tags", Value::from(account.tags().clone())),
    ]))
}

/// The names of a run. The message is its first line, cut, so that no commit message can break a deployment.
pub(crate) fn run(run: &RunId, release: &Release) -> [(&'static str, Value); 2] {
    let mut names = BTreeMap::from([
        ("pipeline", Value::from(release.pipeline.as_str())),
        ("execution", Value::from(release.source.id.as_str())),
    ]);
    if let Some(revision) = &release.revision {
        let subject = revision.message.as_deref().map(|message| {
            message.trim_start().lines().next().unwrap_or_default().chars().take(MAX_MESSAGE_CHARS).collect::<String>()
        });
        let parts = [
            ("revision", Some(revision.id.as_str())),
            ("short_revision", Some(revision.short_id())),
            ("message", subject.as_deref()),
            ("author", revision.author.as_deref()),
            ("branch", revision.reference.as_deref()),
            ("repository", revision.repository.as_deref()),
            ("url", revision.url.as_deref()),
        ];
        // An empty part is no part: it could not be the value of a variable.
        let reported =
            parts.into_iter().filter_map(|(name, part)| part.filter(|p| !p.is_empty()).map(|p| (name, Value::from(p))));
        names.extend(reported);
    }
    [("run", Value::from(run.as_str())), ("release", Value::from(names))]
}

/// The names of an invented run whose release has every part, to try templates on.
pub(crate) fn sample_run(app: &str) -> [(&'static str, Value); 2] {
    let parts = NAMES.iter().filter_map(|(name, _)| name.strip_prefix("release."));
    let release: BTreeMap<&str, Value> = parts.map(|part| (part, Value::from(SAMPLE_COMMIT))).collect();
    [("run", Value::from(format!("{app}-{SAMPLE_RUN}"))), ("release", Value::from(release))]
}

/// What an invented release has as each of its parts.
const SAMPLE_COMMIT: &str = "0f3a5b7c9d1e2f400f3a5b7c9d1e2f400f3a5b7c";
/// How the id of an invented run ends.
const SAMPLE_RUN: &str = "0f3a5b7c9d1e2f40";

/// A text that was tried with an invented run as a pattern: `*` for what the run and its release decide.
pub(crate) fn sample_pattern(text: &str) -> String {
    text.replace(SAMPLE_COMMIT, "*").replace(SAMPLE_RUN, "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<(String, Option<String>)> {
        let faults = Template::parse(text).unwrap_err();
        let shown = |fault: Fault| {
            let part = fault.part.map(|part| text.chars().skip(part.start).take(part.len()).collect());
            (fault.draft.message, part)
        };
        faults.into_iter().map(shown).collect()
    }

    fn fault(text: &str) -> (String, String) {
        let mut faults = faults(text);
        assert_eq!(faults.len(), 1, "{faults:?}");
        let (message, part) = faults.remove(0);
        (message, part.unwrap_or_default())
    }

    #[test]
    fn what_a_template_depends_on_is_known_without_rendering_it() {
        let uses = |text: &str| Template::parse(text).unwrap().uses();
        assert_eq!(uses("plain } text { with braces"), Uses::NOTHING);
        assert_eq!(uses("{{ app }}-{{ hub.region }}"), Uses::NOTHING);
        assert_eq!(uses("{{account.tags.stage|upper}}"), Uses::ACCOUNT);
        assert_eq!(uses("{{ region | replace('-', \"}}region\") }}"), Uses::REGION);
        assert_eq!(uses("{{ release.author | default(\"nobody\", true) }}"), Uses::RELEASE);
        assert!(uses("{{ release.revision[:12] }}").revision);
        assert!(!uses("{{ run }}").is_static());
    }

    #[test]
    fn unknown_names_and_filters_are_found_with_their_places() {
        assert_eq!(fault("é {{ acount.name }}"), ("unknown name \"acount.name\"".into(), "acount.name".into()));
        assert_eq!(fault("{{ account }}"), ("\"account\" is a group of names".into(), "account".into()));
        assert_eq!(fault("{{ account.tags }}").0, "\"account.tags\" is a group of names");
        assert_eq!(fault("{{ account.tags.a.b }}").0, "unknown name \"account.tags.a.b\"");
        assert_eq!(fault("{{ region | uper }}"), ("unknown filter \"uper\"".into(), "uper".into()));
        assert_eq!(fault("{{ range(5) }}").0, "unknown name \"range\"");
        assert_eq!(faults("{{ a }}{{ b }}").len(), 2);
    }

    #[test]
    fn statements_and_conditions_are_refused() {
        assert_eq!(fault("{% if app %}x{% endif %}").1, "{%");
        assert_eq!(fault("{# note #}{{ app }}").1, "{#");
        assert_eq!(faults("{{ app if app else region }}").len(), 2);
    }

    #[test]
    fn syntax_errors_are_placed() {
        let (message, part) = fault("{{ region ");
        assert!(message.starts_with("invalid template: "), "{message}");
        assert!(part.len() <= 10, "{part}");
    }

    #[test]
    fn a_part_that_the_release_does_not_have_is_named_unless_there_is_a_default() {
        let mut templates = Templates::new();
        let names = BTreeMap::from([("release", Value::from(BTreeMap::from([("pipeline", "web")])))]);
        let scope = Scope { base: &names, account: None, region: None };
        let mut render = |text: &str| {
            let template = Template::parse(text).unwrap();
            templates.add(&template).unwrap();
            templates.render(&template, &scope)
        };
        assert_eq!(render("by {{ release.author }}"), Err(RenderError::Absent("author".into())));
        assert_eq!(render("by {{ release.author | default('?') }}").as_deref(), Ok("by ?"));
        assert_eq!(render("<{{ release.pipeline | upper }}>.html").as_deref(), Ok("<WEB>.html"));
    }
}
