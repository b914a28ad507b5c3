//! Removing a tree that the sandbox made.
//!
//! It may be as deep as the disk allows and its folders may forbid reading. A recursive removal
//! would run out of stack or descriptors, so folders found inside are moved up to the top first:
//! the tree gets flatter until nothing is left, with two descriptors in use at any time.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd as _;

use nix::sys::stat::{FchmodatFlags, Mode, fchmod, fchmodat};

use super::{Dir, FileError, Kind};

/// Removes everything in `folder`, and leaves the folder itself.
pub fn empty(folder: &Dir) -> io::Result<()> {
    let mut moved: u64 = 0;
    // Each round ends with every folder one level nearer to the top; no folder is moved twice.
    loop {
        let mut folders = Vec::new();
        for entry in folder.entries()? {
            let name = entry.name();
            match folder.status(name).map(|stat| Kind::of(&stat)) {
                Ok(Kind::Folder) => folders.push(entry),
                Ok(_) => folder.remove_file(name)?,
                Err(FileError::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if folders.is_empty() {
            return Ok(());
        }
        for entry in folders {
            if folder.remove_empty_folder(entry.name())? {
                continue;
            }
            open_up(folder, entry.name())?;
            let inner = folder.folder(entry.name())?;
            flatten(&inner, folder, &mut moved)?;
            folder.remove_empty_folder(entry.name())?;
        }
    }
}

/// Gives the owner all rights on a folder: an ordinary user needs them, root passes without. A link
/// that has taken the folder's place is an error, and what it points to stays as it is.
fn open_up(parent: &Dir, name: &OsStr) -> io::Result<()> {
    Ok(fchmodat(parent.as_fd(), name, Mode::S_IRWXU, FchmodatFlags::NoFollowSymlink)?)
}

/// Removes the files of `inner` and moves its folders to `top`.
fn flatten(inner: &Dir, top: &Dir, moved: &mut u64) -> io::Result<()> {
    for entry in inner.entries()? {
        let name = entry.name();
        match inner.status(name).map(|stat| Kind::of(&stat)) {
            Ok(Kind::Folder) => {
                // Moving a folder changes its "..", for which it must be writable.
                if let Ok(child) = inner.folder(name) {
                    fchmod(&child, Mode::S_IRWXU)?;
                } else {
                    open_up(inner, name)?;
                }
                *moved += 1;
                inner.move_to(name, top, &format!("{}.{moved}", uuid::Uuid::new_v4()))?;
            }
            Ok(_) => inner.remove_file(name)?,
            Err(FileError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn removes_a_tree_deeper_than_any_path() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_root(temp.path()).unwrap();
        let mut here = dir.make_folder("top").unwrap();
        for _ in 0..3000 {
            here = here.make_folder("d").unwrap();
        }
        drop(here);
        empty(&dir).unwrap();
        assert!(dir.entries().unwrap().is_empty());
    }

    #[test]
    fn removes_what_forbids_access_and_follows_no_link() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("keep"), "x").unwrap();
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("a/b/c")).unwrap();
        fs::write(temp.path().join("a/b/c/f"), "x").unwrap();
        symlink(outside.path(), temp.path().join("a/link")).unwrap();
        for path in ["a/b/c", "a/b", "a"] {
            let mode = fs::Permissions::from_mode(0o000);
            fs::set_permissions(temp.path().join(path), mode).unwrap();
        }
        let dir = Dir::open_root(temp.path()).unwrap();
        empty(&dir).unwrap();
        assert!(dir.entries().unwrap().is_empty());
        assert!(outside.path().join("keep").is_file());
    }
}
