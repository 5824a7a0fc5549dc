//! `summarize`: the only function that talks to Slack. One message a run, edited in place, details in its thread.
//!
//! A message on its queue says "look at this run", nothing more. What to post is derived from the ledger, and posted
//! only if it differs from what stands in Slack. Before Slack is called the worker takes a lease, and what Slack
//! answered is stored with it, so two workers never post side by side. One gap remains: a worker that dies after
//! Slack took the *first* message and before its `ts` is stored leaves a message that nobody can edit, and the next
//! worker posts another. Slack offers no idempotency key that would close it.

use std::collections::BTreeMap;

use manifold_core::checkup::{Answer, Misunderstood, Question, SlackSeen, Tried};
use manifold_core::drift::{self, Check, Looked, Note};
use manifold_core::event::{BatchResponse, DecodeError, decode_batch};
use manifold_core::ids::{Nonce, RunId};
use manifold_core::ledger::{CHECK_RETENTION, Commit, Item, Key, Listing, RUN_RETENTION, Versions};
use manifold_core::message::{Message, MessageError, Outgoing, Payload, Queue};
use manifold_core::plan::Channel;
use manifold_core::run::posting::{Decision, Draft, LEASE, Lease, Occasion, Posted, Posting, edit_every};
use manifold_core::summary::notice::Notice;
use manifold_core::summary::{self, Summary, slack};
use manifold_core::time::{Span, Timestamp};
use manifold_ports::batch::{self, OutOfTime, Report};
use manifold_ports::checkup::{LookAtSlack, out_of_time};
use manifold_ports::clock::Clock;
use manifold_ports::ledger::{CommitError, Ledger, LedgerError, Listings};
use manifold_ports::queues::{Queues, SendError};
use manifold_ports::runs::{self, RunError};
use manifold_ports::slack::{MessageRef, Slack, SlackError};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tracing::Instrument;

/// How often what Slack answered is stored again after another writer was first, or the ledger refused for now.
const TRIES: u32 = 10;

/// The function's handler over its ports.
#[derive(Debug)]
pub struct Summarize<L, Q, S, C> {
    /// Where the facts are.
    pub ledger: L,
    /// Where "look again later" goes.
    pub queues: Q,
    /// Slack.
    pub slack: S,
    /// Time and nonces.
    pub clock: C,
}

