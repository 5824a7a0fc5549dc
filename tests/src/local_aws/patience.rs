//! Waiting for what other processes do: bounded, and with words for what was waited for.

use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(50);

/// Asks again and again until there is an answer, and tells what was seen last if there is none in time.
///
/// # Panics
/// Time is up.
#[expect(clippy::disallowed_methods, reason = "other processes keep their own time")]
pub async fn until<T>(what: &str, limit: Duration, mut ask: impl AsyncFnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(seen) if begun.elapsed() > limit => panic!("waited {limit:?} for {what}; last seen: {seen}"),
            Err(_) => tokio::time::sleep(STEP).await,
        }
    }
}

/// Waits for what will tell by itself.
///
/// # Panics
/// Time is up.
pub async fn within<T>(what: &str, limit: Duration, done: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, done).await {
        Ok(done) => done,
        Err(_) => panic!("waited {limit:?} for {what}"),
    }
}

/// Asks again and again, for code that is not asynchronous. Returns whether it came true.
#[expect(clippy::disallowed_methods, reason = "other processes keep their own time")]
pub(super) fn blocking(limit: Duration, mut ask: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if ask() {
            return true;
        }
        if begun.elapsed() > limit {
            return false;
        }
        std::thread::sleep(STEP);
    }
}
