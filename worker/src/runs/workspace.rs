//! TRUST BOUNDARY 6: from the agent's files to a project.
//!
//! A run works on a private copy on the local disk. The files that it leaves there are data of an
//! attacker. They are read only after every process of the run has ended, from directory handles,
//! and anything but regular files with valid paths within the limits ends the run with an error.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dreamcore_wire::plan::Identity;
use nix::sys::stat::FileStat;

use super::failure::Failure;
use super::leavings::{Leavings, ROOT};
use crate::api::ErrorCode;
use crate::safe_fs::{Dir, FileError, FolderLock, Oddity, WriteOptions, empty_but, walk};
use crate::store::projects::FileLimits;
use crate::store::projects::{Base, Project, ProjectError};
use crate::types::ProjectPath;
use skills::CLAUDE;

mod skills;

pub use skills::Skills;

/// The names of a run's folders. They are short, because the path of a socket below `tmp` may have
/// at most 107 bytes.
const GAME: &str = "game";
const HOME: &str = "home";
const TMP: &str = "tmp";
/// The folder of the self-test.
const TRIAL: &str = "trial";
/// The beginning of the names of imports' folders. A number follows.
const IMPORT: &str = "import-";

/// The scratch folder. It has one folder per slot.
#[derive(Debug, Clone)]
pub struct Scratch {
    path: PathBuf,
    owner: Option<Identity>,
    leavings: Arc<Leavings>,
    /// The lock on the scratch folder, held as long as the worker lives, because a second worker
    /// would empty the folder.
    _lock: Arc<FolderLock>,
}

/// The folders of one run. [`Workspace::remove`] removes them. If that did not happen, the next run
/// in the same slot removes them first.
#[derive(Debug)]
pub struct Workspace {
    path: PathBuf,
    slot: Dir,
    game: Dir,
    owner: Option<Identity>,
    leavings: Arc<Leavings>,
    skills: Option<Skills>,
}

/// The folder of one import. [`Scratch::remove_import_folder`] removes it. If that did not happen,
/// the next import with the same number removes it first.
#[derive(Debug)]
pub struct ImportFolder {
    /// The path of the folder.
    pub path: PathBuf,
    /// The handle of the folder.
    pub dir: Dir,
}

impl ImportFolder {
    /// The name of the folder in it for the copy of a repository.
    pub const COPY: &str = "git";
    /// The name of the empty folder in it on which the minimal root is mounted.
    pub const ROOT: &str = ROOT;
}

/// What was copied into the workspace. The harvest compares with it.
#[derive(Debug, Default)]
pub struct Copied {
    files: BTreeMap<ProjectPath, Stamp>,
    /// The newest version when the project was copied.
    pub base: Base,
}

/// The numbers of a file after it was copied. The agent can set a file's time of modification, but
/// not the time of its inode's last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: i64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(stat: &FileStat) -> Self {
        Self {
            inode: stat.st_ino,
            size: stat.st_size,
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

/// The changes of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Harvest {
    /// The files with new content.
    pub write: Vec<ProjectPath>,
    /// The files that were removed.
    pub remove: Vec<ProjectPath>,
}

