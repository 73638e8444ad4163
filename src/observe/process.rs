//! The process as the kernel sees it.

use std::fs;

/// What is asked of the kernel for each scrape.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Process {
    /// Resident memory in bytes.
    pub resident: u64,
    /// Open file descriptors.
    pub descriptors: u64,
    /// The most it may have.
    pub max_descriptors: u64,
    /// CPU time used, in milliseconds.
    pub cpu_ms: u64,
}

/// Reads it; what cannot be read is 0.
pub fn read() -> Process {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).and_then(first_number).unwrap_or(0);
    let (user, system) = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF)
        .map_or((0, 0), |usage| (milliseconds(usage.user_time()), milliseconds(usage.system_time())));
    Process {
        resident: resident * 1024,
        descriptors: fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64),
        max_descriptors: max_descriptors(),
        cpu_ms: user + system,
    }
}

/// The most file descriptors the process may have.
pub fn max_descriptors() -> u64 {
    nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft)
}

/// Raises the bound on file descriptors to the most the process may set itself, and returns it.
pub fn raise_descriptors() -> u64 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // Where it is not allowed, the old bound is what there is.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    max_descriptors()
}

fn milliseconds(time: nix::sys::time::TimeVal) -> u64 {
    u64::try_from(time.tv_sec() * 1_000 + time.tv_usec() / 1_000).unwrap_or(0)
}

fn first_number(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_knows_us() {
        let process = read();
        assert!(process.resident > 1 << 20);
        assert!(process.descriptors >= 3 && process.descriptors <= process.max_descriptors);
    }
}
