//! What a `.git` of another program must not have before libgit2 sees it.
//!
//! Older projects were written by another program, together with an agent that could write to
//! `.git`. libgit2 runs no hooks and the repository's configuration is not used; what would still
//! make it look elsewhere, or wait for ever, is taken away here: links and special files anywhere
//! inside, pointers to other folders of objects, and a configuration that includes files.

use std::collections::HashSet;
use std::io::Read as _;
use std::sync::{Mutex, PoisonError};

use crate::safe_fs::{Dir, FileError, Kind, WriteOptions};
use crate::store::projects::ProjectError;
use crate::store::volume::SAVE;

/// Files that point out of a repository, and caches that git can do without and that would have to
/// be believed.
const REMOVED: [&str; 6] = [
    "commondir",
    "objects/info/alternates",
    "objects/info/http-alternates",
    "objects/info/commit-graph",
    "objects/info/commit-graphs/commit-graph-chain",
    "objects/pack/multi-pack-index",
];
/// Deeper folders are no part of any git repository; branches may have a few slashes.
const MAX_DEPTH: usize = 40;
/// A configuration of an ordinary repository has a few hundred bytes.
const MAX_CONFIG_BYTES: u64 = 64 * 1024;
/// What an ordinary repository is configured as.
const CONFIG: &[u8] = b"[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n";
/// Where a configuration goes that is not used.
const OLD_CONFIG: &str = "config.before-dreamcore";
/// The relay's hidden state file, in git's list of files that it does not speak of.
const EXCLUDED: &str = "/.style-pending.json";
/// More than any worker meets before its next start.
const MAX_CHECKED: usize = 100_000;

/// Repositories that this process has looked through. Nobody but workers has been able to change
/// them since.
#[derive(Debug, Default)]
pub(in crate::store::projects) struct Checked(Mutex<HashSet<(u64, u64)>>);

