//! The confined program: `dreamcore-import FOLDER LIMITS` reads the repository in FOLDER and writes
//! its history to standard output. LIMITS is JSON. A summary for the worker's log goes to standard
//! error.
//!
//! The launcher confines this program before it starts: it sees the system's libraries and FOLDER,
//! has no network and can write only to its output. It limits its own memory.

use std::io::BufWriter;
use std::path::Path;
use std::process::ExitCode;

use dreamcore_import::Limits;
use dreamcore_import::walk::{Summary, walk};
use nix::sys::resource::{Resource, setrlimit};

/// The most memory that this process may map, packs included, in bytes.
const MEMORY_BYTES: u64 = 1 << 30;

fn main() -> ExitCode {
    match run() {
        Ok(summary) => {
            complain(&said(&summary));
            ExitCode::SUCCESS
        }
        Err(reason) => {
            complain(&reason);
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<Summary, String> {
    // The launcher sets no such limit, because the CLI, which it starts too, maps much more memory
    // than it uses. Without a control group this is the only limit that the kernel enforces.
    setrlimit(Resource::RLIMIT_AS, MEMORY_BYTES, MEMORY_BYTES)
        .map_err(|error| format!("memory could not be limited: {error}"))?;
    let mut arguments = std::env::args_os().skip(1);
    let (Some(folder), Some(limits), None) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: dreamcore-import FOLDER LIMITS".to_owned());
    };
    let limits = limits.to_str().ok_or("the limits are not UTF-8")?;
    let limits: Limits = serde_json::from_str(limits).map_err(|error| error.to_string())?;
    let mut output = BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    walk(Path::new(&folder), &limits, &mut output).map_err(|error| error.to_string())
}

fn said(summary: &Summary) -> String {
    let mut parts = Vec::new();
    if let Some(reason) = &summary.reason {
        parts.push(format!(
            "{} versions and all before them are left out: {reason}",
            summary.refused
        ));
    }
    if summary.references_left_out > 0 {
        parts.push(format!("{} references are left out", summary.references_left_out));
    }
    parts.join("; ")
}

#[allow(clippy::print_stderr, reason = "standard error is what the worker logs of it")]
fn complain(text: &str) {
    if !text.is_empty() {
        eprintln!("{text}");
    }
}
