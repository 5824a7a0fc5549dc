//! Who edited a pipeline, as CloudTrail recorded it. The look-up has a permission of its own; without it nothing else is
//! missed.

use aws_sdk_cloudtrail::Client;
use aws_sdk_cloudtrail::types::{Event, LookupAttribute, LookupAttributeKey};
use manifold_core::drift::sight::{MOST_EXECUTIONS, Trace};
use manifold_core::ids::PipelineName;
use serde_json::Value;

use super::time;
use crate::failure::{Failure, Kind};

/// The one API that edits a pipeline. Other services have one of the same name.
const UPDATE: &str = "UpdatePipeline";
/// Whose events are meant.
const SOURCE: &str = "codepipeline.amazonaws.com";
/// "The default is 50. The maximum possible is 50" (`LookupEvents`, `MaxResults`).
const PAGE: i32 = 50;
/// Each page is a call, of which an account has two a second in a Region (`LookupEvents`).
const MOST_PAGES: usize = 3;

/// The updates of a pipeline in the last 90 days, as far as CloudTrail remembers ("Working with CloudTrail Event history"),
/// newest first.
///
/// They are looked up by the API's name: a look-up takes one attribute, and which resources CloudTrail notes with
/// CodePipeline's events is not documented. Which pipeline it was is in the request.
pub(super) async fn updates(client: Client, name: &PipelineName) -> Result<Vec<Trace>, Failure> {
    let attribute = LookupAttribute::builder().attribute_key(LookupAttributeKey::EventName).attribute_value(UPDATE);
    let attribute = attribute.build().map_err(|error| Failure {
        kind: Kind::Refused,
        code: "ValidationException".to_owned(),
        message: error.to_string(),
    })?;
    let request = client.lookup_events().lookup_attributes(attribute).max_results(PAGE);
    let mut pages = request.into_paginator().send();
    let mut found = Vec::new();
    for _ in 0..MOST_PAGES {
        let Some(page) = pages.next().await else { break };
        let events = page.map_err(|error| Failure::of(&error))?.events.unwrap_or_default();
        found.extend(events.iter().filter_map(|event| trace(event, name)));
        if found.len() >= MOST_EXECUTIONS {
            break;
        }
    }
    found.truncate(MOST_EXECUTIONS);
    Ok(found)
}

fn trace(event: &Event, name: &PipelineName) -> Option<Trace> {
    let ours = event.event_source.as_deref() == Some(SOURCE);
    let record: Value = serde_json::from_str(event.cloud_trail_event.as_deref().filter(|_| ours)?).ok()?;
    // One that was refused edited nothing.
    if record["requestParameters"]["pipeline"]["name"] != name.as_str() || record.get("errorCode").is_some() {
        return None;
    }
    let arn = record["userIdentity"]["arn"].as_str().and_then(|arn| arn.rsplit('/').next());
    Some(Trace {
        event: event.event_name.clone()?,
        by: event.username.clone().or_else(|| arn.map(str::to_owned))?,
        at: time(event.event_time)?,
        resource: name.to_string(),
    })
}
