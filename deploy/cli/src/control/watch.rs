//! `watch`: a run, live, until its verdict.

use anyhow::Result;
use manifold_core::ids::RunId;
use manifold_core::summary::text;

use super::options::Watch;
use super::site::Site;
use super::{Desk, find};
use crate::args::{Output, exit_status};
use crate::paint;
use crate::progress::{Follow, MOST_ROWS};

pub(super) async fn watch<S: Site>(options: &Watch, desk: &mut Desk<'_, S>) -> Result<u8> {
    let run = find::run(desk.site, &options.run).await?;
    follow(desk, &run, options.common.output).await
}

/// Follows a run until its verdict, which is the exit status.
pub(super) async fn follow<S: Site>(desk: &mut Desk<'_, S>, run: &RunId, output: Output) -> Result<u8> {
    let mut progress = match output {
        Output::Json => Follow::off(),
        Output::Text => Follow::new(desk.live),
    };
    let mut waited = Vec::new();
    loop {
        let now = desk.site.now();
        let head = find::head(desk.site, run).await?.ok_or_else(|| anyhow::anyhow!("there is no run {run}"))?;
        let verdict = head.verdict();
        // A large run is shown by wave: its targets would be megabytes, every other second.
        let facts = match verdict.is_some() || head.size() as usize <= MOST_ROWS {
            true => Some(find::facts(desk.site, run).await?),
            false => None,
        };
        let summary = facts.as_ref().map(find::Facts::summary);
        let targets = summary.as_ref().map(|summary| summary.targets.clone());
        let holds: Vec<String> =
            head.hold(now).and(summary.as_ref()).map(|now| now.waits_for.clone()).unwrap_or_default();
        for line in progress.show(head, targets, now, verdict.is_some()) {
            (desk.tell)(&line)?;
        }
        if output == Output::Text && !desk.live && holds != waited {
            for wait in &holds {
                (desk.tell)(&format!("{:>12}  waits for {}\n", "", text::plain(wait, 200)))?;
            }
            waited = holds;
        }
        if let (Some(verdict), Some(summary)) = (verdict, summary) {
            progress.finish();
            match output {
                Output::Json => (desk.tell)(&format!("{:#}\n", serde_json::json!({ "summary": summary })))?,
                Output::Text => (desk.tell)(&format!("\n{}", paint::summary(&text::render(&summary))))?,
            }
            return Ok(exit_status(Some(verdict)));
        }
        desk.site.pass().await?;
    }
}