impl Scratch {
    /// Prepares the scratch folder: makes it, makes it unreadable for other users, and gives up
    /// what earlier workers have left. `reserve_bytes` is the space that should stay free. Blocks.
    pub fn prepare(path: &Path, owner: Option<Identity>, reserve_bytes: u64) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        // If other users may write to the folder around it, they could have made a link or a folder
        // of their own under this name.
        let found = std::fs::symlink_metadata(path)?;
        if !found.is_dir() || found.uid() != nix::unistd::geteuid().as_raw() {
            return Err(io::Error::other("is not a folder of the worker's own user"));
        }
        // The sandbox must pass through to reach its own folder, but must not list the others.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(path, mode)?;
        let root = Dir::open_root(path)?;
        let lock = root.try_lock()?.ok_or_else(|| io::Error::other("another worker uses it"))?;
        let leavings = Arc::new(Leavings::start(path, reserve_bytes)?);
        leavings.give_up_all()?;
        Ok(Self { path: path.to_owned(), owner, leavings, _lock: Arc::new(lock) })
    }

    /// Makes an empty folder for the self-test. Blocks.
    pub fn make_trial_folder(&self) -> io::Result<PathBuf> {
        Dir::open_root(&self.path)?.make_folder(TRIAL)?;
        Ok(self.path.join(TRIAL))
    }

    /// Removes the folder of the self-test. Blocks.
    pub fn remove_trial_folder(&self) -> io::Result<()> {
        Dir::open_root(&self.path)?.remove_empty_folder(TRIAL).map(drop).map_err(io::Error::from)
    }

    /// Waits until everything that was given up is removed. Blocks.
    pub fn settle(&self) -> io::Result<()> {
        self.leavings.settle()
    }

    /// Makes an empty folder for an import, beside those of runs. Blocks.
    pub fn import_folder(&self, number: usize) -> io::Result<ImportFolder> {
        let name = format!("{IMPORT}{number}");
        let dir = self.make_place(&Dir::open_root(&self.path)?, &name)?;
        Ok(ImportFolder { path: self.path.join(&name), dir })
    }

    /// Removes the folder of an import. A removal that takes long goes on in the background.
    /// Blocks.
    pub fn remove_import_folder(&self, folder: &ImportFolder) -> io::Result<()> {
        self.leavings.give_up(folder.path.file_name().unwrap_or_default())
    }

    /// Makes an empty folder, and in it one on which a minimal root can be mounted.
    fn make_place(&self, scratch: &Dir, name: &str) -> io::Result<Dir> {
        if scratch.status(name).is_ok() {
            self.leavings.give_up(OsStr::new(name))?;
        }
        let place = scratch.make_folder(name)?;
        place.make_folder(ROOT)?;
        Ok(place)
    }

    /// Makes the folders of one run. Blocks.
    pub fn workspace(&self, slot: usize) -> io::Result<Workspace> {
        let root = Dir::open_root(&self.path)?;
        let name = slot.to_string();
        let path = self.path.join(&name);
        let slot = self.make_place(&root, &name)?;
        let game = slot.make_folder(GAME)?;
        let mut own = vec![slot.make_folder(HOME)?];
        own.push(slot.make_folder(TMP)?);
        if let Some(owner) = self.owner {
            for folder in own.iter().chain([&game]) {
                folder.set_owner(owner.uid, owner.gid)?;
            }
        }
        let leavings = Arc::clone(&self.leavings);
        Ok(Workspace { path, slot, game, owner: self.owner, leavings, skills: None })
    }
}

impl Workspace {
    /// The path of the private copy of the project.
    pub fn game_path(&self) -> PathBuf {
        self.path.join(GAME)
    }

    /// The path of the CLI's home folder.
    pub fn home_path(&self) -> PathBuf {
        self.path.join(HOME)
    }

    /// The path of the CLI's folder for temporary files.
    pub fn tmp_path(&self) -> PathBuf {
        self.path.join(TMP)
    }

    /// The path of the empty folder on which the minimal root is mounted.
    pub fn root_path(&self) -> PathBuf {
        self.path.join(ROOT)
    }

    /// The folder in the copy that leads to the skills, if there are any.
    pub fn claude_path(&self) -> PathBuf {
        self.game_path().join(CLAUDE)
    }

    /// How this run gets the skills, if there are any.
    pub fn skills(&self) -> Option<&Skills> {
        self.skills.as_ref()
    }

    /// Offers the run the shared skills, by a mount where that `can_be_mounted`. Blocks.
    pub fn offer_skills(&mut self, skills: PathBuf, can_be_mounted: bool) -> io::Result<()> {
        self.skills = Some(Skills::offer(&self.game, skills, can_be_mounted)?);
        Ok(())
    }

    /// A handle of the folder that holds everything that the run may write.
    pub fn folder(&self) -> io::Result<Dir> {
        self.slot.try_clone()
    }

    /// The handle of the private copy.
    pub fn game(&self) -> &Dir {
        &self.game
    }

    /// The handle of the CLI's home folder.
    pub fn home(&self) -> io::Result<Dir> {
        self.slot.folder(HOME).map_err(io::Error::from)
    }

    /// The owner of the files that the sandbox may change.
    pub fn owner(&self) -> Option<(u32, u32)> {
        self.owner.map(|owner| (owner.uid, owner.gid))
    }

    /// Copies a project into the workspace. Links, and files whose names no client could send, are
    /// not copied and stay in the project as they are. Blocks.
    pub fn copy_in(&self, project: &Project) -> Result<Copied, ProjectError> {
        project.consistently(|| {
            // The sandbox that starts meanwhile mounts the skills in this folder.
            empty_but(&self.game, CLAUDE.as_ref())?;
            let base = project.base()?;
            Ok(Copied { files: self.copy_files(project)?, base })
        })
    }

