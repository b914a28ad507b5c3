//! Upkeep: keeps the number of files in `.git` small, because volumes limit it.
//!
//! Every version adds a few small files to `.git`. When there are many, they are put into a pack;
//! when there are many packs, the small ones are joined. Each save does a bounded part of this
//! work.

use std::io::Read as _;

use git2::{Oid, Repository};

use super::git::{self, PARTIAL, Standing};
use super::{Project, ProjectError};
use crate::safe_fs::Dir;

/// If there are more loose objects than this, they are packed. The number is estimated from some of
/// the 256 folders over which they are spread.
const MANY_LOOSE: usize = 256;
/// The folders from which the number is estimated.
const SAMPLED: [&str; 8] = ["00", "20", "40", "60", "80", "a0", "c0", "e0"];
/// If there are more packs than this, small ones are joined.
const MANY_PACKS: usize = 12;
/// The least number of small objects in a new pack.
const MIN_OBJECTS: usize = MANY_LOOSE / 4;
/// How many objects one save packs at most, and how many it joins.
const MAX_OBJECTS: usize = 2048;
const MAX_JOINED_OBJECTS: usize = 16384;
/// How much content one save packs at most, in bytes, and how much it joins. The time depends on
/// the content and not on its compressed size, because each object is compared with ten others.
const MAX_BYTES: usize = 8 << 20;
const MAX_JOINED_BYTES: usize = 32 << 20;
/// The largest object that is packed, in bytes. Packing larger ones takes long and saves hardly any
/// files.
const MAX_OBJECT_BYTES: usize = 1 << 20;
/// How many references of partial versions one save removes at most.
const MAX_PARTIAL_PRUNED: usize = 32;
/// How long partial versions are kept, in seconds.
const PARTIAL_SECONDS: i64 = 30 * 24 * 3600;

/// Does a part of the upkeep after a save. An error is only logged, because the save has succeeded.
pub(super) fn after_save(project: &Project, repository: &Repository, standing: &Standing) {
    let work = || -> Result<(), ProjectError> {
        standing.prune(repository)?;
        let git = project.dir().folder(".git")?;
        let objects = git.folder("objects")?;
        if !has_many_loose(&objects)? {
            return Ok(());
        }
        pack_loose(project, repository, &objects)?;
        prune_partial(repository)?;
        if packs(&objects)?.len() > MANY_PACKS {
            join_packs(project, repository, &objects)?;
        }
        Ok(())
    };
    if let Err(error) = work() {
        tracing::warn!(%error, "a project could not be tidied up");
    }
}

fn has_many_loose(objects: &Dir) -> Result<bool, ProjectError> {
    let mut found = 0;
    for name in SAMPLED {
        if let Ok(folder) = objects.folder(name) {
            found += folder.entries()?.len();
        }
    }
    Ok(found > MANY_LOOSE * SAMPLED.len() / 256)
}

/// Writes small loose objects into a pack, and removes them.
fn pack_loose(
    project: &Project,
    repository: &Repository,
    objects: &Dir,
) -> Result<(), ProjectError> {
    let odb = repository.odb()?;
    let mut packed: Vec<(String, String, Oid)> = Vec::new();
    let mut bytes = 0;
    // The sampled folders come last, so that loose objects that are left are counted the next time.
    let all = (0..=255_u8).map(|fan| format!("{fan:02x}"));
    let (last, first): (Vec<_>, Vec<_>) = all.partition(|fan| SAMPLED.contains(&fan.as_str()));
    for fan in first.into_iter().chain(last) {
        let Ok(folder) = objects.folder(&fan) else { continue };
        for entry in folder.entries()? {
            let Some(rest) = entry.name_str() else { continue };
            let Ok(id) = Oid::from_str(&format!("{fan}{rest}")) else { continue };
            if packed.len() < MAX_OBJECTS
                && bytes < MAX_BYTES
                && let Ok((size, _)) = odb.read_header(id)
                && size <= MAX_OBJECT_BYTES
            {
                bytes += size;
                packed.push((fan.clone(), rest.to_owned(), id));
            }
        }
    }
    // The other loose objects are large ones, of which there may be any number.
    if packed.len() < MIN_OBJECTS {
        return Ok(());
    }
    write_pack(repository, packed.iter().map(|(_, _, id)| *id))?;
    project.dir().sync_file_system()?;
    for (fan, rest, _) in packed {
        let folder = objects.folder(&fan)?;
        folder.remove_file(rest)?;
        objects.remove_empty_folder(fan)?;
    }
    Ok(())
}

