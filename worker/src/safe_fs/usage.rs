//! How much of the disk a tree takes that the sandbox is changing while it is measured.

use std::io;
use std::os::fd::AsFd as _;

use nix::sys::statvfs::fstatvfs;

use super::{Dir, Kind};

/// Bytes of a block as `stat` counts them, whatever the file system's own are.
const BLOCK: u64 = 512;
/// Deeper than any project; the walk holds one descriptor a level.
const MAX_DEPTH: usize = 100;

/// What a tree takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskUse {
    /// Allocated bytes: a sparse file counts by what is in it, a small one by its whole block.
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

impl Dir {
    /// What is below this folder. Ends early when `enough` says so, and passes over what disappears
    /// or cannot be read. Blocking.
    pub fn disk_use(&self, enough: impl Fn(&DiskUse) -> bool) -> DiskUse {
        let mut found = DiskUse::default();
        add(self, 0, &mut found, &enough);
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

fn add(folder: &Dir, depth: usize, found: &mut DiskUse, enough: &impl Fn(&DiskUse) -> bool) {
    if depth > MAX_DEPTH {
        found.too_deep = true;
        return;
    }
    for entry in folder.entries().unwrap_or_default() {
        let Ok(stat) = folder.status(entry.name()) else {
            continue;
        };
        found.entries += 1;
        // Other names of the same file are in the same tree: a sandbox cannot link out of it.
        let names = u64::from(u32::try_from(stat.st_nlink).unwrap_or(u32::MAX)).max(1);
        let is_folder = Kind::of(&stat) == Kind::Folder;
        let bytes = u64::try_from(stat.st_blocks).unwrap_or_default().saturating_mul(BLOCK);
        found.bytes = found.bytes.saturating_add(if is_folder { bytes } else { bytes / names });
        if is_folder && let Ok(inner) = folder.folder(entry.name()) {
            add(&inner, depth + 1, found, enough);
        }
        if enough(found) {
            return;
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
