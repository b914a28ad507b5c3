//! Counts the tokens of an answer while it passes: parses lines of server-sent events, without I/O.

use serde::Deserialize;

use super::ledger::Tokens;

/// The longest line that is parsed, in bytes. Events with numbers have a few hundred.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// Reads a streamed answer piece by piece.
#[derive(Debug, Default)]
pub(super) struct UsageReader {
    line: Vec<u8>,
    too_long: bool,
    /// The numbers of tokens read and written, as far as the answer has contained them.
    pub(super) tokens: Tokens,
    /// Whether the answer has contained the final number of tokens written.
    is_total: bool,
    /// Whether the last event of the answer has come.
    pub(super) complete: bool,
    /// Whether the API reported an error in the middle of the answer.
    pub(super) failed: bool,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    message: Option<Message>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Message {
    usage: Option<Usage>,
}

/// The API's numbers. Those about its cache are missing in some events.
#[derive(Deserialize, Default)]
#[allow(clippy::struct_field_names, reason = "the names are the API's")]
struct Usage {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

impl UsageReader {
    /// Reads the next piece of a streamed answer.
    pub(super) fn read(&mut self, mut chunk: &[u8]) {
        while let Some(end) = memchr::memchr(b'\n', chunk) {
            let (head, tail) = chunk.split_at(end);
            self.extend(head);
            self.finish_line();
            chunk = tail.get(1..).unwrap_or_default();
        }
        self.extend(chunk);
    }

    fn extend(&mut self, bytes: &[u8]) {
        if self.line.len() + bytes.len() > MAX_LINE_BYTES {
            self.too_long = true;
        } else {
            self.line.extend_from_slice(bytes);
        }
    }

    fn finish_line(&mut self) {
        if !std::mem::take(&mut self.too_long)
            && let Some(data) = self.line.strip_prefix(b"data:")
            // Most lines are pieces of text, which contain no numbers.
            && (memchr::memmem::find(data, b"\"usage\"").is_some()
                || memchr::memmem::find(data, b"message_stop").is_some()
                || memchr::memmem::find(data, b"\"error\"").is_some())
            && let Ok(event) = serde_json::from_slice::<Event>(data)
        {
            self.take(event);
        }
        self.line.clear();
    }

    fn take(&mut self, event: Event) {
        match event.kind.as_str() {
            "message_stop" => self.complete = true,
            "error" => self.failed = true,
            "message_start" => self.add(event.message.and_then(|m| m.usage).or(event.usage)),
            "message_delta" => self.add_total(event.usage),
            _ => {}
        }
    }

    /// Takes numbers of an event. Each is a total of the message so far, so the largest one counts.
    fn add(&mut self, usage: Option<Usage>) {
        let usage = usage.unwrap_or_default();
        let input =
            [usage.input_tokens, usage.cache_creation_input_tokens, usage.cache_read_input_tokens];
        let input = input.into_iter().flatten().fold(0_u64, u64::saturating_add);
        self.tokens.input = self.tokens.input.max(input);
        self.tokens.output = self.tokens.output.max(usage.output_tokens.unwrap_or(0));
    }

    fn add_total(&mut self, usage: Option<Usage>) {
        self.is_total |= usage.as_ref().is_some_and(|usage| usage.output_tokens.is_some());
        self.add(usage);
    }

    /// Reads an answer that was not streamed.
    pub(super) fn read_whole(&mut self, body: &[u8]) {
        // A body that cannot be parsed is not an answer of the API, whatever its status is. It may
        // be a page of a proxy.
        if let Ok(Message { usage }) = serde_json::from_slice(body) {
            self.add_total(usage);
            self.complete = true;
        }
    }

    /// Whether the numbers of tokens are complete.
    pub(super) fn is_final(&self) -> bool {
        self.complete && self.is_total
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANSWER: &str = concat!(
        "event: message_start\n",
        "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"usage\":{\"input_tokens\":10,",
        "\"cache_read_input_tokens\":5,\"output_tokens\":1}}}\n\n",
        "data: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"\\\"usage\\\"\"}}\n\n",
        "data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":42}}\r\n\n",
        "data: {\"type\":\"message_stop\"}\n\n",
    );

    #[test]
    fn counts_a_whole_answer() {
        let mut reader = UsageReader::default();
        reader.read_whole(br#"{"id":"m","usage":{"input_tokens":3,"output_tokens":4}}"#);
        assert_eq!(reader.tokens, Tokens { input: 3, output: 4 });
        assert!(reader.is_final());
    }

    #[test]
    fn an_answer_without_its_last_numbers_is_not_final() {
        let start =
            "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"output_tokens\":1}}}\n";
        let stop = "data: {\"type\":\"message_stop\"}\n";
        let mut reader = UsageReader::default();
        reader.read(format!("{start}{stop}").as_bytes());
        assert!(reader.complete && !reader.is_final());
    }

    #[test]
    fn a_page_of_a_proxy_is_no_answer() {
        let mut reader = UsageReader::default();
        reader.read_whole(b"<html>Sign in</html>");
        assert!(!reader.complete);
        reader.read_whole(br#"{"input_tokens":3}"#);
        assert!(reader.complete);
    }

    #[test]
    fn notices_an_error_in_the_middle() {
        let mut reader = UsageReader::default();
        reader.read(b"data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n");
        assert!(reader.failed && !reader.complete);
    }

    proptest! {
        #[test]
        fn counts_the_same_wherever_the_stream_is_split(cuts in proptest::collection::vec(0..ANSWER.len(), 0..8)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut reader = UsageReader::default();
            let mut from = 0;
            for cut in cuts {
                reader.read(&ANSWER.as_bytes()[from..cut]);
                from = cut;
            }
            reader.read(&ANSWER.as_bytes()[from..]);
            prop_assert_eq!(reader.tokens, Tokens { input: 15, output: 42 });
            prop_assert!(reader.is_final());
        }

        #[test]
        fn survives_anything(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            let mut reader = UsageReader::default();
            reader.read(&bytes);
            prop_assert!(reader.line.len() <= MAX_LINE_BYTES);
        }
    }
}
