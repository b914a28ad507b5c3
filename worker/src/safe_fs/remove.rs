//! Removes a tree that the sandbox made.
//!
//! The tree may be as deep as the disk allows, and its folders may forbid reading. A plain
//! recursion would run out of stack or descriptors. So the removal goes down a bounded number of
//! levels and moves folders below those to the top, in rounds, until the tree is empty.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd as _;

use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};

use super::{Dir, FileError, Kind};

/// How many levels are removed in place, with an open descriptor for each. Deeper folders are
/// moved, which costs several times as much.
const LEVELS: usize = 40;

/// Removes everything in `folder`, but not the folder itself.
pub fn empty(folder: &Dir) -> io::Result<()> {
    empty_but(folder, OsStr::new(""))
}

/// The same, except for what is called `kept` at the top.
pub fn empty_but(folder: &Dir, kept: &OsStr) -> io::Result<()> {
    let mut moved: u64 = 0;
    loop {
        let moved_before = moved;
        clear(folder, folder, Some(kept), LEVELS, &mut moved)?;
        if moved == moved_before {
            return Ok(());
        }
    }
}

/// Removes everything in `folder` but `kept` down to so many levels, and moves deeper folders to
/// `top`.
fn clear(
    folder: &Dir,
    top: &Dir,
    kept: Option<&OsStr>,
    levels: usize,
    moved: &mut u64,
) -> io::Result<()> {
    for entry in folder.entries()? {
        let name = entry.name();
        if Some(name) == kept {
            continue;
        }
        match folder.status(name).map(|stat| Kind::of(&stat)) {
            Ok(Kind::Folder) => {}
            Ok(_) => {
                folder.remove_file(name)?;
                continue;
            }
            Err(FileError::NotFound) => continue,
            Err(error) => return Err(error.into()),
        }
        if folder.remove_empty_folder(name)? {
            continue;
        }
        open_up(folder, name)?;
        if levels == 0 {
            *moved += 1;
            folder.move_to(name, top, &format!("{}.{moved}", uuid::Uuid::new_v4()))?;
            continue;
        }
        clear(&folder.folder(name)?, top, None, levels - 1, moved)?;
        folder.remove_empty_folder(name)?;
    }
    Ok(())
}

/// Gives the owner all rights on a folder, which an ordinary user needs to remove its content. If a
/// link has taken the folder's place, that is an error, and its target is not changed.
fn open_up(parent: &Dir, name: &OsStr) -> io::Result<()> {
    Ok(fchmodat(parent.as_fd(), name, Mode::S_IRWXU, FchmodatFlags::NoFollowSymlink)?)
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
    fn what_is_kept_stays_at_the_top_only() {
        let temp = tempfile::tempdir().unwrap();
        for path in ["kept/inner", "other/kept/inner"] {
            fs::create_dir_all(temp.path().join(path)).unwrap();
        }
        let dir = Dir::open_root(temp.path()).unwrap();
        empty_but(&dir, OsStr::new("kept")).unwrap();
        let names: Vec<_> = dir.entries().unwrap().iter().map(|e| e.name().to_owned()).collect();
        assert_eq!(names, ["kept"]);
        assert!(temp.path().join("kept/inner").is_dir());
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
