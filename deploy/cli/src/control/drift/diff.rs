//! `drift diff`: how a target differs from what should be there, comparison by comparison.

use std::collections::BTreeMap;

use anyhow::Result;
use manifold_core::checkup::Tried;
use manifold_core::control::Via;
use manifold_core::drift::check::{Change, Concluded};
use manifold_core::drift::definition::{Difference, differences};
use manifold_core::drift::judge::Judged;
use manifold_core::drift::settle::{Facts as Settling, values};
use manifold_core::drift::sight::PipelineSeen;
use manifold_core::drift::{Aspect, Check, Finding, Looked, Value};
use manifold_core::plan::PlannedTarget;
use manifold_core::summary::text;
use serde_json::json;
use similar::{ChangeTag, TextDiff};

use super::super::site::Site;
use super::options::Diff;
use super::{Desk, WORDS, find};
use crate::args::{EXIT_DRIFT, EXIT_UNSEEN, Output};
use crate::control::EXIT_UNKNOWN;
use crate::paint;

/// So many lines of a value are shown around what differs.
const AROUND: usize = 3;
/// How much of a line of a value is shown.
const LINE: usize = 2_000;

/// One comparison of a target.
struct Compared {
    aspect: Aspect,
    value: Value,
    change: Option<Change>,
    /// What rules hide.
    hidden: Vec<Finding>,
    /// The definition's differences, if both texts are kept.
    definition: Option<Definitions>,
}

/// Two definitions.
struct Definitions {
    /// What the target's own is compared with.
    expected: String,
    /// The target's own.
    found: String,
    /// Where they differ.
    differences: Vec<Difference>,
}

pub(super) async fn diff<S: Site>(options: &Diff, output: Output, desk: &mut Desk<'_, S>) -> Result<u8> {
    let check = match options.of.as_deref() {
        Some(named) => find::named(desk.site, named).await?,
        None => find::last(desk.site, &find::app(desk, options.app.as_deref())?).await?,
    };
    let facts = find::facts(desk.site, check).await?;
    let check = &facts.check;
    let planned = find::target(&facts, &options.target)?;
    let place = format!("{}/{}", planned.account_name, planned.key.region);
    let Some(looked) = facts.looked.iter().find(|looked| looked.index == planned.index) else {
        (desk.tell)(&match output {
            Output::Text => format!("… {place}: {} has not looked at it yet\n", check.run),
            Output::Json => format!("{:#}\n", json!({ "check": check.run, "target": planned.key, "compared": null })),
        })?;
        return Ok(EXIT_UNKNOWN);
    };
    let texts = find::texts(desk.site, check, looked).await?;
    let compared = compare(check, planned, looked, &texts);
    let text = match output {
        Output::Text => paint::summary(&draw(check, &place, planned, looked, &compared)),
        Output::Json => {
            let compared: Vec<_> = compared.iter().map(document).collect();
            let target = json!({
                "account": planned.key.account, "account_name": planned.account_name, "region": planned.key.region,
            });
            format!("{:#}\n", json!({ "check": check.run, "target": target, "compared": compared }))
        }
    };
    (desk.tell)(&text)?;
    let has = |is: fn(&Value) -> bool| compared.iter().any(|compared| is(&compared.value));
    Ok(match (check.closed(), has(is_drifted), has(is_unknown)) {
        (None, _, _) => EXIT_UNKNOWN,
        (Some(_), true, _) => EXIT_DRIFT,
        (Some(_), false, true) => EXIT_UNSEEN,
        (Some(_), false, false) => 0,
    })
}

const fn is_drifted(value: &Value) -> bool {
    matches!(value, Value::Drifted(_))
}

const fn is_unknown(value: &Value) -> bool {
    matches!(value, Value::Unknown(_))
}

fn compare(check: &Check, planned: &PlannedTarget, looked: &Looked, texts: &BTreeMap<String, String>) -> Vec<Compared> {
    let plan = std::slice::from_ref(planned);
    let settling = Settling { check, plan, looked: std::slice::from_ref(looked), standing: &[], last: None, texts };
    values(settling, planned, looked)
        .into_iter()
        .map(|(aspect, Judged { value, hidden, .. })| {
            // What was told is what the check concluded when it ended.
            let (value, change) = match looked.concluded.get(&aspect).cloned() {
                Some(Concluded { value, change }) => (value, Some(change)),
                None => (value, None),
            };
            let definition = match aspect {
                Aspect::Definition if value != Value::InSync => definitions(check, planned, looked, texts),
                Aspect::Revision | Aspect::Definition | Aspect::Health | Aspect::Stack => None,
            };
            Compared { aspect, value, change, hidden, definition }
        })
        .collect()
}

