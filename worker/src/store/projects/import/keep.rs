//! Keeps the old repository after an import, for the operator.
//!
//! One rename moves it whole into the new repository, to `.git/before-dreamcore`. Then it is packed
//! into a compressed archive, if it has an ordinary size and only ordinary files. An archive is
//! better than a folder, because an operator could run git in the folder, and git would run its
//! hooks. If it stays a folder, nothing is lost.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::safe_fs::{Dir, FileError, Kind, WriteOptions, empty};
use crate::store::projects::ProjectError;

/// The folder in `.git` that contains old repositories.
pub(in crate::store::projects) const FOLDER: &str = "before-dreamcore";
/// The ending of an archive's name.
const ENDING: &str = ".tar.gz";
/// Repositories with more bytes or files than this stay folders, because a request waits while one
/// is packed, and removing many files takes long.
const MAX_BYTES: u64 = 64 << 20;
const MAX_FILES: usize = 2_000;
const MAX_DEPTH: usize = 64;
const MAX_TIME: Duration = Duration::from_secs(10);

/// Why an old repository stays a folder.
enum Kept {
    /// It is too large, or contains something that is not a plain file.
    AsItIs(&'static str),
    Failed(ProjectError),
}

impl<E: Into<ProjectError>> From<E> for Kept {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Packs the old repository of this name. `git` is the new repository. If this fails, the folder
/// stays, which only costs space.
pub(super) fn compress(git: &Dir, name: &str) -> String {
    match archived(git, name) {
        Ok(archive) => format!(".git/{FOLDER}/{archive}"),
        Err(kept) => {
            let reason = match kept {
                Kept::AsItIs(reason) => reason.to_owned(),
                Kept::Failed(error) => error.to_string(),
            };
            tracing::warn!(reason, "a repository that was imported is kept as it was");
            format!(".git/{FOLDER}/{name}")
        }
    }
}

fn archived(git: &Dir, name: &str) -> Result<String, Kept> {
    let folder = git.folder(FOLDER)?;
    let old = folder.folder(name)?;
    let archive = format!("{name}{ENDING}");
    let options = WriteOptions { sync: true, owner: None };
    let mut stopped = None;
    let written = folder.replace_file(&archive, options, |file| {
        pack(&old, file).map_err(|kept| match kept {
            Kept::Failed(ProjectError::Io(error)) => error,
            other => {
                stopped = Some(other);
                io::ErrorKind::Other.into()
            }
        })
    });
    match (written, stopped) {
        (_, Some(kept)) => return Err(kept),
        (written, None) => written?,
    }
    empty(&old)?;
    folder.remove_empty_folder(name)?;
    Ok(archive)
}

fn pack(old: &Dir, file: &mut File) -> Result<(), Kept> {
    let gzip = GzEncoder::new(io::BufWriter::new(file), Compression::fast());
    let mut archive =
        Archive { tar: tar::Builder::new(gzip), bytes: 0, files: 0, began: Instant::now() };
    archive.add(old, "git", 0)?;
    archive.tar.into_inner()?.finish()?.flush()?;
    Ok(())
}

struct Archive<'f> {
    tar: tar::Builder<GzEncoder<io::BufWriter<&'f mut File>>>,
    bytes: u64,
    files: usize,
    began: Instant,
}

impl Archive<'_> {
    fn add(&mut self, folder: &Dir, path: &str, depth: usize) -> Result<(), Kept> {
        if depth > MAX_DEPTH {
            return Err(Kept::AsItIs("its folders are too deep"));
        }
        for entry in folder.entries()? {
            let Some(name) = entry.name_str() else {
                return Err(Kept::AsItIs("it has a name that is not UTF-8"));
            };
            let stat = folder.status(name)?;
            let path = format!("{path}/{name}");
            match Kind::of(&stat) {
                Kind::Folder => self.add(&folder.folder(name)?, &path, depth + 1)?,
                Kind::File => match folder.file(name) {
                    Ok((file, stat)) => self.add_file(&path, file, &stat)?,
                    Err(FileError::NotRegular) => {
                        return Err(Kept::AsItIs("it has a file with a second name"));
                    }
                    Err(error) => return Err(error.into()),
                },
                Kind::Symlink | Kind::Special => {
                    return Err(Kept::AsItIs("it has something that is no file"));
                }
            }
        }
        Ok(())
    }

    fn add_file(
        &mut self,
        path: &str,
        file: File,
        stat: &nix::sys::stat::FileStat,
    ) -> Result<(), Kept> {
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        self.bytes = self.bytes.saturating_add(size);
        self.files += 1;
        if self.bytes > MAX_BYTES || self.files > MAX_FILES || self.began.elapsed() > MAX_TIME {
            return Err(Kept::AsItIs("it is too large to be packed while somebody waits"));
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o644);
        header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or_default());
        // A file that has become shorter is filled up with zeroes, so that the archive stays valid.
        let content = file.chain(io::repeat(0)).take(size);
        Ok(self.tar.append_data(&mut header, path, content)?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn unpacked(path: &std::path::Path) -> BTreeMap<String, String> {
        let mut archive =
            tar::Archive::new(flate2::read::GzDecoder::new(File::open(path).unwrap()));
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (entry.path().unwrap().display().to_string(), text)
        });
        entries.collect()
    }

    #[test]
    fn plain_files_become_an_archive_and_everything_else_stays() {
        let temp = tempfile::tempdir().unwrap();
        let old = temp.path().join(FOLDER).join("old");
        fs::create_dir_all(old.join("refs/heads")).unwrap();
        fs::write(old.join("HEAD"), "ref").unwrap();
        let long = "長".repeat(70);
        fs::write(old.join("refs/heads").join(&long), "id").unwrap();
        let git = Dir::open_root(temp.path()).unwrap();
        symlink("/etc/passwd", old.join("link")).unwrap();
        assert!(compress(&git, "old").ends_with("/old"));
        assert!(old.join("HEAD").is_file());
        assert_eq!(fs::read_dir(temp.path().join(FOLDER)).unwrap().count(), 1);

        fs::remove_file(old.join("link")).unwrap();
        assert!(compress(&git, "old").ends_with("/old.tar.gz"));
        assert!(!old.exists());
        let found = unpacked(&temp.path().join(FOLDER).join("old.tar.gz"));
        let expected = [
            ("git/HEAD".to_owned(), "ref".to_owned()),
            (format!("git/refs/heads/{long}"), "id".to_owned()),
        ];
        assert_eq!(found, BTreeMap::from(expected));
    }
}
