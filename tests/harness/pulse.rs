//! Measuring a worker during a test: its peak memory, its processor time, and how quickly it
//! answers `/health/live`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::worker::Worker;

/// The pause between two requests to `/health/live`.
const PAUSE: Duration = Duration::from_millis(50);

impl Worker {
    /// The peak memory of the worker's process, in bytes; in gVisor, which keeps no peak, its memory
    /// at this moment. Its sandboxes are other processes and do not count.
    pub fn peak_memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("the worker lives");
        let find = |name| status.lines().find_map(|line| line.strip_prefix(name));
        let line = find("VmHWM:").or_else(|| find("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).expect("it is in kB");
        kib.trim().parse::<u64>().expect("a number") * 1024
    }

    /// The processor time of the worker's process so far. Its sandboxes are other processes and do
    /// not count.
    pub fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()));
        let stat = stat.expect("the worker lives");
        // User and system time are the fields 14 and 15. The name, field 2, may contain spaces, so
        // the fields are counted from behind it.
        let (_, fields) = stat.rsplit_once(')').expect("the name is in brackets");
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(|field| field.parse::<u64>().expect("a number")).sum();
        // The unit is always a hundredth of a second on Linux.
        Duration::from_millis(ticks * 10)
    }

    /// Requests `/health/live` repeatedly until `work` is done, and returns how long each answer
    /// took, the shortest time first.
    pub async fn pulse_during<T>(&self, work: impl Future<Output = T>) -> (T, Vec<Duration>) {
        let over = AtomicBool::new(false);
        let work = async {
            let done = work.await;
            over.store(true, Ordering::Relaxed);
            done
        };
        let asking = async {
            let mut times = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let asked = Instant::now();
                assert_eq!(self.get("health/live").await.status, 200);
                times.push(asked.elapsed());
                tokio::time::sleep(PAUSE).await;
            }
            times.sort();
            times
        };
        tokio::join!(work, asking)
    }
}
