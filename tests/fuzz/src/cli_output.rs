//! The CLI's output into events: no panic, nothing twice, and the same wherever the stream is cut.

use dreamcore_worker::runs::claude::{CliEvent, LineSplitter, Parser};

/// Longest text of a progress line: 200 characters and an ellipsis.
const MAX_DETAIL_CHARS: usize = 201;

/// The first byte says how long the pieces are in which the rest arrives.
///
/// # Panics
///
/// Where a promise is broken.
pub fn cli_output(data: &[u8]) {
    let Some((size, output)) = data.split_first() else {
        return;
    };
    let whole = read(output.chunks(output.len().max(1)));
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
    // A byte that is no UTF-8 becomes three, and an answer that is begun anew an empty line.
    assert!(said <= output.len() * 3, "{said} bytes said, {} read", output.len());
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
