//! Measures how much of the disk a tree uses, while the sandbox may be changing it.

use std::io;
use std::os::fd::AsFd as _;

use nix::sys::stat::fstat;
use nix::sys::statvfs::fstatvfs;

use super::{Dir, Kind};

/// The size of a block in the numbers of `stat`, in bytes, whatever the file system's own blocks
/// are.
const BLOCK: u64 = 512;
/// The least size that counts for each name, in bytes, because some file systems count nothing for
/// a small file or a link.
const NAME_BYTES: u64 = 4096;
/// On a small disk, the reserve is one part in this many.
const RESERVE_PART: u64 = 10;
/// The largest depth that is measured. It is deeper than any project; the walk holds one descriptor
/// per level.
const MAX_DEPTH: usize = 100;

/// How much of the disk a tree uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskUse {
    /// The allocated space in bytes. A sparse file counts with its allocated blocks, and each name
    /// with at least one block.
    pub bytes: u64,
    /// The number of files and folders.
    pub entries: u64,
    /// Whether there are folders deeper than the limit.
    pub too_deep: bool,
}

/// The space of a file system, for all programs together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// The whole size in bytes.
    pub total: u64,
    /// The free space in bytes.
    pub free: u64,
    /// The largest number of files. 0 if the file system does not count them.
    pub total_files: u64,
    /// How many files can still be made.
    pub free_files: u64,
}

impl Space {
    /// Whether less is free than the reserve: `reserve_bytes`, or a tenth of a small disk, or one
    /// file in a hundred.
    pub fn is_low(&self, reserve_bytes: u64) -> bool {
        let reserve = reserve_bytes.min(self.total / RESERVE_PART);
        self.free < reserve || self.free_files < self.total_files / 100
    }
}

impl Dir {
    /// Measures what is below this folder and on the same file system. Ends early when `enough`
    /// returns true, and ignores what disappears or cannot be read. Blocks.
    pub fn disk_use(&self, enough: impl Fn(&DiskUse) -> bool) -> DiskUse {
        let mut found = DiskUse::default();
        if let Ok(own) = fstat(self.as_fd()) {
            let walk = Walk { device: own.st_dev, enough };
            walk.add(self, 0, &mut found);
        }
        found
    }

    /// The space of this folder's file system.
    pub fn space(&self) -> io::Result<Space> {
        let found = fstatvfs(self.as_fd())?;
        Ok(Space {
            total: found.blocks().saturating_mul(found.fragment_size()),
            free: found.blocks_available().saturating_mul(found.fragment_size()),
            total_files: found.files(),
            free_files: found.files_available(),
        })
    }
}

struct Walk<F> {
    /// The device of the folders that are measured. On an overlay, a file may have another device.
    device: libc::dev_t,
    enough: F,
}

impl<F: Fn(&DiskUse) -> bool> Walk<F> {
    fn add(&self, folder: &Dir, depth: usize, found: &mut DiskUse) {
        if depth > MAX_DEPTH {
            found.too_deep = true;
            return;
        }
        for entry in folder.entries().unwrap_or_default() {
            let Ok(stat) = folder.status(entry.name()) else {
                continue;
            };
            let is_folder = Kind::of(&stat) == Kind::Folder;
            // A mounted file system uses nothing of this disk. Where mounts are shared, the root of
            // a sandbox is mounted here, and all of /usr in it.
            if is_folder && stat.st_dev != self.device {
                continue;
            }
            found.entries += 1;
            // All names of a file are in the same tree, because a sandbox cannot make links outside
            // of it.
            let names = if is_folder { 1 } else { stat.st_nlink.max(1) };
            let bytes = u64::try_from(stat.st_blocks).unwrap_or_default().saturating_mul(BLOCK);
            found.bytes = found.bytes.saturating_add((bytes / names).max(NAME_BYTES));
            if is_folder && let Ok(inner) = folder.folder(entry.name()) {
                self.add(&inner, depth + 1, found);
            }
            if (self.enough)(found) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn measured(folder: &std::path::Path) -> DiskUse {
        Dir::open_root(folder).unwrap().disk_use(|_| false)
    }

    #[test]
    fn counts_what_is_allocated_and_not_what_a_file_claims() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("a")).unwrap();
        fs::write(temp.path().join("a/full"), vec![1; 1 << 20]).unwrap();
        let sparse = fs::File::create(temp.path().join("sparse")).unwrap();
        sparse.set_len(1 << 30).unwrap();
        fs::hard_link(temp.path().join("a/full"), temp.path().join("same")).unwrap();
        let found = measured(temp.path());
        assert_eq!(found.entries, 4);
        assert!((1 << 20..2 << 20).contains(&found.bytes), "{found:?}");
    }

    #[test]
    fn every_name_counts_for_a_block() {
        let temp = tempfile::tempdir().unwrap();
        for number in 0..100 {
            // A short link is stored in its inode and uses no block.
            std::os::unix::fs::symlink("x", temp.path().join(number.to_string())).unwrap();
        }
        assert!(measured(temp.path()).bytes >= 100 * NAME_BYTES);
    }

    #[test]
    #[expect(clippy::print_stderr, reason = "a test that looks at nothing must say so")]
    fn what_is_mounted_inside_is_not_counted() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("SKIPPED: only root can mount");
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        let inner = temp.path().join("inner");
        fs::create_dir(&inner).unwrap();
        fs::write(temp.path().join("own"), vec![1; 1 << 20]).unwrap();
        let none: Option<&str> = None;
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(Some("tmpfs"), &inner, Some("tmpfs"), flags, none).unwrap();
        fs::write(inner.join("other"), vec![1; 8 << 20]).unwrap();
        let found = measured(temp.path());
        nix::mount::umount(&inner).unwrap();
        assert_eq!(found.entries, 1);
        assert!((1 << 20..2 << 20).contains(&found.bytes), "{found:?}");
    }

    #[test]
    fn says_when_folders_are_deeper_than_it_looks() {
        let temp = tempfile::tempdir().unwrap();
        let deep: std::path::PathBuf = std::iter::repeat_n("d", MAX_DEPTH).collect();
        fs::create_dir_all(temp.path().join(&deep)).unwrap();
        assert!(!measured(temp.path()).too_deep);
        fs::create_dir_all(temp.path().join(deep).join("d")).unwrap();
        assert!(measured(temp.path()).too_deep);
    }

    #[test]
    fn ends_when_it_has_seen_enough() {
        let temp = tempfile::tempdir().unwrap();
        for number in 0..50 {
            fs::write(temp.path().join(number.to_string()), "x").unwrap();
        }
        let found = Dir::open_root(temp.path()).unwrap().disk_use(|found| found.entries >= 10);
        assert_eq!(found.entries, 10);
    }
}
