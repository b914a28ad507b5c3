//! The log of a run: its events, numbered from 1, written by the run and read by streams.
//!
//! Numbers belong to the run and not to a connection, so a stream can begin in the middle and says
//! the same numbers as another one.
//!
//! # Bounds
//!
//! The log keeps the newest events, [`KEPT`] at most. Older ones go, unless a reader has yet to see
//! them: a reader that is attached loses nothing, however slow it is. The memory stays bounded all
//! the same, because the writer waits while a reader is [`BEHIND`] by so much. Without a reader the
//! writer never waits. So a reader can only miss events that went before it came, and
//! [`LogReader::missed`] says how many those were.
//!
//! ```text
//!      gone          kept and read            kept and unread
//!     ─────────┬─────────────────────────┬───────────────────────┬──▶
//!              first                     next of the reader      next of the writer
//!                                        └ at BEHIND, it waits ──┘
//!              └─────── at more than KEPT, the oldest goes ──────┘
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::sync::Notify;

use super::events::Event;

/// How much of something there may be; either alone is enough.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// Number of events.
    pub events: usize,
    /// Bytes of text in them, about.
    pub bytes: usize,
}

/// What a log keeps.
pub const KEPT: Bound = Bound { events: 4096, bytes: 1 << 20 };
/// How far a reader may be behind before the writer waits for it.
pub const BEHIND: Bound = Bound { events: 256, bytes: 512 << 10 };

/// The events of one run.
#[derive(Debug)]
pub struct Log {
    state: Mutex<State>,
    /// Told when there is something new to read.
    written: Notify,
    /// Told when a reader is not too far behind any more, or has left.
    caught_up: Notify,
}

#[derive(Debug)]
struct State {
    /// What is kept, the oldest first.
    kept: VecDeque<Entry>,
    /// Number of the oldest event that is kept, or of the next one.
    first: u64,
    /// Bytes of all events that were ever written.
    bytes: u64,
    is_closed: bool,
    /// The number of the event that each reader reads next.
    readers: BTreeMap<u64, u64>,
    next_reader: u64,
}

#[derive(Debug)]
struct Entry {
    event: Arc<Event>,
    /// Bytes of all events before this one.
    bytes_before: u64,
}

/// The end of a log that the run writes to; there is one. When it is dropped, the log is closed.
#[derive(Debug)]
pub struct LogWriter(Arc<Log>);

/// One reader of a log.
#[derive(Debug)]
pub struct LogReader {
    log: Arc<Log>,
    id: u64,
    /// Number of the event that it reads next.
    next: u64,
    missed: u64,
}

/// An event with its number.
#[derive(Debug, Clone)]
pub struct Numbered {
    /// From 1.
    pub number: u64,
    /// The event.
    pub event: Arc<Event>,
}

impl Log {
    /// An empty log.
    pub fn create() -> (LogWriter, Arc<Self>) {
        let state = State {
            kept: VecDeque::new(),
            first: 1,
            bytes: 0,
            is_closed: false,
            readers: BTreeMap::new(),
            next_reader: 0,
        };
        let (written, caught_up) = (Notify::new(), Notify::new());
        let log = Arc::new(Self { state: Mutex::new(state), written, caught_up });
        (LogWriter(Arc::clone(&log)), log)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that could panic is done under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reader that begins after the event with this number; 0 is before the first one.
    pub fn read_after(self: &Arc<Self>, number: u64) -> LogReader {
        let mut state = self.state();
        let wanted = number.saturating_add(1).min(state.next());
        let next = wanted.max(state.first);
        let id = state.next_reader;
        state.next_reader += 1;
        state.readers.insert(id, next);
        LogReader { log: Arc::clone(self), id, next, missed: next - wanted }
    }
}

impl State {
    /// Number of the next event that is written.
    fn next(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    fn get(&self, number: u64) -> Option<&Entry> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.kept.get(place)
    }

    /// Number of the oldest event that a reader has yet to read; it may not be written yet.
    fn unread(&self) -> Option<u64> {
        self.readers.values().copied().min()
    }