fn pipeline(looked: &Looked) -> Option<&PipelineSeen> {
    let sights = looked.second.iter().chain(std::iter::once(&looked.first));
    sights.filter_map(|sight| sight.pipeline.as_ref()).find_map(Tried::done)
}

/// The definition of a target beside the one that it should have: its baseline, else what most of the others have.
fn definitions(
    check: &Check,
    planned: &PlannedTarget,
    looked: &Looked,
    texts: &BTreeMap<String, String>,
) -> Option<Definitions> {
    let own = pipeline(looked)?;
    let accepted = looked.expected.accepted.get(&Aspect::Definition);
    let (digest, expected) = match (accepted, check.definitions.common()) {
        (Some(accepted), _) if accepted.fingerprint != own.digest => {
            let of = match accepted.by.via {
                Via::Manifold => format!("its baseline of {}", accepted.at),
                Via::Cli | Via::Slack | Via::Pipeline => {
                    format!("its baseline of {}, accepted by {}", accepted.at, accepted.by)
                }
            };
            let why = accepted.why.as_deref().map_or_else(String::new, |why| format!(": {why}"));
            (accepted.fingerprint.as_str(), format!("{of}{why}"))
        }
        (_, Some((common, count))) if common != own.digest => (common, format!("what {count} of the others have")),
        (_, Some(_) | None) => return None,
    };
    let changed = own.updated_at.map_or_else(String::new, |at| format!(", changed at {at}"));
    let found = format!("what is there: version {}{changed}", own.version);
    let mut differences = differences(texts.get(digest)?, texts.get(&own.digest)?);
    differences.retain(|difference| rule(check, planned, Aspect::Definition, Some(&difference.path)).is_none());
    Some(Definitions { expected, found, differences })
}

/// The rule that hides a finding. Rules hold as of the check's opening.
fn rule<'a>(
    check: &'a Check,
    planned: &PlannedTarget,
    aspect: Aspect,
    path: Option<&str>,
) -> Option<&'a manifold_core::drift::Ignore> {
    let rules = check.policy.ignore.iter();
    let mut covering = rules.filter(|rule| rule.covers(&planned.account_name, &planned.key));
    covering.find(|rule| rule.hides(aspect, path, check.opened_at))
}

fn document(compared: &Compared) -> serde_json::Value {
    let differences = compared.definition.as_ref().map(|definition| {
        let each = |difference: &Difference| {
            json!({ "path": difference.path, "expected": difference.expected, "found": difference.found })
        };
        definition.differences.iter().map(each).collect::<Vec<_>>()
    });
    json!({
        "aspect": compared.aspect,
        "result": compared.value,
        "change": compared.change,
        "hidden": compared.hidden,
        "differences": differences,
    })
}

fn draw(check: &Check, place: &str, planned: &PlannedTarget, looked: &Looked, compared: &[Compared]) -> String {
    let has = |is: fn(&Value) -> bool| compared.iter().any(|compared| is(&compared.value));
    let again = looked.second.as_ref().map_or_else(String::new, |second| format!(" and {}", second.at));
    let mut out = format!("{}\n", headed(place, has(is_drifted), has(is_unknown)));
    line(&mut out, "  ", &format!("{}, looked at {}{again}", check.run, looked.first.at));
    for compared in compared {
        out.push('\n');
        section(&mut out, check, planned, compared);
    }
    if has(is_drifted) && check.closed().is_some() {
        out.push_str(&format!("\nWhat to do: {}\n", advice(check, place, compared)));
    }
    out
}

fn headed(what: &str, drifted: bool, unknown: bool) -> String {
    match (drifted, unknown) {
        (true, _) => format!("✖ {what}: drifted"),
        (false, true) => format!("? {what}: unknown"),
        (false, false) => format!("✔ {what}: in sync"),
    }
}

fn section(out: &mut String, check: &Check, planned: &PlannedTarget, compared: &Compared) {
    let head = headed(compared.aspect.name(), is_drifted(&compared.value), is_unknown(&compared.value));
    out.push_str(&format!("{head}{}\n", compared.change.as_ref().map_or_else(String::new, changed)));
    let findings = compared.value.findings();
    match compared.definition.as_ref().filter(|definition| !definition.differences.is_empty()) {
        Some(Definitions { expected, found, differences }) => {
            if let Some(finding) = findings.first() {
                line(out, "  ", &said(finding));
            }
            line(out, "    --- ", expected);
            line(out, "    +++ ", found);
            for difference in differences {
                line(out, "    ", &difference.path);
                against(out, difference.expected.as_deref(), difference.found.as_deref());
            }
        }
        None => {
            let mut before = None;
            for finding in findings {
                let said = said(finding);
                // Several places of one change are told as one.
                if before.as_ref() != Some(&said) {
                    line(out, "  ", &said);
                }
                before = Some(said);
                if let Some(path) = &finding.path {
                    line(out, "    ", path);
                }
                against(out, finding.expected.as_deref(), finding.found.as_deref());
            }
        }
    }
    for finding in &compared.hidden {
        let at = finding.path.as_deref().map_or_else(String::new, |path| format!(" at {path}"));
        let by = rule(check, planned, compared.aspect, finding.path.as_deref());
        let by = by.map_or_else(String::new, |rule| {
            format!(", {} answers for it until {}: {}", rule.owner, rule.until, rule.reason)
        });
        line(out, "  ", &format!("ignored: {}{at}{by}", finding.words));
    }
}

