//! `manifold doctor`: asks the hub's functions what a rollout would meet, and tells what mends it.

mod draw;
mod inquiry;
pub(crate) mod options;

use std::process::ExitCode;

use anyhow::Result;
use console::Term;
use futures::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use manifold_core::checkup::{
    AccessSeen, Answer, Entry, HubSeen, HubTrouble, Inspected, Inspection, Place, Question, Report, SlackSeen,
    SpotSeen, State, Subject, judge_bus, judge_channel, judge_fleet_file, judge_function, judge_release, judge_target,
};
use manifold_core::plan::{Channel, SecretRef};

use crate::args::Output;
use crate::hub::Hub;
use crate::{aws, input, print, validate};
use inquiry::Inquiry;
use options::Doctor;

/// How many targets one invocation is asked for: a second's work, well within its minute also when AWS is slow.
const CHUNK: usize = 48;
/// How many invocations are under way at once.
const AT_ONCE: usize = 8;

pub(crate) fn doctor(options: &Doctor) -> Result<ExitCode> {
    let (_, fleet) = validate::read(&options.fleet, "nothing was looked at")?;
    let name = input::name(&options.fleet);
    let inquiry = Inquiry::new(&fleet, options)?;
    let report = aws::runtime()?.block_on(async {
        let session = aws::Session::load(options.profile.as_deref(), fleet.hub().region()).await?;
        session.expect_account(fleet.hub().account(), "the hub")?;
        let hub = Hub::new(&session, &options.prefix);
        let progress = progress(options.output, &inquiry);
        let answers = ask(&hub, &inquiry, &progress).await;
        progress.finish_and_clear();
        Ok::<_, anyhow::Error>(assemble(&hub, fleet.digest(), &inquiry, &answers))
    })?;
    let head = draw::Head { fleet: &name, hub: fleet.hub(), prefix: &options.prefix };
    print(|out| match options.output {
        Output::Text => draw::text(out, &head, &report),
        Output::Json => draw::json(out, &head, &report),
    })?;
    Ok(ExitCode::from(exit_status(report.state())))
}

const fn exit_status(state: State) -> u8 {
    match state {
        State::Ok | State::Untriable => 0,
        State::Fails => 1,
        State::Unknown => 3,
    }
}

