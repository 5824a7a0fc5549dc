//! What a sweep finds in a run's state: nothing where nothing is lost, else what was, soon, and less and less often.

use manifold_core::event::PipelineState::{self, Canceled, Failed, Resumed, Started, Stopped, Succeeded};
use manifold_core::message::{MOST_ASKED, Outgoing, Payload};
use manifold_core::plan::{Channel, SecretRef};
use manifold_core::run::posting::{Lease, Posted, Posting};
use manifold_core::run::sweep::{Look, OpenRun, PAGE, QUIET, View};
use manifold_core::run::{Event, Observation, Outcome, Run, Standing, Status, Told, Verdict};
use manifold_core::time::{Span, Timestamp};

use super::play::{DEADLINE, LEASE, Play, key, later, plan, released_at, run_id};

/// A run's open item, looked at every minute.
struct Watch {
    open: OpenRun,
    posting: Option<Posting>,
    version: u64,
}

impl Watch {
    fn of(play: &Play) -> Self {
        Self { open: OpenRun::new(play.head.run.clone()), posting: None, version: 1 }
    }

    /// One tick: what is sent, in words; `done` when nothing is left to do.
    fn tick(&mut self, play: &Play) -> Vec<String> {
        self.tick_with(play, u32::MAX)
    }

    fn tick_with(&mut self, play: &Play, pages: u32) -> Vec<String> {
        let Self { posting, version, .. } = &*self;
        let view = View { head: &play.head, version: *version, queue: &play.queue, posting: posting.as_ref() };
        let (mut open, messages) = match self.open.clone().look(view, play.now) {
            Look::Done { untold: false } => return vec!["done".to_owned()],
            Look::Done { untold: true } => return vec!["given up".to_owned()],
            Look::Open { open, messages } => (open, messages),
        };
        let mut said: Vec<String> = messages.into_iter().map(words).collect();
        for _ in 0..pages {
            let Some((first, end)) = open.next_page(&play.head) else { break };
            assert!(first < end && end - first <= PAGE);
            let planned = &play.plan.targets[first as usize..end as usize];
            let targets: Vec<_> = planned.iter().filter_map(|at| play.targets.get(&at.key)).cloned().collect();
            said.extend(open.look_at(&play.head, end, planned, &targets).into_iter().map(words));
        }
        self.open = open.looked(&play.head);
        said
    }

    /// Ticks every minute for so many minutes: what was said, with the minute.
    fn minutes(&mut self, play: &mut Play, minutes: i64) -> Vec<String> {
        let mut said = Vec::new();
        for minute in 1..=minutes {
            play.wait(Span::from_minutes(1));
            said.extend(self.tick(play).into_iter().map(|words| format!("{minute}: {words}")));
        }
        said
    }
}

fn words(message: Outgoing) -> String {
    match message.payload {
        Payload::Start { index, attempt, .. } => format!("start {index} attempt {attempt}"),
        Payload::Ask { targets, .. } => {
            assert!(targets.len() <= MOST_ASKED && targets.iter().all(|at| at.account == targets[0].account));
            let index =
                |at: &manifold_core::ids::TargetKey| (0..10_000).find(|index| key(*index) == *at).unwrap().to_string();
            format!("ask {}", targets.iter().map(index).collect::<Vec<_>>().join(" "))
        }
        Payload::Summarize { .. } => "summarize".to_owned(),
        Payload::Activate { .. } => "activate".to_owned(),
        Payload::Deadline { .. } => "deadline".to_owned(),
        Payload::Explain { .. } => "explain".to_owned(),
        Payload::Notify { .. } => "notify".to_owned(),
        Payload::Advance { .. } => "advance".to_owned(),
        Payload::Command { command, .. } => format!("command {}", command.what.verb()),
        Payload::Open { .. } => "open".to_owned(),
        Payload::Stop { .. } => "stop".to_owned(),
        Payload::Drift(note) => note.name().to_owned(),
        Payload::Alarms { wave, .. } => format!("alarms of wave {wave}"),
    }
}

fn standing(state: PipelineState, at: Timestamp) -> Standing {
    Standing { state, at, comments: None }
}

fn asked(play: &mut Play, index: u32, state: PipelineState) -> Option<Told> {
    let observation = Observation::asked(play.target(index), standing(state, play.now))?;
    Some(play.tell(Event::Observed(Box::new(observation))).told)
}

// What is overdue.

