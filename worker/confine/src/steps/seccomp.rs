//! System calls that the CLI and its tools do not need, and that have been the way out of other
//! sandboxes, fail with EPERM.
//!
//! A list of what is refused rather than of what is allowed: the CLI is a large program that we do
//! not build, and the outer layers do not depend on this one. It closes the kernel's rarely used
//! doors behind them.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, sock_filter,
};

/// Refused whatever the arguments.
#[rustfmt::skip]
const REFUSED: &[libc::c_long] = &[
    // Other processes' memory and descriptors.
    libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev,
    libc::SYS_process_madvise, libc::SYS_pidfd_getfd, libc::SYS_kcmp,
    // Mounts and roots.
    libc::SYS_mount, libc::SYS_umount2, libc::SYS_pivot_root, libc::SYS_chroot,
    libc::SYS_move_mount, libc::SYS_open_tree, libc::SYS_fsopen, libc::SYS_fsconfig,
    libc::SYS_fsmount, libc::SYS_fspick, libc::SYS_mount_setattr,
    // Namespaces; `clone` is below, with its flags.
    libc::SYS_unshare, libc::SYS_setns,
    // Keyrings are not namespaced.
    libc::SYS_keyctl, libc::SYS_add_key, libc::SYS_request_key,
    // Files by handle instead of by path.
    libc::SYS_open_by_handle_at, libc::SYS_name_to_handle_at,
    // Large kernel interfaces with a history of holes.
    libc::SYS_bpf, libc::SYS_perf_event_open, libc::SYS_userfaultfd, libc::SYS_fanotify_init,
    libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register,
    libc::SYS_memfd_secret, libc::SYS_move_pages, libc::SYS_migrate_pages, libc::SYS_vmsplice,
    // Memory that no process has mapped, so that no process would be charged with it: System V and
    // POSIX objects, files in memory, and pipes that keep pages of files alive.
    libc::SYS_shmget, libc::SYS_semget, libc::SYS_msgget, libc::SYS_mq_open,
    libc::SYS_memfd_create, libc::SYS_splice, libc::SYS_tee,
    // The machine itself.
    libc::SYS_kexec_load, libc::SYS_kexec_file_load, libc::SYS_init_module,
    libc::SYS_finit_module, libc::SYS_delete_module, libc::SYS_reboot, libc::SYS_swapon,
    libc::SYS_swapoff, libc::SYS_acct, libc::SYS_quotactl, libc::SYS_quotactl_fd,
    libc::SYS_sethostname, libc::SYS_setdomainname, libc::SYS_settimeofday,
    libc::SYS_clock_settime, libc::SYS_clock_adjtime, libc::SYS_adjtimex, libc::SYS_syslog,
    libc::SYS_vhangup, libc::SYS_lookup_dcookie, libc::SYS_nfsservctl,
    #[cfg(target_arch = "x86_64")] libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")] libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")] libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")] libc::SYS_uselib,
];

/// Flags of `clone` that make a namespace.
const NAMESPACE_FLAGS: [libc::c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// Kinds of sockets that may be made. Not VSOCK, which no network namespace contains, and not
/// packet, crypto or Bluetooth sockets.
const SOCKET_FAMILIES: [libc::c_int; 4] =
    [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Options of a socket that let its buffers grow to megabytes; only root has the second pair.
const SOCKET_BUFFERS: [libc::c_int; 2] = [libc::SO_SNDBUF, libc::SO_RCVBUF];
const SOCKET_BUFFERS_OF_ROOT: [libc::c_int; 2] = [libc::SO_SNDBUFFORCE, libc::SO_RCVBUFFORCE];

/// Installs the filters; they hold for everything that this process starts.
pub(crate) fn install() -> Result<String, String> {
    let programs = [refuse_other_abi(), fail_clone3()?, keep_socket_buffers()?, refuse_list()?];
    for program in &programs {
        apply_filter(program).map_err(|e| e.to_string())?;
    }
    Ok(format!("{} calls refused", REFUSED.len()))
}

fn compile(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    on_match: SeccompAction,
) -> Result<BpfProgram, String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|e| e.to_string())?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, on_match, arch)
        .map_err(|e| e.to_string())?;
    BpfProgram::try_from(filter).map_err(|e| e.to_string())
}

