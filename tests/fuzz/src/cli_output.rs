//! Parsing the CLI's output: the parser does not panic, says nothing twice, gives the same events
//! wherever the stream is cut into pieces, and uses little more memory than the output has bytes.

use crate::growth_of;
use dreamcore_worker::runs::claude::{CliEvent, LineSplitter, Parser};

/// The longest text of a progress line: 200 characters and an ellipsis.
const MAX_DETAIL_CHARS: usize = 201;

/// The byte that begins and ends a part that is repeated. It does not occur in UTF-8.
const REPEAT: u8 = 0xfe;
/// The largest size of all repeated parts together, in bytes.
const MAX_REPEATED_BYTES: usize = 4 << 20;
/// The memory that reading may take in addition: a line of the greatest length and copies of it.
const OWN_BYTES: u64 = 32 << 20;

/// Parses an output that is made from the input. The first byte gives the length of the pieces in
/// which the rest arrives. The text between two bytes FE is repeated; the byte after the first FE
/// is the logarithm of its size. So small inputs make large lines.
///
/// # Panics
///
/// If a promise is broken.
pub fn cli_output(data: &[u8]) {
    let Some((size, output)) = data.split_first() else {
        return;
    };
    let output = repeated(output);
    let length = output.len() as u64;
    let (whole, growth) = growth_of(|| read(output.chunks(output.len().max(1))));
    // This function holds all text that is passed on, which can be three times as long as the input
    // if that was not UTF-8.
    assert!(growth <= 4 * length + OWN_BYTES, "{growth} bytes taken to read {length}");
    let pieces = read(output.chunks(usize::from(*size).max(1)));
    assert_eq!(whole, pieces, "cutting the stream elsewhere changes what it says");

    let mut said = 0;
    for event in &whole {
        match event {
            CliEvent::Text(text) => said += text.len(),
            CliEvent::Tool { name, detail } => {
                for text in [name, detail] {
                    assert!(text.chars().count() <= MAX_DETAIL_CHARS, "{text}");
                    assert!(!text.contains('\n'), "{text}");
                }
            }
            _ => {}
        }
    }
    // A byte that is not UTF-8 becomes three bytes, and an answer that begins again adds an empty
    // line.
    assert!(said <= output.len() * 3, "{said} bytes said, {} read", output.len());
}

fn repeated(input: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    for (number, part) in input.split(|byte| *byte == REPEAT).enumerate() {
        if let (1, Some((logarithm, unit))) = (number % 2, part.split_first()) {
            let size = 1_usize.checked_shl(u32::from(*logarithm)).unwrap_or(usize::MAX);
            let room = MAX_REPEATED_BYTES.saturating_sub(output.len());
            let times = size.min(room).checked_div(unit.len()).unwrap_or(0);
            output.extend(unit.repeat(times));
        } else {
            output.extend_from_slice(part);
        }
    }
    output
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<CliEvent> {
    let mut splitter = LineSplitter::default();
    let mut parser = Parser::new("/scratch/0/game");
    let mut events = Vec::new();
    for piece in pieces {
        splitter.push(piece, |line| events.extend(parser.line(line)));
    }
    events.extend(parser.line(splitter.rest()));
    events
}
