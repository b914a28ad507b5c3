//! A wall clock that a test sets, for one worker alone.
//!
//! The library `libfaketime` is loaded into the worker before the C library, and answers in its
//! place what the time is. The monotonic clock and the times of files stay those of the kernel, as
//! they do when a machine's clock is corrected. What the worker starts has the machine's clock.

use std::path::{Path, PathBuf};

use crate::worker::Setup;

/// Where Debian's package has the library, below the folder of the machine's kind.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// A wall clock.
#[derive(Debug)]
pub struct Clock {
    folder: tempfile::TempDir,
    library: PathBuf,
}

impl Clock {
    /// Makes a clock that goes right. `None`, with a message, if the library is missing.
    #[expect(clippy::print_stderr, reason = "a test that looks at nothing must say so")]
    pub fn find(test: &str) -> Option<Self> {
        let folders = std::fs::read_dir("/usr/lib").expect("there are libraries");
        let library = folders.flatten().map(|entry| entry.path().join(LIBRARY));
        let Some(library) = library.into_iter().find(|path| path.is_file()) else {
            eprintln!("SKIPPED {test}: apt-get install libfaketime");
            return None;
        };
        let clock = Self { folder: tempfile::tempdir().expect("a folder"), library };
        clock.jump("+0d");
        Some(clock)
    }

    /// Sets the clock: so far from the right time, for example `+1d`.
    pub fn jump(&self, offset: &str) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, format!("{offset}\n")).expect("it is written");
        // Renamed into place, so that nobody reads half of it.
        std::fs::rename(new, self.place()).expect("it is renamed");
    }

    /// Gives the clock to the worker.
    pub fn of(&self, setup: Setup) -> Setup {
        setup
            .var("LD_PRELOAD", self.library.display())
            .var("FAKETIME_TIMESTAMP_FILE", self.place().display())
            .var("FAKETIME_NO_CACHE", 1)
            .var("FAKETIME_DONT_FAKE_MONOTONIC", 1)
            .var("NO_FAKE_STAT", 1)
    }

    fn place(&self) -> PathBuf {
        Path::join(self.folder.path(), "offset")
    }
}
