//! Opening a path beneath a directory handle without following any symbolic link.
//!
//! There are two ways with the same result: `openat2` if the kernel has it, and else a walk from
//! folder to folder (gVisor has no `openat2`). Both are compiled everywhere, and tests compare
//! their results.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;

/// How a folder is opened to go on from.
pub(super) const FOLDER: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY);

/// Beneath the folder, and never through a link.
const BENEATH: ResolveFlag = ResolveFlag::RESOLVE_BENEATH
    .union(ResolveFlag::RESOLVE_NO_SYMLINKS)
    .union(ResolveFlag::RESOLVE_NO_MAGICLINKS);
/// Only by what is in the kernel's caches; otherwise the call fails with `EAGAIN`.
const CACHED: ResolveFlag = ResolveFlag::from_bits_retain(libc::RESOLVE_CACHED);

/// Set once a call said that the kernel does not know it.
static NO_OPENAT2: AtomicBool = AtomicBool::new(false);

/// Opens `path`, whose parts are plain names (never `..`), beneath `root`. `flags` apply to the
/// last part, and `mode` to a file that is created.
pub(super) fn open(
    root: BorrowedFd<'_>,
    path: &OsStr,
    flags: OFlag,
    mode: Mode,
) -> nix::Result<OwnedFd> {
    if !NO_OPENAT2.load(Ordering::Relaxed) {
        match open_by_kernel(root, path, flags, mode) {
            Err(Errno::ENOSYS) => NO_OPENAT2.store(true, Ordering::Relaxed),
            result => return result,
        }
    }
    open_by_hand(root, path, flags, mode)
}

/// Opens a folder at `path` beneath `root`: a handle to go on from, which cannot be read by itself.
/// gVisor follows a link that is opened as a folder for reading, whatever `O_NOFOLLOW` says. With
/// `O_PATH` it does not.
pub(super) fn open_folder(root: BorrowedFd<'_>, path: &OsStr) -> nix::Result<OwnedFd> {
    match open(root, path, FOLDER, Mode::empty()) {
        // O_NOFOLLOW with O_DIRECTORY says ENOTDIR for a link. What is looked at here decides only
        // which of two errors it is.
        Err(Errno::ENOTDIR) if is_link(root, path) => Err(Errno::ELOOP),
        result => result,
    }
}

pub(super) fn open_by_kernel(
    root: BorrowedFd<'_>,
    path: &OsStr,
    flags: OFlag,
    mode: Mode,
) -> nix::Result<OwnedFd> {
    let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let mut how = OpenHow::new().flags(flags).resolve(BENEATH);
    // The kernel refuses a mode where nothing is created.
    if flags.contains(OFlag::O_CREAT) {
        how = how.mode(mode);
    }
    loop {
        match openat2(root, path, how) {
            // The kernel could not be sure because of a rename on the way, and asks to try again.
            Err(Errno::EAGAIN) => {}
            result => return result,
        }
    }
}

/// The same if every name on the way is in the kernel's caches.
pub(super) fn open_at_hand(
    root: BorrowedFd<'_>,
    path: &OsStr,
    flags: OFlag,
) -> nix::Result<OwnedFd> {
    let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    openat2(root, path, OpenHow::new().flags(flags).resolve(BENEATH | CACHED))
}

/// A folder that the operator configured, if every name on the way is in the kernel's caches.
pub(super) fn open_root_at_hand(path: &Path) -> nix::Result<OwnedFd> {
    let flags = FOLDER | OFlag::O_CLOEXEC;
    openat2(AT_FDCWD, path, OpenHow::new().flags(flags).resolve(CACHED))
}

pub(super) fn open_by_hand(
    root: BorrowedFd<'_>,
    path: &OsStr,
    flags: OFlag,
    mode: Mode,
) -> nix::Result<OwnedFd> {
    let folder = FOLDER | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let last = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut held: Option<OwnedFd> = None;
    let mut parts = path.as_bytes().split(|byte| *byte == b'/').map(OsStr::from_bytes).peekable();
    while let Some(part) = parts.next() {
        // The types never contain such a part, but the walk does not rely on that.
        if part.is_empty() || part == "." || part == ".." {
            return Err(Errno::EINVAL);
        }
        let here = held.as_ref().map_or(root, AsFd::as_fd);
        if parts.peek().is_none() {
            return openat(here, part, last, mode);
        }
        let next = match openat(here, part, folder, Mode::empty()) {
            // With O_DIRECTORY the error of a symbolic link is ENOTDIR. `openat2` returns ELOOP.
            Err(Errno::ENOTDIR) if is_link(here, part) => return Err(Errno::ELOOP),
            result => result?,
        };
        held = Some(next);
    }
    Err(Errno::ENOENT)
}

