//! The references of a repository, read as plain text files.
//!
//! libgit2 would hold all of them in memory and would read the configuration. This reader holds
//! only the few that are kept, even if there are a million.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

use crate::id::Id;
use crate::limits::MAX_REFERENCE_BYTES;
use crate::names::{is_branch, is_reference};

/// The place of the references that saves write for their versions and later remove.
const VERSIONS: &str = "refs/dreamcore/versions/";
/// The place of the references to unfinished work of failed runs. Each is kept for 30 days.
const PARTIAL: &str = "refs/dreamcore/partial/";
/// How many references of each kind are kept. Names of this worker's own references begin with the
/// time, so the newest of those are kept.
const MAX_VERSIONS: usize = 64;
const MAX_PARTIAL: usize = 192;
const MAX_OTHERS: usize = 255;
/// The longest line of `packed-refs` that is read, in bytes: an id, a space and a name.
const MAX_LINE_BYTES: u64 = 40 + 1 + MAX_REFERENCE_BYTES as u64;
/// The longest file of a reference that is read, in bytes: `ref: ` and a line.
const MAX_FILE_BYTES: u64 = 5 + MAX_LINE_BYTES;

/// The content of the file HEAD.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum HeadFile {
    /// HEAD is on this branch, which may not exist.
    Branch(String),
    /// HEAD is on no branch, but at this commit.
    Detached(Id),
    /// HEAD is missing or cannot be used.
    #[default]
    Nonsense,
}

/// The references that are kept, by name.
#[derive(Debug, Default)]
pub(super) struct References {
    pub(super) head: HeadFile,
    /// The commit of the branch that HEAD is on.
    pub(super) head_branch: Option<Id>,
    pub(super) versions: BTreeMap<String, Id>,
    pub(super) partial: BTreeMap<String, Id>,
    /// Branches and tags, without the branch that HEAD is on.
    pub(super) others: BTreeMap<String, Id>,
    left_out: usize,
}

impl References {
    /// Reads the references. One that cannot be read is left out.
    pub(super) fn read(folder: &Path) -> io::Result<Self> {
        let mut references = Self { head: head(folder), ..Self::default() };
        // A reference's own file counts and not its line in `packed-refs`. So the files are read
        // second and replace the lines.
        references.read_packed(folder)?;
        for place in ["refs/heads", "refs/tags", VERSIONS, PARTIAL] {
            references.read_folder(folder, place.trim_end_matches('/'));
        }
        Ok(references)
    }

    /// The number of references that were left out, because there were too many or because their
    /// names cannot be imported.
    pub(super) fn left_out(&self) -> usize {
        self.left_out
    }

    /// The number of references that are kept, without the branch that HEAD is on.
    pub(super) fn kept(&self) -> usize {
        self.versions.len() + self.partial.len() + self.others.len()
    }

    fn read_packed(&mut self, folder: &Path) -> io::Result<()> {
        let Ok(file) = File::open(folder.join("packed-refs")) else { return Ok(()) };
        let mut file = BufReader::new(file);
        let mut line = Vec::new();
        loop {
            line.clear();
            if file.by_ref().take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            if line.last() != Some(&b'\n') && line.len() as u64 > MAX_LINE_BYTES {
                file.skip_until(b'\n')?;
                self.left_out += 1;
                continue;
            }
            // The header of the file begins with `#`; the line of a tag's target begins with `^`.
            if line.starts_with(b"#") || line.starts_with(b"^") {
                continue;
            }
            let text = line.trim_ascii_end();
            let id = text.get(..40).and_then(Id::from_hex);
            let name = text.get(40..).and_then(|rest| rest.strip_prefix(b" "));
            if let (Some(id), Some(name)) =
                (id, name.and_then(|name| std::str::from_utf8(name).ok()))
            {
                self.add(name, id);
            }
        }
    }

    fn read_folder(&mut self, folder: &Path, name: &str) {
        let Ok(entries) = std::fs::read_dir(folder.join(name)) else { return };
        for entry in entries.flatten() {
            // The limit on the length of a name bounds the depth of the recursion.
            let Some(name) = entry.file_name().to_str().map(|last| format!("{name}/{last}")) else {
                self.left_out += 1;
                continue;
            };
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if name.len() < MAX_REFERENCE_BYTES {
                    self.read_folder(folder, &name);
                }
            } else if let Some(id) = content(folder, &name).and_then(|text| Id::from_hex(&text)) {
                self.add(&name, id);
            } else {
                self.left_out += 1;
            }
        }
    }

    fn add(&mut self, name: &str, id: Id) {
        if self.head == HeadFile::Branch(name.to_owned()) {
            self.head_branch = Some(id);
            return;
        }
        let is_ours = |place: &str| name.starts_with(place);
        let (kept, most) = match name {
            _ if !is_reference(name) => {
                self.left_out += 1;
                return;
            }
            _ if is_ours(VERSIONS) => (&mut self.versions, MAX_VERSIONS),
            _ if is_ours(PARTIAL) => (&mut self.partial, MAX_PARTIAL),
            _ => (&mut self.others, MAX_OTHERS),
        };
        kept.insert(name.to_owned(), id);
        if kept.len() > most {
            if is_ours("refs/dreamcore/") {
                kept.pop_first();
            } else {
                kept.pop_last();
            }
            self.left_out += 1;
        }
    }
}

