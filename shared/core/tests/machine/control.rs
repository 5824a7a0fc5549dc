//! What operators and policies decide: holds, approvals, bakes, endings, and what is known of a target.

use manifold_core::control::{Answer as Said, Command, Mark, Operator, Order, Via, Which, Who};
use manifold_core::event::PipelineState::{Failed, Resumed, Stopped, Succeeded};
use manifold_core::known::{Good, Known};
use manifold_core::plan::{Approval, Bake, Lapse, Newer, OnFailure, Plan};
use manifold_core::run::{
    AlarmsSeen, AppQueue, Closing, Event, Hold, NoWayBack, Outcome, Phase, Run, Status, Told, Verdict, Wanted,
};
use manifold_core::summary::Summary;
use manifold_core::time::{Span, Timestamp};

use super::play::{DEADLINE, Play, WaveOf, app, key, plan, release, released_at, run_id};

const HOUR: Span = Span::from_minutes(60);
const MINUTE: Span = Span::from_minutes(1);

fn operator(name: &str) -> Operator {
    Operator { name: name.to_owned(), slack: vec![format!("U{name}")], iam: vec![format!("arn:*/{name}")] }
}

fn who(name: &str) -> Who {
    Who { via: Via::Cli, id: format!("arn:aws:sts::111122223333:assumed-role/Ops/{name}"), name: None }
}

fn approval(newer: Lapse) -> Option<Approval> {
    Some(Approval { approvers: vec![operator("alice")], valid_for: HOUR, newer })
}

fn bake(alarms: &[&str]) -> Option<Bake> {
    Some(Bake { time: Span::from_minutes(10), alarms: alarms.iter().map(|name| (*name).to_owned()).collect() })
}

/// A run whose plan was changed before it was opened.
fn with(waves: &[WaveOf], change: impl FnOnce(&mut Plan)) -> Play {
    let mut plan = plan(waves, 1);
    change(&mut plan);
    Play::open("this", plan, AppQueue::default(), released_at())
}

impl Play {
    fn command(&mut self, by: &str, what: Order) -> Said {
        let command = Command { id: "command".parse().unwrap(), at: self.now, who: who(by), why: None, what };
        let run = self.run();
        let (run, told) = run.step(Event::Commanded(Box::new(command)), self.now);
        let step = run.finish();
        assert_eq!(step.decisions.iter().filter(|made| made.id == "command").count(), 1, "each is recorded once");
        let told = self.keep(step, told).told;
        let Told::Decided(answer) = told else { panic!("{told:?}") };
        answer
    }

    fn commanded(&mut self, by: &str, what: Order) {
        assert_eq!(self.command(by, what.clone()), Said::Done, "{what:?}");
    }

    fn refuses(&mut self, by: &str, what: Order) -> String {
        match self.command(by, what) {
            Said::Refused { because } => because,
            Said::Done => panic!("it was carried out"),
        }
    }

    fn advance(&mut self) -> Vec<String> {
        let run = self.run();
        let (run, told) = run.step(Event::Advanced, self.now);
        self.keep(run.finish(), told).effects
    }

    fn no_way_back(&mut self, none: NoWayBack) -> (Told, Vec<String>) {
        let (run, told) = self.run().step(Event::NoWayBack(none), self.now);
        let kept = self.keep(run.finish(), told);
        (kept.told, kept.effects)
    }

    fn look(&mut self, wave: u32, seen: AlarmsSeen) -> Told {
        let run = self.run();
        let (run, told) = run.step(Event::Alarms { wave, began: self.now, seen }, self.now);
        self.keep(run.finish(), told).told
    }

    fn succeeds(&mut self, index: u32) -> Vec<String> {
        self.start(index);
        self.observe(index, Succeeded).effects
    }

    fn closes_with(&self) -> Closing {
        match &self.head.phase {
            Phase::Closed { because, .. } => because.clone(),
            phase @ (Phase::Waiting { .. } | Phase::Active { .. }) => panic!("{phase:?}"),
        }
    }

    fn decisions(&self, event: Event) -> Vec<String> {
        let (run, _) = self.run().step(event, self.now);
        run.finish().decisions.into_iter().map(|decision| decision.what).collect()
    }
}

fn approve(wave: &str) -> Order {
    Order::Approve { wave: wave.to_owned() }
}