#[test]
fn a_run_in_which_everything_is_heard_of_in_time_is_left_alone() {
    let mut play = Play::of(&[(2, 1, 0)]);
    let mut watch = Watch::of(&play);
    for index in [0, 1] {
        assert_eq!(watch.tick(&play), [""; 0]);
        play.claim(index);
        assert_eq!(watch.minutes(&mut play, 1), [""; 0]);
        play.started(index, 1);
        assert_eq!(watch.minutes(&mut play, 4), [""; 0]);
        play.observe(index, Succeeded);
    }
    assert_eq!(watch.tick(&play), ["done"]);
}

#[test]
fn an_attempt_whose_worker_died_is_started_again_once_its_lease_has_run_out() {
    let mut play = Play::of(&[(1, 1, 0)]);
    let mut watch = Watch::of(&play);
    play.claim(0);
    let said = watch.minutes(&mut play, 22);
    assert_eq!(LEASE, Span::from_minutes(2));
    assert_eq!(said, ["2: start 0 attempt 1", "7: start 0 attempt 1", "17: start 0 attempt 1"]);
    let taken_over = play.claim_as(0, 1, "another");
    assert_eq!(taken_over.told, Told::Claimed { look_first: true, may_start: true });
}

#[test]
fn an_execution_that_is_silent_is_asked_for_after_five_minutes_and_then_ever_more_seldom() {
    let mut play = Play::of(&[(1, 1, 0)]);
    let mut watch = Watch::of(&play);
    play.start(0);
    assert_eq!(watch.minutes(&mut play, 30), ["5: ask 0", "10: ask 0", "20: ask 0", "30: ask 0"]);
    play.observe(0, Started);
    assert_eq!(watch.minutes(&mut play, 6), ["5: ask 0"], "it was heard of, so its time begins anew");
}

#[test]
fn what_still_runs_is_asked_for_once_more_before_the_deadline_gives_it_up() {
    let mut play = Play::of(&[(3, 3, 0)]);
    let mut watch = Watch::of(&play);
    play.start(0);
    play.start(1);
    play.observe(1, Succeeded);
    // Target 2 is claimed by nobody, and is not asked for.
    play.wait(Span::from_minutes(111));
    watch.tick(&play);
    let said = watch.minutes(&mut play, 9);
    let asked: Vec<_> = said.iter().filter(|said| !said.contains("start")).collect();
    assert_eq!(asked, ["7: ask 0", "9: deadline", "9: ask 0"]);
    assert_eq!(play.now, released_at().plus(Span::from_seconds(30)).plus(DEADLINE));
}

#[test]
fn a_start_whose_message_was_lost_is_sent_again_but_not_before_others_had_their_time() {
    let mut play = Play::of(&[(4, 2, 0)]);
    let mut watch = Watch::of(&play);
    watch.tick(&play);
    play.start(0);
    // Target 1 is claimed by nobody.
    assert_eq!(watch.minutes(&mut play, 4), [""; 0]);
    play.observe(0, Succeeded);
    // Target 2 has its turn now, target 1 had it from the beginning.
    assert_eq!(watch.minutes(&mut play, 2), ["1: start 1 attempt 1"]);
    let said = watch.minutes(&mut play, 5);
    assert_eq!(said, ["4: start 1 attempt 1", "4: start 2 attempt 1"]);
}

#[test]
fn an_attempt_that_was_put_back_is_sent_again_when_its_message_does_not_come() {
    let mut play = Play::of(&[(1, 1, 0)]);
    let mut watch = Watch::of(&play);
    play.claim(0);
    play.refused(0, 1, later());
    assert_eq!(play.status(0), Status::Queued);
    let said = watch.minutes(&mut play, 7);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].ends_with("start 0 attempt 1"), "{said:?}");
}

#[test]
fn the_next_attempt_after_a_failure_is_sent_again_too() {
    let mut play = Play::with_attempts(&[(1, 1, 0)], 2);
    let mut watch = Watch::of(&play);
    play.start(0);
    play.observe(0, Failed);
    assert_eq!(watch.minutes(&mut play, 6), ["5: start 0 attempt 2"]);
}

#[test]
fn the_deadline_is_told_until_it_is_done() {
    let mut play = Play::of(&[(1, 1, 0)]);
    let mut watch = Watch::of(&play);
    play.wait(Span::from_millis(DEADLINE.as_millis() - 60_000));
    let said = watch.minutes(&mut play, 2);
    assert_eq!(said, ["1: deadline", "2: deadline"]);
    play.deadline();
    assert_eq!((play.verdict(), watch.tick(&play)), (Some(Verdict::TimedOut), vec!["done".to_owned()]));
}

