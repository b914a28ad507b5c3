//! Work that waits for a disk or takes the processor for long, on threads that may do so.
//!
//! If a thread of the runtime waits, all requests on that thread wait too. This module is the only
//! caller of `spawn_blocking`, which does not pass on the tracing span. Here the work enters the
//! request's span, so every line that it logs has the request's id.

use tokio::runtime::{Handle, RuntimeFlavor};
use tracing::Span;

/// The work panicked, or the runtime ended before it began. The panic's own message is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("work on another thread broke off")]
pub struct BrokeOff;

/// Runs work on a thread that may block, and waits for its result. Work that has begun always runs
/// to its end, even if the returned future is dropped.
pub async fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BrokeOff> {
    spawn(work).await.map_err(|_| BrokeOff)
}

/// Runs work on a thread that may block, without waiting for it. For destructors, which cannot
/// wait.
pub fn detach(work: impl FnOnce() + Send + 'static) {
    drop(spawn(work));
}

/// Runs work that takes the processor for a while on the present thread. The runtime moves the
/// other tasks of this thread to another one.
pub fn in_place<T>(work: impl FnOnce() -> T) -> T {
    // Runtimes of tests and fuzz targets have a single thread, so there is no other one to move
    // tasks to.
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that carries the span along")]
fn spawn<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    let span = Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::thread::{self, ThreadId};
    use std::time::Duration;

    use tracing::span::Id;
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;

    /// Records the threads on which a span was entered.
    #[derive(Clone, Default)]
    struct Entered(Arc<Mutex<Vec<ThreadId>>>);

    impl<S: tracing::Subscriber> Layer<S> for Entered {
        fn on_enter(&self, _: &Id, _: Context<'_, S>) {
            self.0.lock().unwrap().push(thread::current().id());
        }
    }

    #[tokio::test]
    async fn the_callers_span_goes_along() {
        let entered = Entered::default();
        let subscriber = tracing_subscriber::registry().with(entered.clone());
        let _guard = tracing::subscriber::set_default(subscriber);
        let span = tracing::info_span!("request");
        let work = run(|| thread::current().id());
        let worked_on = tracing::Instrument::instrument(work, span).await.unwrap();
        assert_ne!(worked_on, thread::current().id());
        assert!(entered.0.lock().unwrap().contains(&worked_on));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn other_tasks_of_the_thread_go_on_meanwhile() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let busy = tokio::spawn(async move {
            tokio::spawn(async move { sender.send(()) });
            in_place(|| receiver.recv_timeout(Duration::from_secs(30)))
        });
        assert_eq!(busy.await.unwrap(), Ok(()));
        let alone = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(run(move || alone.block_on(async { in_place(|| 3) })).await, Ok(3));
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        assert_eq!(run(|| panic!("the text of a panic")).await, Err::<(), _>(BrokeOff));
    }
}