/// A finding in words, with who did it and when.
fn said(finding: &Finding) -> String {
    let by = finding.by.as_deref().map_or_else(String::new, |by| format!(", by {by}"));
    let at = finding.at.map_or_else(String::new, |at| format!(", at {at}"));
    format!("{}{by}{at}", finding.words)
}

fn changed(change: &Change) -> String {
    match change {
        Change::New => ", new".to_owned(),
        Change::Persisting { since } => format!(", since {since}"),
        Change::Other { since, was } => format!(", in another way; since {since}: {}", text::plain(was, WORDS)),
        Change::Resolved { since, was } => format!(" again; since {since}: {}", text::plain(was, WORDS)),
    }
}

fn advice(check: &Check, place: &str, compared: &[Compared]) -> String {
    let app = &check.app;
    let drifted = |aspect: Aspect| {
        let is_it = |compared: &&Compared| compared.aspect == aspect && is_drifted(&compared.value);
        compared.iter().find(is_it)
    };
    // The paths of a stack begin with its name.
    let stack = drifted(Aspect::Stack).and_then(|compared| {
        let path = compared.value.findings().iter().find_map(|finding| finding.path.as_deref())?;
        path.split('/').nth(1)
    });
    let revert = stack.map_or_else(String::new, |stack| {
        format!(
            "; to take the stack back: manifold drift revert {place} {} --app {app} --why TEXT",
            text::plain(stack, 128)
        )
    });
    format!(
        "mend it; or, if it is meant: manifold drift accept {place} --app {app} --why TEXT; or, if it is for a while: \
         manifold drift ignore {place} --app {app} --owner NAME --why TEXT --until DATE{revert}"
    )
}

/// What should be there against what is, line by line.
fn against(out: &mut String, expected: Option<&str>, found: Option<&str>) {
    let (expected, found) = (spread(expected), spread(found));
    let diff = TextDiff::from_lines(expected.as_str(), found.as_str());
    for (position, group) in diff.grouped_ops(AROUND).iter().enumerate() {
        if position > 0 {
            line(out, "    ", "…");
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Equal => ' ',
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            };
            let words = change.value().trim_start_matches(' ');
            let indent = " ".repeat(change.value().len() - words.len());
            line(out, &format!("    {sign} {indent}"), words);
        }
    }
}

/// A value a line each, as JSON if it is some; nothing if there is none.
fn spread(value: Option<&str>) -> String {
    let Some(value) = value else { return String::new() };
    let json = serde_json::from_str::<serde_json::Value>(value).ok();
    let pretty = json.filter(|json| json.is_object() || json.is_array()).map(|json| format!("{json:#}\n"));
    pretty.unwrap_or_else(|| format!("{value}\n"))
}

/// One line. What comes after the indent is somebody else's.
fn line(out: &mut String, indent: &str, words: &str) {
    let line = format!("{indent}{}", text::plain(words, LINE));
    out.push_str(line.trim_end());
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(expected: Option<&str>, found: Option<&str>) -> String {
        let mut out = String::new();
        against(&mut out, expected, found);
        out
    }

    #[test]
    fn words_stand_below_each_other() {
        assert_eq!(drawn(Some("svc"), Some("svc-hotfix")), "    - svc\n    + svc-hotfix\n");
        assert_eq!(drawn(None, Some("x")), "    + x\n");
        assert_eq!(drawn(None, None), "");
    }

    #[test]
    fn of_json_only_what_differs_is_shown_with_what_stands_around_it() {
        let expected = r#"{"a":1,"b":{"c":[1,2,3],"d":4},"e":5,"f":6,"g":7,"h":8,"i":9}"#;
        let found = expected.replace("\"d\":4", "\"d\":5");
        let shown = drawn(Some(expected), Some(&found));
        let around = "            2,\n            3\n          ],\n    -     \"d\": 4\n    +     \"d\": 5\n        },\n        \"e\": 5,\n        \"f\": 6,\n";
        assert_eq!(shown, around);
    }

    #[test]
    fn nothing_of_what_is_shown_moves_the_cursor() {
        let shown = drawn(Some("a\u{1b}[2Jb"), Some("a\u{202e}b\rc"));
        assert_eq!(shown, "    - a[2Jb\n    + ab\n    + c\n");
    }
}
