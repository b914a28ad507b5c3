//! What the trust boundaries promise, as functions that take any bytes and panic where a promise is
//! broken. libFuzzer drives them (`make fuzz`), and tests call them with every seed.

mod broker;
mod cli_output;
mod git;
mod history;
mod http;
mod memory;
mod scene;
mod types;

pub use broker::broker;
pub use cli_output::cli_output;
pub use git::git;
pub use history::history;
pub use http::{body, query};
pub use memory::growth_of;
pub use types::types;

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target, by the name of its folder of seeds.
pub const TARGETS: &[(&str, Target)] = &[
    ("types", types),
    ("query", query),
    ("body", body),
    ("broker", broker),
    ("cli_output", cli_output),
    ("git", git),
    ("history", history),
];
