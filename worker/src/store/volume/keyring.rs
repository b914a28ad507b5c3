//! The keys with which workers mark the histories that they wrote.
//!
//! Each key is a file of its own, `.dreamcore/keys/{key}`, that never changes. A worker that needs
//! a key uses the first one, and makes one if there is none. If two containers make the first one
//! at the same time, there are two keys, and marks made with either of them stay valid. So no file
//! is ever written by two containers.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::sync::{Mutex, PoisonError};

use nix::sys::stat::{Mode, fchmod};
use uuid::Uuid;

use super::{KEYS, Location, Volume};
use crate::safe_fs::{Dir, FileError, WriteOptions};

/// The length of a key: that of a block of SHA-256, so that HMAC uses the key as it is.
const KEY_BYTES: usize = 64;

/// A random key.
pub(in crate::store) type Key = [u8; KEY_BYTES];

/// The keys of a volume. A key that was read is remembered, because it does not change.
pub(in crate::store) struct Keyring {
    volume: Volume,
    known: Mutex<HashMap<Uuid, Key>>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyring")
    }
}

impl Keyring {
    pub(in crate::store) fn new(volume: Volume) -> Self {
        Self { volume, known: Mutex::default() }
    }

    /// The key of this name. `None` if it does not exist. Blocks.
    pub(in crate::store) fn get(&self, name: Uuid) -> Result<Option<Key>, FileError> {
        if let Some(key) = self.known().get(&name) {
            return Ok(Some(*key));
        }
        let read = self.volume.open(Location::Keys).and_then(|folder| read(&folder, name));
        match read {
            Ok(key) => {
                self.known().extend(key.map(|key| (name, key)));
                Ok(key)
            }
            Err(FileError::NotFound | FileError::NotRegular) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The key for new marks: the first one, or a new one if there is none. Blocks.
    pub(in crate::store) fn any(&self) -> Result<(Uuid, Key), FileError> {
        let folder = self.volume.make(Location::Keys)?;
        let entries = folder.entries()?;
        let mut names: Vec<Uuid> = entries
            .iter()
            .filter_map(|entry| entry.name_str())
            .filter_map(|name| Uuid::try_parse(name).ok())
            .collect();
        names.sort_unstable();
        for name in names {
            if let Some(key) = read(&folder, name)? {
                return Ok((name, key));
            }
        }
        make(&folder)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Key>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a key. `None` if the file does not contain one, because another container may not have
/// written it yet.
fn read(folder: &Dir, name: Uuid) -> Result<Option<Key>, FileError> {
    let mut bytes = Vec::new();
    let (file, _) = folder.file(&name.to_string())?;
    file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes.try_into().ok())
}

fn make(folder: &Dir) -> Result<(Uuid, Key), FileError> {
    // Nobody else may look into the folder, so a key is never seen before its own mode is set.
    folder.set_mode(Mode::S_IRWXU)?;
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(std::io::Error::from)?;
    let name = Uuid::now_v7();
    let options = WriteOptions { sync: true, owner: None };
    folder.replace_file(&name.to_string(), options, |file| {
        fchmod(&*file, Mode::S_IRUSR | Mode::S_IWUSR)?;
        file.write_all(&key)
    })?;
    tracing::info!(folder = KEYS, "a key was made, with which this volume's histories are marked");
    Ok((name, key))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_readable_for_nobody_else() {
        let temp = tempfile::tempdir().unwrap();
        let keyring = || Keyring::new(Volume::new(temp.path(), None));
        assert_eq!(keyring().get(Uuid::nil()).unwrap(), None);
        let (name, key) = keyring().any().unwrap();
        assert_eq!(keyring().any().unwrap(), (name, key));
        assert_eq!(keyring().get(name).unwrap(), Some(key));
        assert_ne!(key, [0; KEY_BYTES]);
        let path = temp.path().join(KEYS);
        let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join(name.to_string()))), (0o700, 0o600));
    }

    #[test]
    fn two_keys_that_were_made_at_once_are_both_good() {
        let temp = tempfile::tempdir().unwrap();
        let keyring = Keyring::new(Volume::new(temp.path(), None));
        let folder = Volume::new(temp.path(), None).make(Location::Keys).unwrap();
        let (first, second) = (make(&folder).unwrap(), make(&folder).unwrap());
        assert_eq!(keyring.any().unwrap(), first);
        assert_eq!(keyring.get(second.0).unwrap(), Some(second.1));
        // A file that was not written to its end is not a key.
        std::fs::write(temp.path().join(KEYS).join(Uuid::nil().to_string()), "short").unwrap();
        assert_eq!(keyring.any().unwrap(), first);
        assert_eq!(keyring.get(Uuid::nil()).unwrap(), None);
    }
}
