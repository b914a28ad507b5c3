//! Copies a repository for the import: its objects and references, and nothing else of it.

use std::io;

use crate::runs::workspace::ImportFolder;
use crate::safe_fs::{Dir, FileError, Kind, WriteOptions};
use crate::store::projects::ForeignError;

/// The largest repository that is copied, in bytes and in files.
const MAX_BYTES: u64 = 2 << 30;
const MAX_FILES: usize = 100_000;
/// The largest depth of folders of references.
const MAX_DEPTH: usize = 64;
/// The space that must stay free on the scratch disk, in bytes.
const RESERVE_BYTES: u64 = 512 << 20;

/// A file that belongs to a history.
struct Found<'a> {
    folder: &'a Dir,
    /// The path of the file's folder in the repository. Empty for the top.
    path: &'a str,
    name: &'a str,
    bytes: u64,
}

type Visit<'v> = dyn FnMut(Found<'_>) -> Result<(), ForeignError> + 'v;

/// Copies a repository into the import's folder. Links, special files and files with a second name
/// are left out, and so are files by which libgit2 would read other folders.
pub fn copy(git: &Dir, place: &Dir) -> Result<(), ForeignError> {
    let (mut bytes, mut files) = (0_u64, 0_usize);
    visit_all(git, &mut |found| {
        files += 1;
        bytes = bytes.saturating_add(found.bytes);
        if files > MAX_FILES || bytes > MAX_BYTES {
            let reason = format!("it has more than {MAX_FILES} files or {MAX_BYTES} bytes");
            return Err(ForeignError::Refused(reason));
        }
        Ok(())
    })?;
    let space = place.space()?;
    let reserve = RESERVE_BYTES.min(space.total / 10);
    if bytes.saturating_add(reserve) > space.free {
        return Err(io::Error::from(io::ErrorKind::StorageFull).into());
    }

    let copy = place.make_folder(ImportFolder::COPY)?;
    // The files of a folder come one after the other, so only the last folder is kept open.
    let mut last: Option<(String, Dir)> = None;
    visit_all(git, &mut |found| {
        let (source, _) = match found.folder.file(found.name) {
            Ok(open) => open,
            Err(FileError::NotFound | FileError::NotRegular) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let folder = match last.take() {
            Some((path, folder)) if path == found.path => folder,
            _ if found.path.is_empty() => copy.try_clone()?,
            _ => copy.make_folders(found.path)?,
        };
        // The file may have grown. No more is copied than was counted.
        let mut source = io::Read::take(source, found.bytes);
        folder.write_new(found.name, WriteOptions::default(), |to| io::copy(&mut source, to))?;
        last = Some((found.path.to_owned(), folder));
        Ok(())
    })
}

/// Visits every file that belongs to a history, those of a folder one after the other.
fn visit_all(git: &Dir, visit: &mut Visit<'_>) -> Result<(), ForeignError> {
    visit_folder(git, "", &|name| ["HEAD", "packed-refs"].contains(&name), visit)?;
    if let Some(references) = open(git, "refs")? {
        visit_references(&references, "refs", 0, visit)?;
    }
    let Some(objects) = open(git, "objects")? else { return Ok(()) };
    for entry in objects.entries()? {
        let Some(name) = entry.name_str() else { continue };
        let is_object = |name: &str| name.len() == 38 && is_hexadecimal(name);
        let ending = |name: &str| name.rsplit_once('.').map(|(_, ending)| ending.to_owned());
        let is_pack =
            |name: &str| ending(name).is_some_and(|it| ["pack", "idx"].contains(&it.as_str()));
        let is_wanted: &dyn Fn(&str) -> bool = match name {
            "pack" => &is_pack,
            _ if name.len() == 2 && is_hexadecimal(name) => &is_object,
            _ => continue,
        };
        if let Some(folder) = open(&objects, name)? {
            visit_folder(&folder, &format!("objects/{name}"), is_wanted, visit)?;
        }
    }
    Ok(())
}

fn visit_references(
    folder: &Dir,
    path: &str,
    depth: usize,
    visit: &mut Visit<'_>,
) -> Result<(), ForeignError> {
    visit_folder(folder, path, &|_| true, visit)?;
    if depth == MAX_DEPTH {
        return Ok(());
    }
    for entry in folder.entries()? {
        let Some(name) = entry.name_str() else { continue };
        if let Some(inner) = open(folder, name)? {
            visit_references(&inner, &format!("{path}/{name}"), depth + 1, visit)?;
        }
    }
    Ok(())
}

/// Visits the files of a folder whose names belong to a history.
fn visit_folder(
    folder: &Dir,
    path: &str,
    is_wanted: &dyn Fn(&str) -> bool,
    visit: &mut Visit<'_>,
) -> Result<(), ForeignError> {
    for entry in folder.entries()? {
        let Some(name) = entry.name_str().filter(|name| is_wanted(name)) else { continue };
        match folder.status(name) {
            Ok(stat) if Kind::of(&stat) == Kind::File => {
                let bytes = u64::try_from(stat.st_size).unwrap_or_default();
                visit(Found { folder, path, name, bytes })?;
            }
            Ok(_) | Err(FileError::NotFound | FileError::NotRegular) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn open(folder: &Dir, name: &str) -> Result<Option<Dir>, ForeignError> {
    match folder.folder(name) {
        Ok(inner) => Ok(Some(inner)),
        Err(FileError::NotFound | FileError::NotRegular) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn is_hexadecimal(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    fn list(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                list(&entry.path(), &format!("{path}/"), found);
            } else {
                found.insert(path);
            }
        }
    }

    #[test]
    fn objects_and_references_are_copied_and_nothing_that_leads_elsewhere() {
        let temp = tempfile::tempdir().unwrap();
        let git = temp.path().join("git");
        let object = format!("objects/ab/{}", "0".repeat(38));
        let wanted = [
            "HEAD",
            "packed-refs",
            "refs/heads/日本/語",
            "refs/tags/v1",
            object.as_str(),
            "objects/pack/pack-1.pack",
            "objects/pack/pack-1.idx",
        ];
        let unwanted = [
            "config",
            "index",
            "commondir",
            "shallow",
            "hooks/post-commit",
            "info/grafts",
            "objects/info/alternates",
            "objects/info/commit-graph",
            "objects/pack/multi-pack-index",
            "objects/pack/pack-1.bitmap",
            "objects/ab/short",
            "objects/zz/00000000000000000000000000000000000000",
            "modules/a/HEAD",
        ];
        for path in wanted.iter().chain(&unwanted) {
            let path = git.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        fs::write(temp.path().join("outside"), "secret").unwrap();
        symlink(temp.path().join("outside"), git.join("refs/heads/link")).unwrap();
        symlink(temp.path(), git.join("objects/cd")).unwrap();
        fs::hard_link(temp.path().join("outside"), git.join("refs/heads/hard")).unwrap();
        nix::unistd::mkfifo(&git.join("refs/heads/fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();

        let place = temp.path().join("place");
        fs::create_dir(&place).unwrap();
        copy(&Dir::open_root(&git).unwrap(), &Dir::open_root(&place).unwrap()).unwrap();
        let mut found = BTreeSet::new();
        list(&place.join(ImportFolder::COPY), "", &mut found);
        assert_eq!(found, wanted.iter().map(|path| (*path).to_owned()).collect());
    }

    #[test]
    fn what_is_too_large_is_refused_before_it_is_copied() {
        let temp = tempfile::tempdir().unwrap();
        let git = temp.path().join("source");
        fs::create_dir_all(git.join("objects/pack")).unwrap();
        let sparse = fs::File::create(git.join("objects/pack/pack-1.pack")).unwrap();
        sparse.set_len(MAX_BYTES + 1).unwrap();
        let place = Dir::open_root(temp.path()).unwrap();
        let copied = copy(&Dir::open_root(&git).unwrap(), &place);
        assert!(matches!(copied, Err(ForeignError::Refused(_))));
        assert!(!temp.path().join(ImportFolder::COPY).exists());
    }
}