fn write_pack(
    repository: &Repository,
    ids: impl Iterator<Item = Oid>,
) -> Result<String, ProjectError> {
    let mut builder = repository.packbuilder()?;
    for id in ids {
        builder.insert_object(id, None)?;
    }
    let folder = repository.path().join("objects/pack");
    std::fs::create_dir_all(&folder)?;
    builder.write(&folder, 0o444)?;
    let name = builder.name().map_err(|_| git2::Error::from_str("a pack has no name"))?;
    Ok(name.unwrap_or_default().to_owned())
}

/// A pack and its index, which have the same name.
struct Pack {
    name: String,
    bytes: u64,
}

fn packs(objects: &Dir) -> Result<Vec<Pack>, ProjectError> {
    let Ok(folder) = objects.folder("pack") else {
        return Ok(Vec::new());
    };
    let mut packs = Vec::new();
    for entry in folder.entries()? {
        let Some(name) = entry.name_str().and_then(|name| name.strip_suffix(".pack")) else {
            continue;
        };
        // A pack with a `.keep` file is to stay as it is.
        let kept = folder.status(format!("{name}.keep")).is_ok();
        let (Ok(stat), Ok(_)) = (folder.status(entry.name()), folder.status(format!("{name}.idx")))
        else {
            continue;
        };
        if !kept {
            packs.push(Pack { name: name.to_owned(), bytes: super::snapshot::size_of(&stat) });
        }
    }
    Ok(packs)
}

/// Joins small packs into one: as many as the limits allow, beginning with the smallest.
fn join_packs(
    project: &Project,
    repository: &Repository,
    objects: &Dir,
) -> Result<(), ProjectError> {
    let mut small = packs(objects)?;
    small.sort_unstable_by_key(|pack| pack.bytes);
    let folder = objects.folder("pack")?;
    let odb = repository.odb()?;
    let (mut joined, mut ids, mut bytes) = (Vec::new(), Vec::new(), 0);
    for pack in small {
        // The compressed size of a pack is less than the size of its content.
        if pack.bytes > MAX_JOINED_BYTES as u64 {
            break;
        }
        let (mut index, _) = folder.file(&format!("{}.idx", pack.name))?;
        let mut text = Vec::new();
        index.read_to_end(&mut text)?;
        // A pack whose index has an unknown form stays as it is.
        let Some(of_pack) = listed(&text) else { continue };
        if ids.len() + of_pack.len() > MAX_JOINED_OBJECTS {
            continue;
        }
        let mut content = 0;
        for id in &of_pack {
            content += odb.read_header(*id)?.0;
        }
        if bytes + content <= MAX_JOINED_BYTES {
            bytes += content;
            ids.extend(of_pack);
            joined.push(pack.name);
        }
    }
    if joined.len() < 2 {
        return Ok(());
    }
    let name = format!("pack-{}", write_pack(repository, ids.into_iter())?);
    project.dir().sync_file_system()?;
    for pack in joined.iter().filter(|pack| **pack != name) {
        // The index is removed first, because git does not use a pack without an index.
        for end in ["idx", "pack", "rev", "bitmap"] {
            folder.remove_file(format!("{pack}.{end}"))?;
        }
    }
    Ok(())
}

/// The objects in a pack's index, which has a table of 256 running counts and then the sorted
/// names.
fn listed(index: &[u8]) -> Option<Vec<Oid>> {
    const VERSION_2: &[u8] = b"\xfftOc\0\0\0\x02";
    const NAME: usize = 20;
    let tables = index.strip_prefix(VERSION_2)?;
    let (counts, names) = tables.split_at_checked(256 * 4)?;
    let count = u32::from_be_bytes(counts.last_chunk()?.to_owned());
    let names = names.get(..usize::try_from(count).ok()?.checked_mul(NAME)?)?;
    names.chunks_exact(NAME).map(|name| Oid::from_bytes(name).ok()).collect()
}

/// Removes the references of old partial versions.
fn prune_partial(repository: &Repository) -> Result<(), ProjectError> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX));
    let mut removed = 0;
    for own in git::list(repository, PARTIAL)? {
        let time = repository.find_commit(own.id)?.time().seconds();
        if now.saturating_sub(time) > PARTIAL_SECONDS && removed < MAX_PARTIAL_PRUNED {
            own.remove(repository)?;
            removed += 1;
        }
    }
    Ok(())
}