#[test]
fn a_wave_that_needs_approval_is_asked_for_when_its_turn_comes_and_not_before() {
    let mut play = with(&[(1, 1, 0), (2, 2, 0)], |plan| plan.waves[1].approval = approval(Lapse::Repoint));
    assert_eq!(play.head.hold(play.now), None);
    assert!(play.refuses("alice", approve("wave 1")).contains("has not come to it"));
    assert_eq!(play.succeeds(0), ["summarize"], "nothing of the second wave is started");
    let asked = play.now;
    let hold = play.head.hold(play.now);
    assert_eq!(hold, Some(Hold::Approval { wave: 1, since: asked, until: asked.plus(HOUR) }));
    assert_eq!(play.head.due_at(), None, "waiting takes no time of the deadline");
    assert!(play.refuses("bob", approve("wave 1")).contains("only alice may"));
    assert!(play.refuses("alice", approve("wave 0")).contains("needs no approval"));
    assert!(play.refuses("alice", approve("wave 7")).contains("no wave"));
    play.wait(Span::from_minutes(30));
    play.commanded("alice", approve("wave 1"));
    assert_eq!((play.status(1), play.head.released()), (Status::Queued, 3));
    assert_eq!(play.head.held, Span::from_minutes(30));
    assert!(play.refuses("alice", approve("wave 1")).contains("has approved it"), "a double press is harmless");
    play.succeeds(1);
    play.succeeds(2);
    assert_eq!(play.verdict(), Some(Verdict::Succeeded));
    assert!(play.refuses("alice", approve("wave 1")).contains("has ended: succeeded"));
}

#[test]
fn the_first_wave_can_wait_for_approval_too_and_the_deadline_counts_from_there() {
    let mut play = with(&[(1, 1, 0)], |plan| plan.waves[0].approval = approval(Lapse::Repoint));
    assert_eq!(play.opening, ["summarize"]);
    play.wait(Span::from_minutes(50));
    play.commanded("alice", approve("wave 0"));
    let since = play.head.active_since().unwrap();
    assert_eq!(play.head.due_at(), Some(since.plus(DEADLINE).plus(Span::from_minutes(50))));
}

#[test]
fn a_request_that_nobody_answers_lapses_and_ends_the_run() {
    let mut play = with(&[(1, 1, 0), (2, 2, 0)], |plan| plan.waves[1].approval = approval(Lapse::Repoint));
    play.succeeds(0);
    play.wait(HOUR);
    assert!(play.refuses("alice", approve("wave 1")).contains("expired"));
    assert_eq!(play.verdict(), None, "refusing decides nothing else");
    play.advance();
    assert_eq!(play.closes_with(), Closing::Lapsed { wave: "wave 1".to_owned(), newer: None });
    assert_eq!(play.verdict(), Some(Verdict::NotApproved));
}

#[test]
fn a_rejection_ends_the_run_and_says_who() {
    let mut play = with(&[(1, 1, 0), (2, 2, 0)], |plan| plan.waves[1].approval = approval(Lapse::Repoint));
    play.succeeds(0);
    let reject = Order::Reject { wave: "wave 1".to_owned() };
    assert!(play.refuses("bob", reject.clone()).contains("may not"));
    play.commanded("alice", reject);
    let by = Mark { who: who("alice"), at: play.now };
    assert_eq!(play.closes_with(), Closing::Rejected { wave: "wave 1".to_owned(), by });
    assert_eq!(play.verdict(), Some(Verdict::NotApproved));
}

#[test]
fn a_newer_release_never_gets_the_approval_of_an_older_one() {
    for (lapse, closes) in [
        (Lapse::Repoint, Some(Closing::Superseded { by: run_id("newer") })),
        (Lapse::Expire, Some(Closing::Lapsed { wave: "wave 1".to_owned(), newer: Some(run_id("newer")) })),
        (Lapse::Keep, None),
    ] {
        let mut play = with(&[(1, 1, 0), (2, 2, 0)], |plan| plan.waves[1].approval = approval(lapse));
        play.succeeds(0);
        let (queue, told) = newer(&mut play);
        assert_eq!(queue, Some(run_id("newer")), "it is next in any case");
        match closes {
            Some(closes) => {
                assert_eq!((told, play.closes_with()), (Told::Changed, closes));
                assert_eq!(play.queue.current, Some(run_id("newer")), "and its turn has come");
                assert!(play.refuses("alice", approve("wave 1")).contains("has ended"));
            }
            None => {
                assert_eq!(told, Told::Duplicate);
                play.commanded("alice", approve("wave 1"));
            }
        }
    }
}

