//! A scripted, Anthropic-compatible model API on loopback.
//!
//! It lets the real Claude Code CLI run with no network, no key and no model: tests get answers
//! they wrote themselves, benchmarks get the same answers every time, and the offline demo gets a
//! finished game. **Nothing it says comes from a model**: every answer is read from a [`Script`].
//!
//! ```no_run
//! use scripted_api::{Fault, Script, ScriptedApi, text, tool};
//! use serde_json::json;
//!
//! # async fn example() -> std::io::Result<()> {
//! let script = Script::new()
//!     .turn([text("I write it."), tool("Write", json!({"file_path": "{{cwd}}/a.txt", "content": "a"}))])
//!     .turn([text("Done.")])
//!     .fault(Fault::status(529, "overloaded_error", "Overloaded"));
//! let api = ScriptedApi::with(script).await?;
//! // run the CLI with ANTHROPIC_BASE_URL set to api.base_url(), then look at api.requests()
//! # Ok(()) }
//! ```
//!
//! # Which script and which turn answers a request
//!
//! 1. A request without tools is not part of the agent's main loop (titles, topics, probes): it
//!    gets a short text and touches no counter.
//! 2. The last `[script:NAME]` in the first user message names the script, else the set's default
//!    does. An unknown name is a 400, so that a typing error in a test fails at once.
//! 3. The number of `assistant` messages in the request is the number of the turn. So the server
//!    keeps no state for a conversation, and any number of them can run at the same time. After
//!    the last turn comes a plain text that ends the conversation.
//! 4. The only state is how often the same turn of the same conversation was asked for, and only
//!    for turns with [`Fault`]s: the first request meets the first fault, and so on. A
//!    conversation is known by the text of its first user message and the script's name.
//!
//! # How it is built
//!
//! [`google`] is what stands before Vertex AI: a token server, and the check of the tokens that it gave.
//!
//! [`script`], [`block`] and [`fault`] are what a test author writes. A request body becomes a
//! `Question` (`question`), a turn and a question become a `Message` (`message`, of blocks made
//! `ready`), a message and a fault become a `Plan`, a list of steps (`plan`), and only `play` and
//! `server` do I/O.

pub mod block;
pub mod builtin;
pub mod fault;
mod form;
pub mod google;
mod message;
mod plan;
mod play;
mod question;
mod ready;
pub mod record;
pub mod script;
mod server;
mod state;
mod wire;

pub use block::{Block, emit, text, thinking, tool};
pub use fault::Fault;
pub use google::Google;
pub use record::Recorded;
pub use script::{Script, ScriptSet, Turn};
pub use server::{Options, ScriptedApi};
