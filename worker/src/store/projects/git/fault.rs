//! The meaning of libgit2's errors: above all whether the disk is full, because users and operators
//! can act on that.
//!
//! libgit2's errors do not contain `errno`. Mostly the error has the class `Os` and ends with the
//! system's text for the `errno`. If its buffered writer fails in the middle of an object, the
//! error has no reason, and `errno` is cleared before the error arrives here.

use std::io;

use git2::{ErrorClass, Repository};

use crate::safe_fs::{Dir, FileError, WriteOptions};
use crate::store::projects::ProjectError;

/// The errors of the system if the disk or the owner's quota is full.
const FULL: [i32; 2] = [libc::ENOSPC, libc::EDQUOT];
/// The name of a file that is written and removed to find out why another file could not be
/// written. A file of this name is removed after a failed save.
const TRIAL: &str = "trial";
/// The size of that file, in bytes, which is more than a tree or a commit has.
const TRIAL_BYTES: usize = 256 * 1024;

impl From<git2::Error> for ProjectError {
    fn from(error: git2::Error) -> Self {
        if is_full(&error) { Self::Full } else { Self::Git(error) }
    }
}

fn is_full(error: &git2::Error) -> bool {
    error.class() == ErrorClass::Os
        && FULL.iter().any(|errno| error.message().ends_with(&text_of(*errno)))
}

/// The system's text for an `errno`. libgit2 gets it from `strerror`, as the standard library does.
fn text_of(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    text.strip_suffix(&format!(" (os error {errno})")).unwrap_or(&text).to_owned()
}

/// Passes on the result of writing an object of about `bytes` bytes. If the error has no reason,
/// tries to write a file of this size to find out whether the disk is full.
pub(in crate::store::projects) fn written<T>(
    repository: &Repository,
    bytes: usize,
    result: Result<T, git2::Error>,
) -> Result<T, ProjectError> {
    result.map_err(|error| {
        if error.class() != ErrorClass::None {
            return error.into();
        }
        match trial(repository, bytes.max(TRIAL_BYTES)) {
            Err(full @ FileError::Full) => full.into(),
            _ => error.into(),
        }
    })
}

fn trial(repository: &Repository, bytes: usize) -> Result<(), FileError> {
    let objects = Dir::open_root(&repository.path().join("objects"))?;
    let content = vec![0; bytes];
    let options = WriteOptions { sync: true, owner: None };
    objects.replace_file(TRIAL, options, |file| io::Write::write_all(file, &content))?;
    objects.remove_file(TRIAL)
}

/// Converts an error of libgit2's own writer, which has no reason but leaves `errno` set.
pub(in crate::store::projects) fn of_writer(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::Other => io::Error::last_os_error(),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use git2::ErrorCode;

    use super::*;

    fn of_the_system(errno: i32) -> git2::Error {
        let message = format!("failed to write out file: {}", text_of(errno));
        git2::Error::new(ErrorCode::GenericError, ErrorClass::Os, message)
    }

    #[test]
    fn a_full_disk_and_a_used_up_quota_are_recognised() {
        for errno in FULL {
            assert!(matches!(of_the_system(errno).into(), ProjectError::Full), "{errno}");
        }
        for errno in [libc::EIO, libc::EROFS, libc::EACCES] {
            assert!(matches!(of_the_system(errno).into(), ProjectError::Git(_)), "{errno}");
        }
        // A name that a client has chosen and that only contains the text of the error.
        let message = format!("no such path: {}", text_of(libc::ENOSPC));
        let of_a_tree = git2::Error::new(ErrorCode::NotFound, ErrorClass::Tree, message);
        assert!(matches!(of_a_tree.into(), ProjectError::Git(_)));
    }

    #[test]
    fn an_error_without_a_reason_stays_one_where_there_is_space() {
        let temp = tempfile::tempdir().unwrap();
        let repository = Repository::init_bare(temp.path()).unwrap();
        let failed: Result<(), _> = Err(git2::Error::from_str("no error"));
        assert!(matches!(written(&repository, 1, failed), Err(ProjectError::Git(_))));
        assert!(!temp.path().join("objects").join(TRIAL).exists());
    }
}
