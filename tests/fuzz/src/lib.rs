//! The promises of the trust boundaries, as functions that take any bytes and panic if a promise is
//! broken. libFuzzer calls them (`make fuzz`), and so do tests, with every seed.

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

/// A function that checks the promises for one input.
pub type Target = fn(&[u8]);

/// Every target, with the name of its folder of seeds.
pub const TARGETS: &[(&str, Target)] = &[
    ("types", types),
    ("query", query),
    ("body", body),
    ("broker", broker),
    ("cli_output", cli_output),
    ("git", git),
    ("history", history),
];
