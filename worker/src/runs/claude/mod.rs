//! The Claude CLI of a run: its command line, the parsing of its output, and its end.

mod any;
mod command;
mod driver;
mod inside;
mod line;
mod lines;
mod parser;
mod prompt;
mod replay;

pub use command::{Api, prepare_home, program};
pub use driver::{CliReport, Driver, Ended, Watch};
pub use inside::Inside;
pub use lines::{LineSplitter, MAX_LINE_BYTES};
pub use parser::{CliEvent, Parser};
pub use prompt::prompt_line;