    fn copy_files(&self, project: &Project) -> Result<BTreeMap<ProjectPath, Stamp>, ProjectError> {
        let options = WriteOptions { sync: false, owner: self.owner() };
        let mut files = BTreeMap::new();
        // The files of a folder come one after the other, so only the last folder is kept open.
        let mut last: Option<(String, Dir)> = None;
        walk::<ProjectError>(
            project.dir(),
            |found| {
                let (mut source, _) = match project.dir().file(found.path.as_str()) {
                    Ok(open) => open,
                    Err(FileError::NotFound | FileError::NotRegular) => return Ok(()),
                    Err(error) => return Err(error.into()),
                };
                let path = found.path.as_str();
                let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
                let folder = match last.take() {
                    Some((same, folder)) if same == parent => folder,
                    _ => self.make_parents(parent)?,
                };
                folder.write_new(name, options, |to| io::copy(&mut source, to))?;
                let stamp = Stamp::of(&folder.status(name)?);
                last = Some((parent.to_owned(), folder));
                files.insert(found.path, stamp);
                Ok(())
            },
            |_, _| Ok(()),
        )?;
        Ok(files)
    }

    fn make_parents(&self, parent: &str) -> Result<Dir, FileError> {
        let mut here = self.slot.folder(GAME)?;
        for part in parent.split('/').filter(|part| !part.is_empty()) {
            here = here.make_folder(part)?;
            if let Some((uid, gid)) = self.owner() {
                here.set_owner(uid, gid)?;
            }
        }
        Ok(here)
    }

    /// Finds out what the run has changed, and refuses files that must not enter a project. Call it
    /// when no process of the run is left. Blocks.
    pub fn harvest(&self, copied: &Copied, limits: FileLimits) -> Result<Harvest, Failure> {
        self.harvest_with(copied, limits, Err)
    }

    /// The same for a run that failed. Files that must not enter a project are left out. Blocks.
    pub fn harvest_valid(&self, copied: &Copied, limits: FileLimits) -> Result<Harvest, Failure> {
        self.harvest_with(copied, limits, |_| Ok(()))
    }

    fn harvest_with(
        &self,
        copied: &Copied,
        limits: FileLimits,
        mut refused: impl FnMut(Failure) -> Result<(), Failure>,
    ) -> Result<Harvest, Failure> {
        let mut harvest = Harvest::default();
        let mut gone: BTreeSet<&ProjectPath> = copied.files.keys().collect();
        let refused = std::cell::RefCell::new(&mut refused);
        let (mut count, mut total) = (0_usize, 0_u64);
        walk::<Failure>(
            &self.game,
            |found| {
                let size = u64::try_from(found.stat.st_size).unwrap_or(u64::MAX);
                count += 1;
                total = total.saturating_add(size);
                gone.remove(&found.path);
                if let Err(failure) = check_limits(&found.path, size, count, total, limits) {
                    return refused.borrow_mut()(failure);
                }
                if copied.files.get(&found.path) != Some(&Stamp::of(&found.stat)) {
                    harvest.write.push(found.path);
                }
                Ok(())
            },
            |path, oddity| refused.borrow_mut()(rejected(path, oddity)),
        )?;
        harvest.remove.extend(gone.into_iter().cloned());
        Ok(harvest)
    }

    /// Removes the folders of the run. A removal that takes long goes on in the background. Blocks.
    pub fn remove(&self) -> io::Result<()> {
        self.path.file_name().map_or(Ok(()), |name| self.leavings.give_up(name))
    }
}

fn check_limits(
    path: &ProjectPath,
    size: u64,
    count: usize,
    total: u64,
    limits: FileLimits,
) -> Result<(), Failure> {
    let reason = if size > limits.max_file_bytes {
        format!("{path} is larger than {} bytes", limits.max_file_bytes)
    } else if count > limits.max_files {
        format!("there are more than {} files", limits.max_files)
    } else if total > limits.max_project_bytes {
        format!("the files are larger than {} bytes together", limits.max_project_bytes)
    } else {
        return Ok(());
    };
    Err(Failure::new(ErrorCode::OutputRejected, reason))
}

fn rejected(path: &str, oddity: Oddity) -> Failure {
    Failure::new(ErrorCode::OutputRejected, format!("{path} {oddity}"))
}
