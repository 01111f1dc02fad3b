//! A backend's memory, as the kernel counts it.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

pub struct Process(pub i32);

impl Process {
    /// Resident memory in bytes; 0 when the process is gone.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) * 1024
    }

    /// The most that is resident while `work` runs.
    pub fn peak<T>(&self, work: impl FnOnce() -> T) -> (T, u64) {
        let over = Arc::new(AtomicBool::new(false));
        let (seen, pid) = (over.clone(), self.0);
        let watcher = thread::spawn(move || {
            let mut most = 0;
            while !seen.load(Ordering::Relaxed) {
                most = most.max(Process(pid).resident());
                thread::sleep(Duration::from_millis(10));
            }
            most.max(Process(pid).resident())
        });
        let result = work();
        over.store(true, Ordering::Relaxed);
        (result, watcher.join().expect("the watcher does not panic"))
    }
}
