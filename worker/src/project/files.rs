//! Reading a project's files.

use std::fs::File;

use nix::sys::stat::FileStat;

use super::{Project, ProjectError};
use crate::safe_fs::{FileError, Kind, walk};
use crate::types::{ProjectPath, RequestPath};

/// The file that a game begins with.
const DEFAULT_PAGE: &str = "index.html";

/// A file that is open for reading.
#[derive(Debug)]
pub struct OpenFile {
    /// Its name within the project; another than asked for where the default page rule applied.
    pub path: String,
    /// The open file.
    pub file: File,
    /// Its size in bytes when it was opened.
    pub size: u64,
}

/// A file that is listed.
#[derive(Debug)]
pub struct Listing {
    /// Where it is in the project.
    pub path: ProjectPath,
    /// Its status.
    pub stat: FileStat,
}

impl Project {
    /// All visible files, sorted by path. Blocking.
    pub fn list(&self) -> Result<Vec<Listing>, ProjectError> {
        let mut files = Vec::new();
        walk::<ProjectError>(
            self.dir(),
            |found| {
                files.push(Listing {
                    path: found.path,
                    stat: found.stat,
                });
                Ok(())
            },
            // What cannot be fetched is not listed.
            |_, _| Ok(()),
        )?;
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// Opens a file for reading. Where the default page is asked for and missing, the first other
    /// page at the top of the project in name order. Blocking.
    pub fn read(&self, path: &RequestPath) -> Result<OpenFile, ProjectError> {
        match self.open_path(path.as_str()) {
            Err(ProjectError::NotFound) if path.as_str() == DEFAULT_PAGE => {
                let other = self.first_page()?.ok_or(ProjectError::NotFound)?;
                self.open_path(&other)
            }
            result => result,
        }
    }

    fn open_path(&self, path: &str) -> Result<OpenFile, ProjectError> {
        match self.dir().file(path) {
            Ok((file, stat)) => {
                let size = u64::try_from(stat.st_size).unwrap_or_default();
                Ok(OpenFile {
                    path: path.to_owned(),
                    file,
                    size,
                })
            }
            // A client learns no difference between a link and nothing.
            Err(FileError::NotFound | FileError::NotRegular) => Err(ProjectError::NotFound),
            Err(error) => Err(error.into()),
        }
    }

    fn first_page(&self) -> Result<Option<String>, ProjectError> {
        let is_page = |name: &&str| {
            std::path::Path::new(name)
                .extension()
                .is_some_and(|e| e.eq_ignore_ascii_case("html"))
                && name.parse::<ProjectPath>().is_ok()
        };
        let entries = self.dir().entries()?;
        let mut names: Vec<&str> = entries
            .iter()
            .filter_map(crate::safe_fs::Entry::name_str)
            .filter(is_page)
            .collect();
        names.sort_unstable();
        let is_file = |name: &&str| {
            self.dir()
                .status(*name)
                .is_ok_and(|s| Kind::of(&s) == Kind::File)
        };
        Ok(names.into_iter().find(is_file).map(str::to_owned))
    }
}
