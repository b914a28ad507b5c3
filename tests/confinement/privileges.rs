//! Privileges: the sandbox has none and cannot gain any.

use std::os::unix::fs::PermissionsExt;

use dreamcore_wire::attack::Attack;
use harness::{Kernel, is_root, kernel};

use crate::arena::Arena;

#[tokio::test]
async fn cannot_become_root() {
    let arena = Arena::new().await;
    Arena::assert_denied(&arena.try_one(Attack::BecomeRoot).await);
}

#[tokio::test]
async fn a_setuid_program_gives_nothing() {
    if !is_root() {
        eprintln!("SKIPPED: only root can make a setuid program of root's");
        return;
    }
    let mut arena = Arena::new().await;
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let copy = place.path().join("setuid");
    std::fs::copy(&arena.cell.program, &copy).unwrap();
    std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o4755)).unwrap();
    arena.cell.setuid = Some(copy.clone());
    let report = arena.try_one(Attack::RunSetuid { path: copy }).await;
    Arena::assert_denied(&report);
    // The program ran, so the setuid bit had no effect.
    assert_eq!(report.detail, "it ran, but not as root");
}

#[tokio::test]
async fn programs_run_from_system_folders_only() {
    let arena = Arena::new().await;
    let own = arena.cell.cwd.join("program");
    std::fs::copy(&arena.cell.program, &own).unwrap();
    std::fs::set_permissions(&own, PermissionsExt::from_mode(0o755)).unwrap();
    // The kernel refuses to execute the program, with an error number.
    let refusal = match kernel() {
        Kernel::Linux | Kernel::NewerGvisor => Some(libc::EACCES),
        // Without mount flags and Landlock, nothing forbids executing there. Such a program has no
        // more rights than bash has.
        Kernel::OlderGvisor => None,
    };
    assert_eq!(arena.try_one(Attack::RunSetuid { path: own }).await.errno, refusal);
}

#[tokio::test]
async fn cannot_make_namespaces_or_mounts() {
    let arena = Arena::new().await;
    Arena::assert_denied(&arena.try_one(Attack::UserNamespace).await);
    Arena::assert_denied(&arena.try_one(Attack::Mount).await);
}

#[tokio::test]
async fn dangerous_system_calls_are_refused_and_ordinary_ones_are_not() {
    let arena = Arena::new().await;
    let refused = [
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_getfd,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_move_mount,
        libc::SYS_open_tree,
        libc::SYS_fsopen,
        libc::SYS_mount_setattr,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_clone3,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_open_by_handle_at,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_kexec_load,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_reboot,
        libc::SYS_shmget,
        libc::SYS_semget,
        libc::SYS_msgget,
        libc::SYS_mq_open,
        libc::SYS_memfd_create,
        libc::SYS_splice,
        libc::SYS_tee,
        libc::SYS_swapon,
        libc::SYS_personality,
        libc::SYS_settimeofday,
        libc::SYS_sethostname,
        libc::SYS_syslog,
    ];
    let attacks: Vec<_> = refused.iter().map(|call| Attack::SystemCall { number: *call }).collect();
    for (number, report) in refused.iter().zip(arena.try_all(&attacks).await) {
        assert!(report.denied || *number == libc::SYS_personality, "{number}: {report:?}");
    }
    // The x32 form of the call, which x86-64 takes through the same entry.
    if cfg!(target_arch = "x86_64") {
        let number = libc::SYS_getpid | 0x4000_0000;
        Arena::assert_denied(&arena.try_one(Attack::SystemCall { number }).await);
    }
    for number in [libc::SYS_getpid, libc::SYS_close, libc::SYS_read] {
        Arena::assert_allowed(&arena.try_one(Attack::SystemCall { number }).await);
    }
}
