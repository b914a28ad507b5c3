//! A line: a number of equal permits, and a queue of those that wait for one, which is fair between
//! the parties that they belong to.
//!
//! The parties that wait stand in a ring, and are served in turn, one request at a time; a party that
//! joins stands at the end, and so does one that was served and waits for more. Within a party the
//! first that came is served first. So a party with forty requests in the queue delays a newcomer's
//! first request by one of them and not by forty, and nobody waits for ever.
//!
//! A waiter holds a ticket, and takes a permit itself as soon as fewer waiters are before it than
//! permits are free. So no permit is ever on its way to a waiter that has given up, and no later
//! waiter gets one earlier.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

/// Permits with numbers from 0, and the queue for them. `P` tells apart the parties that are treated
/// as equals. A clone refers to the same line.
#[derive(Debug)]
pub struct Line<P>(Arc<Shared<P>>);

/// A handle that does not keep the line alive. See [`Line::downgrade`].
#[derive(Debug)]
pub(super) struct WeakLine<P>(Weak<Shared<P>>);

#[derive(Debug)]
struct Shared<P> {
    permits: usize,
    state: Mutex<State<P>>,
    /// Notified whenever a permit comes back or is taken, or a waiter gives up.
    changed: Notify,
}

#[derive(Debug)]
struct State<P> {
    free: Vec<usize>,
    /// The parties that wait, in the order in which they are served next. Each has a request at least.
    ring: VecDeque<Party<P>>,
    next_ticket: u64,
    /// How many permits were ever given out.
    served: u64,
}

#[derive(Debug)]
struct Party<P> {
    name: P,
    /// The tickets of its requests, in the order in which they came.
    tickets: VecDeque<u64>,
}

/// One permit. It goes back to the line when this value is dropped.
#[derive(Debug)]
pub struct Permit<P: Eq + Copy> {
    line: Line<P>,
    number: usize,
}

/// A waiter's place in the queue. It is given up when this value is dropped.
#[derive(Debug)]
pub struct Waiting<P: Eq + Copy> {
    line: Line<P>,
    ticket: u64,
    /// What the waiter was last told by [`Waiting::next`].
    seen: Place,
}

/// Where a waiter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The number of waiters before this one. It can grow while other parties join the queue.
    pub ahead: usize,
    /// How many permits the line has ever given out. While this grows, the queue moves.
    pub served: u64,
}

/// What a waiter learns next.
#[derive(Debug)]
pub enum Step<P: Eq + Copy> {
    /// It has its permit.
    Permit(Permit<P>),
    /// It still waits, and its place has changed.
    Moved(Place),
}

impl<P> Clone for Line<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Eq + Copy> Line<P> {
    /// Makes a line with `permits` permits, all of them free.
    pub fn new(permits: usize) -> Self {
        let state = State {
            free: (0..permits).rev().collect(),
            ring: VecDeque::new(),
            next_ticket: 0,
            served: 0,
        };
        Self(Arc::new(Shared { permits, state: Mutex::new(state), changed: Notify::new() }))
    }

    /// A handle that does not keep the line alive. When it cannot be upgraded any more, no permit
    /// is taken and no waiter is left.
    pub(super) fn downgrade(&self) -> WeakLine<P> {
        WeakLine(Arc::downgrade(&self.0))
    }

    /// The number of permits that are taken.
    pub fn taken(&self) -> usize {
        self.0.permits - self.state().free.len()
    }

    fn state(&self) -> MutexGuard<'_, State<P>> {
        // No code that could panic runs under the lock.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a permit if more are free than waiters are in the queue, else a place in the queue.
    pub fn enter(&self, party: P) -> Result<Permit<P>, Waiting<P>> {
        let mut state = self.state();
        let ticket = state.join(party);
        let taken = state.take(ticket);
        drop(state);
        match taken {
            Ok(number) => Ok(Permit { line: self.clone(), number }),
            Err(seen) => {
                // Another party's later requests may have moved back.
                self.0.changed.notify_waiters();
                Err(Waiting { line: self.clone(), ticket, seen })
            }
        }
    }
}

