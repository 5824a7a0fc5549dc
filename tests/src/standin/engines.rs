//! CodeBuild, CodeDeploy and CloudFormation in every target, for whoever comes with a session of the target's role.

use manifold_core::ids::TargetKey;
use manifold_ports::clock::Clock;
use wiremock::{Request, ResponseTemplate};

use super::codepipeline::FORWARDING;
use super::{Answered, Caller, Emitted, State, header};
use crate::wire::engines::Call;

impl State {
    pub(super) fn engine(&mut self, service: &str, operation: &str, caller: &Caller, request: &Request) -> Answered {
        let Some(session) = &caller.session else {
            return Err(format!("{service} is not in the hub, and was called with its own credentials"));
        };
        let form = "application/x-www-form-urlencoded";
        let kind = if service == "cloudformation" { form } else { "application/x-amz-json-1.1" };
        if header(request, "content-type") != kind {
            return Err(format!("its content type is {}", header(request, "content-type")));
        }
        let place = TargetKey {
            account: caller.account.parse().map_err(|_| "no account".to_owned())?,
            region: caller.region.parse().map_err(|_| format!("no Region: {}", caller.region))?,
        };
        let now = self.clock.now();
        let arn = session.arn();
        let call = Call { place: &place, caller: &arn, service, operation, body: &request.body, now };
        for need in self.engines.needs(&call) {
            if !session.allows(&need.action, &need.resource) {
                let (action, resource) = (need.action, need.resource);
                return Err(format!("the session policy does not allow {action} on {resource}: {}", session.policy));
            }
        }
        let told = self.advance_engines();
        self.pipelines.emitted.extend(told);
        let reply = self.engines.answer(&call);
        if reply.is_violation {
            return Err(reply.error.map(|(_, message)| message).unwrap_or_default());
        }
        if reply.is_lost {
            *self.lost.entry(format!("{service}.{operation}")).or_default() += 1;
            return Ok(ResponseTemplate::new(500));
        }
        Ok(ResponseTemplate::new(reply.status).set_body_raw(reply.body, reply.content_type))
    }

    /// What became due until now, on its way to the hub.
    pub(super) fn advance_engines(&mut self) -> Vec<Emitted> {
        let now = self.clock.now();
        let events = self.engines.advance(now).into_iter().filter(|_| !self.setting.no_events);
        events.map(|event| Emitted { body: event.to_string(), due: now.plus(FORWARDING) }).collect()
    }
}