#[test]
fn a_run_whose_turn_came_and_was_told_to_nobody_is_activated() {
    let first = Play::of(&[(1, 1, 0)]);
    let mut second = Play::open("next", plan(&[(1, 1, 0)], 1), first.queue.clone(), released_at().plus(QUIET));
    let mut watch = Watch::of(&second);
    assert_eq!(watch.minutes(&mut second, 30), [""; 0], "another run goes first");
    second.queue.current = Some(run_id("next"));
    assert_eq!(watch.minutes(&mut second, 6), ["6: activate"]);
}

// Whole runs.

#[test]
fn a_large_run_is_looked_at_page_by_page_and_every_target_has_each_of_its_turns_once() {
    let mut play = Play::of(&[(1_100, 1_100, 0)]);
    let mut watch = Watch::of(&play);
    for index in 0..1_100 {
        play.head = play.head.clone();
        let run = Run::load(play.head.clone(), play.queue.clone(), []);
        let planned = Box::new(play.plan.targets[index as usize].clone());
        let attempt = manifold_core::ids::Attempt::FIRST;
        let nonce = "worker".parse().unwrap();
        let (run, _) = run.step(Event::Claim { planned, attempt, nonce, lease: LEASE }, play.now);
        let execution = super::play::execution(index, 1);
        let (run, _) = run.step(Event::Started { target: key(index), attempt, execution }, play.now);
        play.targets.extend(run.finish().targets.into_iter().map(|target| (target.key.clone(), target)));
    }
    let mut asked = Vec::new();
    for _ in 0..12 {
        play.wait(Span::from_minutes(1));
        // One page a tick: a pass takes three of them.
        asked.extend(watch.tick_with(&play, 1).into_iter().flat_map(|words| {
            words.split_whitespace().skip(1).map(|index| index.parse::<u32>().unwrap()).collect::<Vec<_>>()
        }));
    }
    asked.sort_unstable();
    let twice: Vec<u32> = (0..1_100).flat_map(|index| [index, index]).collect();
    assert_eq!(asked, twice, "after five minutes, and after ten");
}

#[test]
fn a_wave_that_is_over_is_not_read_again() {
    let mut play = Play::of(&[(2, 2, 0), (1, 1, 0)]);
    for index in [0, 1] {
        play.start(index);
        play.observe(index, Succeeded);
    }
    play.start(2);
    let view = View { head: &play.head, version: 1, queue: &play.queue, posting: None };
    let Look::Open { open, .. } = OpenRun::new(play.head.run.clone()).look(view, play.now) else { panic!() };
    assert_eq!(open.next_page(&play.head), Some((2, 3)));
}

// The summary.

fn bot() -> Channel {
    Channel::Bot { channel: "C1".to_owned(), token: SecretRef::Ssm("t".to_owned()) }
}

/// Compared later than anything in these stories happens.
fn told(shown: u64) -> Option<Posting> {
    let message = Posted { channel: None, ts: None, digest: "d".to_owned(), at: released_at() };
    let compared_at = Some(released_at().plus(Span::from_minutes(60 * 24 * 365)));
    Some(Posting { message: Some(message), shown: Some(shown), compared_at, ..Posting::default() })
}

#[test]
fn what_stands_in_slack_is_compared_once_more_before_a_run_is_forgotten() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.head.channel = bot();
    play.start(0);
    play.observe(0, Succeeded);
    let compared = |at: Timestamp| told(1).map(|posting| Posting { compared_at: Some(at), ..posting });
    let before = play.now;
    let mut watch = Watch { posting: compared(before), ..Watch::of(&play) };
    assert_eq!(watch.minutes(&mut play, 2), ["1: summarize", "2: summarize"], "a target may have changed since");
    watch.posting = compared(play.now);
    assert_eq!(watch.minutes(&mut play, 1), ["1: done"]);
}

#[test]
fn a_reason_that_comes_after_the_verdict_is_looked_after_until_it_is_told() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.start(0);
    play.observe(0, Failed);
    assert_eq!(play.verdict(), Some(Verdict::Failed));
    let reason = super::play::reason("JobFailed in action Deploy");
    let told = Event::Explained { target: key(0), execution: super::play::execution(0, 1), reason };
    let explained = play.tell(told).step;
    assert!(explained.watch && explained.head.is_none(), "{explained:?}");
}

