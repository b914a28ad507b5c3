//! The minimal root: a file system that holds nothing but the granted paths.
//!
//! It is built on a small tmpfs that is mounted on an empty folder. In a mount namespace of its
//! own, the launcher enters it with `pivot_root`, and the kernel unmounts everything when the
//! namespace ends. In older gVisor all processes share one set of mounts: there the launcher enters
//! it with `chroot`, and the launcher's outer half unmounts it when no process of the sandbox is
//! left. A failure before the root is entered changes nothing that the sandbox could see, so it is
//! reported and the start goes on if the plan allows that.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, symlink};
use std::path::{Path, PathBuf};

use dreamcore_wire::control::{Failure, Step};
use dreamcore_wire::plan::{Access, Grant, Mechanism, Plan};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{chdir, chroot, pivot_root};

use super::StepResult;

const NONE: Option<&str> = None;

/// Options of the small tmpfs. The second form is for gVisor, which does not know `nr_inodes`. Mode
/// 111 lets the sandbox pass through the root but not list it, even where the sandbox's user owns it.
const TMPFS: [&str; 2] = ["size=1m,nr_inodes=4k,mode=111", "size=1m,mode=111"];
/// Mode of the folders that lead to a granted path. The sandbox cannot list them either.
const PARENT_MODE: u32 = 0o111;

/// Which processes see the mounts that this process makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mounts {
    /// Only this process and the processes that it starts.
    Own,
    /// Every process of the machine.
    Shared,
}

/// Builds the root, and enters it if the mounts are this process's own. If they are shared, the
/// caller enters it later with [`enter_by_chroot`]. `pid_namespace` says whether a new `/proc`
/// shows only the sandbox.
pub(crate) fn enter_minimal_root(
    plan: &Plan,
    mounts: Mounts,
    pid_namespace: bool,
) -> Result<String, String> {
    if mounts == Mounts::Own {
        // Mounts that are made from here on do not propagate to the worker's mount namespace.
        mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
            .map_err(|e| format!("private mounts: {e}"))?;
    }
    let root = plan.root_dir.as_path();
    mount_tmpfs(root).map_err(|e| format!("tmpfs: {e}"))?;
    let built = build(plan, root, mounts, pid_namespace);
    let entered = match mounts {
        Mounts::Own => built.and_then(|()| enter_by_pivot(root)),
        Mounts::Shared => built,
    };
    if entered.is_err() {
        // The old root is still in use, so the unfinished root is unmounted. If that fails too, the
        // mounts end with the namespace of this process, or the outer half unmounts them.
        umount2(root, MntFlags::MNT_DETACH).unwrap_or_default();
    }
    let how = match mounts {
        Mounts::Own => "",
        Mounts::Shared => ", by chroot; not read-only or unexecutable but by permission",
    };
    entered.map(|()| format!("{} paths{how}", plan.grants.len()))
}