/// A bar on a terminal; nothing elsewhere.
fn progress(output: Output, inquiry: &Inquiry) -> ProgressBar {
    if output == Output::Json || !Term::stderr().is_term() || console::is_dumb() {
        return ProgressBar::hidden();
    }
    let looks = inquiry.targets.len() + inquiry.spots.len();
    let bar = ProgressBar::new(u64::try_from(looks).unwrap_or(u64::MAX));
    // A template that does not parse would leave the default: a bar all the same.
    if let Ok(style) = ProgressStyle::with_template("  {spinner} looking at targets {pos}/{len} {wide_bar} {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(80));
    bar
}

/// What the functions said; `None` where one did not answer.
#[derive(Default)]
struct Answers {
    digest: Option<String>,
    access: Vec<Option<AccessSeen>>,
    inspect_role: Option<String>,
    hub: Option<HubSeen>,
    spots: Vec<Option<SpotSeen>>,
    slack: Vec<Option<SlackSeen>>,
    /// By function, in the order in which they are told.
    troubles: Vec<(&'static str, Option<HubTrouble>)>,
}

async fn ask(hub: &Hub, inquiry: &Inquiry, progress: &ProgressBar) -> Answers {
    let (fleet, collect, sweep, slack, (access, access_trouble), (inspected, inspect_trouble)) = futures::join!(
        hub.ask("dispatch", &Question::Fleet),
        hub.knock("collect"),
        hub.knock("sweep"),
        ask_slack(hub, inquiry),
        ask_access(hub, inquiry, progress),
        ask_inspect(hub, inquiry, progress),
    );
    let (digest, fleet_trouble) = match fleet {
        Ok(Answer::Fleet { digest }) => (Some(digest), None),
        Ok(other) => (None, Some(another(&other))),
        Err(trouble) => (None, Some(trouble)),
    };
    let (slack, slack_trouble) = slack;
    Answers {
        digest,
        access,
        inspect_role: inspected.role,
        hub: inspected.hub,
        spots: inspected.spots,
        slack,
        troubles: vec![
            ("dispatch", fleet_trouble),
            ("deploy", access_trouble),
            ("collect", collect.err()),
            ("summarize", slack_trouble),
            ("sweep", sweep.err()),
            ("inspect", inspect_trouble),
        ],
    }
}

/// A function that answers another question than it was asked.
fn another(answer: &Answer) -> HubTrouble {
    let kind = match answer {
        Answer::Fleet { .. } => "dispatch's",
        Answer::Access(_) | Answer::Preview(_) | Answer::Discarded(_) => "deploy's",
        Answer::Inspect(_) => "inspect's",
        Answer::Slack(_) => "summarize's",
    };
    HubTrouble::Failed { message: format!("it gave {kind} answer, or one of another length") }
}

async fn ask_slack(hub: &Hub, inquiry: &Inquiry) -> (Vec<Option<SlackSeen>>, Option<HubTrouble>) {
    let channels: Vec<Channel> = inquiry.channels.iter().map(|(channel, _)| channel.clone()).collect();
    let nothing = vec![None; channels.len()];
    match hub.ask("summarize", &Question::Slack(channels)).await {
        Ok(Answer::Slack(seen)) if seen.len() == nothing.len() => (seen.into_iter().map(Some).collect(), None),
        Ok(other) => (nothing, Some(another(&other))),
        Err(trouble) => (nothing, Some(trouble)),
    }
}

/// Asks for nothing first: a function that is not there, or is older, is asked once only.
async fn ask_access(
    hub: &Hub,
    inquiry: &Inquiry,
    progress: &ProgressBar,
) -> (Vec<Option<AccessSeen>>, Option<HubTrouble>) {
    if let Err(trouble) = hub.ask("deploy", &Question::Access(Vec::new())).await {
        return (vec![None; inquiry.targets.len()], Some(trouble));
    }
    let places: Vec<Place> = inquiry.targets.iter().map(|target| target.expected.place.clone()).collect();
    let asks = places.chunks(CHUNK).map(|chunk| async move {
        let done = hub.ask("deploy", &Question::Access(chunk.to_vec())).await;
        progress.inc(u64::try_from(chunk.len()).unwrap_or(0));
        match done {
            Ok(Answer::Access(seen)) if seen.len() == chunk.len() => (seen.into_iter().map(Some).collect(), None),
            Ok(other) => (vec![None; chunk.len()], Some(another(&other))),
            Err(trouble) => (vec![None; chunk.len()], Some(trouble)),
        }
    });
    let done: Vec<(Vec<_>, Option<HubTrouble>)> = stream::iter(asks).buffered(AT_ONCE).collect().await;
    let trouble = done.iter().find_map(|(_, trouble)| trouble.clone());
    (done.into_iter().flat_map(|(seen, _)| seen).collect(), trouble)
}

#[derive(Default)]
struct Sight {
    role: Option<String>,
    hub: Option<HubSeen>,
    spots: Vec<Option<SpotSeen>>,
}

/// Asks for the hub first, for the same reason.
async fn ask_inspect(hub: &Hub, inquiry: &Inquiry, progress: &ProgressBar) -> (Sight, Option<HubTrouble>) {
    let nothing = || Sight { spots: vec![None; inquiry.spots.len()], ..Sight::default() };
    let first = Question::Inspect(Inspection { hub: Some(inquiry.hub.clone()), spots: Vec::new() });
    let (role, hub_seen) = match hub.ask("inspect", &first).await {
        Ok(Answer::Inspect(Inspected { role, hub: Some(seen), .. }))
            if seen.releases.len() == inquiry.hub.releases.len() =>
        {
            (role, seen)
        }
        Ok(other) => return (nothing(), Some(another(&other))),
        Err(trouble) => return (nothing(), Some(trouble)),
    };
    let asks = inquiry.spots.chunks(CHUNK).map(|chunk| async move {
        let question = Question::Inspect(Inspection { hub: None, spots: chunk.to_vec() });
        let done = hub.ask("inspect", &question).await;
        progress.inc(u64::try_from(chunk.len()).unwrap_or(0));
        match done {
            Ok(Answer::Inspect(Inspected { spots, .. })) if fits(&spots, chunk) => {
                (spots.into_iter().map(Some).collect(), None)
            }
            Ok(other) => (vec![None; chunk.len()], Some(another(&other))),
            Err(trouble) => (vec![None; chunk.len()], Some(trouble)),
        }
    });
    let done: Vec<(Vec<_>, Option<HubTrouble>)> = stream::iter(asks).buffered(AT_ONCE).collect().await;
    let trouble = done.iter().find_map(|(_, trouble)| trouble.clone());
    let spots = done.into_iter().flat_map(|(seen, _)| seen).collect();
    (Sight { role: Some(role), hub: Some(hub_seen), spots }, trouble)
}

/// Whether an answer is as long as its question, all through.
fn fits(seen: &[SpotSeen], asked: &[manifold_core::checkup::Spot]) -> bool {
    seen.len() == asked.len() && seen.iter().zip(asked).all(|(seen, asked)| seen.pipelines.len() == asked.started.len())
}

fn assemble(hub: &Hub, digest: &str, inquiry: &Inquiry, answers: &Answers) -> Report {
    let part = |part: String| Subject::Hub { part };
    let mut entries: Vec<Entry> = answers
        .troubles
        .iter()
        .map(|(function, trouble)| {
            let name = hub.name(function);
            Entry { findings: vec![judge_function(&name, trouble.as_ref())], subject: part(name) }
        })
        .collect();
    entries.push(Entry {
        subject: part("fleet file".to_owned()),
        findings: vec![judge_fleet_file(digest, answers.digest.as_deref())],
    });
    entries.push(Entry {
        subject: part(format!("bus {}", inquiry.hub.bus)),
        findings: vec![judge_bus(&inquiry.hub.bus, answers.hub.as_ref())],
    });
    for (index, release) in inquiry.hub.releases.iter().enumerate() {
        let seen = answers.hub.as_ref().and_then(|hub| hub.releases.get(index));
        entries.push(Entry {
            subject: part(format!("release pipeline {} in {}", release.name, release.region)),
            findings: vec![judge_release(release, seen)],
        });
    }
    let bus = answers.hub.as_ref().map(|hub| &hub.bus);
    let inspect_role = answers.inspect_role.as_deref().unwrap_or("ManifoldInspect");
    for (index, target) in inquiry.targets.iter().enumerate() {
        let access = answers.access.get(index).and_then(Option::as_ref);
        let (spot, pipeline) = target.at;
        let spot = answers.spots.get(spot).and_then(Option::as_ref);
        let spot = spot.and_then(|spot| Some((spot, spot.pipelines.get(pipeline)?)));
        entries.push(Entry {
            subject: target.subject.clone(),
            findings: judge_target(&target.expected, access, spot, bus, inspect_role),
        });
    }
    for (index, (channel, apps)) in inquiry.channels.iter().enumerate() {
        let seen = answers.slack.get(index).and_then(Option::as_ref);
        entries.push(Entry {
            subject: Subject::Slack { channel: channel_name(channel), apps: apps.clone() },
            findings: judge_channel(channel, seen),
        });
    }
    Report { entries }
}

fn channel_name(channel: &Channel) -> String {
    match channel {
        Channel::Bot { channel, .. } => format!("channel {channel}"),
        Channel::Webhook { url: SecretRef::SecretsManager(name) | SecretRef::Ssm(name) } => format!("webhook {name}"),
        Channel::Silent => "silent".to_owned(),
    }
}