fn is_link(folder: BorrowedFd<'_>, name: &OsStr) -> bool {
    nix::sys::stat::fstatat(folder, name, nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| super::Kind::of(&stat) == super::Kind::Symlink)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use proptest::prelude::*;

    use super::*;
    use crate::safe_fs::Dir;

    fn both(root: &Dir, path: &str) -> (nix::Result<u64>, nix::Result<u64>) {
        let inode = |fd: OwnedFd| nix::sys::stat::fstat(fd).map(|stat| stat.st_ino);
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK;
        (
            open_by_kernel(root.as_fd(), path.as_ref(), flags, Mode::empty()).and_then(inode),
            open_by_hand(root.as_fd(), path.as_ref(), flags, Mode::empty()).and_then(inode),
        )
    }

    #[test]
    fn both_ways_open_the_same_and_refuse_the_same() {
        let temp = tempfile::tempdir().unwrap();
        let base = temp.path();
        fs::create_dir_all(base.join("project/a/b")).unwrap();
        fs::write(base.join("secret"), "x").unwrap();
        fs::write(base.join("project/a/b/file"), "x").unwrap();
        symlink("a", base.join("project/link_to_folder")).unwrap();
        symlink("/etc", base.join("project/link_out")).unwrap();
        symlink("../secret", base.join("project/link_to_file")).unwrap();
        symlink("b/file", base.join("project/a/inner_link")).unwrap();
        let root = Dir::open_root(&base.join("project")).unwrap();

        let (kernel, hand) = both(&root, "a/b/file");
        assert_eq!(kernel.unwrap(), hand.unwrap());
        for (path, errno) in [
            ("a/b/none", Errno::ENOENT),
            ("none/b", Errno::ENOENT),
            ("a/b/file/x", Errno::ENOTDIR),
            ("link_to_folder/b/file", Errno::ELOOP),
            ("link_out/passwd", Errno::ELOOP),
            ("link_to_file", Errno::ELOOP),
            ("a/inner_link", Errno::ELOOP),
        ] {
            assert_eq!(both(&root, path), (Err(errno), Err(errno)), "{path}");
        }
    }

    #[test]
    fn folders_are_found_and_links_to_them_are_not() {
        let temp = tempfile::tempdir().unwrap();
        let base = temp.path();
        fs::create_dir_all(base.join("root/folder")).unwrap();
        fs::write(base.join("root/file"), "x").unwrap();
        symlink("folder", base.join("root/link")).unwrap();
        symlink("/etc", base.join("root/link_out")).unwrap();
        let root = Dir::open_root(&base.join("root")).unwrap();
        let inode = |fd: OwnedFd| nix::sys::stat::fstat(fd).map(|stat| stat.st_ino);
        for (name, found) in
            [("folder", true), ("file", false), ("link", false), ("link_out", false), ("no", false)]
        {
            let flags = FOLDER;
            let kernel = open_by_kernel(root.as_fd(), name.as_ref(), flags, Mode::empty());
            let hand = open_by_hand(root.as_fd(), name.as_ref(), flags, Mode::empty());
            let (kernel, hand) = (kernel.and_then(inode), hand.and_then(inode));
            assert_eq!((kernel.is_ok(), hand.is_ok()), (found, found), "{name}");
            assert_eq!(kernel.ok(), hand.ok(), "{name}");
        }
    }

    #[test]
    fn by_hand_refuses_what_the_types_would_never_pass() {
        let temp = tempfile::tempdir().unwrap();
        let root = Dir::open_root(temp.path()).unwrap();
        for path in ["", "..", "../x", "a/../..", "/etc/passwd", "a//b", "."] {
            let result =
                open_by_hand(root.as_fd(), path.as_ref(), OFlag::O_RDONLY, Mode::empty()).map(drop);
            assert!(matches!(result, Err(Errno::EINVAL | Errno::ENOENT)), "{path:?}: {result:?}");
        }
    }

    /// Makes a file, folder, link or fifo at a path, unless what exists already is in the way.
    fn put(base: &Path, path: &str, kind: u8) {
        let place = base.join(path);
        let own_name = path.rsplit('/').next().unwrap();
        // Nothing is made behind a link, because some links lead out of the tree; and nothing that
        // exists is replaced, because writing to a fifo would wait for a reader.
        let is_real = |part: &Path| part.symlink_metadata().is_ok_and(|meta| meta.is_dir());
        let mut above = place.ancestors().skip(1).take_while(|part| *part != base);
        let has_link = above.any(|part| part.symlink_metadata().is_ok() && !is_real(part));
        if has_link || place.symlink_metadata().is_ok() {
            return;
        }
        match kind {
            0..=3 => drop(fs::create_dir_all(&place)),
            4 => drop(fs::write(&place, "x")),
            5 => drop(symlink("../a", &place)),
            6 => drop(symlink(base, &place)),
            7 => drop(symlink("/etc", &place)),
            8 => drop(symlink("nowhere", &place)),
            9 => drop(symlink(own_name, &place)),
            10 => drop(symlink(".", &place)),
            11 => drop(fs::hard_link(base.join("a"), &place)),
            12 => nix::unistd::mkfifo(&place, Mode::S_IRWXU).unwrap_or_default(),
            _ => drop(std::os::unix::net::UnixListener::bind(&place)),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn both_ways_agree_on_random_trees(
            nodes in proptest::collection::vec(("[ab](/[ab]){0,6}", 0..14_u8), 1..24),
            asked in proptest::collection::vec("[ab](/[ab]){0,8}", 1..16),
        ) {
            let temp = tempfile::tempdir().unwrap();
            for (path, kind) in &nodes {
                put(temp.path(), path, *kind);
            }
            let root = Dir::open_root(temp.path()).unwrap();
            // Paths that were made, paths beneath them, and paths that were not made.
            let made = nodes.iter().map(|(path, _)| path.clone());
            let beneath = nodes.iter().map(|(path, _)| format!("{path}/passwd"));
            for path in made.chain(beneath).chain(asked) {
                let (kernel, hand) = both(&root, &path);
                prop_assert_eq!(kernel, hand, "{}", path);
                if let Ok(inode) = kernel {
                    // No link was followed: without following links, the standard library finds the
                    // same file.
                    let meta = fs::symlink_metadata(temp.path().join(&path)).unwrap();
                    prop_assert_eq!(meta.ino(), inode);
                    let real = fs::canonicalize(temp.path().join(&path)).unwrap();
                    prop_assert_eq!(real, fs::canonicalize(temp.path()).unwrap().join(&path));
                }
            }
        }
    }
}