impl<P> WeakLine<P> {
    pub(super) fn upgrade(&self) -> Option<Line<P>> {
        self.0.upgrade().map(Line)
    }
}

impl<P: Eq + Copy> State<P> {
    /// Puts a new request of a party into the queue.
    fn join(&mut self, name: P) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        match self.ring.iter_mut().find(|party| party.name == name) {
            Some(party) => party.tickets.push_back(ticket),
            None => self.ring.push_back(Party { name, tickets: VecDeque::from([ticket]) }),
        }
        ticket
    }

    /// Where a ticket is: the number of its party in the ring, and its number in the party.
    fn find(&self, ticket: u64) -> Option<(usize, usize)> {
        self.ring
            .iter()
            .enumerate()
            .find_map(|(place, party)| Some((place, party.tickets.binary_search(&ticket).ok()?)))
    }

    fn place(&self, ticket: u64) -> Place {
        let ahead = self.find(ticket).map_or(0, |(party, round)| self.ahead_of(party, round));
        Place { ahead, served: self.served }
    }

    /// The number of requests before this one. By then each party has been served once in each
    /// earlier round, and those that stand earlier in the ring in this round too, as far as they have
    /// requests.
    fn ahead_of(&self, party: usize, round: usize) -> usize {
        let before = self.ring.iter().enumerate().map(|(other, requests)| {
            requests.tickets.len().min(round + usize::from(other < party))
        });
        before.sum()
    }

    /// Takes a permit for this ticket if it is its turn; otherwise says where it stands.
    fn take(&mut self, ticket: u64) -> Result<usize, Place> {
        if let Some((party, round)) = self.find(ticket)
            && self.ahead_of(party, round) < self.free.len()
            && let Some(permit) = self.free.pop()
        {
            // A party whose turn it was waits for the next one behind all others.
            let stands = if round == 0 { self.ring.len() - 1 } else { party };
            self.remove(party, round, stands);
            self.served += 1;
            return Ok(permit);
        }
        Err(self.place(ticket))
    }

    fn leave(&mut self, ticket: u64) {
        if let Some((party, round)) = self.find(ticket) {
            self.remove(party, round, party);
        }
    }

    /// Removes a request. If its party has more, the party `stands` at this number of the ring then.
    fn remove(&mut self, party: usize, round: usize, stands: usize) {
        let Some(mut party) = self.ring.remove(party) else { return };
        party.tickets.remove(round);
        if !party.tickets.is_empty() {
            self.ring.insert(stands, party);
        }
    }
}

impl<P: Eq + Copy> Permit<P> {
    /// The number of the permit, from 0.
    pub fn number(&self) -> usize {
        self.number
    }
}

impl<P: Eq + Copy> Drop for Permit<P> {
    fn drop(&mut self) {
        self.line.state().free.push(self.number);
        self.line.0.changed.notify_waiters();
    }
}

impl<P: Eq + Copy> Waiting<P> {
    /// Where this waiter stands.
    pub fn place(&self) -> Place {
        self.line.state().place(self.ticket)
    }

    /// Waits for the permit or for another place in the queue. When the future is dropped before
    /// its end, nothing is lost.
    pub async fn next(&mut self) -> Step<P> {
        let shared = Arc::clone(&self.line.0);
        loop {
            // Listening begins before the check, so that no change in between is missed.
            let mut changed = std::pin::pin!(shared.changed.notified());
            changed.as_mut().enable();
            let taken = self.line.state().take(self.ticket);
            match taken {
                Ok(number) => {
                    shared.changed.notify_waiters();
                    return Step::Permit(Permit { line: self.line.clone(), number });
                }
                Err(place) if place != self.seen => {
                    self.seen = place;
                    return Step::Moved(place);
                }
                Err(_) => {}
            }
            changed.await;
        }
    }

    /// Waits for the permit.
    pub async fn permit(mut self) -> Permit<P> {
        loop {
            if let Step::Permit(permit) = self.next().await {
                return permit;
            }
        }
    }
}

impl<P: Eq + Copy> Drop for Waiting<P> {
    fn drop(&mut self) {
        self.line.state().leave(self.ticket);
        // The waiters behind this one have moved up.
        self.line.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