/// A newer release arrives while the run is under way. Says which run is next, and what this one made of it.
fn newer(play: &mut Play) -> (Option<manifold_core::ids::RunId>, Told) {
    let (planned, at) = (play.plan.clone(), released_at().plus(MINUTE));
    let wanted = Wanted::release(run_id("newer"), app(), release("newer", at), &planned);
    let opened = Run::open(wanted, play.queue.clone(), play.now);
    let behind = opened.behind.clone();
    let queue = opened.run.finish().queue.unwrap_or_else(|| play.queue.clone());
    play.queue = queue.clone();
    let Some(behind) = behind else { return (queue.next, Told::Stray("refused")) };
    assert_eq!(behind, play.head.run);
    let (run, told) = play.run().step(Event::Newer { run: run_id("newer") }, play.now);
    let told = play.keep(run.finish(), told).told;
    (queue.next, told)
}

#[test]
fn a_newer_release_waits_takes_over_or_is_refused_as_the_app_says() {
    let begin = |newer: Newer| {
        let mut play = with(&[(3, 1, 0)], |plan| plan.policy.newer = newer);
        play.start(0);
        play
    };
    let mut play = begin(Newer::Queue);
    assert_eq!(newer(&mut play), (Some(run_id("newer")), Told::Duplicate));
    assert_eq!(play.observe(0, Succeeded).effects, ["start 1", "summarize"], "it goes on");

    let mut play = begin(Newer::Supersede);
    assert_eq!(newer(&mut play), (Some(run_id("newer")), Told::Changed));
    assert_eq!(play.verdict(), None, "what runs is waited for");
    let ended = play.observe(0, Succeeded).effects;
    assert_eq!(ended, ["summarize".to_owned(), format!("activate {}", run_id("newer"))], "and nothing more is started");
    assert_eq!(
        (play.closes_with(), play.verdict()),
        (Closing::Superseded { by: run_id("newer") }, Some(Verdict::Incomplete))
    );

    let mut play = begin(Newer::Refuse);
    assert_eq!(newer(&mut play).0, None, "it does not even wait");
    assert_eq!(play.observe(0, Succeeded).effects, ["start 1", "summarize"]);
}

#[test]
fn a_refused_release_is_closed_at_once_and_says_behind_which() {
    let play = with(&[(1, 1, 0)], |_| {});
    let mut planned = plan(&[(1, 1, 0)], 1);
    planned.policy.newer = Newer::Refuse;
    let wanted = Wanted::release(run_id("newer"), app(), release("newer", released_at().plus(MINUTE)), &planned);
    let refused = Run::open(wanted, play.queue.clone(), play.now).run.finish();
    let head = refused.head.unwrap();
    assert_eq!(head.verdict(), Some(Verdict::Refused));
    assert!(refused.queue.is_none(), "an older one is not kept from coming later by what was refused");
}

#[test]
fn a_pause_gives_no_turn_and_takes_no_time_and_what_runs_goes_on() {
    let mut play = with(&[(3, 1, 0)], |_| {});
    play.start(0);
    play.wait(Span::from_minutes(10));
    play.commanded("anybody", Order::Pause);
    assert!(play.refuses("anybody", Order::Pause).contains("has paused it"));
    assert_eq!(play.observe(0, Succeeded).effects, ["summarize"]);
    assert!(matches!(play.head.hold(play.now), Some(Hold::Paused { .. })));
    play.wait(DEADLINE);
    assert_eq!(play.advance(), ["start 0"], "nothing changes; what was told last is told again");
    play.commanded("anybody", Order::Resume);
    assert!(play.refuses("anybody", Order::Resume).contains("not paused"));
    assert_eq!((play.head.released(), play.head.held), (2, DEADLINE));
    play.succeeds(1);
    play.succeeds(2);
    assert_eq!(play.verdict(), Some(Verdict::Succeeded));
}

#[test]
fn a_pause_that_nobody_ends_ends_the_run() {
    let mut play = with(&[(2, 1, 0)], |_| {});
    play.succeeds(0);
    play.start(1);
    play.commanded("anybody", Order::Pause);
    play.observe(1, Failed);
    let mut play = with(&[(2, 1, 0)], |_| {});
    play.commanded("anybody", Order::Pause);
    play.succeeds(0);
    play.wait(manifold_core::run::head::LONGEST_PAUSE);
    play.advance();
    assert_eq!(play.verdict(), Some(Verdict::TimedOut));
}

