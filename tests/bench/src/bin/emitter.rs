//! A program that replaces the CLI: reads one message `COUNT PER_SECOND` and writes COUNT pieces of
//! text at that rate, each with the time at which it was written.

use std::io::{self, BufRead as _, Write as _};
use std::time::{Duration, Instant};

use dreamcore_bench::clock::stamped_line;
use serde_json::{Value, json};

fn main() -> io::Result<()> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let message: Value = serde_json::from_str(&line)?;
    let content = message["message"]["content"].as_str().unwrap_or_default();
    let mut numbers = content.split(' ').map(str::parse::<u32>);
    let (Some(Ok(count)), Some(Ok(per_second))) = (numbers.next(), numbers.next()) else {
        return Err(io::Error::other("COUNT PER_SECOND is expected"));
    };

    let mut out = io::stdout().lock();
    let init = json!({"type": "system", "subtype": "init", "claude_code_version": "emitter"});
    writeln!(out, "{init}")?;
    let began = Instant::now();
    for number in 0..count {
        if per_second > 0 {
            let due = Duration::from_secs(1) * number / per_second;
            std::thread::sleep(due.saturating_sub(began.elapsed()));
        }
        // One write per line, as the CLI does.
        out.write_all(stamped_line().as_bytes())?;
        out.flush()?;
    }
    let result = json!({"type": "result", "subtype": "success", "is_error": false, "result": "ok"});
    writeln!(out, "{result}")
}