/// Unmounts a root that was built among shared mounts, and everything that is mounted in it. If
/// there is no such root, nothing happens.
pub(crate) fn release(root: &Path) -> nix::Result<()> {
    loop {
        match umount2(root, MntFlags::MNT_DETACH) {
            // Another mount may lie below the one that was just removed.
            Ok(()) => {}
            // The folder is not a mount point, does not exist, or this process may not mount at
            // all.
            Err(Errno::EINVAL | Errno::ENOENT | Errno::EPERM) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn mount_tmpfs(root: &Path) -> nix::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let mut tried = Err(Errno::EINVAL);
    for options in TMPFS {
        tried = mount(Some("tmpfs"), root, Some("tmpfs"), flags, Some(options));
        if tried != Err(Errno::EINVAL) {
            break;
        }
    }
    tried
}

fn build(plan: &Plan, root: &Path, mounts: Mounts, pid_namespace: bool) -> Result<(), String> {
    let explain = |grant: &Grant, e: io::Error| format!("{}: {e}", grant.path.display());
    // The grants with another place inside come first: one of them may be /tmp, and a mount there
    // would cover a granted path below the real /tmp that had been placed before. Among themselves
    // they keep the plan's order, so that one may lie in another.
    let (elsewhere, same): (Vec<_>, Vec<_>) = plan.grants.iter().partition(|g| g.at.is_some());
    for grant in elsewhere.into_iter().chain(same) {
        place(grant, root, mounts).map_err(|e| explain(grant, e))?;
    }
    mount_proc(root, pid_namespace).map_err(|e| format!("/proc: {e}"))?;
    for (name, target) in
        [("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")]
    {
        link(Path::new(target), &root.join("dev").join(name)).map_err(|e| format!("/dev: {e}"))?;
    }
    Ok(())
}

fn enter_by_pivot(root: &Path) -> Result<(), String> {
    let step = |name: &'static str| move |e: Errno| format!("{name}: {e}");
    chdir(root).map_err(step("chdir"))?;
    // The kernel mounts the old root over the new one on the same folder, and the next call
    // detaches it. So no folder for the old root is needed.
    pivot_root(".", ".").map_err(step("pivot_root"))?;
    umount2(".", MntFlags::MNT_DETACH).map_err(step("detach the old root"))?;
    chdir("/").map_err(step("chdir"))?;
    let flags = MsFlags::MS_REMOUNT
        | MsFlags::MS_BIND
        | MsFlags::MS_RDONLY
        | MsFlags::MS_NOSUID
        | MsFlags::MS_NODEV;
    mount(NONE, "/", NONE, flags, NONE).map_err(step("read-only root"))
}

/// Enters a root that was built among shared mounts. After a `chroot` the kernel refuses to make a
/// user namespace, so that comes before. A process that may call `chroot` could leave the root
/// again; the change of user, which comes after, takes that capability away.
pub(crate) fn enter_by_chroot(root: &Path) -> StepResult {
    let entered = chdir(root).and_then(|()| chroot(".")).and_then(|()| chdir("/"));
    entered.map_err(Failure::at(Step::Mechanism(Mechanism::MinimalRoot)))
}

/// Makes one granted path appear below the new root.
fn place(grant: &Grant, root: &Path, mounts: Mounts) -> io::Result<()> {
    let seen = match fs::symlink_metadata(&grant.path) {
        Ok(seen) => seen,
        Err(error) if grant.optional && error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    // On systems with a merged `/usr`, `/bin` is a link to `usr/bin`. It becomes the same link.
    if grant.optional && seen.is_symlink() {
        return link(&fs::read_link(&grant.path)?, &below(root, grant.place()));
    }
    bind(&grant.path, &below(root, grant.place()), grant.access, mounts)
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn link(target: &Path, place: &Path) -> io::Result<()> {
    make_parent(place)?;
    symlink(target, place)
}

fn make_parent(place: &Path) -> io::Result<()> {
    place.parent().map_or(Ok(()), make_folders)
}

fn make_folders(place: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(PARENT_MODE).create(place)
}

fn bind(source: &Path, place: &Path, access: Access, mounts: Mounts) -> io::Result<()> {
    let kind = fs::metadata(source)?.file_type();
    if kind.is_dir() {
        make_folders(place)?;
    } else {
        make_parent(place)?;
        fs::File::create(place)?;
    }
    if mounts == Mounts::Shared {
        // A gVisor without mount namespaces makes bind mounts only without recursion and flags.
        return Ok(mount(Some(source), place, NONE, MsFlags::MS_BIND, NONE)?);
    }
    // Recursive, because a user namespace may not show what a mount inside the source covers.
    mount(Some(source), place, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)?;
    let device = kind.is_char_device();
    let mut flags = MsFlags::MS_NOSUID;
    if !device {
        flags |= MsFlags::MS_NODEV;
    }
    if matches!(access, Access::Read | Access::ReadExecute) {
        flags |= MsFlags::MS_RDONLY;
    }
    if access != Access::ReadExecute {
        flags |= MsFlags::MS_NOEXEC;
    }
    match set_flags_recursively(place, flags) {
        Err(Errno::ENOSYS) => Ok(set_flags_of_top(place, flags)?),
        other => Ok(other?),
    }
}

/// `mount_setattr` reaches mounts inside the bound folder as well (Linux 5.12).
#[allow(unsafe_code, reason = "mount_setattr has no safe form")]
fn set_flags_recursively(place: &Path, flags: MsFlags) -> nix::Result<()> {
    use nix::NixPath as _;
    let mut set = 0;
    for (flag, attribute) in [
        (MsFlags::MS_NOSUID, libc::MOUNT_ATTR_NOSUID),
        (MsFlags::MS_NODEV, libc::MOUNT_ATTR_NODEV),
        (MsFlags::MS_RDONLY, libc::MOUNT_ATTR_RDONLY),
        (MsFlags::MS_NOEXEC, libc::MOUNT_ATTR_NOEXEC),
    ] {
        if flags.contains(flag) {
            set |= attribute;
        }
    }
    let attributes = libc::mount_attr { attr_set: set, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let result = place.with_nix_path(|path| {
        // SAFETY: the path is a C string and the attributes are a struct of exactly the size that
        // is passed; both live until the call returns.
        unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                libc::AT_FDCWD,
                path.as_ptr(),
                libc::AT_RECURSIVE,
                &raw const attributes,
                size_of::<libc::mount_attr>(),
            )
        }
    })?;
    Errno::result(result).map(drop)
}

/// For kernels without `mount_setattr`: changes the flags of the top mount only. A remount replaces
/// all flags, and inside a user namespace the kernel refuses to clear those that the mount has
/// outside, so the present ones are kept.
fn set_flags_of_top(place: &Path, flags: MsFlags) -> nix::Result<()> {
    let present = statvfs(place)?.flags();
    let mut all = flags | MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
    for (is, flag) in [
        (FsFlags::ST_RDONLY, MsFlags::MS_RDONLY),
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ] {
        if present.contains(is) {
            all |= flag;
        }
    }
    mount(NONE, place, NONE, all, NONE)
}

/// Mounts a `/proc` for the new PID namespace. Without a namespace, `/proc` shows every process of
/// the machine, so it is mounted with `hidepid`, which hides the processes of other users.
fn mount_proc(root: &Path, pid_namespace: bool) -> io::Result<()> {
    let place = root.join("proc");
    make_folders(&place)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY;
    let hide = if pid_namespace { NONE } else { Some("hidepid=2") };
    Ok(mount(Some("proc"), &place, Some("proc"), flags, hide)?)
}