#[test]
fn only_operators_may_where_the_fleet_names_some() {
    let mut play = with(&[(2, 1, 0)], |plan| plan.policy.operators = vec![operator("alice")]);
    for order in [Order::Pause, Order::Resume, Order::Abort { stop: true }] {
        assert!(play.refuses("mallory", order).contains("only alice may"));
    }
    play.commanded("alice", Order::Pause);
}

#[test]
fn an_abort_starts_nothing_more_and_waits_for_what_runs_or_stops_it() {
    let mut play = with(&[(3, 2, 0)], |_| {});
    play.start(0);
    play.commanded("alice", Order::Abort { stop: false });
    assert_eq!(play.claim(1).told, Told::TooLate, "it had its turn, and was not started");
    assert_eq!(play.status(1), Status::Ended(Outcome::Skipped));
    assert_eq!(play.verdict(), None);
    assert!(play.refuses("alice", Order::Resume).contains("starts nothing more"));
    assert!(play.refuses("alice", Order::Abort { stop: false }).contains("has aborted it"));
    play.commanded("alice", Order::Abort { stop: true });
    assert!(play.refuses("alice", Order::Abort { stop: true }).contains("has aborted it"));
    play.observe(0, Stopped);
    assert_eq!(play.verdict(), Some(Verdict::Aborted));
    assert!(matches!(play.closes_with(), Closing::Aborted { stop: true, .. }));
}

#[test]
fn an_abort_of_a_run_that_waits_for_its_turn_leaves_its_place() {
    let first = with(&[(1, 1, 0)], |_| {});
    let mut second = Play::open("second", plan(&[(1, 1, 0)], 1), first.queue.clone(), released_at().plus(MINUTE));
    second.commanded("alice", Order::Abort { stop: false });
    assert_eq!(second.verdict(), Some(Verdict::Aborted));
    assert_eq!((&second.queue.current, &second.queue.next), (&Some(run_id("this")), &None));
}

#[test]
fn a_wave_bakes_before_the_next_one_and_the_last_one_before_the_verdict() {
    let mut play = with(&[(1, 1, 0), (1, 1, 0)], |plan| {
        plan.waves[0].bake = bake(&[]);
        plan.waves[1].bake = bake(&[]);
    });
    assert_eq!(play.succeeds(0), ["summarize", "advance in 10 min"]);
    play.wait(Span::from_minutes(9));
    assert_eq!(play.advance(), ["start 0"], "too early");
    play.wait(MINUTE);
    assert_eq!(play.advance(), ["start 1", "summarize"]);
    play.succeeds(1);
    assert_eq!(play.verdict(), None, "all of it is out, and not proven");
    play.wait(Span::from_minutes(10));
    play.advance();
    assert_eq!(play.verdict(), Some(Verdict::Succeeded));
}

#[test]
fn a_run_that_is_superseded_during_a_bake_is_not_green_although_all_of_it_is_out() {
    let mut play = with(&[(1, 1, 0)], |plan| {
        plan.waves[0].bake = bake(&["errors"]);
        plan.policy.newer = Newer::Supersede;
    });
    play.succeeds(0);
    newer(&mut play);
    assert_eq!(play.verdict(), Some(Verdict::Incomplete), "nobody has looked at its alarms");
}

#[test]
fn a_retry_in_its_account_during_a_bake_has_the_wave_bake_again() {
    let mut play = with(&[(2, 2, 1), (1, 1, 0)], |plan| plan.waves[0].bake = bake(&[]));
    play.succeeds(0);
    play.start(1);
    play.observe(1, Failed);
    let baked = play.head.waves[0].baked_at();
    play.wait(Span::from_minutes(5));
    play.observe_try(1, Resumed, Some(2));
    assert_eq!(play.head.waves[0].completed_at, None);
    play.observe_try(1, Succeeded, Some(2));
    assert!(play.head.waves[0].baked_at() > baked);
}

