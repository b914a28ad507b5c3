//! The validators of a file, by which a client finds out whether it has the present content: entity
//! tag and time of change (RFC 9110, section 8.8).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::HeaderValue;
use nix::sys::stat::FileStat;
use sha2::{Digest as _, Sha256};

/// One state of a file's content.
#[derive(Debug, Clone)]
pub(in crate::server) struct Validators {
    /// The size in bytes.
    pub(in crate::server) size: u64,
    /// The entity tag without quotes.
    tag: String,
    /// The time of change in whole seconds, the resolution of the header.
    modified: Option<SystemTime>,
}

impl Validators {
    /// The state of an open file, from the result of `fstat`. The tag is strong, although the content
    /// is not read for it: the worker replaces files and never changes them in place. If another
    /// program changes one in place, the inode's time of change differs, which no program can set.
    pub(in crate::server) fn of(stat: &FileStat) -> Self {
        // 128 bits of the digest are enough to tell contents apart.
        let half = identity(stat).first_chunk().map_or(0, |half| u128::from_be_bytes(*half));
        let tag = format!("{half:032x}");
        let seconds = u64::try_from(stat.st_mtime).ok();
        let modified = seconds.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
        Self { size: u64::try_from(stat.st_size).unwrap_or_default(), tag, modified }
    }

    /// The same with a tag that was made from the content.
    pub(in crate::server) fn with_tag(mut self, tag: String) -> Self {
        self.tag = tag;
        self
    }

    /// The entity tag as the value of a header.
    pub(super) fn etag(&self) -> HeaderValue {
        // Hexadecimal digits in quotes are always a value.
        let quoted = HeaderValue::try_from(format!("\"{}\"", self.tag));
        quoted.unwrap_or(HeaderValue::from_static("\"\""))
    }

    /// When the content was changed. `None` for a time in the future, which RFC 9110 forbids to
    /// send.
    pub(super) fn last_modified(&self) -> Option<SystemTime> {
        self.modified.filter(|modified| *modified <= SystemTime::now())
    }
}

/// The digest of the numbers that identify a content. They are hashed, because they would tell
/// clients about the machine.
fn identity(stat: &FileStat) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(stat.st_dev.to_le_bytes());
    hasher.update(stat.st_ino.to_le_bytes());
    for number in
        [stat.st_size, stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec]
    {
        hasher.update(number.to_le_bytes());
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn each_new_content_has_its_own_tag_and_the_same_content_keeps_it() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("file");
        let validators = || Validators::of(&nix::sys::stat::stat(&path).unwrap());
        let mut seen = std::collections::BTreeSet::new();
        for content in ["one", "two", "one"] {
            fs::write(temp.path().join("new"), content).unwrap();
            fs::rename(temp.path().join("new"), &path).unwrap();
            let tag = validators().tag;
            assert_eq!(tag, validators().tag);
            assert!(seen.insert(tag), "{content}");
        }
    }

    #[test]
    fn a_time_that_is_set_back_hides_no_change() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("file");
        fs::write(&path, "one").unwrap();
        let status = || Validators::of(&nix::sys::stat::stat(&path).unwrap());
        let before = status();
        // The times of files have a resolution of some milliseconds.
        std::thread::sleep(Duration::from_millis(30));
        fs::write(&path, "two").unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(before.modified.unwrap()).unwrap();
        let after = status();
        assert_eq!((before.size, before.modified), (after.size, after.modified));
        assert_ne!(before.tag, after.tag);
    }
}
