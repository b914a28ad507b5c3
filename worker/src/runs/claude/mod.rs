//! The Claude CLI of a run: its command line, the parsing of its output, and its end.

mod any;
mod command;
mod driver;
mod line;
mod lines;
mod parser;
mod replay;

pub use command::{Api, Paths, prepare_home, program, prompt_line};
pub use driver::{CliReport, Driver, Ended, Watch};
pub use lines::{LineSplitter, MAX_LINE_BYTES};
pub use parser::{CliEvent, Parser};
