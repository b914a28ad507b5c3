//! Walks a whole tree from a handle. Finds regular files with valid paths, and reports everything
//! else to the caller as an oddity, which the caller ignores or treats as an error.

use std::ffi::OsStr;

use nix::sys::stat::FileStat;

use super::dir::ATTEMPTS;
use super::{Dir, FileError, Kind};
use crate::types::{PathError, ProjectPath};

/// A regular file with one link and a valid path.
pub struct FoundFile<'a> {
    /// The path below the root of the walk.
    pub path: ProjectPath,
    /// The status of the file when it was found.
    pub stat: FileStat,
    /// The folder that contains the file.
    pub folder: &'a Dir,
}

/// An entry that cannot be a file of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Oddity {
    /// A symbolic link.
    #[error("is a symbolic link")]
    Symlink,
    /// A fifo, socket or device.
    #[error("is not a regular file")]
    Special,
    /// A file that has a second hard link.
    #[error("has a second hard link")]
    HardLink,
    /// A name that is not UTF-8.
    #[error("has a name that is not UTF-8")]
    NotUtf8,
    /// A path that no client could name.
    #[error("{0}")]
    BadPath(PathError),
}

/// Visits every file below `root`, in no particular order. Hidden names are ignored, because they
/// belong to other programs (`.git`, `.cache`, …).
///
/// Calls `file` for every file, and `odd` with a printable path for everything else.
pub fn walk<E: From<std::io::Error>>(
    root: &Dir,
    mut file: impl FnMut(FoundFile<'_>) -> Result<(), E>,
    mut odd: impl FnMut(&str, Oddity) -> Result<(), E>,
) -> Result<(), E> {
    walk_folder(root, None, &mut file, &mut odd)
}

fn walk_folder<E: From<std::io::Error>>(
    folder: &Dir,
    prefix: Option<&ProjectPath>,
    file: &mut impl FnMut(FoundFile<'_>) -> Result<(), E>,
    odd: &mut impl FnMut(&str, Oddity) -> Result<(), E>,
) -> Result<(), E> {
    for entry in folder.entries()? {
        let Some(name) = entry.name_str() else {
            if !entry.name().as_encoded_bytes().starts_with(b".") {
                odd(&shown(prefix, &entry.name().to_string_lossy()), Oddity::NotUtf8)?;
            }
            continue;
        };
        let path = match prefix.map_or_else(|| name.parse(), |prefix| prefix.join(name)) {
            Ok(path) => path,
            Err(PathError::Hidden) => continue,
            Err(error) => {
                odd(&shown(prefix, name), Oddity::BadPath(error))?;
                continue;
            }
        };
        let stat = match current_status(folder, entry.name()) {
            Ok(stat) => stat,
            // The entry was removed after the folder was read.
            Err(FileError::NotFound) => continue,
            Err(error) => return Err(std::io::Error::from(error).into()),
        };
        match Kind::of(&stat) {
            Kind::File if stat.st_nlink == 1 => file(FoundFile { path, stat, folder })?,
            Kind::File => odd(path.as_str(), Oddity::HardLink)?,
            Kind::Symlink => odd(path.as_str(), Oddity::Symlink)?,
            Kind::Special => odd(path.as_str(), Oddity::Special)?,
            // The path type bounds the depth, and so the recursion.
            Kind::Folder => match folder.folder(entry.name()) {
                Ok(inner) => walk_folder(&inner, Some(&path), file, odd)?,
                Err(FileError::NotFound) => {}
                Err(FileError::NotRegular) => odd(path.as_str(), Oddity::Symlink)?,
                Err(error) => return Err(std::io::Error::from(error).into()),
            },
        }
    }
    Ok(())
}

/// The present status of a name. If the file has no link, a save has just replaced it, and the next
/// attempt finds the new file.
fn current_status(folder: &Dir, name: &OsStr) -> Result<FileStat, FileError> {
    for _ in 0..ATTEMPTS {
        let stat = folder.status(name)?;
        if stat.st_nlink > 0 || Kind::of(&stat) != Kind::File {
            return Ok(stat);
        }
    }
    Err(FileError::NotFound)
}

/// A path in a printable form, with control characters escaped.
fn shown(prefix: Option<&ProjectPath>, name: &str) -> String {
    let name = name.escape_debug();
    prefix.map_or_else(|| name.to_string(), |prefix| format!("{prefix}/{name}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn finds_files_and_names_every_oddity() {
        let temp = tempfile::tempdir().unwrap();
        let base = temp.path();
        fs::create_dir_all(base.join("assets/画像")).unwrap();
        fs::create_dir(base.join(".git")).unwrap();
        for file in
            ["index.html", "assets/画像/a.png", ".git/config", ".hidden", "linked", "bad\\name"]
        {
            fs::write(base.join(file), "x").unwrap();
        }
        fs::write(base.join(OsStr::from_bytes(b"\xff.js")), "x").unwrap();
        fs::hard_link(base.join("linked"), base.join(".second")).unwrap();
        symlink("/etc/passwd", base.join("passwd")).unwrap();
        symlink("/etc", base.join("etc")).unwrap();
        nix::unistd::mkfifo(&base.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();

        let mut files = Vec::new();
        let mut odd = BTreeMap::new();
        walk::<std::io::Error>(
            &Dir::open_root(base).unwrap(),
            |found| {
                files.push(found.path.to_string());
                Ok(())
            },
            |path, oddity| {
                odd.insert(path.to_owned(), oddity);
                Ok(())
            },
        )
        .unwrap();
        files.sort();
        assert_eq!(files, ["assets/画像/a.png", "index.html"]);
        assert_eq!(odd["passwd"], Oddity::Symlink);
        assert_eq!(odd["etc"], Oddity::Symlink);
        assert_eq!(odd["fifo"], Oddity::Special);
        assert_eq!(odd["linked"], Oddity::HardLink);
        assert_eq!(odd["bad\\\\name"], Oddity::BadPath(PathError::BadCharacter));
        assert_eq!(odd["\u{fffd}.js"], Oddity::NotUtf8);
        assert_eq!(odd.len(), 6);
    }
}
