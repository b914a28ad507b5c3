//! The scene of the self-test: targets that the probe must not reach, and receivers that notice
//! what arrives.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::path::{Path, PathBuf};

use dreamcore_wire::plan::Identity;

use super::session::Cell;
use crate::safe_fs::{Dir, empty};

/// The text in the files that only a process that is not confined can read.
const SECRET: &str = "dreamcore-canary-of-another-user\n";

/// The targets of the probe. [`Scene::remove`] removes them.
#[derive(Debug)]
pub struct Scene {
    /// The folders of the probe's sandbox.
    pub cell: Cell,
    /// A file as another run would have it: it belongs to the same user as the probe.
    pub neighbour: PathBuf,
    /// A file on the volume, if one could be made.
    pub on_volume: Option<PathBuf>,
    /// A UNIX socket that anybody may connect to.
    pub unix: PathBuf,
    /// The name of an abstract socket.
    pub abstract_name: String,
    /// The address of a TCP listener.
    pub tcp: SocketAddr,
    /// The socket that receives datagrams.
    pub udp: std::net::UdpSocket,
    folder: PathBuf,
    volume_folder: Option<PathBuf>,
    _listeners: (std::net::TcpListener, UnixListener, UnixListener),
}

impl Scene {
    /// Sets the scene below `folder`, which is emptied, and on the volume at `data`. The probe's
    /// working directory is at `place` inside, if one is given: that takes a sandbox with a root of
    /// its own. Blocking.
    pub fn set(
        folder: &Path,
        data: &Path,
        probe: &Path,
        owner: Option<Identity>,
        place: Option<PathBuf>,
    ) -> io::Result<Self> {
        empty(&Dir::open_root(folder)?)?;
        let make = |name: &str, own: bool| -> io::Result<PathBuf> {
            let path = folder.join(name);
            std::fs::create_dir(&path)?;
            // Accessible to everybody, so that the mode of the file is not what denies the attack.
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755))?;
            if let (true, Some(owner)) = (own, owner) {
                std::os::unix::fs::chown(&path, Some(owner.uid), Some(owner.gid))?;
            }
            Ok(path)
        };
        let (cwd, tmp, root) = (make("cell", true)?, make("tmp", true)?, make("root", false)?);
        let neighbour = make("other", true)?.join("secret.txt");
        put(&neighbour, SECRET.as_bytes(), 0o644, owner)?;
        let setuid = owner
            .map(|_| {
                let copy = make("bin", false)?.join("setuid");
                std::fs::copy(probe, &copy)?;
                std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o4755))?;
                io::Result::Ok(copy)
            })
            .transpose()?;

        let unix = folder.join("other/socket");
        let by_path = UnixListener::bind(&unix)?;
        std::fs::set_permissions(&unix, PermissionsExt::from_mode(0o777))?;
        let abstract_name = format!("dreamcore-probe-{}", uuid::Uuid::new_v4());
        let by_name = UnixListener::bind_addr(&UnixAddr::from_abstract_name(&abstract_name)?)?;
        let tcp = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let udp = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        udp.set_nonblocking(true)?;
        // If the volume cannot be written, the self-test goes on without this file: it still
        // attacks the volume, and saving reports the problem.
        let volume_folder = volume_canary(data).ok();
        Ok(Self {
            cell: Cell { program: probe.to_owned(), cwd, place, tmp, root, setuid },
            neighbour,
            on_volume: volume_folder.as_ref().map(|folder| folder.join("secret.txt")),
            unix,
            abstract_name,
            tcp: tcp.local_addr()?,
            udp,
            folder: folder.to_owned(),
            volume_folder,
            _listeners: (tcp, by_path, by_name),
        })
    }

    /// Whether a datagram has arrived.
    pub(super) fn datagram_arrived(&self) -> bool {
        self.udp.recv(&mut [0; 64]).is_ok()
    }

    /// Removes everything. Blocks.
    pub fn remove(self) -> io::Result<()> {
        if let Some(folder) = &self.volume_folder {
            std::fs::remove_dir_all(folder)?;
        }
        empty(&Dir::open_root(&self.folder)?)
    }
}

fn put(path: &Path, content: &[u8], mode: u32, owner: Option<Identity>) -> io::Result<()> {
    use std::io::Write as _;
    let mut file = std::fs::File::create_new(path)?;
    file.write_all(content)?;
    file.set_permissions(PermissionsExt::from_mode(mode))?;
    match owner {
        Some(owner) => std::os::unix::fs::chown(path, Some(owner.uid), Some(owner.gid)),
        None => Ok(()),
    }
}

/// A hidden folder at the top of the volume with a file that everybody may read.
fn volume_canary(data: &Path) -> io::Result<PathBuf> {
    let folder = data.join(format!(".dreamcore-probe-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&folder)?;
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755))?;
    put(&folder.join("secret.txt"), SECRET.as_bytes(), 0o644, None)?;
    Ok(folder)
}
