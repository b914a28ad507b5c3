//! Opening and reading without waiting for a disk.
//!
//! What the system holds in its caches can be had on a thread that must not wait, and handing such
//! work to another thread costs more than the work. So these calls ask the kernel for what it has
//! at hand; whoever gets nothing asks again on a thread that may wait.

use std::fs::File;
use std::io::IoSliceMut;
use std::os::fd::AsFd as _;

use nix::sys::stat::FileStat;
use rustix::fs::{Mode, OFlags, ResolveFlags, fstatfs, openat2};
use rustix::io::{ReadWriteFlags, preadv2};

use super::{Dir, Kind};

/// File systems of this machine, by the number in `statfs`: ext2 to ext4, XFS, Btrfs, tmpfs and
/// overlayfs. On any other, opening a file may mean to ask a machine far away.
const LOCAL: [u32; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630];

/// Whether a folder lies on a file system of this machine. Only there may files be opened by
/// [`open_cached`].
pub fn is_local(folder: &Dir) -> bool {
    let kind = fstatfs(folder).map_or(0, |status| i128::from(status.f_type));
    LOCAL.iter().any(|local| i128::from(*local) == kind)
}

/// Opens a regular file with one link that lies in this folder below `root`, if every name on the
/// way is in the kernel's memory. `None` means nothing but that it has to be done the other way.
///
/// `path` cannot leave the folder, whatever it says.
pub fn open_cached(root: &Dir, folder: &str, path: &str) -> Option<(File, FileStat)> {
    // The kernel keeps the walk below `root`; that nothing leads up keeps it below the folder.
    let is_name = |part: &str| !matches!(part, "" | "." | "..");
    if !path.split('/').all(is_name) {
        return None;
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV
        | ResolveFlags::CACHED;
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
    let path = format!("{folder}/{path}");
    let file = openat2(root.as_fd(), path, flags, Mode::empty(), resolve).ok().map(File::from)?;
    let stat = nix::sys::stat::fstat(&file).ok()?;
    (Kind::of(&stat) == Kind::File && stat.st_nlink == 1).then_some((file, stat))
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
        fs::create_dir(base.join("c")).unwrap();
        fs::write(base.join("c/other"), "content").unwrap();
        for (folder, path) in [
            (".", "none"),
            (".", "a/b"),
            (".", "twice"),
            (".", "link/b/file"),
            (".", "file_link"),
            (".", "fifo"),
            (".", "../x"),
            (".", "/etc/passwd"),
            (".", ""),
            ("link", "b/file"),
            ("..", "x"),
            // Below the root, and yet not in the folder.
            ("a", "../c/other"),
            ("a", "b/../../c/other"),
            ("a", "b/./file"),
            ("a", "b//file"),
        ] {
            assert!(open_cached(&root, folder, path).is_none(), "{folder:?} {path:?}");
        }
        // Where the kernel and the file system can, what was just written is at hand.
        let Some((file, _)) = open_cached(&root, "a", "b/file") else {
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
