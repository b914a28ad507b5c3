//! Carries out the steps of a plan over a connection.

use std::{io, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use tokio::time::{Instant, sleep, sleep_until};

use crate::plan::{Step, Wait};

/// The body of every answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A pause before a cut. When a body fails, hyper drops what it has not written yet; in this pause
/// it writes everything that comes before.
const FLUSH: Duration = Duration::from_millis(30);

/// The resolution of timers. A shorter wait is added to the next one.
const TICK: Duration = Duration::from_millis(1);

/// Waits as long as a step says.
pub(crate) async fn pass(wait: Wait) {
    match wait {
        Wait::For(time) => sleep(time).await,
        Wait::Forever => std::future::pending().await,
    }
}

/// A body that plays the steps when it is read. One piece has a `content-length`, more are
/// chunked with one chunk a step.
pub(crate) fn body(mut steps: Vec<Step>) -> Body {
    if let [Step::Send(timed)] = steps.as_mut_slice()
        && timed.gap.is_zero()
    {
        return full(std::mem::take(&mut timed.frame));
    }
    let frames = async_stream::stream! {
        // Deltas are due at fixed times from the start rather than a pause after one another, so
        // that a rate above that of the timer is kept on average.
        let mut due = Instant::now();
        for step in steps {
            match step {
                Step::Send(timed) => {
                    due += timed.gap;
                    if due >= Instant::now() + TICK {
                        sleep_until(due).await;
                    }
                    yield Ok(Frame::data(timed.frame));
                }
                Step::Wait(wait) => {
                    pass(wait).await;
                    due = Instant::now();
                }
                Step::Cut => {
                    sleep(FLUSH).await;
                    yield Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut by the script"));
                    return;
                }
            }
        }
    };
    StreamBody::new(frames).boxed_unsync()
}

/// A body in one piece.
pub(crate) fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}
