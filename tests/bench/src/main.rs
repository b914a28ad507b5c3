//! `dreamcore-bench`: measures and prints tables.

#![expect(clippy::print_stdout, reason = "a report is what this program is for")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use dreamcore_bench::{
    events, files, generation, gvisor, listing, memory, projects, questions, report, start, volume,
};

/// Measures the worker beside the bare CLI, a bare process, a bare pipe, nginx, `find` and git,
/// in alternation.
///
/// Ratio and difference are the medians over the pairs, not those of the medians.
#[derive(Parser)]
struct Args {
    /// What to measure; everything, if nothing is named.
    sections: Vec<Section>,
    /// How many pairs are counted, after two to warm up. Some sections take a multiple or a
    /// fraction.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pairs: u16,
    /// Also writes every figure and sample to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measures what the section `gvisor` measures, inside one, and prints samples for it.
    #[arg(long, hide = true, conflicts_with_all = ["sections", "json"])]
    inside: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    /// A small job: the bare CLI against `POST /generate_game`.
    Generation,
    /// The start of a process, confined and not.
    Start,
    /// Events a second, and their delay.
    Events,
    /// The worker's own start and memory.
    Memory,
    /// Serving a file: nginx and a Python server against `GET /get_file`.
    Files,
    /// Serving a file inside gVisor: nginx against `GET /get_file`.
    Gvisor,
    /// Listing many files: `find` against `GET /list_files`.
    Listing,
    /// Short questions: the same request by hand, and a CLI started for it, against `POST
    /// /detect_intent`.
    Questions,
    /// Saving and listing versions, and their growth: git's own programs against `POST
    /// /apply_files`.
    Projects,
    /// A volume that has to be committed and reloaded: how often, and what it adds to requests.
    Volume,
}

impl Section {
    const ALL: [Self; 10] = [
        Self::Generation,
        Self::Start,
        Self::Events,
        Self::Memory,
        Self::Files,
        Self::Gvisor,
        Self::Listing,
        Self::Questions,
        Self::Projects,
        Self::Volume,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Generation => "generation",
            Self::Start => "start",
            Self::Events => "events",
            Self::Memory => "memory",
            Self::Files => "files",
            Self::Gvisor => "gvisor",
            Self::Listing => "listing",
            Self::Questions => "questions",
            Self::Projects => "projects",
            Self::Volume => "volume",
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let pairs = usize::from(args.pairs);
    if args.inside {
        let measured = gvisor::measure_inside(pairs).await;
        println!("{}", serde_json::to_string(&measured).expect("figures are JSON"));
        return ExitCode::SUCCESS;
    }
    let wanted = |section: &Section| args.sections.is_empty() || args.sections.contains(section);
    let mut all = Vec::new();
    for section in Section::ALL.into_iter().filter(wanted) {
        println!("{} ({})", section.name(), machine());
        let measured = match section {
            Section::Generation => generation::measure(pairs).await,
            Section::Start => start::measure(pairs).await,
            Section::Events => events::measure(pairs).await,
            Section::Memory => memory::measure(pairs).await,
            Section::Files => files::measure(pairs).await,
            Section::Gvisor => gvisor::measure(pairs),
            Section::Listing => listing::measure(pairs).await,
            Section::Questions => questions::measure(pairs).await,
            Section::Projects => projects::measure(pairs).await,
            Section::Volume => volume::measure(pairs).await,
        };
        println!("{}", report::table(&measured));
        all.push((section.name(), measured));
    }
    let Some(path) = args.json else {
        return ExitCode::SUCCESS;
    };
    let text = format!("{:#}\n", report::json(&all));
    match std::fs::write(&path, text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{} cannot be written: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}

/// A line about the machine: the number of its processors, and how busy they are already.
fn machine() -> String {
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    format!("{processors} processors, load {load}")
}
