//! The record of an asset, which is stored beside its bytes.

use std::io::Read as _;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{AssetError, AssetKind};
use crate::safe_fs::{Dir, WriteOptions};
use crate::store::volume::Location;
use crate::types::{AssetId, FileName, UserId};

/// The name of the record in an asset's folder.
const RECORD: &str = "asset.json";
/// The largest record, in bytes. A name of 255 bytes and a few numbers need far less.
const MAX_RECORD_BYTES: u64 = 16 * 1024;

/// An asset. Its record is parsed like a request, with a validated type for each field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// The id of the asset, which is the name of its folder.
    pub id: AssetId,
    /// The name of the file on the user's machine.
    pub filename: FileName,
    /// The size in bytes.
    pub size: u64,
    /// The kind of the file.
    pub content_type: AssetKind,
    /// The SHA-256 of its bytes.
    pub sha256: ContentHash,
    /// When it was uploaded, in milliseconds since 1970.
    pub created_ms: u64,
}

impl Asset {
    /// The path of its bytes on the volume.
    pub fn path(&self, user: UserId) -> String {
        format!("{}/{}", Location::Asset(user, self.id).path(), self.content_name())
    }

    /// The name under which a browser should save the asset: the user's name, with an ending that
    /// belongs to its kind, so that no program opens it as something else.
    pub fn download_name(&self) -> String {
        let (name, extension) = (self.filename.as_str(), self.content_type.extension());
        let ending = std::path::Path::new(name).extension().and_then(|e| e.to_str());
        let guessed = mime_guess::from_ext(ending.unwrap_or_default());
        let fits = ending.is_some_and(|ending| ending.eq_ignore_ascii_case(extension))
            || guessed.iter().any(|guess| guess.essence_str() == self.content_type.content_type());
        if fits { name.to_owned() } else { format!("{name}.{extension}") }
    }

    /// The name of the file with its bytes.
    pub(super) fn content_name(&self) -> String {
        format!("content.{}", self.content_type.extension())
    }
}

/// A SHA-256 digest: 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct ContentHash(String);

impl ContentHash {
    /// The hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn of(digest: [u8; 32]) -> Self {
        let halves = digest.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
        Self(halves.filter_map(|half| char::from_digit(half.into(), 16)).collect())
    }
}

impl FromStr for ContentHash {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 64 && text.bytes().all(digit) {
            Ok(Self(text.to_owned()))
        } else {
            Err("must be 64 lower-case hexadecimal digits")
        }
    }
}

impl TryFrom<String> for ContentHash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// Writes the record into the folder. It is on the disk when this returns.
pub(super) fn write(folder: &Dir, asset: &Asset) -> Result<(), AssetError> {
    let text = serde_json::to_vec(asset).map_err(std::io::Error::other)?;
    let options = WriteOptions { sync: true, owner: None };
    folder.write_new(RECORD, options, |file| std::io::Write::write_all(file, &text))?;
    Ok(())
}

/// Reads the record of the asset `id` from its folder.
pub(super) fn read(folder: &Dir, id: AssetId) -> Result<Asset, AssetError> {
    let (file, _) = folder.file(RECORD)?;
    let mut text = Vec::new();
    file.take(MAX_RECORD_BYTES).read_to_end(&mut text)?;
    match serde_json::from_slice::<Asset>(&text) {
        Ok(asset) if asset.id == id => Ok(asset),
        _ => Err(AssetError::Unusable("an asset's record cannot be read".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asset(name: &str, kind: AssetKind) -> Asset {
        Asset {
            id: AssetId::random(),
            filename: name.parse().unwrap(),
            size: 1,
            content_type: kind,
            sha256: ContentHash::of([0xab; 32]),
            created_ms: 1,
        }
    }

    #[test]
    fn a_name_that_belies_the_content_gets_another_ending() {
        for (name, kind, saved) in [
            ("a.png", AssetKind::Png, "a.png"),
            ("a.PNG", AssetKind::Png, "a.PNG"),
            ("a.jpeg", AssetKind::Jpeg, "a.jpeg"),
            ("a.html", AssetKind::Gif, "a.html.gif"),
            ("a", AssetKind::Otf, "a.otf"),
            ("背景.png", AssetKind::Webp, "背景.png.webp"),
        ] {
            assert_eq!(asset(name, kind).download_name(), saved);
        }
    }

    #[test]
    fn a_record_is_read_only_for_its_own_id_and_only_whole() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Dir::open_root(temp.path()).unwrap();
        let asset = asset("a.png", AssetKind::Png);
        write(&folder, &asset).unwrap();
        assert_eq!(read(&folder, asset.id).unwrap(), asset);
        assert!(read(&folder, AssetId::random()).is_err());
        let text = std::fs::read_to_string(temp.path().join(RECORD)).unwrap();
        for broken in [
            text.replace("image/png", "text/html"),
            text.replace("a.png", "a\\r\\nX: y"),
            text.replace("abab", "ABAB"),
            text.replace("\"size\":1", "\"size\":-1"),
            text.get(..20).unwrap().to_owned(),
            String::new(),
        ] {
            std::fs::write(temp.path().join(RECORD), &broken).unwrap();
            assert!(read(&folder, asset.id).is_err(), "{broken}");
        }
    }
}
