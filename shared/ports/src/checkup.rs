//! Looking without touching: what a checkup needs from the world.
//!
//! Every look ends by its deadline; what was not seen by then is [`Tried::Unanswered`].

use std::future::Future;

use manifold_core::checkup::{AccessSeen, HubAsked, HubSeen, Place, SlackSeen, Spot, SpotSeen, Tried};
use manifold_core::plan::Channel;
use manifold_core::time::{Span, Timestamp};

/// What is left of an invocation when the last look has ended, for the answer to get out.
pub const ANSWER_MARGIN: Span = Span::from_seconds(5);

/// How many looks are under way at once in one function: enough to be quick, and few enough for the limits of IAM and
/// CodePipeline in one account.
pub const AT_ONCE: usize = 16;

/// Why something was not looked at any more.
#[must_use]
pub fn out_of_time<T>() -> Tried<T> {
    Tried::Unanswered { reason: "the function's time was up".to_owned() }
}

/// What a rollout may do in a place, found out by harmless calls.
pub trait Access: Send + Sync {
    /// Forgets what was seen of these places before: a role may have been changed since.
    fn renew(&self, places: &[Place]);

    /// Assumes the role as a rollout would, and lists executions and actions.
    fn try_access(&self, place: &Place, deadline: Timestamp) -> impl Future<Output = AccessSeen> + Send;
}

/// What is there, seen with roles that can only read.
pub trait Inspect: Send + Sync {
    /// The name of the role that is assumed in member accounts.
    fn role(&self) -> &str;

    /// Forgets what was seen of these accounts before.
    fn renew(&self, spots: &[Spot]);

    /// Looks at bus and release pipelines in the hub account.
    fn inspect_hub(&self, asked: &HubAsked, deadline: Timestamp) -> impl Future<Output = HubSeen> + Send;

    /// Looks at rules, pipelines and permissions in a Region of a member account.
    fn inspect_spot(&self, spot: &Spot, deadline: Timestamp) -> impl Future<Output = SpotSeen> + Send;
}

/// What Slack says of a channel, without posting to it.
pub trait LookAtSlack: Send + Sync {
    /// Reads the secret, tries the token, and looks the channel up.
    fn look(&self, channel: &Channel, deadline: Timestamp) -> impl Future<Output = SlackSeen> + Send;
}