impl Checked {
    /// Looks through a repository, if this is the first time. `git` is its folder.
    pub(super) fn check(&self, git: &Dir) -> Result<(), ProjectError> {
        let stat = nix::sys::stat::fstat(git).map_err(std::io::Error::from)?;
        let key = (stat.st_dev, stat.st_ino);
        if self.lock().contains(&key) && looks_right(git) {
            return Ok(());
        }
        remove_links(git, MAX_DEPTH)?;
        for path in REMOVED {
            git.remove_beneath(path)?;
        }
        replace_bad_config(git)?;
        exclude_own(git);
        let mut checked = self.lock();
        if checked.len() >= MAX_CHECKED {
            checked.clear();
        }
        checked.insert(key);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<(u64, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A quick look at what matters most, for each time.
fn looks_right(git: &Dir) -> bool {
    let is = |wanted: Kind| {
        move |path: &&str| match git.parent_of(path, false).and_then(|(dir, name)| dir.status(name))
        {
            Ok(stat) => Kind::of(&stat) == wanted,
            Err(FileError::NotFound) => true,
            Err(_) => false,
        }
    };
    ["objects", "objects/pack", "objects/info", "refs", "refs/heads"].iter().all(is(Kind::Folder))
        && ["HEAD", "config", "index", "packed-refs"].iter().all(is(Kind::File))
        && git.status("commondir").is_err()
        && git.status("objects/info/alternates").is_err()
}

/// git itself makes neither links nor special files.
fn remove_links(folder: &Dir, depth: usize) -> Result<(), ProjectError> {
    for entry in folder.entries()? {
        let name = entry.name();
        match folder.status(name).map(|stat| Kind::of(&stat)) {
            Ok(Kind::File) | Err(FileError::NotFound) => {}
            Ok(Kind::Folder) if depth > 0 => remove_links(&folder.folder(name)?, depth - 1)?,
            Ok(Kind::Folder) => {
                return Err(ProjectError::Unusable(".git is nested too deeply".to_owned()));
            }
            Ok(Kind::Symlink | Kind::Special) => {
                tracing::warn!(name = %name.to_string_lossy(), "a link in .git is removed");
                folder.remove_file(name)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Tells git by hand that the hidden files of the relay and of a save are nobody's business. What
/// fails here costs nothing but a line in `git status`.
fn exclude_own(git: &Dir) {
    let exclude = || -> Result<(), FileError> {
        let info = git.make_folder("info")?;
        let mut text = Vec::new();
        match info.file("exclude") {
            Ok((file, _)) => drop(file.take(MAX_CONFIG_BYTES).read_to_end(&mut text)?),
            Err(FileError::NotFound) => {}
            Err(error) => return Err(error),
        }
        let has_it = text.split(|byte| *byte == b'\n').any(|line| line == EXCLUDED.as_bytes());
        if has_it || text.len() as u64 == MAX_CONFIG_BYTES {
            return Ok(());
        }
        text.extend_from_slice(format!("\n{EXCLUDED}\n/{SAVE}\n").as_bytes());
        let options = WriteOptions::default();
        info.replace_file("exclude", options, |file| std::io::Write::write_all(file, &text))
    };
    if let Err(error) = exclude() {
        tracing::debug!(%error, "git's list of excluded files was not changed");
    }
}

/// libgit2 reads the configuration before anybody can tell it not to, with every file that it
/// includes. So one that includes, or that is no ordinary file, is put aside.
fn replace_bad_config(git: &Dir) -> Result<(), ProjectError> {
    match git.file("config") {
        Ok((file, _)) => {
            let mut text = Vec::new();
            file.take(MAX_CONFIG_BYTES + 1).read_to_end(&mut text)?;
            if is_harmless(&text) {
                return Ok(());
            }
            replace_config(git)
        }
        Err(FileError::NotFound) => Ok(()),
        Err(FileError::NotRegular) => replace_config(git),
        Err(error) => Err(error.into()),
    }
}

fn is_harmless(config: &[u8]) -> bool {
    config.len() as u64 <= MAX_CONFIG_BYTES
        && !config.to_ascii_lowercase().windows(7).any(|part| part == b"include")
}

/// Puts the configuration aside and an ordinary one in its place.
pub(super) fn replace_config(git: &Dir) -> Result<(), ProjectError> {
    tracing::warn!("the configuration of a repository is put aside");
    match git.rename_to("config", git, OLD_CONFIG) {
        Ok(()) | Err(FileError::NotFound) => {}
        Err(error) => return Err(error.into()),
    }
    let options = WriteOptions { sync: true, owner: None };
    Ok(git.replace_file("config", options, |file| std::io::Write::write_all(file, CONFIG))?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_leads_elsewhere_is_taken_away() {
        let temp = tempfile::tempdir().unwrap();
        let git = temp.path().join(".git");
        fs::create_dir_all(git.join("objects/info")).unwrap();
        fs::create_dir_all(git.join("objects/pack")).unwrap();
        fs::create_dir_all(git.join("refs/heads")).unwrap();
        fs::write(git.join("objects/info/alternates"), "/elsewhere\n").unwrap();
        fs::write(git.join("commondir"), "/elsewhere\n").unwrap();
        symlink("/etc", git.join("objects/ab")).unwrap();
        symlink("/etc/passwd", git.join("refs/heads/main")).unwrap();
        nix::unistd::mkfifo(&git.join("HEAD"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs::write(git.join("config"), "[Include]\n\tpath = /dev/zero\n").unwrap();

        let dir = Dir::open_root(&git).unwrap();
        Checked::default().check(&dir).unwrap();

        for gone in
            ["objects/info/alternates", "commondir", "objects/ab", "refs/heads/main", "HEAD"]
        {
            assert!(fs::symlink_metadata(git.join(gone)).is_err(), "{gone}");
        }
        assert_eq!(fs::read(git.join("config")).unwrap(), CONFIG);
        assert!(fs::read_to_string(git.join(OLD_CONFIG)).unwrap().contains("/dev/zero"));
    }

    #[test]
    fn an_ordinary_configuration_stays() {
        let temp = tempfile::tempdir().unwrap();
        let text = "[core]\n\tbare = false\n[remote \"origin\"]\n\turl = x\n";
        fs::write(temp.path().join("config"), text).unwrap();
        Checked::default().check(&Dir::open_root(temp.path()).unwrap()).unwrap();
        assert_eq!(fs::read_to_string(temp.path().join("config")).unwrap(), text);
    }
}
