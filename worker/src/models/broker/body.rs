//! Receives the body of a request. The sender may be an attacker that wants to keep the worker
//! busy.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout, timeout_at};

use super::answer::Refusal;
use super::ledger::Ledger;
use super::room::{Held, Room};

/// The largest body, in bytes, which is the API's own limit.
pub(super) const MAX_BYTES: usize = 32 << 20;
/// How long a whole body may take, and how long a silence within it. Both are short, because the
/// sender is on this machine.
const WHOLE: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(10);
/// How long the rest of a refused body is read and dropped. If the worker closed the connection
/// while the sender is still sending, the sender would not get the answer.
const LINGER: Duration = Duration::from_secs(2);
/// A body may come in this many pieces, and in one more for each further amount of bytes. Each
/// piece costs the worker far more than its sender. Real clients send pieces of many kilobytes.
const FREE_PIECES: usize = 256;
const BYTES_A_PIECE: usize = 256;

/// How many bytes of a body have come, and in how many pieces.
#[derive(Default)]
struct Arrived {
    pieces: usize,
    bytes: usize,
}

impl Arrived {
    /// Counts a piece. Returns whether the number of pieces is still allowed.
    fn add(&mut self, bytes: usize) -> bool {
        self.pieces += 1;
        self.bytes += bytes;
        self.pieces <= FREE_PIECES + self.bytes / BYTES_A_PIECE
    }
}

/// A body in memory, with the room that it takes.
struct HeldBody {
    bytes: Vec<u8>,
    _held: Held,
}

impl AsRef<[u8]> for HeldBody {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Receives a whole body of this length. Its room is given back when the last clone of the result
/// is dropped.
pub(super) async fn receive(
    body: &mut Incoming,
    length: usize,
    room: &Room,
    ledger: &Ledger,
) -> Result<Bytes, Refusal> {
    let late = || {
        let message = "the body did not arrive in time";
        Refusal::new(StatusCode::REQUEST_TIMEOUT, "invalid_request_error", message)
    };
    let deadline = Instant::now() + WHOLE;
    let mut held = Held::default();
    // Reserving takes no memory yet: the kernel assigns it when the bytes are written.
    let mut bytes = Vec::with_capacity(length);
    let mut arrived = Arrived::default();
    loop {
        let next = timeout_at(deadline, timeout(SILENCE, body.frame())).await;
        let frame = match next {
            Ok(Ok(Some(Ok(frame)))) => frame,
            Ok(Ok(None)) => break,
            Ok(Ok(Some(Err(_)))) => return Err(Refusal::invalid("the body broke off")),
            Ok(Err(_)) | Err(_) => return Err(late()),
        };
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        if !arrived.add(piece.len()) {
            return Err(Refusal::invalid("the body comes in too many pieces"));
        }
        ledger.received(piece.len())?;
        let take = timeout_at(deadline, room.take(&mut held, piece.len())).await;
        take.map_err(|_| Refusal::not_now("there is no memory for this request at the moment"))?;
        bytes.extend_from_slice(&piece);
    }
    Ok(Bytes::from_owner(HeldBody { bytes, _held: held }))
}

/// Reads and drops the rest of a refused body, for at most [`LINGER`].
pub(super) async fn discard(body: &mut Incoming) {
    let rest = async {
        let mut arrived = Arrived::default();
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            if !arrived.add(bytes) || arrived.bytes > MAX_BYTES {
                return;
            }
        }
    };
    // After that time the connection is closed, and a sender that is still sending gets no answer.
    drop(timeout(LINGER, rest).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_may_not_come_in_crumbs() {
        let mut crumbs = Arrived::default();
        assert!((0..FREE_PIECES).all(|_| crumbs.add(1)));
        assert!((0..10).any(|_| !crumbs.add(1)));
        let mut ordinary = Arrived::default();
        assert!((0..MAX_BYTES / 1000).all(|_| ordinary.add(1000)));
        // A small body may come in any pieces.
        let mut small = Arrived::default();
        assert!((0..100).all(|_| small.add(1)));
    }
}