#[test]
fn alarms_are_looked_at_after_the_bake_and_one_that_fires_at_any_time_stops_the_run() {
    let baking = || {
        let mut play = with(&[(1, 1, 0), (1, 1, 0)], |plan| plan.waves[0].bake = bake(&["errors"]));
        assert_eq!(play.succeeds(0), ["summarize", "advance in 10 min", "alarms of wave 0 from 0"]);
        play
    };
    let firing = || AlarmsSeen::Firing { target: key(0), alarm: "errors".to_owned() };

    let mut play = baking();
    assert_eq!(play.look(0, AlarmsSeen::Clear), Told::Duplicate, "it has not baked yet");
    play.wait(Span::from_minutes(10));
    assert_eq!(play.advance(), ["start 0"], "time alone does not pass the gate");
    assert_eq!(play.look(1, AlarmsSeen::Clear), Told::TooLate, "another wave's");
    assert_eq!(play.look(0, AlarmsSeen::Clear), Told::Changed);
    assert_eq!(play.head.released(), 2);
    assert_eq!(play.look(0, firing()), Told::TooLate, "it has passed");

    let mut play = baking();
    play.wait(MINUTE);
    assert_eq!(play.look(0, firing()), Told::Changed);
    let closing = Closing::Alarm { wave: "wave 0".to_owned(), target: key(0), alarm: "errors".to_owned() };
    assert_eq!((play.closes_with(), play.verdict()), (closing, Some(Verdict::Failed)), "although all succeeded");
}

#[test]
fn alarms_that_nobody_can_see_are_not_quiet() {
    let mut play = with(&[(1, 1, 0)], |plan| plan.waves[0].bake = bake(&["errors"]));
    play.succeeds(0);
    play.wait(Span::from_minutes(10));
    let unknown = || AlarmsSeen::Unknown { reason: "AccessDenied".to_owned() };
    assert_eq!(play.look(0, unknown()), Told::Changed);
    assert_eq!(play.look(0, unknown()), Told::Duplicate);
    assert_eq!(play.verdict(), None);
    play.wait(DEADLINE);
    play.advance();
    assert_eq!(play.verdict(), Some(Verdict::Incomplete), "unknown is not green");
    assert!(matches!(play.closes_with(), Closing::Unlooked { .. }));
}

#[test]
fn a_strict_tolerance_never_has_more_in_flight_than_may_still_fail_and_one() {
    let mut play = with(&[(6, 6, 2)], |plan| plan.waves[0].strict = true);
    assert_eq!(play.opening, ["start 0", "start 1", "start 2", "summarize"]);
    for index in 0..3 {
        play.start(index);
    }
    assert_eq!(play.observe(0, Failed).effects, ["explain 0", "summarize"], "two are in flight, of which one may fail");
    assert_eq!(play.observe(1, Succeeded).effects, ["start 3", "summarize"]);
    play.start(3);
    assert_eq!(play.observe(2, Failed).effects, ["explain 2", "summarize"]);
    assert_eq!(play.observe(3, Succeeded).effects, ["start 4", "summarize"]);
}

#[test]
fn an_app_that_continues_rolls_all_of_it_out_and_still_says_failed() {
    let mut play = with(&[(2, 1, 0), (1, 1, 0)], |plan| plan.policy.on_failure = OnFailure::Continue);
    play.start(0);
    assert_eq!(play.observe(0, Failed).effects, ["start 1", "explain 0", "summarize"]);
    play.succeeds(1);
    play.succeeds(2);
    assert_eq!((play.closes_with(), play.verdict()), (Closing::Complete, Some(Verdict::Failed)));
}

#[test]
fn a_failure_beyond_tolerance_wants_the_way_back_once_and_the_same_each_time() {
    for (on_failure, which) in [(OnFailure::RollBackWave, Which::Failed), (OnFailure::RollBackRun, Which::All)] {
        let mut play = with(&[(2, 1, 0)], |plan| plan.policy.on_failure = on_failure);
        play.start(0);
        let effects = play.observe(0, Failed).effects;
        let request = play.head.wants_rollback().unwrap();
        assert_eq!(request.what, manifold_core::control::Request::Rollback { of: run_id("this"), which });
        assert!(effects.contains(&format!("open {}", request.run())), "{effects:?}");
        play.wait(HOUR);
        assert_eq!(play.head.wants_rollback().map(|again| again.run()), Some(request.run()));
    }
    let mut play = with(&[(2, 1, 0)], |_| {});
    play.start(0);
    play.observe(0, Failed);
    assert_eq!(play.head.wants_rollback(), None, "it only halts");
}

