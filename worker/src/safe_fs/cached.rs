//! Opening and reading without waiting for a disk.
//!
//! What the system holds in its caches can be had on a thread that must not wait, and handing such
//! work to another thread costs more than the work. So these calls ask the kernel for what it has
//! at hand; whoever gets nothing asks again on a thread that may wait.

use std::fs::File;
use std::io::IoSliceMut;
use std::os::fd::{AsFd as _, OwnedFd};

use nix::sys::stat::FileStat;
use rustix::fs::{Mode, OFlags, ResolveFlags, fstatfs, openat2};
use rustix::io::{ReadWriteFlags, preadv2};

use super::{Dir, Kind};

/// File systems of this machine, by the number in `statfs`: ext2 to ext4, XFS, Btrfs, tmpfs and
/// overlayfs. On any other, opening a file may mean to ask a machine far away.
const LOCAL: [u32; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630];

/// Opens a regular file with one link, as [`Dir::file`] does, if every name on the way is in the
/// kernel's memory. `None` means nothing but that it has to be done the other way.
pub fn open_cached(root: &Dir, path: &str) -> Option<(File, FileStat)> {
    let file = open(root, path, OFlags::NONBLOCK | OFlags::NOCTTY)?;
    let stat = nix::sys::stat::fstat(&file).ok()?;
    (Kind::of(&stat) == Kind::File && stat.st_nlink == 1).then_some((file, stat))
}

/// Opens a folder in the same way.
pub fn open_folder_cached(root: &Dir, path: &str) -> Option<Dir> {
    let folder = open(root, path, OFlags::DIRECTORY)?;
    Some(Dir::from(OwnedFd::from(folder)))
}

fn open(root: &Dir, path: &str, more: OFlags) -> Option<File> {
    let kind = fstatfs(root).ok()?.f_type;
    if !LOCAL.iter().any(|local| i128::from(kind) == i128::from(*local)) {
        return None;
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV
        | ResolveFlags::CACHED;
    openat2(root.as_fd(), path, flags, Mode::empty(), resolve).ok().map(File::from)
}

/// Fills `buffer` from this place in the file, if all of it is in memory. Returns whether it was.
pub fn read_cached(file: &File, buffer: &mut [u8], at: u64) -> bool {
    let wanted = buffer.len();
    let mut slices = [IoSliceMut::new(buffer)];
    preadv2(file, &mut slices, at, ReadWriteFlags::NOWAIT).is_ok_and(|read| read == wanted)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn opens_nothing_that_the_other_way_would_refuse() {
        let temp = tempfile::tempdir().unwrap();
        let base = temp.path();
        fs::create_dir_all(base.join("a/b")).unwrap();
        for name in ["a/b/file", "twice"] {
            fs::write(base.join(name), "content").unwrap();
        }
        fs::hard_link(base.join("twice"), base.join("second")).unwrap();
        symlink("a", base.join("link")).unwrap();
        symlink("a/b/file", base.join("file_link")).unwrap();
        nix::unistd::mkfifo(&base.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let root = Dir::open_root(base).unwrap();
        let refused =
            ["none", "a/b", "twice", "link/b/file", "file_link", "fifo", "../x", "/etc/passwd", ""];
        for path in refused {
            assert!(open_cached(&root, path).is_none(), "{path:?}");
        }
        // Where the kernel and the file system can, what was just written is at hand.
        let Some((file, _)) = open_cached(&root, "a/b/file") else {
            return;
        };
        let mut buffer = [0; 4];
        if read_cached(&file, &mut buffer, 3) {
            assert_eq!(&buffer, b"tent");
        }
        let mut beyond = [0; 5];
        assert!(!read_cached(&file, &mut beyond, 3));
    }
}
