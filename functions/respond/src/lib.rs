//! `respond`: takes in what is pressed in Slack, behind a function URL that anybody on the internet can call.
//!
//! ```text
//!  Slack ──► function URL ──► signed by Slack? ──► which button? ──► a message ──► 200
//!                                └ 401               └ 400             └ 503: Slack tells whoever pressed
//! ```
//!
//! It believes nothing that is not signed, reads no ledger and decides nothing: approvals, rejections and aborts go to
//! `collect`, retries to `dispatch`, and there it is judged whether this user may. So a press that comes too late, twice,
//! or from somebody who may not, changes nothing but the record of decisions; the summary in Slack shows what became of it.
//!
//! Slack wants an answer within three seconds, shows an error to whoever pressed if there is none or it is not a 200, and
//! documents no retry for interactions (Slack, "Handling user interaction", acknowledgment response). So what was not
//! surely sent is answered as an error, and the user presses again: should the first message have gone out all the same,
//! the second command finds its work done.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::{self, Either};
use manifold_core::brief::brief;
use manifold_core::checkup::{Answer, Misunderstood, Question};
use manifold_core::message::Outgoing;
use manifold_core::press::{self, Press, PressError, Unsigned};
use manifold_core::time::Span;
use manifold_ports::batch::Chain;
use manifold_ports::clock::Clock;
use manifold_ports::queues::{Queues, SendError};
use manifold_ports::signing::{Signing, SigningError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How long a press may take, of the three seconds that Slack gives; the rest is the network's.
pub const WITHIN: Span = Span::from_millis(2_500);

/// The function's handler over its ports.
#[derive(Debug)]
pub struct Respond<Q, S, C> {
    /// Where what is to be done goes.
    pub queues: Q,
    /// The app's signing secret.
    pub signing: S,
    /// Time.
    pub clock: C,
}

/// An answer, as a function URL takes it (Lambda Developer Guide, "Invoking function URLs", response payload format).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// The HTTP status.
    pub status_code: u16,
    /// The headers.
    pub headers: BTreeMap<&'static str, &'static str>,
    /// The body. Says nothing that whoever is not Slack could use.
    pub body: &'static str,
}

impl Response {
    fn new(status_code: u16, body: &'static str) -> Self {
        let headers = BTreeMap::from([("cache-control", "no-store"), ("content-type", "text/plain; charset=utf-8")]);
        Self { status_code, headers, body }
    }
}

/// What invoked the function is no request to its URL.
#[derive(Debug, thiserror::Error)]
#[error("not a request to a function URL: {0}")]
pub struct NotARequest(String);

/// A request to a function URL, as far as it matters: payload format 2.0, in which the names of headers are lower-case
/// (Lambda Developer Guide, "Invoking function URLs", request payload format).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
    request_context: RequestContext,
}

#[derive(Debug, Deserialize)]
struct RequestContext {
    http: Http,
}

#[derive(Debug, Deserialize)]
struct Http {
    method: String,
}

/// Why a request is not answered with 200.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the method is {0}, not POST")]
    Method(String),
    #[error("the body is not base64, which it is said to be")]
    Encoding,
    #[error(transparent)]
    Unsigned(#[from] Unsigned),
    #[error(transparent)]
    Press(#[from] PressError),
    #[error(transparent)]
    Signing(#[from] SigningError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("it took more than {WITHIN}")]
    Late,
}

impl Refusal {
    fn response(&self) -> Response {
        match self {
            Self::Method(_) => {
                let mut response = Response::new(405, "");
                response.headers.insert("allow", "POST");
                response
            }
            // Nothing about why: it helps nobody but a forger.
            Self::Encoding | Self::Unsigned(_) => Response::new(401, ""),
            Self::Press(_) => Response::new(400, "not a button of this version"),
            Self::Signing(_) | Self::Send(_) | Self::Late => Response::new(503, "not taken in, press again"),
        }
    }
}

impl<Q, S, C> Respond<Q, S, C> {
    /// Answers a checkup: not at all, as nothing that this function needs is asked for. But a question is no press.
    ///
    /// # Errors
    /// The question is another function's.
    pub fn checkup(&self, question: &Question) -> Result<Answer, Misunderstood> {
        match question {
            Question::Fleet
            | Question::Access(_)
            | Question::Preview(_)
            | Question::Discard(_)
            | Question::Inspect(_)
            | Question::Slack(_) => Err(Misunderstood::Misplaced { function: "respond" }),
        }
    }
}

impl<Q: Queues, S: Signing, C: Clock> Respond<Q, S, C> {
    /// Takes a request in, and answers it by the time that `out_of_time` ends: [`WITHIN`] from its arrival.
    ///
    /// # Errors
    /// It is no request to a function URL at all: somebody invoked the function by hand.
    pub async fn handle(&self, event: &Value, out_of_time: impl Future<Output = ()>) -> Result<Response, NotARequest> {
        let request = Request::deserialize(event).map_err(|error| NotARequest(brief(&error.to_string())))?;
        let taken = match future::select(pin!(self.take(&request)), pin!(out_of_time)).await {
            Either::Left((taken, _)) => taken,
            Either::Right(((), _)) => Err(Refusal::Late),
        };
        match taken {
            Ok(()) => Ok(Response::new(200, "")),
            Err(refusal) => {
                let response = refusal.response();
                let (status, reason) = (response.status_code, Chain(&refusal));
                match refusal {
                    // A user pressed and nothing happens: somebody should know why.
                    Refusal::Press(_) | Refusal::Signing(_) | Refusal::Send(_) | Refusal::Late => {
                        tracing::error!(function = "respond", status, %reason, "a press was not taken in");
                    }
                    // Whatever knocks at a public door.
                    Refusal::Method(_) | Refusal::Encoding | Refusal::Unsigned(_) => {
                        tracing::warn!(function = "respond", status, %reason, "a request was refused");
                    }
                }
                Ok(response)
            }
        }
    }

    async fn take(&self, request: &Request) -> Result<(), Refusal> {
        let method = &request.request_context.http.method;
        if method != "POST" {
            return Err(Refusal::Method(brief(method)));
        }
        let header = |name: &str| request.headers.get(name).map(String::as_str).ok_or(Unsigned::Malformed);
        let (timestamp, signature) = (header("x-slack-request-timestamp")?, header("x-slack-signature")?);
        let body = request.body.as_deref().unwrap_or_default();
        // Slack signs the bytes that it sends.
        let decoded = match request.is_base64_encoded {
            true => Some(STANDARD.decode(body).map_err(|_| Refusal::Encoding)?),
            false => None,
        };
        let body = decoded.as_deref().unwrap_or(body.as_bytes());
        let secret = self.signing.secret().await?;
        press::verify(secret.expose(), timestamp, signature, body, self.clock.now())?;
        let press = press::decode(body)?;
        let Press { run, who, id, .. } = &press;
        let (run, user, id) = (run.clone(), who.id.clone(), id.clone());
        let action = press::action_id(&press.action);
        self.queues.send(vec![Outgoing::from(press.payload())]).await?;
        tracing::info!(function = "respond", %run, action, user, %id, "a press was taken in");
        Ok(())
    }
}