#[test]
fn a_summary_that_stays_behind_is_asked_for_and_one_that_moves_is_not() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.head.channel = bot();
    let mut watch = Watch::of(&play);
    assert_eq!(watch.minutes(&mut play, 6), ["6: summarize", "6: start 0 attempt 1"], "nothing was posted");
    play.start(0);
    for version in 2..10 {
        // Behind at every look, and never by the same.
        (watch.version, watch.posting) = (version, told(version - 1));
        assert_eq!(watch.minutes(&mut play, 1).iter().filter(|said| said.contains("summarize")).count(), 0);
    }
    play.observe(0, Succeeded);
    assert_eq!(watch.tick(&play), [""; 0], "the verdict is not told yet");
    watch.posting = told(9);
    assert_eq!(watch.tick(&play), ["done"]);
}

#[test]
fn a_run_is_done_once_its_verdict_is_told_or_nobody_can_be_told() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.start(0);
    play.observe(0, Succeeded);
    let mut done = |channel: Channel, posting: Option<Posting>| {
        play.head.channel = channel;
        Watch { posting, version: 7, ..Watch::of(&play) }.tick(&play) == ["done"]
    };
    let hook = || Channel::Webhook { url: SecretRef::Ssm("u".to_owned()) };
    let refused = Posting { refused: Some("no_service".to_owned()), ..Posting::default() };
    assert!(done(Channel::Silent, None));
    assert!(!done(bot(), None) && !done(bot(), told(6)) && done(bot(), told(7)));
    assert!(!done(hook(), None) && done(hook(), told(1)));
    assert!(done(bot(), Some(refused.clone())) && done(hook(), Some(refused)));
    let lease = Some(Lease { nonce: "worker".parse().unwrap(), until: released_at() });
    assert!(!done(bot(), told(7).map(|posting| Posting { lease, ..posting })), "a worker died over it");
}

#[test]
fn a_summary_that_nobody_takes_for_a_day_is_given_up() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.head.channel = bot();
    play.start(0);
    play.observe(0, Succeeded);
    let mut watch = Watch::of(&play);
    assert_eq!(watch.tick(&play), [""; 0]);
    play.wait(Span::from_minutes(60 * 24 - 1));
    assert_eq!(watch.tick(&play), ["summarize"]);
    play.wait(Span::from_minutes(1));
    assert_eq!(watch.tick(&play), ["given up"]);
}

#[test]
fn an_end_that_comes_after_the_verdict_is_looked_after_until_it_is_told() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.head.channel = bot();
    play.start(0);
    play.wait(DEADLINE);
    play.deadline();
    assert_eq!(play.verdict(), Some(Verdict::TimedOut));
    // Told, and looked after by nobody any more. The execution answers after all, two days later.
    play.wait(Span::from_minutes(60 * 48));
    let late = play.observe(0, Succeeded).step;
    assert!(late.watch && late.head.is_some(), "{late:?}");
    assert_eq!(play.verdict(), Some(Verdict::Succeeded));
    let mut watch = Watch { version: 2, posting: told(1), ..Watch::of(&play) };
    assert_eq!(watch.minutes(&mut play, 6), ["6: summarize"], "what stands in Slack is not true any more");
    watch.posting = told(2);
    assert_eq!(watch.tick(&play), ["done"]);
    assert!(!play.observe(0, Succeeded).step.watch, "a duplicate changes nothing");
}

#[test]
fn a_retry_that_takes_longer_than_a_day_is_told_as_long_as_any_other() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.head.channel = bot();
    play.start(0);
    play.observe(0, Failed);
    assert!(play.observe_try(0, Resumed, Some(2)).step.watch);
    let mut watch = Watch { posting: told(1), ..Watch::of(&play) };
    play.wait(Span::from_minutes(60 * 25));
    watch.tick(&play);
    play.observe_try(0, Succeeded, Some(2));
    watch.version = 2;
    assert_eq!(watch.tick(&play), [""; 0], "its end is a minute old");
}

#[test]
fn a_retry_after_the_verdict_is_looked_after_again() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.start(0);
    assert!(!play.observe(0, Failed).step.watch);
    assert!(play.observe_try(0, Resumed, Some(2)).step.watch);
    let mut watch = Watch::of(&play);
    assert_eq!(watch.minutes(&mut play, 6), ["5: ask 0"]);
}

