//! Looking without touching: what a checkup needs from the world.
//!
//! Every look ends by its deadline; what was not seen by then is [`Tried::Unanswered`].

use std::future::Future;

use manifold_core::changes::Previewed;
use manifold_core::checkup::{AccessSeen, HubAsked, HubSeen, Place, SlackSeen, Spot, SpotSeen, Tried};
use manifold_core::plan::Channel;
use manifold_core::time::{Span, Timestamp};

use crate::engine::Order;

/// What is left of an invocation when the last look has ended, for the answer to get out.
pub const ANSWER_MARGIN: Span = Span::from_seconds(5);

/// How many looks are under way at once in one function: enough to be quick, and few enough for the limits of IAM and
/// CodePipeline in one account.
pub const AT_ONCE: usize = 16;

/// What ends what is not done by the deadline.
pub const OUT_OF_TIME: &str = "the function's time was up";

/// Why something was not looked at any more.
#[must_use]
pub fn out_of_time<T>() -> Tried<T> {
    Tried::Unanswered { reason: OUT_OF_TIME.to_owned() }
}

/// What a rollout may do in a place, found out by harmless calls.
pub trait Access: Send + Sync {
    /// Forgets what was seen of these places before: a role may have been changed since.
    fn renew(&self, places: &[Place]);

    /// Assumes the role as a rollout would, and lists executions and actions.
    fn try_access(&self, place: &Place, deadline: Timestamp) -> impl Future<Output = AccessSeen> + Send;
}

/// What a rollout would do, found out before it does.
pub trait Preview: Send + Sync {
    /// What a target's change set would do. It is made if it is not there, and taken away once it was seen: whoever is told
    /// [`Previewed::Pending`] asks again, or has it discarded. None is ever executed.
    fn preview(&self, order: Order<'_>, deadline: Timestamp) -> impl Future<Output = Previewed> + Send;

    /// Takes the change set away that is there for a preview.
    fn discard(&self, order: Order<'_>, deadline: Timestamp) -> impl Future<Output = Tried<()>> + Send;
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
