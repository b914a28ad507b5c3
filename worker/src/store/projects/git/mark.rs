//! The mark of a history that this worker wrote, or checked when it was imported.
//!
//! The mark is a message authentication code over user and project, made with a key that is on the
//! volume but outside of every project. An agent that could write a project's folder could not read
//! the key, and the mark of one project is not valid for another. If the mark is missing or wrong,
//! another program wrote the repository, and libgit2 does not read it.

use std::io::Read as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

use crate::safe_fs::{Dir, FileError, WriteOptions};
use crate::store::projects::{Project, ProjectError};
use crate::store::volume::Key;

/// The file of the mark in `.git`. It has one line: a version, the name of the key, and the code.
const FILE: &str = "dreamcore-mark";
const VERSION: &str = "1";
/// The largest file that is read, in bytes. A mark is shorter.
const MAX_BYTES: u64 = 256;

/// Whether the history in `git`, the folder of this project, has a valid mark.
pub(super) fn is_marked(project: &Project, git: &Dir) -> Result<bool, ProjectError> {
    let mut text = Vec::new();
    match git.file(FILE) {
        Ok((file, _)) => drop(file.take(MAX_BYTES).read_to_end(&mut text)?),
        Err(FileError::NotFound | FileError::NotRegular) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    let Some((name, code)) = parsed(&text) else { return Ok(false) };
    let key = project.keyring().get(name)?;
    Ok(key.is_some_and(|key| mac(project, &key).verify_slice(&code).is_ok()))
}

/// Marks the history in `git`, which is or will be the folder of this project.
pub(in crate::store::projects) fn mark(project: &Project, git: &Dir) -> Result<(), ProjectError> {
    let (name, key) = project.keyring().any()?;
    let code = mac(project, &key).finalize().into_bytes();
    let code: Vec<_> = code.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!("{VERSION} {name} {}\n", code.concat());
    let options = WriteOptions::default();
    Ok(git.replace_file(FILE, options, |file| std::io::Write::write_all(file, text.as_bytes()))?)
}

fn mac(project: &Project, key: &Key) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new(&(*key).into());
    let of = project.key();
    mac.update(format!("dreamcore history {VERSION}\0{}/{}", of.user, of.project).as_bytes());
    mac
}

/// Parses a mark into the name of its key and the code.
fn parsed(text: &[u8]) -> Option<(Uuid, Vec<u8>)> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('\n')?;
    let mut words = text.split(' ');
    let (version, name, code) = (words.next()?, words.next()?, words.next()?);
    if version != VERSION || words.next().is_some() || !code.is_ascii() {
        return None;
    }
    let pairs = code.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    let code = pairs.map(|pair| u8::from_str_radix(pair?, 16).ok());
    Some((Uuid::try_parse(name).ok()?, code.collect::<Option<_>>()?))
}