    /// Whether no reader is too far behind.
    fn has_room(&self) -> bool {
        let Some(number) = self.unread() else {
            return true;
        };
        let Some(oldest) = self.get(number) else {
            return true;
        };
        self.next() - number < BEHIND.events as u64
            && self.bytes - oldest.bytes_before < BEHIND.bytes as u64
    }

    fn push(&mut self, event: Event) {
        let bytes_before = self.bytes;
        self.bytes += event.text_bytes() as u64;
        self.kept.push_back(Entry { event: Arc::new(event), bytes_before });
        while self.is_over_full() && self.unread().is_none_or(|number| number > self.first) {
            self.kept.pop_front();
            self.first += 1;
        }
    }

    /// Whether the oldest event is one too many. The newest never is.
    fn is_over_full(&self) -> bool {
        let bytes = self.kept.front().map_or(0, |oldest| self.bytes - oldest.bytes_before);
        self.kept.len() > KEPT.events || (bytes > KEPT.bytes as u64 && self.kept.len() > 1)
    }
}

impl LogWriter {
    /// Writes an event. Waits while a reader is too far behind; an event that is still waiting when
    /// this future is dropped is not written.
    pub async fn write(&self, event: Event) {
        let mut event = event;
        loop {
            // Listening begins before looking, so that no change in between is missed.
            let mut caught_up = std::pin::pin!(self.0.caught_up.notified());
            caught_up.as_mut().enable();
            match self.try_write(event) {
                Ok(()) => return,
                Err(refused) => event = refused,
            }
            caught_up.await;
        }
    }

    /// Writes an event, unless a reader is too far behind.
    pub fn try_write(&self, event: Event) -> Result<(), Event> {
        let mut state = self.0.state();
        if !state.has_room() {
            return Err(event);
        }
        state.push(event);
        drop(state);
        self.0.written.notify_waiters();
        Ok(())
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.0.state().is_closed = true;
        self.0.written.notify_waiters();
    }
}

impl LogReader {
    /// How many of the events that it was to read were gone before it came.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// The next event, or nothing when all are read and the run writes no more. Nothing is lost
    /// when this future is dropped.
    pub async fn next(&mut self) -> Option<Numbered> {
        loop {
            // Listening begins before looking, so that nothing in between is missed.
            let mut written = std::pin::pin!(self.log.written.notified());
            written.as_mut().enable();
            if let Poll::Ready(event) = self.take() {
                let number = self.next;
                self.next += 1;
                return event.map(|event| Numbered { number, event });
            }
            written.await;
        }
    }

