//! Processes as the kernel counts them: CPU, memory, and the cores they are held to.

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::fs;

/// Nanoseconds that all threads of these processes have run so far.
///
/// `schedstat` counts what `stat` only samples in ticks of 10 ms.
pub fn cpu(pids: &[i32]) -> u64 {
    let threads = pids.iter().filter_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).ok()).flatten().flatten();
    threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// Bytes of memory of these processes, what they share counted once.
pub fn memory(pids: &[i32]) -> u64 {
    let of = |pid: &i32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let row = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        row.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()
    };
    pids.iter().filter_map(of).sum::<u64>() * 1024
}

/// A process and everything it has started.
pub fn tree(root: i32) -> Vec<i32> {
    let parents: Vec<(i32, i32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let parent = stat.rsplit_once(')')?.1.split(' ').nth(2)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found
}

/// All processes of this namespace.
pub fn all() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Nanoseconds that the machine's cores were busy with anything, to see who else was working.
pub fn busy() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<u64> = stat.lines().next().unwrap_or("").split_whitespace().skip(1).flat_map(str::parse).collect();
    // user, nice, system, irq, softirq
    [0, 1, 2, 5, 6].iter().filter_map(|column| ticks.get(*column)).sum::<u64>() * 10_000_000
}

/// Holds this process to some cores; those it starts inherit it.
pub fn hold_to(cores: &[usize]) {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core).expect("a core"));
    sched_setaffinity(Pid::from_raw(0), &set).expect("held to its cores");
}

/// This process ends with the one that started it.
pub fn end_with_parent() {
    set_pdeathsig(Signal::SIGKILL).expect("a signal at the parent's end");
}
