//! A line: a number of equal permits, and a queue of those that wait for one, first come, first
//! served.
//!
//! A waiter holds a ticket, and takes a permit itself as soon as fewer waiters are before it than
//! permits are free. So no permit is ever on its way to a waiter that has given up, and no later
//! waiter gets one earlier.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

/// Permits with numbers from 0, and the queue for them. A clone refers to the same line.
#[derive(Debug, Clone)]
pub struct Line(Arc<Shared>);

/// A handle that does not keep the line alive. See [`Line::downgrade`].
#[derive(Debug)]
pub(super) struct WeakLine(Weak<Shared>);

#[derive(Debug)]
struct Shared {
    permits: usize,
    state: Mutex<State>,
    /// Notified whenever a permit comes back or a waiter gives up.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    free: Vec<usize>,
    /// The tickets of all waiters, in ascending order, because they are given out in that order.
    waiting: VecDeque<u64>,
    next_ticket: u64,
}

/// One permit. It goes back to the line when this value is dropped.
#[derive(Debug)]
pub struct Permit {
    line: Line,
    number: usize,
}

/// A waiter's place in the queue. It is given up when this value is dropped.
#[derive(Debug)]
pub struct Waiting {
    line: Line,
    ticket: u64,
}

impl Line {
    /// Makes a line with `permits` permits, all of them free.
    pub fn new(permits: usize) -> Self {
        let free = (0..permits).rev().collect();
        let state = State { free, waiting: VecDeque::new(), next_ticket: 0 };
        Self(Arc::new(Shared { permits, state: Mutex::new(state), changed: Notify::new() }))
    }

    /// A handle that does not keep the line alive. When it cannot be upgraded any more, no permit
    /// is taken and no waiter is left.
    pub(super) fn downgrade(&self) -> WeakLine {
        WeakLine(Arc::downgrade(&self.0))
    }

    /// The number of permits that are taken.
    pub fn taken(&self) -> usize {
        self.0.permits - self.state().free.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that could panic runs under the lock.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a permit if more are free than waiters are in the queue, else the last place in the
    /// queue.
    pub fn enter(&self) -> Result<Permit, Waiting> {
        let mut state = self.state();
        let is_left = state.waiting.len() < state.free.len();
        if is_left && let Some(number) = state.free.pop() {
            return Ok(Permit { line: self.clone(), number });
        }
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push_back(ticket);
        Err(Waiting { line: self.clone(), ticket })
    }
}

impl WeakLine {
    pub(super) fn upgrade(&self) -> Option<Line> {
        self.0.upgrade().map(Line)
    }
}

impl State {
    /// The number of waiters before this ticket.
    fn ahead_of(&self, ticket: u64) -> usize {
        self.waiting.partition_point(|other| *other < ticket)
    }

    /// Takes a permit for this ticket if it is its turn.
    fn take(&mut self, ticket: u64) -> Option<usize> {
        if self.ahead_of(ticket) >= self.free.len() {
            return None;
        }
        self.leave(ticket);
        self.free.pop()
    }

    fn leave(&mut self, ticket: u64) {
        if let Ok(place) = self.waiting.binary_search(&ticket) {
            self.waiting.remove(place);
        }
    }
}

impl Permit {
    /// The number of the permit, from 0.
    pub fn number(&self) -> usize {
        self.number
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.line.state().free.push(self.number);
        self.line.0.changed.notify_waiters();
    }
}

impl Waiting {
    /// The number of waiters before this one.
    pub fn ahead(&self) -> usize {
        self.line.state().ahead_of(self.ticket)
    }