fn errno(number: libc::c_int) -> SeccompAction {
    SeccompAction::Errno(number.unsigned_abs())
}

/// The flags of `clone3` are in memory, where a filter cannot look. ENOSYS makes every C library
/// fall back to `clone`.
fn fail_clone3() -> Result<BpfProgram, String> {
    compile(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), errno(libc::ENOSYS))
}

/// Socket buffers stay as large as the kernel makes them. The call succeeds and changes nothing, as
/// it does in a kernel whose maximum is its default: programs may ask for more and cannot rely on
/// getting it, and some end if the call fails.
fn keep_socket_buffers() -> Result<BpfProgram, String> {
    let rules = SOCKET_BUFFERS.map(socket_option).into_iter().collect::<Result<_, _>>()?;
    compile(BTreeMap::from([(libc::SYS_setsockopt, rules)]), errno(0))
}

/// The rule for setting one option of a socket.
fn socket_option(option: libc::c_int) -> Result<SeccompRule, String> {
    let (level, option) = (libc::SOL_SOCKET.unsigned_abs(), option.unsigned_abs());
    rule(&[(1, SeccompCmpOp::Eq, level.into()), (2, SeccompCmpOp::Eq, option.into())])
}

fn refuse_list() -> Result<BpfProgram, String> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let mut clone = Vec::new();
    for flag in NAMESPACE_FLAGS {
        let bit = u64::from(flag.unsigned_abs());
        clone.push(rule(&[(0, SeccompCmpOp::MaskedEq(bit), bit)])?);
    }
    rules.insert(libc::SYS_clone, clone);

    let mut unlisted = Vec::new();
    for family in SOCKET_FAMILIES {
        unlisted.push((0, SeccompCmpOp::Ne, u64::from(family.unsigned_abs())));
    }
    rules.insert(libc::SYS_socket, vec![rule(&unlisted)?]);

    // Reading the personality is fine, changing it (to switch off address randomisation) is not.
    let changes = rule(&[(0, SeccompCmpOp::Ne, 0xffff_ffff)])?;
    rules.insert(libc::SYS_personality, vec![changes]);

    // Typing into, or pasting on, a terminal that somebody else reads.
    let mut terminal = Vec::new();
    for request in [0x5412_u64, 0x541c] {
        terminal.push(rule(&[(1, SeccompCmpOp::Eq, request)])?);
    }
    rules.insert(libc::SYS_ioctl, terminal);

    // Pipes stay as large as the kernel makes them: a larger one holds a megabyte that no process
    // has mapped.
    let grow = rule(&[(1, SeccompCmpOp::Eq, u64::from(libc::F_SETPIPE_SZ.unsigned_abs()))])?;
    rules.insert(libc::SYS_fcntl, vec![grow]);
    let forced = SOCKET_BUFFERS_OF_ROOT.map(socket_option).into_iter().collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_setsockopt, forced);
    compile(rules, errno(libc::EPERM))
}

/// One rule: all conditions hold. Arguments are compared as the kernel reads them, as 32 bits.
fn rule(conditions: &[(u8, SeccompCmpOp, u64)]) -> Result<SeccompRule, String> {
    let conditions = conditions
        .iter()
        .map(|(index, op, value)| {
            SeccompCondition::new(*index, SeccompCmpArgLen::Dword, op.clone(), *value)
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| e.to_string())?;
    SeccompRule::new(conditions).map_err(|e| e.to_string())
}

/// On x86-64 the same kernel entry takes a second set of call numbers (x32), bit 30 set, which a
/// list of numbers would miss.
fn refuse_other_abi() -> BpfProgram {
    const LOAD_NUMBER: sock_filter = sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 };
    const SKIP_ONE_BELOW_BIT_30: sock_filter =
        sock_filter { code: 0x35, jt: 0, jf: 1, k: 0x4000_0000 };
    const FAIL: sock_filter =
        sock_filter { code: 0x06, jt: 0, jf: 0, k: 0x0005_0000 | libc::ENOSYS.unsigned_abs() };
    const ALLOW: sock_filter = sock_filter { code: 0x06, jt: 0, jf: 0, k: 0x7fff_0000 };
    vec![LOAD_NUMBER, SKIP_ONE_BELOW_BIT_30, FAIL, ALLOW]
}