    /// Takes the next event out of what is unread.
    fn take(&self) -> Poll<Option<Arc<Event>>> {
        let mut state = self.log.state();
        let Some(event) = state.get(self.next).map(|entry| Arc::clone(&entry.event)) else {
            return if state.is_closed { Poll::Ready(None) } else { Poll::Pending };
        };
        let had_room = state.has_room();
        state.readers.insert(self.id, self.next + 1);
        let has_room_again = !had_room && state.has_room();
        drop(state);
        if has_room_again {
            self.log.caught_up.notify_waiters();
        }
        Poll::Ready(Some(event))
    }
}

impl Drop for LogReader {
    fn drop(&mut self) {
        self.log.state().readers.remove(&self.id);
        self.log.caught_up.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;

    fn text(content: impl Into<String>) -> Event {
        Event::Stream { content: content.into() }
    }

    /// Everything that can be read at once, as numbers.
    fn numbers(reader: &mut LogReader) -> Vec<u64> {
        let mut numbers = Vec::new();
        while let Poll::Ready(Some(next)) = task::spawn(reader.next()).poll() {
            numbers.push(next.number);
        }
        numbers
    }

    fn write_all(writer: &LogWriter, count: usize) {
        for n in 0..count {
            writer.try_write(text(n.to_string())).unwrap();
        }
    }

    #[test]
    fn events_are_numbered_by_the_run_wherever_a_reader_begins() {
        let (writer, log) = Log::create();
        write_all(&writer, 5);
        assert_eq!(numbers(&mut log.read_after(0)), [1, 2, 3, 4, 5]);
        assert_eq!(numbers(&mut log.read_after(3)), [4, 5]);
        let mut late = log.read_after(5);
        assert_eq!(numbers(&mut late), [0; 0]);
        write_all(&writer, 1);
        assert_eq!(numbers(&mut late), [6]);
        // A number that is not written yet is no reason to wait for it.
        assert_eq!(numbers(&mut log.read_after(u64::MAX)), [0; 0]);
    }

    #[test]
    fn without_a_reader_the_oldest_go_and_a_reader_learns_how_many() {
        let (writer, log) = Log::create();
        write_all(&writer, KEPT.events + 10);
        let mut reader = log.read_after(3);
        assert_eq!(reader.missed(), 7);
        let read = numbers(&mut reader);
        assert_eq!((read[0], read.len()), (11, KEPT.events));
        let last = log.read_after(KEPT.events as u64);
        assert_eq!(last.missed(), 0);
    }

    #[test]
    fn a_log_is_bounded_in_bytes_too_and_keeps_the_newest_however_large() {
        let (writer, log) = Log::create();
        for _ in 0..10 {
            writer.try_write(text("x".repeat(KEPT.bytes / 4))).unwrap();
        }
        assert_eq!(numbers(&mut log.read_after(0)), [7, 8, 9, 10]);
        writer.try_write(text("x".repeat(KEPT.bytes * 2))).unwrap();
        assert_eq!(numbers(&mut log.read_after(0)), [11]);
    }

    #[test]
    fn a_writer_waits_for_a_slow_reader_which_loses_nothing() {
        let (writer, log) = Log::create();
        let mut reader = log.read_after(0);
        write_all(&writer, BEHIND.events);
        let mut waiting = task::spawn(writer.write(text("one more")));
        assert_pending!(waiting.poll());
        assert_ready!(task::spawn(reader.next()).poll());
        assert!(waiting.is_woken());
        assert_ready!(waiting.poll());
        drop(waiting);
        writer.try_write(text("too early")).unwrap_err();
        let expected: Vec<_> = (2..=BEHIND.events as u64 + 1).collect();
        assert_eq!(numbers(&mut reader), expected);
    }

    #[test]
    fn large_events_let_a_writer_wait_sooner_and_never_for_a_reader_that_has_read_all() {
        let (writer, log) = Log::create();
        let mut reader = log.read_after(0);
        writer.try_write(text("x".repeat(BEHIND.bytes))).unwrap();
        writer.try_write(text("y")).unwrap_err();
        assert_eq!(numbers(&mut reader), [1]);
        writer.try_write(text("y")).unwrap();
    }

    #[test]
    fn a_reader_that_leaves_holds_nobody_up() {
        let (writer, log) = Log::create();
        let slow = log.read_after(0);
        let mut quick = log.read_after(0);
        write_all(&writer, BEHIND.events);
        assert_eq!(numbers(&mut quick).len(), BEHIND.events);
        let mut waiting = task::spawn(writer.write(text("one more")));
        assert_pending!(waiting.poll());
        drop(slow);
        assert!(waiting.is_woken());
        assert_ready!(waiting.poll());
    }

    #[test]
    fn what_a_reader_has_yet_to_read_stays_although_there_is_more_than_is_kept() {
        let (writer, log) = Log::create();
        write_all(&writer, KEPT.events);
        let mut slow = log.read_after(0);
        // It began far behind, so nothing is written until it has caught up.
        writer.try_write(text("next")).unwrap_err();
        for _ in 0..=KEPT.events - BEHIND.events {
            assert_ready!(task::spawn(slow.next()).poll());
        }
        writer.try_write(text("next")).unwrap();
        assert_eq!(numbers(&mut slow).last(), Some(&(KEPT.events as u64 + 1)));
    }

    #[test]
    fn a_closed_log_is_read_to_its_end() {
        let (writer, log) = Log::create();
        let mut reader = log.read_after(0);
        let mut waiting = task::spawn(async { reader.next().await.map(|next| next.number) });
        assert_pending!(waiting.poll());
        writer.try_write(text("last")).unwrap();
        drop(writer);
        assert!(waiting.is_woken());
        assert_eq!(assert_ready!(waiting.poll()), Some(1));
        drop(waiting);
        assert!(assert_ready!(task::spawn(reader.next()).poll()).is_none());
    }
}
