//! The same inside gVisor, which is what production runs on: worker, peer and load together in one.
//!
//! This program starts itself inside, on a copy-on-write view of this machine's files, and reads
//! what was measured from its output.

use std::env;

use harness::gvisor::{Gvisor, Runsc};
use harness::{Kernel, kernel};

use crate::files;
use crate::report::Measurement;

/// The option by which a section is measured inside and printed for the process outside.
pub const INSIDE: &str = "--inside";

/// What is measured in a gVisor. Only in the newer one: the older runs here by ptrace, and then what
/// is measured is ptrace.
#[expect(clippy::print_stdout, reason = "who reads the report must know what is missing in it")]
pub fn measure(pairs: usize) -> Vec<Measurement> {
    match Runsc::find(Gvisor::Newer) {
        Ok(runsc) => inside_of(&runsc, pairs),
        Err(reason) => {
            println!("SKIPPED: nothing is measured in gVisor: {reason}");
            Vec::new()
        }
    }
}

/// What is measured by the process inside.
pub async fn measure_inside(pairs: usize) -> Vec<Measurement> {
    assert_ne!(kernel(), Kernel::Linux, "this is not inside a gVisor");
    // What opening a connection costs there says more of gVisor's network than of a server.
    files::beside_nginx(pairs).await
}

fn inside_of(runsc: &Runsc, pairs: usize) -> Vec<Measurement> {
    let own = env::current_exe().expect("a program knows its own path").display().to_string();
    let pairs = pairs.to_string();
    let ended = runsc.run([own.as_str(), INSIDE, "--pairs", &pairs], &[]);
    assert!(ended.status.success(), "{}\n{}", ended.stdout, ended.stderr);
    serde_json::from_str(&ended.stdout).expect("measurements")
}
