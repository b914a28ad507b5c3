//! How much of the disk a tree takes that the sandbox is changing while it is measured.

use std::io;
use std::os::fd::AsFd as _;

use nix::sys::stat::fstat;
use nix::sys::statvfs::fstatvfs;

use super::{Dir, Kind};

/// Bytes of a block as `stat` counts them, whatever the file system's own are.
const BLOCK: u64 = 512;
/// What a name takes at the least. Some file systems count nothing for a small file or a link.
const NAME_BYTES: u64 = 4096;
/// The reserve of a small disk is one part in so many.
const RESERVE_PART: u64 = 10;
/// Deeper than any project; the walk holds one descriptor a level.
const MAX_DEPTH: usize = 100;

/// What a tree takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskUse {
    /// Allocated bytes: a sparse file counts by what is in it, a small one by its whole block.
    /// Each name counts for a block at the least.
    pub bytes: u64,
    /// Names of files and folders.
    pub entries: u64,
    /// Whether folders lie deeper than is looked at.
    pub too_deep: bool,
}

/// What a file system has left for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub total: u64,
    /// Bytes left.
    pub free: u64,
    /// Files in all; 0 where they are not counted.
    pub total_files: u64,
    /// Files left.
    pub free_files: u64,
}

impl Space {
    /// Whether less is left than is to be kept for others: `reserve_bytes`, or a tenth of a small
    /// disk, or one file in a hundred.
    pub fn is_low(&self, reserve_bytes: u64) -> bool {
        let reserve = reserve_bytes.min(self.total / RESERVE_PART);
        self.free < reserve || self.free_files < self.total_files / 100
    }
}

impl Dir {
    /// What is below this folder and on the same file system. Ends early when `enough` says so, and
    /// passes over what disappears or cannot be read. Blocking.
    pub fn disk_use(&self, enough: impl Fn(&DiskUse) -> bool) -> DiskUse {
        let mut found = DiskUse::default();
        if let Ok(own) = fstat(self.as_fd()) {
            let walk = Walk { device: own.st_dev, enough };
            walk.add(self, 0, &mut found);
        }
        found
    }

    /// What the file system below this folder has left.
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
    /// Of the folders that are looked into. A file may have another one on an overlay.
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
            // What is mounted here takes nothing from this disk: where mounts are everybody's, the
            // root of a sandbox is, and in it all of /usr.
            if is_folder && stat.st_dev != self.device {
                continue;
            }
            found.entries += 1;
            // Other names of the same file are in the same tree: a sandbox cannot link out of it.
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
            // A short link is kept in its inode and takes no block.
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
