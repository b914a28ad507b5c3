//! The verdict: whether the CLI succeeded, and if not, why.

use std::time::Duration;

use super::claude::{CliReport, Ended};
use super::failure::{Failure, code_of_api, code_of_exit};
use super::guard::Excess;
use super::resources::Resources;
use crate::api::ErrorCode;
use crate::models::broker::Ledger;

/// Judges a report of the CLI. Returns the assistant's last message, or the failure.
pub(super) fn judge(
    report: CliReport,
    ledger: &Ledger,
    resources: &Resources,
) -> Result<Option<String>, Failure> {
    let settings = &resources.settings;
    let seconds = |d: Duration| format!("{} s", d.as_secs_f64());
    let code = match report.ended {
        Ended::Exited(code) => code,
        Ended::Broken(error) => return Err(error.into()),
        Ended::Stopped => return Err(Failure::stopped()),
        Ended::Deadline => {
            let limit = seconds(settings.timeout);
            let message = format!("the run did not end within {limit}");
            return Err(api_or(ledger, Failure::new(ErrorCode::CliTimeout, message)));
        }
        Ended::Idle => {
            let limit = seconds(settings.idle_timeout);
            let message = format!("the CLI was silent for {limit}");
            return Err(api_or(ledger, Failure::new(ErrorCode::CliTimeout, message)));
        }
        Ended::Hung => {
            let message = "the CLI gave its result and did not end";
            return Err(Failure::new(ErrorCode::CliTimeout, message));
        }
        Ended::ApiDown(failure) => {
            let limit = seconds(resources.models.lending.give_up);
            let message = format!("the model API has only failed for {limit}");
            return Err(Failure::new(code_of_api(failure), message));
        }
        Ended::Overuse(overuse) => {
            return Err(Failure::new(ErrorCode::QuotaExceeded, overuse.to_string()));
        }
        Ended::Excess(excess) => return Err(excess.into()),
        Ended::TooMuchOutput => {
            let message = "the CLI wrote more than is accepted";
            return Err(Failure::new(ErrorCode::OutputRejected, message));
        }
    };
    // The CLI was killed by a signal because its memory was used up. If the kernel kills only a
    // tool, the CLI goes on and its result counts, because the assistant sees that the tool failed.
    if code >= 128 && report.oom_kills > 0 {
        let memory = Excess::Memory(settings.memory_bytes);
        return Err(Failure::from(memory).with_exit_code(code));
    }
    // The CLI aborts if it cannot start a thread. If it had written a result before, that counts.
    if code != 0 && report.result.is_none() && report.was_crowded {
        let processes = Excess::Processes(settings.max_processes);
        return Err(Failure::from(processes).with_exit_code(code));
    }
    match report.result {
        Some((false, text)) if code == 0 => Ok(text),
        Some((true, _)) => {
            let code_of_cli = if code == 0 { 1 } else { code };
            let message = "the CLI reported an error";
            let failure = Failure::new(code_of_exit(code_of_cli), message);
            Err(api_or(ledger, failure.with_exit_code(code)))
        }
        Some((false, _)) => {
            let message = "the CLI gave a result and ended with an error";
            Err(api_or(ledger, Failure::new(code_of_exit(code), message).with_exit_code(code)))
        }
        None => {
            let message = format!("the CLI ended with code {code} and no result");
            Err(api_or(ledger, Failure::new(code_of_exit(code), message).with_exit_code(code)))
        }
    }
}

/// The failure of the model API if its last request failed, because that is the cause and `failure`
/// only the consequence.
fn api_or(ledger: &Ledger, failure: Failure) -> Failure {
    match ledger.last_failure() {
        Some(api) => {
            let message = format!("{}; the last request to the model API failed", failure.message);
            let mut of_api = Failure::new(code_of_api(api), message);
            of_api.exit_code = failure.exit_code;
            of_api
        }
        None => failure,
    }
}