fn head(folder: &Path) -> HeadFile {
    let text = content(folder, "HEAD").unwrap_or_default();
    if let Some(id) = Id::from_hex(&text) {
        return HeadFile::Detached(id);
    }
    let name = text.strip_prefix(b"ref:").map(<[u8]>::trim_ascii);
    match name.and_then(|name| std::str::from_utf8(name).ok()) {
        Some(name) if is_branch(name) => HeadFile::Branch(name.to_owned()),
        _ => HeadFile::Nonsense,
    }
}

/// The content of a small file, without the line feed at its end.
fn content(folder: &Path, name: &str) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let file = File::open(folder.join(name)).ok()?;
    file.take(MAX_FILE_BYTES).read_to_end(&mut text).ok()?;
    text.truncate(text.trim_ascii_end().len());
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::fs;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";
    const OTHER: &str = "ffffffffffffffffffffffffffffffffffffffff";

    fn read(files: &[(&str, &str)]) -> References {
        let temp = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = temp.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        References::read(temp.path()).unwrap()
    }

    #[test]
    fn head_is_a_branch_a_commit_or_nonsense() {
        for (text, expected) in [
            ("ref: refs/heads/main\n", HeadFile::Branch("refs/heads/main".to_owned())),
            ("ref:refs/heads/あ", HeadFile::Branch("refs/heads/あ".to_owned())),
            (&format!("{ID}\n"), HeadFile::Detached(Id::from_hex(ID.as_bytes()).unwrap())),
            ("ref: refs/heads/../../x", HeadFile::Nonsense),
            ("ref: nonsense", HeadFile::Nonsense),
            ("", HeadFile::Nonsense),
            ("\0\u{1}\u{2}", HeadFile::Nonsense),
        ] {
            assert_eq!(read(&[("HEAD", text)]).head, expected, "{text:?}");
        }
        assert_eq!(read(&[]).head, HeadFile::Nonsense);
    }

    #[test]
    fn a_file_stands_before_a_packed_line() {
        let packed = format!(
            "# pack-refs with: peeled fully-peeled sorted\n{ID} refs/heads/main\n{ID} refs/tags/v1\n\
             ^{OTHER}\n{ID} refs/heads/packed\nnonsense\n{ID} refs/remotes/origin/main\n"
        );
        let found = read(&[
            ("HEAD", "ref: refs/heads/main"),
            ("packed-refs", &packed),
            ("refs/heads/main", OTHER),
            ("refs/heads/日本/語", ID),
            ("refs/heads/broken", "nonsense"),
            ("refs/dreamcore/versions/a", ID),
            ("refs/dreamcore/partial/b", ID),
        ]);
        assert_eq!(found.head_branch.unwrap().to_string(), OTHER);
        let others: Vec<_> = found.others.keys().collect();
        assert_eq!(others, ["refs/heads/packed", "refs/heads/日本/語", "refs/tags/v1"]);
        assert_eq!((found.versions.len(), found.partial.len()), (1, 1));
        assert_eq!(found.left_out(), 2);
    }

    #[test]
    fn of_too_many_the_newest_of_our_own_are_kept_and_the_branch_of_head() {
        let mut packed = String::new();
        for number in 0..1000 {
            writeln!(packed, "{ID} refs/dreamcore/versions/{number:04}").unwrap();
            writeln!(packed, "{ID} refs/heads/a{number:04}").unwrap();
        }
        writeln!(packed, "{ID} refs/heads/{}", "x".repeat(5000)).unwrap();
        writeln!(packed, "{OTHER} refs/heads/zzz").unwrap();
        let found = read(&[("HEAD", "ref: refs/heads/zzz"), ("packed-refs", &packed)]);
        assert_eq!(found.versions.len(), MAX_VERSIONS);
        assert!(found.versions.contains_key("refs/dreamcore/versions/0999"));
        assert_eq!(found.others.len(), MAX_OTHERS);
        assert_eq!(found.head_branch.unwrap().to_string(), OTHER);
        assert_eq!(found.left_out() + found.kept(), 2001);
    }
}
