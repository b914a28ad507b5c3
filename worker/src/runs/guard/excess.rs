//! The limits of one run, and the failure of a run that exceeds them.

use crate::api::ErrorCode;
use crate::runs::failure::Failure;

/// The largest number of files and folders of one run. A package manager makes tens of thousands.
pub(super) const MAX_ENTRIES: u64 = 200_000;
/// How many descriptors a run may have open for each process that it may have. A single process may
/// have more, up to the kernel's limit.
const DESCRIPTORS_A_PROCESS: u64 = 32;

/// How much one run may use, and how much must stay free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// The memory of all processes together, in bytes.
    pub memory_bytes: u64,
    /// The memory that must stay free on the machine, or in the worker's container, in bytes.
    pub memory_reserve_bytes: u64,
    /// The number of processes and threads.
    pub processes: u64,
    /// The space on the scratch disk, in bytes.
    pub disk_bytes: u64,
    /// The space that must stay free on the scratch disk, in bytes.
    pub disk_reserve_bytes: u64,
}

impl Allowance {
    /// From this number of processes on, the kernel may have refused to start more between two
    /// measurements.
    pub(super) fn crowd(&self) -> u64 {
        self.processes - self.processes / 4
    }

    /// The number of open descriptors of all processes together.
    pub(super) fn descriptors(&self) -> u64 {
        self.processes.saturating_mul(DESCRIPTORS_A_PROCESS)
    }
}

/// What a run used too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// Memory. The number is the limit in bytes.
    Memory(u64),
    /// The memory of the machine was nearly used up, and this run used the most.
    MemoryReserve,
    /// Processes and threads. The number is the limit.
    Processes(u64),
    /// Open descriptors. The number is the limit.
    Descriptors(u64),
    /// Space on the disk. The number is the limit in bytes.
    Disk(u64),
    /// The number of files, or the depth of folders.
    Names,
    /// The disk was nearly full, and this run had the most data on it.
    DiskReserve,
}

impl From<Excess> for Failure {
    fn from(excess: Excess) -> Self {
        let message = match excess {
            Excess::Memory(bytes) => format!("memory: the run took more than {bytes} bytes"),
            Excess::MemoryReserve => "memory: the run left too little free memory".to_owned(),
            Excess::Processes(count) => format!("processes: the run wanted more than {count}"),
            Excess::Descriptors(count) => {
                format!("open files: the run had more than {count} descriptors")
            }
            Excess::Disk(bytes) => format!("disk: the run wrote more than {bytes} bytes"),
            Excess::Names => {
                format!("disk: the run made more than {MAX_ENTRIES} files, or folders too deep")
            }
            Excess::DiskReserve => "disk: the run left too little free space".to_owned(),
        };
        Self::new(ErrorCode::ResourceLimit, message)
    }
}