/// Why a message is to come again.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("a message of another function's does not belong on this queue")]
    Misplaced,
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("failed to record what was posted")]
    Commit(#[from] CommitError),
    #[error("another worker is talking to Slack until {until}")]
    Leased { until: Timestamp },
    #[error(transparent)]
    Slack(#[from] SlackError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error(transparent)]
    OutOfTime(#[from] OutOfTime),
}

/// Whose message it is: a run's, or a drift check's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Subject {
    run: RunId,
    is_check: bool,
}

impl Subject {
    /// The message that has it looked at again.
    fn again(&self) -> Payload {
        match self.is_check {
            true => Note::Tell { check: self.run.clone() }.into(),
            false => Payload::Summarize { run: self.run.clone() },
        }
    }
}

/// What would be posted now.
struct Drafts {
    occasion: Occasion,
    channel: Channel,
    message: summary::Payload,
    thread: Option<summary::Payload>,
    unexplained_since: Option<Timestamp>,
    /// When reading the facts began that they show.
    as_of: Timestamp,
    expires_at: Timestamp,
}

impl<L, Q, S: LookAtSlack, C: Clock> Summarize<L, Q, S, C> {
    /// Answers a checkup: does Slack take the secrets, and know the channels? Nothing is posted. One channel after the
    /// other, as a fleet has few and Slack counts. What `deadline` leaves no time for is unanswered.
    ///
    /// # Errors
    /// The question is another function's.
    pub async fn checkup(&self, question: Question, deadline: Timestamp) -> Result<Answer, Misunderstood> {
        let channels = match question {
            Question::Slack(channels) => channels,
            Question::Fleet
            | Question::Access(_)
            | Question::Preview(_)
            | Question::Discard(_)
            | Question::Inspect(_) => {
                return Err(Misunderstood::Misplaced { function: "summarize" });
            }
        };
        let mut seen = Vec::with_capacity(channels.len());
        for channel in &channels {
            seen.push(match batch::has_time(&self.clock, deadline) {
                true => self.slack.look(channel, deadline).await,
                false => SlackSeen { secret: out_of_time(), token: Tried::NotTried, channel: Tried::NotTried },
            });
        }
        Ok(Answer::Slack(seen))
    }
}

impl<L: Ledger + Listings, Q: Queues, S: Slack, C: Clock> Summarize<L, Q, S, C> {
    /// Handles one SQS batch; a run that is named twice is looked at once. `deadline` is when Lambda ends the
    /// invocation.
    ///
    /// # Errors
    /// The input is not an SQS batch.
    pub async fn handle(&self, input: &Value, deadline: Timestamp) -> Result<BatchResponse, DecodeError> {
        let batch = decode_batch(input)?;
        let mut report = Report::default();
        let mut by_subject: BTreeMap<Subject, Vec<usize>> = BTreeMap::new();
        for (index, record) in batch.records.iter().enumerate() {
            match read(&record.body) {
                Ok(Body::Of(subject)) => by_subject.entry(subject).or_default().push(index),
                Ok(Body::Notice(notice)) => match self.notify(&notice).await {
                    Ok(what) => report.count(what),
                    Err(failure) => report.fail(&record.message_id, record.receive_count, &failure),
                },
                Err(failure) => report.fail(&record.message_id, record.receive_count, &failure),
            }
        }
        for (subject, messages) in by_subject {
            let span = tracing::info_span!("summarize", run = %subject.run);
            let done = match batch::has_time(&self.clock, deadline) {
                true if subject.is_check => self.check(&subject).instrument(span).await,
                true => self.run(&subject).instrument(span).await,
                false => Err(OutOfTime.into()),
            };
            for record in messages.into_iter().filter_map(|index| batch.records.get(index)) {
                match &done {
                    Ok(what) => report.count(what),
                    Err(failure) => report.fail(&record.message_id, record.receive_count, failure),
                }
            }
        }
        Ok(report.close("summarize", batch.records.len()))
    }

    /// Tells what an action of a release pipeline wants to be told, once. A worker that dies over it is followed by another one
    /// when its lease has run out.
    async fn notify(&self, notice: &Notice) -> Result<&'static str, Failure> {
        if notice.channel == Channel::Silent {
            return Ok("silent");
        }
        let key = Key::Notice(notice.id.clone());
        let record = self.ledger.get(std::slice::from_ref(&key)).await?.pop().flatten();
        let mut versions = Versions::default();
        if let Some(record) = &record {
            versions.note(key.clone(), record.version);
        }
        let posting = runs::posting_of(record);
        let now = self.clock.now();
        if posting.message.is_some() || posting.refused.is_some() {
            return Ok("nothing to do");
        }
        if let Some(lease) = posting.lease.as_ref().filter(|lease| lease.until > now) {
            return Err(Failure::Leased { until: lease.until });
        }
        let expires_at = Some(notice.at.plus(RUN_RETENTION));
        let commit = |versions: &Versions, posting: Posting| Commit {
            writes: vec![versions.write(key.clone(), Item::Summary(posting), expires_at)],
            nonce: self.clock.nonce(),
        };
        let lease = Lease { nonce: self.clock.nonce(), until: now.plus(LEASE) };
        self.ledger.commit(commit(&versions, Posting { lease: Some(lease), ..posting.clone() })).await?;
        versions.note(key.clone(), versions.of(&key).unwrap_or(0) + 1);
        let payload = notice.payload();
        let (posting, done) = match self.slack.post(&notice.channel, None, &payload).await {
            Ok(place) => {
                let message = Some(self.posted(place, &digest(&payload)));
                (Posting { message, ..posting.released() }, Ok("posted"))
            }
            Err(SlackError::Refused { code }) => {
                tracing::error!(code, "Slack refused this notice for good");
                (Posting { refused: Some(code), ..posting.released() }, Ok("refused"))
            }
            Err(error @ (SlackError::RateLimited { .. } | SlackError::Unavailable { .. })) => {
                (posting.released(), Err(error.into()))
            }
        };
        self.ledger.commit(commit(&versions, posting)).await?;
        done
    }

    async fn run(&self, of: &Subject) -> Result<&'static str, Failure> {
        let run = &of.run;
        let key = Key::Summary(run.clone());
        let loaded = match runs::load(&self.ledger, run, &[], std::slice::from_ref(&key)).await {
            Ok(loaded) => loaded,
            Err(RunError::Unknown(_)) => return Ok("stray"),
            Err(error) => return Err(error.into()),
        };
        let posting = runs::posting_of(loaded.extra.into_iter().next().flatten());
        let head = loaded.run.head();
        if head.channel == Channel::Silent {
            return Ok("silent");
        }
        let occasion = Occasion {
            targets: head.size(),
            is_final: head.verdict().is_some(),
            can_edit: matches!(head.channel, Channel::Bot { .. }),
            version: loaded.versions.of(&Key::Head(run.clone())).unwrap_or_default(),
        };
        let expires_at = head.opened_at.plus(RUN_RETENTION);
        let nonce = self.clock.nonce();
        if let Some(early) = posting.decide_early(occasion, &nonce, self.clock.now()) {
            return self.without_sending(of, early, &loaded.versions, expires_at).await;
        }
        let as_of = self.clock.now();
        let plan = runs::plan(&self.ledger, run, head.size()).await?;
        let targets = self.ledger.targets(run).await?;
        let summary = Summary::of(head, &plan, &targets);
        let drafts = Drafts {
            occasion,
            channel: head.channel.clone(),
            message: slack::message(&summary),
            thread: match slack::thread(&summary).filter(|_| summary.verdict.is_some()) {
                Some(details) => Some(details),
                // What stands in the thread would go on telling of failures that were mended.
                None if posting.thread.is_some() && summary.verdict.is_some() => Some(slack::thread_cleared(&summary)),
                None => None,
            },
            unexplained_since: summary.ended_at.filter(|_| summary.has_unexplained()),
            as_of,
            expires_at,
        };
        self.bring_up_to_date(of, posting, loaded.versions, &nonce, &drafts).await
    }

    /// Brings the message of a drift check up to date, if it has one.
    async fn check(&self, of: &Subject) -> Result<&'static str, Failure> {
        let run = &of.run;
        let keys = [Key::Check(run.clone()), Key::Summary(run.clone())];
        let as_of = self.clock.now();
        let mut records = self.ledger.get(&keys).await?.into_iter();
        let mut versions = Versions::default();
        let (check, posting) = (records.next().flatten(), records.next().flatten());
        let Some((version, Some(check))) = check.map(|record| (record.version, record.item.take::<Check>())) else {
            return Ok("stray");
        };
        if let Some(posting) = &posting {
            versions.note(keys[1].clone(), posting.version);
        }
        if !check.is_told() {
            return Ok("silent");
        }
        let plan = runs::plan(&self.ledger, run, check.size).await?;
        let looked = self.ledger.list(&Listing::Looked(run.clone())).await?;
        let looked: Vec<Looked> = looked.into_iter().filter_map(|record| record.item.take()).collect();
        let report = drift::report::Report::of(&check, &plan, &looked);
        let drafts = Drafts {
            occasion: Occasion {
                targets: check.size,
                is_final: true,
                can_edit: matches!(check.channel, Channel::Bot { .. }),
                version,
            },
            channel: check.channel.clone(),
            message: drift::report::slack::message(&report),
            thread: drift::report::slack::thread(&report),
            unexplained_since: None,
            as_of,
            expires_at: check.opened_at.plus(CHECK_RETENTION),
        };
        let nonce = self.clock.nonce();
        self.bring_up_to_date(of, runs::posting_of(posting), versions, &nonce, &drafts).await
    }

    async fn bring_up_to_date(
        &self,
        of: &Subject,
        posting: Posting,
        versions: Versions,
        nonce: &Nonce,
        drafts: &Drafts,
    ) -> Result<&'static str, Failure> {
        let digest = digest(&drafts.message);
        // A webhook's message has no thread.
        let thread_digest = drafts.thread.as_ref().filter(|_| drafts.occasion.can_edit).map(self::digest);
        let draft = Draft {
            digest: &digest,
            thread_digest: thread_digest.as_deref(),
            unexplained_since: drafts.unexplained_since,
            as_of: drafts.as_of,
        };
        match posting.decide(drafts.occasion, draft, nonce, self.clock.now()) {
            waiting @ (Decision::Nothing(_) | Decision::Record { .. } | Decision::Later { .. }) => {
                self.without_sending(of, waiting, &versions, drafts.expires_at).await
            }
            Decision::Send { posting } => {
                match self.store(of, &versions, posting.clone(), drafts.expires_at).await {
                    Ok(()) => {}
                    Err(CommitError::Conflict { .. }) => {
                        self.look_again(of, Span::from_seconds(1)).await?;
                        return Ok("later");
                    }
                    Err(error @ CommitError::Ledger(_)) => return Err(error.into()),
                }
                self.post(of, posting, drafts, &digest, thread_digest.as_deref()).await
            }
        }
    }

    /// Nothing is posted now; perhaps somebody is to look again.
    async fn without_sending(
        &self,
        of: &Subject,
        decision: Decision,
        versions: &Versions,
        expires_at: Timestamp,
    ) -> Result<&'static str, Failure> {
        match decision {
            Decision::Later { posting, delay } => {
                match self.store(of, versions, posting, expires_at).await {
                    // After a conflict, too: whoever was first may have promised nothing.
                    Ok(()) | Err(CommitError::Conflict { .. }) => self.look_again(of, delay).await?,
                    Err(error @ CommitError::Ledger(_)) => return Err(error.into()),
                }
                Ok("later")
            }
            Decision::Record { posting } => match self.store(of, versions, posting, expires_at).await {
                // Whoever was first looks for himself.
                Ok(()) | Err(CommitError::Conflict { .. }) => Ok("up to date"),
                Err(error @ CommitError::Ledger(_)) => Err(error.into()),
            },
            Decision::Nothing(why) => {
                tracing::info!(why, "nothing to post");
                Ok("nothing to do")
            }
            // A decision to send is carried out where the draft is.
            Decision::Send { .. } => Ok("nothing to do"),
        }
    }

    /// Talks to Slack, with the lease held, and stores what it answered.
    async fn post(
        &self,
        of: &Subject,
        mut posting: Posting,
        drafts: &Drafts,
        digest: &str,
        thread_digest: Option<&str>,
    ) -> Result<&'static str, Failure> {
        let mut done = self.post_message(&mut posting, drafts, digest).await;
        let details = drafts.thread.as_ref().zip(thread_digest).filter(|_| posting.thread_refused.is_none());
        if let (Ok(()), Some((payload, digest))) = (&done, details) {
            // The first message's place is stored before anything else may fail.
            self.store_own(of, posting.clone(), drafts).await?;
            done = match self.post_thread(&mut posting, drafts, payload, digest).await {
                Err(SlackError::Refused { code }) => {
                    tracing::error!(code, "Slack refused the details for good");
                    posting.thread_refused = Some(code);
                    Ok(())
                }
                other => other,
            };
        }
        let released = posting.released();
        match done {
            Ok(()) => {
                let shown = Some(drafts.occasion.version);
                let compared_at = if drafts.occasion.is_final { Some(drafts.as_of) } else { released.compared_at };
                self.store_own(of, Posting { shown, compared_at, ..released }, drafts).await?;
                // What changed meanwhile found the lease taken, and may have nobody else to show it.
                self.look_again(of, edit_every(drafts.occasion.targets)).await.map(|()| "posted")
            }
            Err(SlackError::RateLimited { retry_after }) => {
                tracing::warn!(%retry_after, "Slack asks to wait");
                self.store_own(of, released, drafts).await?;
                self.look_again(of, retry_after).await.map(|()| "rate limited")
            }
            Err(SlackError::Refused { code }) => {
                tracing::error!(code, "Slack refused this run's summary for good");
                self.store_own(of, Posting { refused: Some(code), ..released }, drafts).await?;
                Ok("refused")
            }
            Err(error @ SlackError::Unavailable { .. }) => {
                self.store_own(of, released, drafts).await?;
                Err(error.into())
            }
        }
    }

    async fn post_message(&self, posting: &mut Posting, drafts: &Drafts, digest: &str) -> Result<(), SlackError> {
        if posting.message.as_ref().is_some_and(|posted| posted.digest == digest) {
            return Ok(());
        }
        let place = self.put(&drafts.channel, posting.message.as_ref(), None, &drafts.message).await?;
        posting.message = Some(self.posted(place, digest));
        Ok(())
    }

    async fn post_thread(
        &self,
        posting: &mut Posting,
        drafts: &Drafts,
        payload: &summary::Payload,
        digest: &str,
    ) -> Result<(), SlackError> {
        if posting.thread.as_ref().is_some_and(|posted| posted.digest == digest) {
            return Ok(());
        }
        let parent = posting.message.as_ref().map(place_of);
        let place = self.put(&drafts.channel, posting.thread.as_ref(), parent.as_ref(), payload).await?;
        posting.thread = Some(self.posted(place, digest));
        Ok(())
    }

    /// Edits the message that stands there, or posts it.
    async fn put(
        &self,
        channel: &Channel,
        standing: Option<&Posted>,
        thread: Option<&MessageRef>,
        payload: &summary::Payload,
    ) -> Result<MessageRef, SlackError> {
        match standing.map(place_of) {
            Some(place) => self.slack.edit(channel, &place, payload).await.map(|()| place),
            None => self.slack.post(channel, thread, payload).await,
        }
    }

    fn posted(&self, place: MessageRef, digest: &str) -> Posted {
        Posted { channel: place.channel, ts: place.ts, digest: digest.to_owned(), at: self.clock.now() }
    }

    async fn store(
        &self,
        of: &Subject,
        versions: &Versions,
        posting: Posting,
        expires_at: Timestamp,
    ) -> Result<(), CommitError> {
        let write = versions.write(Key::Summary(of.run.clone()), Item::Summary(posting), Some(expires_at));
        self.ledger.commit(Commit { writes: vec![write], nonce: self.clock.nonce() }).await
    }

    /// Stores what Slack answered. The lease is ours, so only a promise to look again can have come between. And nobody
    /// else knows the answer: a ledger that refuses for now is asked again as often as one that another writer was
    /// faster at, for a first message whose place is forgotten is posted once more.
    async fn store_own(&self, of: &Subject, posting: Posting, drafts: &Drafts) -> Result<(), Failure> {
        let mut failure = Failure::from(RunError::Contended { run: of.run.clone() });
        for _ in 0..TRIES {
            failure = match self.store_over(of, posting.clone(), drafts.expires_at).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Conflict { .. }) => RunError::Contended { run: of.run.clone() }.into(),
                Err(CommitError::Ledger(error @ LedgerError::Unavailable(_))) => error.into(),
                Err(CommitError::Ledger(error @ (LedgerError::Refused(_) | LedgerError::Unreadable { .. }))) => {
                    return Err(error.into());
                }
            };
        }
        Err(failure)
    }

    /// Stores over what stands there, but for the promise in it.
    async fn store_over(&self, of: &Subject, posting: Posting, expires_at: Timestamp) -> Result<(), CommitError> {
        let key = Key::Summary(of.run.clone());
        let record = self.ledger.get(std::slice::from_ref(&key)).await?.pop().flatten();
        let mut versions = Versions::default();
        if let Some(record) = &record {
            versions.note(key, record.version);
        }
        let promised_at = runs::posting_of(record).promised_at;
        self.store(of, &versions, Posting { promised_at, ..posting }, expires_at).await
    }

    async fn look_again(&self, of: &Subject, delay: Span) -> Result<(), Failure> {
        let payload = of.again();
        self.queues.send(vec![Outgoing { queue: Queue::Summarize, payload, delay }]).await?;
        Ok(())
    }
}

/// What a message asks to be told.
enum Body {
    Of(Subject),
    Notice(Box<Notice>),
}

fn read(body: &str) -> Result<Body, Failure> {
    match Message::decode(body)?.payload {
        Payload::Summarize { run } => Ok(Body::Of(Subject { run, is_check: false })),
        Payload::Drift(Note::Tell { check }) => Ok(Body::Of(Subject { run: check, is_check: true })),
        Payload::Notify { notice } => Ok(Body::Notice(notice)),
        Payload::Start { .. }
        | Payload::Explain { .. }
        | Payload::Ask { .. }
        | Payload::Activate { .. }
        | Payload::Advance { .. }
        | Payload::Command { .. }
        | Payload::Open { .. }
        | Payload::Stop { .. }
        | Payload::Alarms { .. }
        | Payload::Drift(_)
        | Payload::Deadline { .. } => Err(Failure::Misplaced),
    }
}

fn place_of(posted: &Posted) -> MessageRef {
    MessageRef { channel: posted.channel.clone(), ts: posted.ts.clone() }
}

fn digest(payload: &summary::Payload) -> String {
    let text = format!("{}\n{}", payload.text, Value::from(payload.blocks.clone()));
    Sha256::digest(text.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
