//! The attacks that the probe can make, and its reports of them.
//!
//! An attack is data, so the same probe serves the self-test at start, `doctor` and the tests. Each
//! attack can also be made on something that is allowed: if that fails too, a denied attack proves
//! nothing.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The part that the probe plays, named by its only argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Reads an [`Attack`] from each line, makes it, and answers with a [`Report`].
    Attacker,
    /// Waits for a signal from another sandbox, and reports it ([`VictimSays`]).
    Victim,
    /// Reports the user that it runs as ([`RunsAs`]). The copy with the setuid bit plays this part.
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
    /// The victim is up and notices signals from now on.
    Waiting,
    /// A signal arrived at the victim.
    Signalled,
}

/// A line from [`Part::WhoAmI`]: its effective user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunsAs(pub u32);

/// One attempt to get out of the sandbox or to use what it must not give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "attack", rename_all = "snake_case")]
pub enum Attack {
    /// Read a file.
    Read {
        /// The file.
        path: PathBuf,
    },
    /// Open a file for writing, or create it.
    Write {
        /// The file.
        path: PathBuf,
    },
    /// List a folder.
    List {
        /// The folder.
        path: PathBuf,
    },
    /// Make a symbolic link in the working directory and read through it.
    ReadBySymlink {
        /// The file that the link points to.
        path: PathBuf,
    },
    /// Make a hard link in the working directory and read it.
    ReadByHardLink {
        /// The file of which the link is a second name.
        path: PathBuf,
    },
    /// Read a file through `/proc/PID/root` and `/proc/PID/cwd` of every process.
    ReadByProc {
        /// The file.
        path: PathBuf,
    },
    /// Look for a text in the environment and command line of every process.
    FindInProc {
        /// The text, for example a part of a secret.
        text: String,
    },
    /// Open the memory of every other process.
    OpenMemory,
    /// Attach to other processes as a debugger.
    Trace {
        /// A process to try in addition to the parent.
        pid: i32,
    },
    /// Read another process's memory by `process_vm_readv`.
    ReadMemory {
        /// The process.
        pid: i32,
    },
    /// Send SIGWINCH. Only the receiver can tell whether it arrived.
    Signal {
        /// The receiver.
        pid: i32,
    },
    /// Connect by TCP.
    TcpConnect {
        /// The address to connect to.
        address: SocketAddr,
    },
    /// Listen on TCP.
    TcpListen {
        /// The address to listen on.
        address: SocketAddr,
    },
    /// Send a datagram. Only the receiver can tell whether it arrived.
    UdpSend {
        /// The address to send to.
        address: SocketAddr,
    },
    /// Connect to a UNIX socket by its path.
    UnixConnect {
        /// The socket's path.
        path: PathBuf,
    },
    /// Connect to a UNIX socket by its abstract name.
    AbstractConnect {
        /// The socket's name, without the NUL before it.
        name: String,
    },
    /// Open a socket of an unusual kind.
    Socket {
        /// The address family of the socket.
        family: i32,
        /// The type of the socket.
        kind: i32,
        /// The protocol of the socket.
        protocol: i32,
    },
    /// Become root by system call.
    BecomeRoot,
    /// Run a program that belongs to root and has the setuid bit, and ask as which user it runs.
    RunSetuid {
        /// The program: a copy of the probe.
        path: PathBuf,
    },
    /// Make a user namespace.
    UserNamespace,
    /// Mount a tmpfs on a folder.
    Mount,
    /// Make a system call by its number, with arguments that change nothing if the call is allowed.
    SystemCall {
        /// The number of the call.
        number: i64,
    },
    /// Leave a process behind that has another session, group and parent than the probe. It holds
    /// standard output open, so the tester sees how long it lives.
    Outlive,
    /// Write a file of a given size.
    GrowFile {
        /// The size of the file, in bytes.
        bytes: u64,
    },
    /// Start processes and let them wait.
    StartProcesses {
        /// The number of processes.
        count: u32,
    },
    /// Open files.
    OpenFiles {
        /// The number of files.
        count: u32,
    },
    /// Make pipes and leave some bytes in each.
    OpenPipes {
        /// The number of pipes.
        count: u32,
    },
    /// Make a pipe larger.
    WidenPipe {
        /// The size to ask for, in bytes.
        bytes: u32,
    },
    /// Make the buffer of a socket larger.
    WidenSocket {
        /// The number of the socket option, which says which buffer.
        option: i32,
        /// The size to ask for, in bytes.
        bytes: u32,
    },
    /// Allocate memory and write to all of it.
    TakeMemory {
        /// The amount, in bytes.
        bytes: u64,
    },
}

/// The result of one attack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whether the sandbox refused it.
    pub denied: bool,
    /// The error number of the operating system, if there was one.
    pub errno: Option<i32>,
    /// What happened. For people to read.
    pub detail: String,
}

impl Report {
    /// The attack worked.
    pub fn succeeded(detail: impl Into<String>) -> Self {
        Self { denied: false, errno: None, detail: detail.into() }
    }

    /// The sandbox refused the attack with this error.
    pub fn refused(error: &std::io::Error) -> Self {
        Self { denied: true, errno: error.raw_os_error(), detail: error.to_string() }
    }

    /// The attack got no error and achieved nothing, which counts as denied.
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
