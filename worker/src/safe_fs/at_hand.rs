//! Opening and reading files without waiting for a disk.
//!
//! What the kernel holds in its caches can be had on a thread that must not wait, and on Linux handing
//! the work to another thread costs more than the work. These calls open by the same rules as
//! [`Dir::file`], with the same code; where the kernel would have to wait, they return nothing, and the
//! caller asks again on a thread that may wait.

use std::fs::File;
use std::io::IoSliceMut;
use std::os::fd::AsFd as _;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::stat::FileStat;
use rustix::fs::fstatfs;
use rustix::io::{ReadWriteFlags, preadv2};

use super::reach::Reach;
use super::{Dir, beneath};

/// File systems of this machine, by the number in `statfs`: ext2 to ext4, XFS, Btrfs, tmpfs and
/// overlayfs. On any other, opening a file may mean to ask a machine far away.
const LOCAL: [u32; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630];

/// A folder from which files are opened only if they are at hand.
#[derive(Debug)]
pub struct AtHand(Dir);

impl AtHand {
    /// Whether anything below this folder can be had without waiting: the file system is one of this
    /// machine, and the kernel can be asked. gVisor cannot. Blocking.
    pub fn is_possible(root: &Dir) -> bool {
        let kind = fstatfs(root).map_or(0, |status| i128::from(status.f_type));
        LOCAL.iter().any(|local| i128::from(*local) == kind)
            && Reach::AtHand.folder(root.as_fd(), ".".as_ref()).is_ok()
    }

    /// A folder that the operator configured, as [`Dir::open_root`] opens it.
    pub fn open_root(path: &Path) -> Option<Self> {
        Some(Self(Dir::from(beneath::open_root_at_hand(path).ok()?)))
    }

    /// Opens a folder at a path beneath this one.
    pub fn folder(&self, path: &str) -> Option<Self> {
        let folder = Reach::AtHand.folder(self.0.as_fd(), path.as_ref()).ok()?;
        Some(Self(Dir::from(folder)))
    }

    /// Whether there certainly is nothing of this name in the folder.
    pub fn has_no(&self, name: &str) -> bool {
        let status = Reach::AtHand.status(self.0.as_fd(), name.as_ref());
        status.is_err_and(|errno| errno == Errno::ENOENT)
    }

    /// Opens a regular file with one link beneath this folder.
    pub fn file(&self, path: &str) -> Option<(File, FileStat)> {
        Reach::AtHand.file(self.0.as_fd(), path).ok()
    }
}

/// Fills `buffer` from this place in the file, if all of it is in memory. Returns whether it was.
pub fn read_at_hand(file: &File, buffer: &mut [u8], at: u64) -> bool {
    let wanted = buffer.len();
    let mut slices = [IoSliceMut::new(buffer)];
    preadv2(file, &mut slices, at, ReadWriteFlags::NOWAIT).is_ok_and(|read| read == wanted)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A tree with something of each kind, and a handle on it for each way; the second only where the
    /// kernel and the file system have it.
    fn tree() -> (tempfile::TempDir, Dir, Option<AtHand>) {
        let temp = tempfile::tempdir().unwrap();
        let base = temp.path();
        fs::create_dir_all(base.join("a/b")).unwrap();
        for name in ["a/b/file", "file", "twice"] {
            fs::write(base.join(name), "content").unwrap();
        }
        fs::hard_link(base.join("twice"), base.join("second")).unwrap();
        symlink("a", base.join("link")).unwrap();
        symlink("a/b/file", base.join("file_link")).unwrap();
        nix::unistd::mkfifo(&base.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let root = Dir::open_root(base).unwrap();
        let at_hand = AtHand::is_possible(&root).then(|| AtHand::open_root(base)).flatten();
        (temp, root, at_hand)
    }

    #[test]
    fn opens_nothing_that_the_other_way_would_refuse() {
        let (_temp, root, at_hand) = tree();
        for path in [
            "none",
            "a/b",
            "a/none/file",
            "twice",
            "second",
            "link",
            "link/b/file",
            "file_link",
            "file/x",
            "fifo",
            "..",
            "../x",
            "/etc/passwd",
            "",
            ".",
        ] {
            assert!(root.file(path).is_err(), "{path:?}");
            if let Some(at_hand) = &at_hand {
                assert!(at_hand.file(path).is_none(), "{path:?}");
            }
        }
    }

    #[test]
    fn what_was_just_opened_is_at_hand() {
        let (_temp, root, Some(at_hand)) = tree() else {
            return;
        };
        for path in ["file", "a/b/file"] {
            let (_, stat) = root.file(path).unwrap();
            let (file, same) = at_hand.file(path).unwrap();
            assert_eq!((same.st_dev, same.st_ino), (stat.st_dev, stat.st_ino));
            let mut buffer = [0; 4];
            if read_at_hand(&file, &mut buffer, 3) {
                assert_eq!(&buffer, b"tent");
            }
            let mut beyond = [0; 5];
            assert!(!read_at_hand(&file, &mut beyond, 3));
        }
    }

    #[test]
    fn a_name_that_is_there_is_never_called_missing() {
        let (_temp, root, Some(at_hand)) = tree() else {
            return;
        };
        for name in ["file", "a", "link", "file_link", "fifo"] {
            assert!(!at_hand.has_no(name), "{name}");
        }
        // The kernel remembers that it found nothing.
        assert!(root.status("none").is_err());
        assert!(at_hand.has_no("none"));
        assert!(at_hand.folder("a").unwrap().file("b/file").is_some());
        assert!(at_hand.folder("link").is_none() && at_hand.folder("none").is_none());
    }
}
