//! What the hostile program tries, one attack each, and what it reports.
//!
//! An attack is data, so that the same program serves the self-test at start, `doctor`, and the
//! tests, and so that each attack has a twin: the same attempt at something that is allowed.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What the program is started as; its one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Makes every [`Attack`] that comes as a line, and answers each with a [`Report`].
    Attacker,
    /// Waits for a signal from another sandbox, and says so ([`VictimSays`]).
    Victim,
    /// Says as which user it runs: what the copy with the setuid bit is asked.
    WhoAmI,
}

impl Part {
    const ALL: [Self; 3] = [Self::Attacker, Self::Victim, Self::WhoAmI];

    /// The argument that asks for this part.
    pub fn arg(self) -> &'static str {
        match self {
            Self::Attacker => "attack",
            Self::Victim => "wait",
            Self::WhoAmI => "whoami",
        }
    }

    /// The part that an argument asks for.
    pub fn from_arg(arg: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.arg() == arg)
    }
}

/// A line from the [`Part::Victim`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VictimSays {
    /// It is up, and a signal would be noticed from now on.
    Waiting,
    /// A signal arrived.
    Signalled,
}

/// The effective user id, a line from [`Part::WhoAmI`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunsAs(pub u32);

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "attack", rename_all = "snake_case")]
pub enum Attack {
    /// Read a file.
    Read {
        /// Which.
        path: PathBuf,
    },
    /// Open a file for writing, or create it.
    Write {
        /// Which.
        path: PathBuf,
    },
    /// List a folder.
    List {
        /// Which.
        path: PathBuf,
    },
    /// Make a symbolic link in the working directory and read through it.
    ReadBySymlink {
        /// What it points to.
        path: PathBuf,
    },
    /// Make a hard link in the working directory and read it.
    ReadByHardLink {
        /// What it is a second name of.
        path: PathBuf,
    },
    /// Read a file through `/proc/PID/root` and `/proc/PID/cwd` of every process.
    ReadByProc {
        /// Which.
        path: PathBuf,
    },
    /// Look for a text in the environment and command line of every process.
    FindInProc {
        /// The text.
        text: String,
    },
    /// Open the memory of every other process.
    OpenMemory,
    /// Attach to other processes as a debugger.
    Trace {
        /// One process to try, beside the parent.
        pid: i32,
    },
    /// Read another process's memory by system call.
    ReadMemory {
        /// Whose.
        pid: i32,
    },
    /// Send SIGWINCH. Whether it arrived, the receiver knows.
    Signal {
        /// To whom.
        pid: i32,
    },
    /// Connect by TCP.
    TcpConnect {
        /// Where to.
        address: SocketAddr,
    },
    /// Listen on TCP.
    TcpListen {
        /// Where.
        address: SocketAddr,
    },
    /// Send a datagram. Whether it arrived, the receiver knows.
    UdpSend {
        /// Where to.
        address: SocketAddr,
    },
    /// Connect to a UNIX socket by its path.
    UnixConnect {
        /// Which.
        path: PathBuf,
    },
    /// Connect to a UNIX socket by its abstract name.
    AbstractConnect {
        /// Which.
        name: String,
    },
    /// Open a socket of an unusual kind.
    Socket {
        /// Its address family.
        family: i32,
        /// Its type.
        kind: i32,
        /// Its protocol.
        protocol: i32,
    },
    /// Become root by system call.
    BecomeRoot,
    /// Run a program that belongs to root and has the setuid bit, and see who it is.
    RunSetuid {
        /// A copy of this program.
        path: PathBuf,
    },
    /// Make a user namespace.
    UserNamespace,
    /// Mount something.
    Mount,
    /// A system call by its number with arguments that are harmless should it exist.
    SystemCall {
        /// Its number.
        number: i64,
    },
    /// Leave a process behind that belongs to no session, group or parent of this one. It holds
    /// standard output open, by which its life is seen.
    Outlive,
    /// Grow a file.
    GrowFile {
        /// To how many bytes.
        bytes: u64,
    },
    /// Start processes.
    StartProcesses {
        /// How many.
        count: u32,
    },
    /// Open files.
    OpenFiles {
        /// How many.
        count: u32,
    },
    /// Make pipes, and write a little into each.
    OpenPipes {
        /// How many.
        count: u32,
    },
    /// Make a pipe larger.
    WidenPipe {
        /// How many bytes it shall hold.
        bytes: u32,
    },
    /// Make the buffer of a socket larger.
    WidenSocket {
        /// Which buffer: the number of the socket's option.
        option: i32,
        /// How many bytes it shall hold.
        bytes: u32,
    },
    /// Take memory, all of it written to.
    TakeMemory {
        /// How many bytes.
        bytes: u64,
    },
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whether it was refused.
    pub denied: bool,
    /// The operating system's error number, if it gave one.
    pub errno: Option<i32>,
    /// For people.
    pub detail: String,
}

impl Report {
    /// It worked.
    pub fn succeeded(detail: impl Into<String>) -> Self {
        Self { denied: false, errno: None, detail: detail.into() }
    }

    /// It was refused with this error.
    pub fn refused(error: &std::io::Error) -> Self {
        Self { denied: true, errno: error.raw_os_error(), detail: error.to_string() }
    }

    /// It came to nothing without an error.
    pub fn nothing(detail: impl Into<String>) -> Self {
        Self { denied: true, errno: None, detail: detail.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_an_argument_of_its_own() {
        for part in Part::ALL {
            assert_eq!(Part::from_arg(part.arg()), Some(part));
        }
        assert_eq!(Part::from_arg(""), None);
    }
}
