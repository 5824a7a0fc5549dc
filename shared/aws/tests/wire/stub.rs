//! A server with a script.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::Region;
use aws_credential_types::Credentials;
use manifold_aws::Backoff;
use manifold_aws::clients::{self, Clients};
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

/// Tries as often as in production, without waiting.
pub(crate) const AT_ONCE: Backoff = Backoff { tries: 5, first: Duration::ZERO, longest: Duration::ZERO };

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) operation: String,
    headers: HashMap<String, String>,
    pub(crate) text: String,
    pub(crate) bytes: Vec<u8>,
}

impl Sent {
    fn new(request: &Request) -> Self {
        let text = String::from_utf8_lossy(&request.body).into_owned();
        let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
        let form = |name: &str| text.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let operation = match (header("x-amz-target"), form("Action")) {
            (Some(target), _) => target.rsplit('.').next().unwrap().to_owned(),
            (None, Some(action)) => action.to_owned(),
            (None, None) => request.url.path().to_owned(),
        };
        let headers = request
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned()))
            .collect();
        Self { operation, headers, text, bytes: request.body.clone() }
    }

    /// The body, as JSON.
    pub(crate) fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// A header, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// A form's field, decoded.
    pub(crate) fn form(&self, name: &str) -> Option<String> {
        let mut fields = reqwest::Url::parse(&format!("http://form/?{}", self.text)).unwrap();
        fields.set_fragment(None);
        fields.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

#[derive(Default)]
struct Script {
    replies: Mutex<HashMap<String, VecDeque<ResponseTemplate>>>,
    sent: Mutex<Vec<Sent>>,
    strays: Mutex<Vec<Sent>>,
}

struct Player(Arc<Script>);

impl Respond for Player {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let sent = Sent::new(request);
        let reply = self.0.replies.lock().unwrap().get_mut(&sent.operation).and_then(VecDeque::pop_front);
        let reply = reply.unwrap_or_else(|| {
            self.0.strays.lock().unwrap().push(sent.clone());
            ResponseTemplate::new(418)
        });
        self.0.sent.lock().unwrap().push(sent);
        reply
    }
}

/// The server. Dropped, it fails the test over anything that was not asked for or not answered.
pub(crate) struct Stub {
    server: MockServer,
    script: Arc<Script>,
}

impl Stub {
    pub(crate) async fn start() -> Self {
        let (server, script) = (MockServer::start().await, Arc::<Script>::default());
        Mock::given(any()).respond_with(Player(Arc::clone(&script))).mount(&server).await;
        Self { server, script }
    }

    pub(crate) fn uri(&self) -> String {
        self.server.uri()
    }

    /// Clients with the hub's credentials in `eu-west-1`, configured as in production but for the waits.
    pub(crate) async fn clients(&self) -> Clients {
        self.clients_with(clients::timeouts()).await
    }

    pub(crate) async fn clients_with(&self, timeouts: aws_smithy_types::timeout::TimeoutConfig) -> Clients {
        let config = clients::loader()
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new("AKIDHUB", "hub-secret", Some("hub-token".into()), None, "test"))
            .endpoint_url(self.uri())
            .retry_config(clients::retries().with_initial_backoff(Duration::from_millis(1)))
            .timeout_config(timeouts)
            .load()
            .await;
        Clients::new(config)
    }

    /// The next answer to an operation, or to a path.
    pub(crate) fn then(&self, operation: &str, reply: ResponseTemplate) -> &Self {
        self.script.replies.lock().unwrap().entry(operation.to_owned()).or_default().push_back(reply);
        self
    }

    pub(crate) fn json(&self, operation: &str, body: Value) -> &Self {
        self.then(operation, ResponseTemplate::new(200).set_body_json(body))
    }

    /// An error in AWS's JSON protocols.
    pub(crate) fn error(&self, operation: &str, status: u16, code: &str) -> &Self {
        let body = json!({"__type": format!("com.amazonaws#{code}"), "message": format!("{code} in words")});
        self.then(operation, ResponseTemplate::new(status).set_body_json(body))
    }

    /// Everything that was asked, in order.
    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.script.sent.lock().unwrap().clone()
    }

    /// What was asked of one operation, in order.
    pub(crate) fn asked(&self, operation: &str) -> Vec<Sent> {
        self.sent().into_iter().filter(|sent| sent.operation == operation).collect()
    }

    /// The one request of an operation.
    pub(crate) fn only(&self, operation: &str) -> Sent {
        let mut asked = self.asked(operation);
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked.remove(0)
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let strays = self.script.strays.lock().unwrap();
        assert!(strays.is_empty(), "nobody expected {strays:?}");
        let replies = self.script.replies.lock().unwrap();
        let left: Vec<_> = replies.iter().filter(|(_, left)| !left.is_empty()).map(|(name, _)| name).collect();
        assert!(left.is_empty(), "nobody asked for the last answers of {left:?}");
    }
}
