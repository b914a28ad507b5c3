//! The seccomp filter: system calls that the CLI and its tools do not need, and through which
//! others have escaped from sandboxes, fail with EPERM.
//!
//! The filter lists what is refused and not what is allowed. The CLI is a large program that we do
//! not build, and a new version of it would fail wherever it makes a call that is missing in a list
//! of allowed ones. The other layers do not depend on this one: it takes away parts of the kernel
//! that are rarely used and often broken.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, sock_filter,
};

/// Refused whatever the arguments.
#[rustfmt::skip]
const REFUSED: &[libc::c_long] = &[
    // Access to the memory and the descriptors of other processes.
    libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev,
    libc::SYS_process_madvise, libc::SYS_pidfd_getfd, libc::SYS_kcmp,
    // Changing mounts and the root.
    libc::SYS_mount, libc::SYS_umount2, libc::SYS_pivot_root, libc::SYS_chroot,
    libc::SYS_move_mount, libc::SYS_open_tree, libc::SYS_fsopen, libc::SYS_fsconfig,
    libc::SYS_fsmount, libc::SYS_fspick, libc::SYS_mount_setattr,
    // Making or entering namespaces. `clone` is refused by its flags, below.
    libc::SYS_unshare, libc::SYS_setns,
    // Keyrings, which no namespace separates.
    libc::SYS_keyctl, libc::SYS_add_key, libc::SYS_request_key,
    // Opening files by handle, which goes around the rights of paths.
    libc::SYS_open_by_handle_at, libc::SYS_name_to_handle_at,
    // Large interfaces of the kernel that have had many vulnerabilities.
    libc::SYS_bpf, libc::SYS_perf_event_open, libc::SYS_userfaultfd, libc::SYS_fanotify_init,
    libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register,
    libc::SYS_memfd_secret, libc::SYS_move_pages, libc::SYS_migrate_pages, libc::SYS_vmsplice,
    // Memory that no process has mapped, so that the watch would count it for none: System V and
    // POSIX objects, files in memory, and pipes that hold pages of files.
    libc::SYS_shmget, libc::SYS_semget, libc::SYS_msgget, libc::SYS_mq_open,
    libc::SYS_memfd_create, libc::SYS_splice, libc::SYS_tee,
    // Changing the machine: kernels, modules, clocks, swap and the like.
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

/// The flags of `clone` that make a namespace.
const NAMESPACE_FLAGS: [libc::c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// The address families in which sockets may be made. VSOCK is missing because network namespaces
/// do not separate it; packet, crypto and Bluetooth sockets are missing because no game needs them.
const SOCKET_FAMILIES: [libc::c_int; 4] =
    [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// The options of a socket that let its buffers grow to megabytes. The other pair, `…FORCE`, is for
/// root only.
const SOCKET_BUFFERS: [libc::c_int; 2] = [libc::SO_SNDBUF, libc::SO_RCVBUF];
const SOCKET_BUFFERS_OF_ROOT: [libc::c_int; 2] = [libc::SO_SNDBUFFORCE, libc::SO_RCVBUFFORCE];

/// Installs the filters for this process and every process that it will start.
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

/// Makes `clone3` fail with ENOSYS, after which every C library uses `clone`. A filter cannot check
/// `clone3`, because its flags are in memory.
fn fail_clone3() -> Result<BpfProgram, String> {
    compile(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), errno(libc::ENOSYS))
}

/// Keeps socket buffers at the size that the kernel gives them. The call that would enlarge them
/// succeeds and changes nothing, as it does on a kernel whose maximum is its default. An error
/// would be worse: programs may not rely on getting a larger buffer, but some end if the call
/// fails.
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

    // The personality may be read. Changing it could switch off address randomisation.
    let changes = rule(&[(0, SeccompCmpOp::Ne, 0xffff_ffff)])?;
    rules.insert(libc::SYS_personality, vec![changes]);

    // Putting characters into the input of a terminal that another process reads.
    let mut terminal = Vec::new();
    for request in [0x5412_u64, 0x541c] {
        terminal.push(rule(&[(1, SeccompCmpOp::Eq, request)])?);
    }
    rules.insert(libc::SYS_ioctl, terminal);

    // A pipe that was enlarged holds up to a megabyte that no process has mapped.
    let grow = rule(&[(1, SeccompCmpOp::Eq, u64::from(libc::F_SETPIPE_SZ.unsigned_abs()))])?;
    rules.insert(libc::SYS_fcntl, vec![grow]);
    let forced = SOCKET_BUFFERS_OF_ROOT.map(socket_option).into_iter().collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_setsockopt, forced);
    compile(rules, errno(libc::EPERM))
}

/// A rule that matches if all conditions hold. Arguments are compared as 32 bits, which is how the
/// kernel reads them.
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

/// Refuses the x32 calls of x86-64. The kernel takes them through the same entry under the same
/// numbers with bit 30 set, so a filter by number would not match them.
fn refuse_other_abi() -> BpfProgram {
    const LOAD_NUMBER: sock_filter = sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 };
    const SKIP_ONE_BELOW_BIT_30: sock_filter =
        sock_filter { code: 0x35, jt: 0, jf: 1, k: 0x4000_0000 };
    const FAIL: sock_filter =
        sock_filter { code: 0x06, jt: 0, jf: 0, k: 0x0005_0000 | libc::ENOSYS.unsigned_abs() };
    const ALLOW: sock_filter = sock_filter { code: 0x06, jt: 0, jf: 0, k: 0x7fff_0000 };
    vec![LOAD_NUMBER, SKIP_ONE_BELOW_BIT_30, FAIL, ALLOW]
}