    /// Waits for the permit.
    pub async fn permit(self) -> Permit {
        loop {
            // Listening begins before the check, so that no change in between is missed.
            let mut changed = std::pin::pin!(self.line.0.changed.notified());
            changed.as_mut().enable();
            let taken = self.line.state().take(self.ticket);
            if let Some(number) = taken {
                return Permit { line: self.line.clone(), number };
            }
            changed.await;
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.line.state().leave(self.ticket);
        // All waiters behind this one have moved up.
        self.line.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;

    #[test]
    fn there_are_no_more_permits_than_were_made_and_each_has_its_number() {
        let line = Line::new(2);
        let first = line.enter().unwrap();
        let second = line.enter().unwrap();
        assert_eq!((first.number(), second.number(), line.taken()), (0, 1, 2));
        drop(line.enter().unwrap_err());
        drop(first);
        assert_eq!(line.taken(), 1);
        assert_eq!(line.enter().unwrap().number(), 0);
    }

    #[test]
    fn who_waits_is_served_in_order_and_nobody_gets_past() {
        let line = Line::new(1);
        let permit = line.enter().unwrap();
        let (first, second) = (line.enter().unwrap_err(), line.enter().unwrap_err());
        assert_eq!((first.ahead(), second.ahead()), (0, 1));
        let mut first = task::spawn(first.permit());
        let mut second = task::spawn(second.permit());
        assert_pending!(second.poll());
        assert_pending!(first.poll());
        drop(permit);
        drop(line.enter().expect_err("somebody who came later got past"));
        assert_pending!(second.poll());
        assert!(first.is_woken());
        let permit = assert_ready!(first.poll());
        assert_pending!(second.poll());
        drop(permit);
        assert!(second.is_woken());
        drop(assert_ready!(second.poll()));
        line.enter().unwrap();
    }

    #[test]
    fn who_gives_up_lets_those_behind_move_up() {
        let line = Line::new(1);
        let permit = line.enter().unwrap();
        let (first, second) = (line.enter().unwrap_err(), line.enter().unwrap_err());
        let mut first = task::spawn(first.permit());
        let mut second = task::spawn(second.permit());
        assert_pending!(first.poll());
        assert_pending!(second.poll());
        drop(permit);
        // The first waiter could take the permit, but gives up before it does.
        drop(first);
        assert!(second.is_woken());
        assert_ready!(second.poll());
    }

    /// A step of a random sequence. The numbers choose among the waiters or the holders of permits.
    #[derive(Debug, Clone)]
    enum Step {
        Enter,
        Poll(usize),
        GiveUp(usize),
        GiveBack(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            2 => Just(Step::Enter),
            2 => any::<usize>().prop_map(Step::Poll),
            1 => any::<usize>().prop_map(Step::GiveUp),
            2 => any::<usize>().prop_map(Step::GiveBack),
        ];
        proptest::collection::vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn whatever_happens_permits_are_unique_and_the_first_who_wait_are_served(
            permits in 1..4_usize,
            steps in steps(),
        ) {
            let line = Line::new(permits);
            let (mut held, mut waiting) = (Vec::new(), Vec::new());
            for step in steps {
                let free = permits - held.len();
                match step {
                    Step::Enter => match line.enter() {
                        Ok(permit) => {
                            prop_assert!(waiting.len() < free);
                            held.push(permit);
                        }
                        Err(wait) => {
                            prop_assert!(waiting.len() >= free);
                            prop_assert_eq!(wait.ahead(), waiting.len());
                            waiting.push(task::spawn(wait.permit()));
                        }
                    },
                    Step::Poll(choice) if !waiting.is_empty() => {
                        let place = choice % waiting.len();
                        let polled = waiting[place].poll();
                        prop_assert_eq!(polled.is_ready(), place < free);
                        if let std::task::Poll::Ready(permit) = polled {
                            drop(waiting.remove(place));
                            held.push(permit);
                        }
                    }
                    Step::GiveUp(choice) if !waiting.is_empty() => {
                        drop(waiting.remove(choice % waiting.len()));
                    }
                    Step::GiveBack(choice) if !held.is_empty() => {
                        drop(held.remove(choice % held.len()));
                    }
                    _ => {}
                }
                let mut numbers: Vec<_> = held.iter().map(Permit::number).collect();
                numbers.sort_unstable();
                numbers.dedup();
                prop_assert_eq!(numbers.len(), held.len());
                prop_assert!(numbers.iter().all(|number| *number < permits));
                prop_assert_eq!(line.taken(), held.len());
            }
            let free = permits - held.len();
            for waiting in waiting.iter_mut().take(free) {
                prop_assert!(waiting.poll().is_ready());
            }
        }
    }
}
