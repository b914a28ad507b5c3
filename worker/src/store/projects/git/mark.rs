//! The mark of a history that this worker wrote, or checked when it was imported.
//!
//! It is a message authentication code over whose project it is, made with a key that lies on the
//! volume and outside of every project. An agent that could write a project's folder could not read
//! the key, and the mark of one project is none of another. Where it is missing or wrong, the
//! repository is a stranger's and libgit2 does not see it.

use std::io::Read as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

use crate::safe_fs::{Dir, FileError, WriteOptions};
use crate::store::projects::{Project, ProjectError};
use crate::store::volume::Key;

/// The mark's file in `.git`: a version, the name of the key, and the code, in one line.
const FILE: &str = "dreamcore-mark";
const VERSION: &str = "1";
/// Longer than a mark.
const MAX_BYTES: u64 = 256;

/// Whether the history in `git`, the folder of this project, has its mark.
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

/// Marks the history in `git`, which is or becomes the folder of this project.
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

/// The name of the key, and the code.
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
