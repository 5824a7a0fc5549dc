//! S3: objects that a story puts there, read one at a time.

use std::collections::BTreeMap;

use manifold_core::ids::TargetKey;
use wiremock::{Request, ResponseTemplate};

use super::{Answered, Caller, State};
use crate::wire::engines::Mishap;

/// By bucket and key.
#[derive(Debug, Default)]
pub(crate) struct Objects(BTreeMap<(String, String), String>);

impl Objects {
    pub(crate) fn put(&mut self, bucket: &str, key: &str, body: &str) {
        self.0.insert((bucket.to_owned(), key.to_owned()), body.to_owned());
    }
}

impl State {
    pub(super) fn object(&mut self, caller: &Caller, request: &Request) -> Answered {
        let path = request.url.path().trim_start_matches('/');
        let Some((bucket, key)) = path.split_once('/') else { return Err(format!("{path} is no object")) };
        let Some(session) = &caller.session else {
            return Err(format!("{path} was read with the hub's own credentials"));
        };
        let resource = format!("arn:aws:s3:::{bucket}/{key}");
        if !session.allows("s3:GetObject", &resource) {
            return Err(format!("the session policy does not allow s3:GetObject on {resource}: {}", session.policy));
        }
        let place = TargetKey {
            account: caller.account.parse().map_err(|_| "no account".to_owned())?,
            region: caller.region.parse().map_err(|_| format!("no Region: {}", caller.region))?,
        };
        Ok(match self.engines.called(&place, "GetObject") {
            Some(Mishap::Refused { code, message }) => refused(400, &code, &message),
            Some(Mishap::Throttled) => refused(503, "SlowDown", "Please reduce your request rate."),
            Some(Mishap::Unanswered) => ResponseTemplate::new(500),
            None => match self.objects.0.get(&(bucket.to_owned(), key.to_owned())) {
                Some(body) => ResponseTemplate::new(200).set_body_raw(body.clone(), "application/octet-stream"),
                None => refused(404, "NoSuchKey", "The specified key does not exist."),
            },
        })
    }
}

/// An error of S3 (API reference, "Error responses").
fn refused(status: u16, code: &str, message: &str) -> ResponseTemplate {
    let body = format!("<Error><Code>{code}</Code><Message>{message}</Message><RequestId>0</RequestId></Error>");
    ResponseTemplate::new(status).set_body_raw(body, "application/xml")
}