#[test]
fn that_there_is_no_way_back_is_told_and_not_asked_for_again() {
    let mut play = with(&[(2, 1, 0)], |plan| plan.policy.on_failure = OnFailure::RollBackRun);
    play.start(0);
    play.observe(0, Failed);
    let wanted = play.head.wants_rollback().unwrap();
    let none = |closed_at| NoWayBack { closed_at, because: "nothing good is known".to_owned() };
    assert_eq!(play.no_way_back(none(Timestamp::from_millis(0))), (Told::TooLate, vec![]), "of another end");
    assert_eq!(play.head.wants_rollback().map(|again| again.at), Some(wanted.at));
    assert_eq!(play.no_way_back(none(wanted.at)), (Told::Changed, vec!["summarize".to_owned()]));
    assert_eq!(play.head.wants_rollback(), None);
    assert_eq!(play.no_way_back(none(wanted.at)), (Told::Duplicate, vec!["summarize".to_owned()]));
    let told = Summary::of(&play.head, &[], &[]).deeds;
    assert_eq!(told, ["Not rolled back: nothing good is known"]);
}

#[test]
fn a_way_back_that_was_refused_while_its_run_went_on_is_wanted_again() {
    let mut play = with(&[(2, 1, 0)], |plan| plan.policy.on_failure = OnFailure::RollBackRun);
    play.start(0);
    play.observe(0, Failed);
    let wanted = play.head.wants_rollback().unwrap();
    play.observe_try(0, Resumed, Some(2));
    let none = NoWayBack { closed_at: wanted.at, because: "it is under way".to_owned() };
    assert_eq!(play.no_way_back(none), (Told::TooLate, vec![]));
    play.observe_try(0, Failed, Some(2));
    assert_eq!(play.head.wants_rollback().map(|again| again.run()), Some(wanted.run()));
}

#[test]
fn what_waits_for_another_target_of_its_account_is_not_claimed_and_is_told_when_that_one_ends() {
    let mut play = with(&[(2, 2, 0)], |plan| {
        plan.targets[1].after = vec![key(0)];
        plan.targets[0].before = vec![1];
    });
    assert_eq!(play.opening, ["start 0", "start 1", "summarize"], "both have a slot of the wave");
    assert_eq!(play.claim(1).told, Told::Behind { target: key(0) });
    play.start(0);
    assert_eq!(play.claim(1).told, Told::Behind { target: key(0) }, "it runs");
    assert_eq!(play.observe(0, Succeeded).effects, ["start 1", "summarize"]);
    assert!(matches!(play.claim(1).told, Told::Claimed { .. }));
}

#[test]
fn the_record_says_what_was_decided_and_when_a_wave_began() {
    let play = with(&[(1, 1, 0), (1, 1, 0)], |plan| plan.waves[1].approval = approval(Lapse::Repoint));
    let mut play = play;
    play.start(0);
    let told = Event::Observed(Box::new(play.observation(0, 1, Succeeded, Some(1))));
    assert_eq!(play.decisions(told), ["wave wave 1 waits for approval"]);
}

#[test]
fn a_target_knows_its_last_good_release_and_the_one_before() {
    let good = |run: &str, fingerprint: &str, minute: i64| Good {
        run: run_id(run),
        release: release(run, released_at()),
        fingerprint: fingerprint.to_owned(),
        execution: None,
        pinned: None,
        at: Timestamp::from_millis(minute * 60_000),
    };
    let at = |minute: i64| Timestamp::from_millis(minute * 60_000);
    let first = Known::with(None, key(0), good("a", "1", 1)).unwrap();
    let before =
        |known: &Known, run: &str, minute: i64| known.before(&run_id(run), at(minute)).map(|good| good.run.clone());
    assert_eq!(before(&first, "a", 0), None, "nothing is known of what was there before");
    assert_eq!(Known::with(Some(&first), key(0), good("a", "1", 2)), None, "a run counts once");
    let second = Known::with(Some(&first), key(0), good("b", "2", 3)).unwrap();
    assert_eq!(before(&second, "b", 2), Some(run_id("a")));
    assert_eq!(before(&second, "c", 5), Some(run_id("b")), "c did not get there");
    assert_eq!(before(&second, "a", 0), None, "b has been there since");
    assert_eq!(Known::with(Some(&second), key(0), good("z", "0", 2)), None, "an older success does not go before it");
    let again = Known::with(Some(&second), key(0), good("d", "2", 4)).unwrap();
    assert_eq!(before(&again, "d", 4), Some(run_id("a")), "the same again is no step");
}

#[test]
fn a_success_is_noted_with_the_target_in_the_same_step() {
    let mut play = with(&[(1, 1, 0)], |_| {});
    play.start(0);
    let step = play.observe(0, Succeeded).step;
    assert_eq!(step.known.len(), 1);
    assert_eq!((&step.known[0].current.run, &step.known[0].target), (&run_id("this"), &key(0)));
}