#[test]
fn a_run_that_an_older_version_opened_is_looked_after_from_its_next_step_on() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.head.watched = false;
    // Messages of the older version still look at the deadline.
    let (run, _) = play.run().step(Event::DeadlinePassed { silent: Vec::new() }, play.now);
    let step = run.finish();
    assert!(step.watch && step.head.is_some_and(|head| head.watched));
}

// What is learnt by asking.

#[test]
fn an_end_that_is_learnt_by_asking_counts_like_its_event_and_is_counted() {
    for (state, outcome) in [(Succeeded, Outcome::Succeeded), (Failed, Outcome::Failed), (Canceled, Outcome::Canceled)]
    {
        let mut play = Play::of(&[(2, 1, 1)]);
        play.start(0);
        play.wait(QUIET);
        assert_eq!(asked(&mut play, 0, state.clone()), Some(Told::Changed));
        assert_eq!((play.status(0), play.target(0).asked_for), (Status::Ended(outcome), 1));
        assert_eq!(play.status(1), Status::Queued, "the next one has its turn");
        let at = play.target(0).seen.as_ref().unwrap().at();
        play.wait(QUIET);
        assert_eq!(play.observe(0, state).told, Told::Duplicate, "its event comes late");
        assert_eq!(play.observe(0, Started).told, Told::Duplicate);
        assert_eq!((play.target(0).seen.as_ref().unwrap().at(), play.target(0).asked_for), (at, 1));
        assert_eq!(asked(&mut play, 0, Succeeded), None, "it has ended");
    }
}

#[test]
fn what_follows_from_an_answer_is_told_again_when_its_message_comes_again() {
    let mut play = Play::of(&[(2, 1, 1)]);
    play.start(0);
    assert!(Observation::again(play.target(0)).is_none(), "it has not ended");
    let observation = Observation::asked(play.target(0), standing(Failed, play.now)).unwrap();
    let told = play.tell(Event::Observed(Box::new(observation)));
    assert_eq!(told.effects, ["start 1", "explain 0", "summarize"]);
    let again = Observation::again(play.target(0)).unwrap();
    let again = play.tell(Event::Observed(Box::new(again)));
    assert_eq!((again.told, again.effects), (Told::Duplicate, told.effects));
    assert_eq!(play.target(0).asked_for, 1);
}

#[test]
fn the_next_attempt_follows_again_from_the_answer_that_began_it() {
    let mut play = Play::with_attempts(&[(1, 1, 0)], 2);
    play.start(0);
    assert_eq!(asked(&mut play, 0, Failed), Some(Told::Changed));
    assert_eq!((play.status(0), play.target(0).asked_for), (Status::Queued, 1));
    let again = Observation::again(play.target(0)).unwrap();
    let again = play.tell(Event::Observed(Box::new(again)));
    assert_eq!(
        (again.told, again.effects),
        (Told::Duplicate, vec!["start 0 attempt 2".to_owned(), "summarize".to_owned()])
    );
}

#[test]
fn an_execution_that_still_runs_is_no_news() {
    let mut play = Play::of(&[(1, 1, 0)]);
    assert_eq!(asked_of_unstarted(&mut play), None);
    play.started(0, 1);
    assert_eq!(asked(&mut play, 0, Started), None);
    assert_eq!(asked(&mut play, 0, PipelineState::Stopping), Some(Told::Changed));
    assert_eq!(asked(&mut play, 0, PipelineState::Stopping), None);
    assert_eq!(play.target(0).asked_for, 0, "it has not ended");
    assert_eq!(asked(&mut play, 0, Stopped), Some(Told::Changed));
    assert_eq!(play.target(0).asked_for, 1);
}

fn asked_of_unstarted(play: &mut Play) -> Option<Told> {
    play.claim(0);
    asked(play, 0, Succeeded)
}

#[test]
fn a_retry_that_is_heard_of_while_its_engine_is_asked_is_not_ended_by_the_answer() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.start(0);
    // The engine answers FAILED, and is retried before the answer is folded in.
    let answer = Observation::asked(play.target(0), standing(Failed, play.now)).unwrap();
    play.observe_try(0, Resumed, Some(2));
    assert_eq!(play.tell(Event::Observed(Box::new(answer))).told, Told::Duplicate);
    assert_eq!(play.status(0), Status::Running);
    // Asked again, it has failed in the attempt that is known by now.
    assert_eq!(asked(&mut play, 0, Failed), Some(Told::Changed));
    assert_eq!(play.status(0), Status::Ended(Outcome::Failed));
}
