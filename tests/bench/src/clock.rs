//! The clock that all processes of a machine share, and the lines that carry its time.
//!
//! The emitter puts the time into each piece of text, and the reader of the piece subtracts it from
//! the time of arrival. The worker passes text on unchanged, so it needs no code for this.

use nix::time::{ClockId, clock_gettime};
use serde_json::json;

/// The time in nanoseconds since a moment that is the same for every process.
pub fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every kernel has this clock");
    let (s, ns) = (time.tv_sec().unsigned_abs(), time.tv_nsec().unsigned_abs());
    s * 1_000_000_000 + ns
}

/// A line as the CLI writes it, whose piece of text is the present time and a space.
pub fn stamped_line() -> String {
    let text = format!("{} ", now_ns());
    let delta = json!({"type": "text_delta", "text": text});
    let event = json!({"type": "content_block_delta", "index": 0, "delta": delta});
    let line = json!({"type": "stream_event", "event": event, "session_id": "emitter",
        "parent_tool_use_id": null});
    format!("{line}\n")
}

/// The times in a text. There are several if pieces were joined on their way.
pub fn stamps(text: &str) -> impl Iterator<Item = u64> {
    text.split_whitespace().filter_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_again() {
        let before = now_ns();
        let line: serde_json::Value = serde_json::from_str(&stamped_line()).unwrap();
        let text = line["event"]["delta"]["text"].as_str().unwrap();
        let found: Vec<u64> = stamps(&format!("{text}{text}x")).collect();
        assert_eq!(found.len(), 2);
        assert!(found[0] >= before && found[0] <= now_ns());
    }
}
