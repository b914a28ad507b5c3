//! Lists and reads the files of a project.

use std::io::Read as _;
use std::time::{Duration, Instant};

use nix::sys::stat::FileStat;

use super::{Project, ProjectError, ProjectKey, Projects, writer};
use crate::safe_fs::{FileError, walk};
use crate::store::volume::{Activity, Location, SAVE, VolumeFile};
use crate::types::{ProjectPath, RequestPath};

/// The page with which a game begins.
const DEFAULT_PAGE: &str = "index.html";
/// How often reading begins again because a save came in between.
const MAX_TRIES: usize = 20;
/// How long a reader waits for a save to move its files into place.
const MOVING_TIMEOUT: Duration = Duration::from_secs(10);

/// A file that is open for reading.
#[derive(Debug)]
pub struct OpenFile {
    /// The path in the project. It differs from the requested path if the default page was missing
    /// and another page was found.
    pub path: String,
    /// The file, open for reading.
    pub file: VolumeFile,
    /// Its status when it was opened.
    pub stat: FileStat,
}

/// A file in a list.
#[derive(Debug)]
pub struct Listing {
    /// The path of the file in the project.
    pub path: ProjectPath,
    /// The status of the file.
    pub stat: FileStat,
}

impl Projects {
    /// Opens a file for reading if nothing has to be waited for. By the rules of [`Project::read`],
    /// which is to be asked where this says nothing.
    pub fn read_at_hand(&self, key: ProjectKey, path: &RequestPath) -> Option<OpenFile> {
        let folder = self.volume.open_at_hand(Location::Project(key))?;
        let pass = self.volume.enter(Activity::Read);
        // What a killed save left is mended by the other way.
        if !folder.has_no(SAVE) {
            return None;
        }
        let (file, stat) = folder.file(path.as_str())?;
        Some(OpenFile { path: path.as_str().to_owned(), file: VolumeFile::new(file, pass), stat })
    }
}

impl Project {
    /// All visible files, sorted by path, without a save in between. Blocks.
    pub fn list(&self) -> Result<Vec<Listing>, ProjectError> {
        self.consistently(|| self.walk())
    }

    /// Calls `reading` so that no save comes in between. If one did, the result is dropped and
    /// `reading` is called again. Blocks.
    pub fn consistently<T, E: From<ProjectError>>(
        &self,
        mut reading: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        for _ in 0..MAX_TRIES {
            let before = self.moment()?;
            let result = reading()?;
            if self.moment()? == before {
                return Ok(result);
            }
        }
        Err(ProjectError::Busy.into())
    }

    /// A value that differs after each save. Waits while a save is moving files.
    fn moment(&self) -> Result<Option<Vec<u8>>, ProjectError> {
        let began = Instant::now();
        while writer::is_moving(self.dir()) {
            if began.elapsed() > MOVING_TIMEOUT {
                return Err(ProjectError::Busy);
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        let Some(head) = self.git_file("HEAD")? else { return Ok(None) };
        let branch = std::str::from_utf8(&head).ok().and_then(|text| text.strip_prefix("ref: "));
        match branch {
            Some(branch) if branch.starts_with("refs/heads/") => self.git_file(branch.trim_end()),
            _ => Ok(Some(head)),
        }
    }

    /// Reads a small file in `.git`. It serves only to notice that something has changed.
    fn git_file(&self, path: &str) -> Result<Option<Vec<u8>>, ProjectError> {
        let mut content = Vec::new();
        match self.dir().file(&format!(".git/{path}")) {
            Ok((file, _)) => file.take(1024).read_to_end(&mut content)?,
            Err(FileError::NotFound | FileError::NotRegular) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(Some(content))
    }

    /// All visible files, sorted by path, even if a save is going on.
    pub(super) fn walk(&self) -> Result<Vec<Listing>, ProjectError> {
        let mut files = Vec::new();
        walk::<ProjectError>(
            self.dir(),
            |found| {
                files.push(Listing { path: found.path, stat: found.stat });
                Ok(())
            },
            // A file that cannot be requested is not listed.
            |_, _| Ok(()),
        )?;
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// Opens a file for reading. If the default page is requested and does not exist, opens the
    /// first other page at the top of the project, in the order of names. Blocks.
    pub fn read(&self, path: &RequestPath) -> Result<OpenFile, ProjectError> {
        match self.open_path(path.as_str()) {
            Err(ProjectError::NotFound) if path.as_str() == DEFAULT_PAGE => self.first_page(),
            result => result,
        }
    }

    fn open_path(&self, path: &str) -> Result<OpenFile, ProjectError> {
        match self.dir().file(path) {
            Ok((file, stat)) => {
                let file = VolumeFile::new(file, self.pass.clone());
                Ok(OpenFile { path: path.to_owned(), file, stat })
            }
            // For a client, a link is the same as a file that does not exist.
            Err(FileError::NotFound | FileError::NotRegular) => Err(ProjectError::NotFound),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the first page that can be served. Links and folders with the name of a page are
    /// ignored.
    fn first_page(&self) -> Result<OpenFile, ProjectError> {
        let is_page = |name: &&str| {
            std::path::Path::new(name).extension().is_some_and(|e| e.eq_ignore_ascii_case("html"))
                && name.parse::<ProjectPath>().is_ok()
        };
        let entries = self.dir().entries()?;
        let mut names: Vec<&str> =
            entries.iter().filter_map(crate::safe_fs::Entry::name_str).filter(is_page).collect();
        names.sort_unstable();
        for name in names {
            match self.open_path(name) {
                Err(ProjectError::NotFound) => {}
                result => return result,
            }
        }
        Err(ProjectError::NotFound)
    }
}
