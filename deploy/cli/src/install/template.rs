//! The three templates as CloudFormation gets them, and the parameters that each of them has.

use super::options::Kind;

/// What CloudFormation takes in a call; more has to lie in S3 ("CloudFormation quotas": 51,200 bytes in a request, 1 MB in
/// an S3 object).
pub(crate) const MOST_INLINE: usize = 51_200;

const HUB: &str = include_str!("../../../hub.yaml");
const MEMBER: &str = include_str!("../../../member-account.yaml");
const REGION: &str = include_str!("../../../member-region.yaml");

/// What the names of the parameters end with that hold the S3 keys of the functions' packages.
const CODE_KEY: &str = "CodeKey";

/// One of the three templates.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    /// Its text, without comments: they explain the file to its readers, and count against the limit.
    pub(crate) body: String,
    /// Its parameters in the order of the file.
    pub(crate) parameters: Vec<Parameter>,
}

/// A parameter of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameter {
    /// Its name.
    pub(crate) name: String,
    /// Whether it may be left out.
    pub(crate) has_default: bool,
}

impl Template {
    /// The template of that kind.
    pub(crate) fn of(kind: Kind) -> Self {
        let text = match kind {
            Kind::Hub => HUB,
            Kind::Member => MEMBER,
            Kind::Region => REGION,
        };
        Self { body: without_comments(text), parameters: parameters(text) }
    }

    /// Whether it has a parameter of that name.
    pub(crate) fn declares(&self, name: &str) -> bool {
        self.parameters.iter().any(|parameter| parameter.name == name)
    }

    /// The functions whose packages it asks for, by the parameter that takes the key: `DispatchCodeKey` asks for `dispatch`.
    pub(crate) fn functions(&self) -> impl Iterator<Item = (&str, String)> {
        self.parameters.iter().filter_map(|parameter| {
            let function = parameter.name.strip_suffix(CODE_KEY)?;
            Some((parameter.name.as_str(), kebab(function)))
        })
    }
}

/// `DispatchRetry` as `dispatch-retry`, the way functions and roles are named.
pub(crate) fn kebab(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for (index, letter) in name.chars().enumerate() {
        if letter.is_ascii_uppercase() && index > 0 {
            text.push('-');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

fn without_comments(text: &str) -> String {
    let kept = text.lines().filter(|line| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with('#')
    });
    let mut body: String = kept.collect::<Vec<_>>().join("\n");
    body.push('\n');
    body
}

/// Read line by line: the templates are ours, and a test holds this against a reader of YAML.
fn parameters(text: &str) -> Vec<Parameter> {
    let section = text.lines().skip_while(|line| *line != "Parameters:").skip(1);
    let section = section.take_while(|line| line.is_empty() || line.starts_with([' ', '#']));
    let mut parameters: Vec<Parameter> = Vec::new();
    for line in section {
        let indent = line.len() - line.trim_start().len();
        match (indent, line.trim().split_once(':'), parameters.last_mut()) {
            (2, Some((name, "")), _) if !name.starts_with('#') => {
                parameters.push(Parameter { name: name.to_owned(), has_default: false });
            }
            (4, Some(("Default", _)), Some(parameter)) => parameter.has_default = true,
            _ => {}
        }
    }
    parameters
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use saphyr_parser::{Event, Parser};

    use super::*;

    const ALL: [(Kind, &str); 3] = [(Kind::Hub, HUB), (Kind::Member, MEMBER), (Kind::Region, REGION)];

    /// Everything that a reader of YAML finds, without places.
    fn events(text: &str) -> Vec<String> {
        Parser::new_from_str(text).map(|event| event.unwrap().0).map(|event| format!("{event:?}")).collect()
    }

    #[test]
    fn without_its_comments_a_template_says_the_same() {
        for (kind, text) in ALL {
            let template = Template::of(kind);
            assert!(template.body.len() < text.len());
            assert_eq!(events(&template.body), events(text), "{kind}");
        }
    }

    /// The paths of all keys of a template, by a reader of YAML.
    fn paths(text: &str) -> BTreeSet<String> {
        let mut paths = BTreeSet::new();
        // Of each open mapping or list: its path, and in a mapping the key whose value comes next.
        let mut open: Vec<(String, bool, Option<String>)> = Vec::new();
        for event in Parser::new_from_str(text) {
            let path = |open: &[(String, bool, Option<String>)]| match open.last() {
                Some((path, _, Some(key))) => format!("{path}/{key}"),
                Some((path, ..)) => format!("{path}/-"),
                None => String::new(),
            };
            match event.unwrap().0 {
                Event::MappingStart(..) => open.push((path(&open), true, None)),
                Event::SequenceStart(..) => open.push((path(&open), false, None)),
                Event::MappingEnd | Event::SequenceEnd => {
                    open.pop();
                    if let Some((_, true, key)) = open.last_mut() {
                        *key = None;
                    }
                }
                Event::Scalar(text, ..) => {
                    if let Some((path, true, key)) = open.last_mut() {
                        match key.take() {
                            Some(_) => {}
                            None => {
                                paths.insert(format!("{path}/{text}"));
                                *key = Some(text.into_owned());
                            }
                        }
                    }
                }
                Event::Nothing
                | Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(_)
                | Event::DocumentEnd
                | Event::Alias(_) => {}
            }
        }
        paths
    }

    #[test]
    fn every_parameter_is_found_with_its_default() {
        for (kind, text) in ALL {
            let paths = paths(text);
            let expected: BTreeSet<(String, bool)> = paths
                .iter()
                .filter_map(|path| path.strip_prefix("/Parameters/"))
                .filter(|name| !name.contains('/'))
                .map(|name| (name.to_owned(), paths.contains(&format!("/Parameters/{name}/Default"))))
                .collect();
            let found = Template::of(kind).parameters.into_iter();
            let found: BTreeSet<_> = found.map(|parameter| (parameter.name, parameter.has_default)).collect();
            assert!(found.len() > 4, "{kind}: {found:?}");
            assert_eq!(found, expected, "{kind}");
        }
    }

    #[test]
    fn the_functions_are_those_that_the_hub_has_a_key_for() {
        let functions: Vec<String> = Template::of(Kind::Hub).functions().map(|(_, function)| function).collect();
        for function in ["dispatch", "deploy", "collect", "summarize"] {
            assert!(functions.iter().any(|known| known == function), "{functions:?}");
        }
        assert_eq!(Template::of(Kind::Member).functions().count(), 0);
        assert_eq!(kebab("DriftCheck"), "drift-check");
    }
}
