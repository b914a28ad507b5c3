//! The sandbox of one test, and the files around it that the sandbox must not reach.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use dreamcore_wire::attack::{Attack, Report};
use dreamcore_wire::plan::{Limits, SANDBOX_IDENTITY};
use dreamcore_worker::sandbox::explore::{Confinement, explore};
use dreamcore_worker::sandbox::launch::Launcher;
use dreamcore_worker::sandbox::probe::{Cell, attack};
use harness::{is_root, target_dir};

/// Limits that a test reaches quickly, and that still are large enough for the probe itself.
pub(crate) const LIMITS: Limits = Limits {
    file_bytes: 1 << 20,
    open_files: 256,
    processes: 200,
    cpu_s: 30,
    memory_bytes: 512 << 20,
};

pub(crate) struct Arena {
    pub(crate) launcher: Launcher,
    pub(crate) confinement: Confinement,
    pub(crate) cell: Cell,
    folder: tempfile::TempDir,
}

impl Arena {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("dc-").tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let launcher = Launcher::new(target_dir().join("dreamcore-confine"));
        let root = make(folder.path(), "root");
        let confinement = explore(&launcher, LIMITS, &root).await.unwrap();
        let cell = Cell {
            program: target_dir().join("dreamcore-probe"),
            cwd: make(folder.path(), "cell"),
            place: None,
            tmp: make(folder.path(), "tmp"),
            root,
            setuid: None,
        };
        for own in [&cell.cwd, &cell.tmp] {
            give_away(own);
        }
        Self { launcher, confinement, cell, folder }
    }

    /// A file outside the sandbox that belongs to the sandbox's user and that everybody may read
    /// and write.
    pub(crate) fn outside_file(&self, name: &str) -> PathBuf {
        put(&make(self.folder.path(), "outside"), name)
    }

    /// A file that the sandbox may read and write.
    pub(crate) fn inside_file(&self, name: &str) -> PathBuf {
        put(&self.cell.cwd, name)
    }

    /// Makes one attack in a sandbox of its own.
    pub(crate) async fn try_one(&self, one: Attack) -> Report {
        self.try_all(&[one]).await.into_iter().next().unwrap()
    }

    /// Makes several attacks, one after the other, in one sandbox.
    pub(crate) async fn try_all(&self, attacks: &[Attack]) -> Vec<Report> {
        let session =
            attack(&self.launcher, &self.confinement.policy, &self.cell, attacks).await.unwrap();
        assert!(session.gone, "nothing outlives the sandbox");
        assert_eq!(session.reports.len(), attacks.len());
        session.reports
    }

    #[track_caller]
    pub(crate) fn assert_denied(report: &Report) {
        assert!(report.denied, "not denied: {report:?}");
    }

    #[track_caller]
    pub(crate) fn assert_allowed(report: &Report) {
        assert!(!report.denied, "denied, but it is allowed: {report:?}");
    }
}

fn make(parent: &Path, name: &str) -> PathBuf {
    let path = parent.join(name);
    std::fs::create_dir_all(&path).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
    path
}

fn put(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, "something to read").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
    give_away(&path);
    path
}

fn give_away(path: &Path) {
    if is_root() {
        chown(path, Some(SANDBOX_IDENTITY.uid), Some(SANDBOX_IDENTITY.gid)).unwrap();
    }
}
