//! A message that is no run's: an action of a release pipeline that only wants to tell.

use serde::{Deserialize, Serialize};

use super::Payload;
use super::slack::blocks::Blocks;
use super::slack::mrkdwn::{code, console_link, date, label, prose, revision_link};
use crate::console;
use crate::ids::{AppName, ExecutionRef, PipelineName};
use crate::plan::Channel;
use crate::release::Revision;
use crate::time::Timestamp;

/// The most of what the action wants to say, and of a commit message, in UTF-16 units.
const MOST_PROSE: usize = 300;

/// What an action of a release pipeline tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The job: one message each.
    pub id: String,
    /// The app whose channel it goes to.
    pub app: AppName,
    /// Where it goes.
    pub channel: Channel,
    /// When the action asked for it.
    pub at: Timestamp,
    /// The execution: account, Region and id.
    pub source: ExecutionRef,
    /// The release pipeline.
    pub pipeline: PipelineName,
    /// What it is about to release. Untrusted.
    pub revision: Option<Revision>,
    /// What the action says besides. Untrusted.
    pub words: String,
}

impl Notice {
    /// The message: account, Region, date, pipeline, commit and links.
    #[must_use]
    pub fn payload(&self) -> Payload {
        let Self { source, pipeline, .. } = self;
        let text = format!("{}: {pipeline} in {}", self.app, source.target);
        let link = console::execution(&source.target.region, pipeline, &source.id);
        let mut lines = vec![
            prose(&self.words, MOST_PROSE),
            format!("Pipeline {}", console_link(link.as_deref(), &label(pipeline.as_str(), 100))),
            format!("Account {}, Region {}", source.target.account, source.target.region),
            date(self.at),
        ];
        if let Some(revision) = &self.revision {
            let id = code(revision.short_id(), 60).unwrap_or_default();
            let message = revision.message.as_deref().map(|text| prose(&super::clean::first_line(text), MOST_PROSE));
            let linked = match revision.url.as_deref() {
                Some(url) => revision_link(Some(url), &label(revision.short_id(), 60)),
                None => id,
            };
            lines.push(format!("Commit {linked} {}", message.unwrap_or_default()).trim_end().to_owned());
        }
        lines.retain(|line| !line.is_empty());
        let mut blocks = Blocks::default();
        blocks.header(&text);
        blocks.lines(&lines);
        Payload { text, blocks: blocks.into_values() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(message: &str, url: Option<&str>) -> Notice {
        Notice {
            id: "job".to_owned(),
            app: "web".parse().unwrap(),
            channel: Channel::Silent,
            at: Timestamp::parse_rfc3339("2026-11-28T06:00:00Z").unwrap(),
            source: ExecutionRef {
                target: crate::ids::TargetKey {
                    account: "111122223333".parse().unwrap(),
                    region: "us-east-1".parse().unwrap(),
                },
                id: "3f8c".parse().unwrap(),
            },
            pipeline: "web-release".parse().unwrap(),
            revision: Some(Revision {
                id: "0123456789abcdef0123456789abcdef01234567".to_owned(),
                action: "Source".to_owned(),
                message: Some(message.to_owned()),
                url: url.map(str::to_owned),
                author: None,
                repository: None,
                reference: None,
                authored_at: None,
            }),
            words: "About to go out".to_owned(),
        }
    }

    #[test]
    fn it_says_where_when_and_what() {
        let payload = notice("Fix the basket", Some("https://github.com/example-org/web/commit/0123")).payload();
        let told = serde_json::to_string(&payload.blocks).unwrap();
        for part in [
            "111122223333",
            "us-east-1",
            "2026-11-28",
            "web-release",
            "01234567",
            "Fix the basket",
            "github.com",
            "About to go out",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(told.contains("console.aws.amazon.com"), "{told}");
        assert_eq!(payload.check_limits(), Ok(()));
    }

    #[test]
    fn nothing_of_a_commit_pings_anybody() {
        let told = serde_json::to_string(&notice("<!channel> hi", None).payload().blocks).unwrap();
        assert!(!told.contains("<!channel>"), "{told}");
    }
}
