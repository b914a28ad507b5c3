//! How a worker fares while something happens to it: the most memory that it takes, its processor
//! time, and how soon it says that it lives.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::worker::Worker;

/// How long to wait between two questions whether the worker lives.
const PAUSE: Duration = Duration::from_millis(50);

impl Worker {
    /// The most memory that its process has had at any time, in bytes. Its sandboxes are other
    /// processes.
    pub fn peak_memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("the worker lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).expect("it is in kB");
        kib.trim().parse::<u64>().expect("a number") * 1024
    }

    /// The processor time of its process so far. Its sandboxes are other processes.
    pub fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()));
        let stat = stat.expect("the worker lives");
        // User and system time are the fields 14 and 15; the name, field 2, may hold spaces.
        let (_, fields) = stat.rsplit_once(')').expect("the name is in brackets");
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(|field| field.parse::<u64>().expect("a number")).sum();
        // Linux shows every program hundredths of a second here.
        Duration::from_millis(ticks * 10)
    }

    /// Asks `/health/live` again and again until `work` is done, and says how long each answer took,
    /// the shortest time first.
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
