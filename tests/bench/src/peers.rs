//! Other servers that serve the same file: nginx as Debian packages it, and a small Python server
//! of this project. The bench starts each with a configuration for the measurement.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::{SECRET, is_root, repository_root};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// After this time a server that does not listen counts as failed.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A running server. It is stopped when this value is dropped.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    /// Host and port.
    pub address: String,
    _folder: tempfile::TempDir,
}

impl Peer {
    /// Starts nginx with the files of one folder. `None` if it is not installed.
    pub fn nginx(files: &Path) -> Option<Self> {
        let program = ["/usr/sbin/nginx", "/usr/bin/nginx"].map(Path::new);
        let program = program.iter().find(|path| path.is_file())?;
        let folder = tempfile::tempdir().expect("a folder");
        let (here, address) = (folder.path().display(), free_address());
        let user = if is_root() { "user root;" } else { "" };
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {here}/{name};\n"))
            .concat();
        let text = format!(
            "{user} worker_processes auto; daemon off; pid {here}/pid; error_log {here}/errors;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;\n\
             {temporary} default_type text/javascript;\n\
             server {{ listen {address}; root {}; }} }}\n",
            files.display()
        );
        let configuration = folder.path().join("nginx.conf");
        std::fs::write(&configuration, text).expect("a file is written");
        let errors = folder.path().join("errors");
        let mut command = Command::new(program);
        command.arg("-c").arg(configuration).arg("-e").arg(errors);
        Some(Self::start(command, address, folder))
    }

    /// Starts the Python server with a data folder, in `processes` processes. `None` if its
    /// packages, which `make bench` installs, are missing.
    pub fn fastapi(data: &Path, processes: u8) -> Option<Self> {
        let python: PathBuf = repository_root().join(".tools/peers/bin/python");
        if !python.is_file() {
            return None;
        }
        let address = free_address();
        let port = address.rsplit(':').next().unwrap_or_default().to_owned();
        let mut command = Command::new(python);
        command
            .args(["-m", "uvicorn", "files:app", "--no-access-log", "--log-level", "warning"])
            .args(["--workers", &processes.to_string(), "--port", &port])
            .current_dir(repository_root().join("tests/bench/peers"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PEER_DATA", data)
            .env("PEER_SECRET", SECRET);
        Some(Self::start(command, address, tempfile::tempdir().expect("a folder")))
    }

    fn start(mut command: Command, address: String, folder: tempfile::TempDir) -> Self {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let peer = Self { child: child.expect("it can be started"), address, _folder: folder };
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(&peer.address).is_err() {
            assert!(Instant::now() < deadline, "{command:?} does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        peer
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // SIGTERM, because each server has child processes that would survive a SIGKILL of the
        // parent.
        if let Err(error) = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM) {
            // The server has ended by itself; only the wait is left to do.
            assert_eq!(error, nix::errno::Errno::ESRCH);
        }
        drop(self.child.wait());
    }
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}
