//! How much memory an instance and a node need (R28, R37).

/// Recommended and default memory of an instance for a number of users, in MB (R28).
pub const fn recommended_mb(users: u64) -> u64 {
    match users {
        0..10 => 512,
        10..25 => 768,
        25.. => 1024,
    }
}

/// What to say about an instance's memory: less than recommended is allowed, with a warning (R28).
pub fn warning(memory_mb: u64, users: u64) -> Option<String> {
    let recommended = recommended_mb(users);
    (memory_mb < recommended)
        .then(|| format!("{memory_mb} MB are less than the {recommended} MB recommended for {users} users (R28)"))
}

/// Memory of a machine for so many instances and proxies, in MB (R37).
pub const fn machine_mb(instances: u64, proxies: u64) -> u64 {
    instances.saturating_add(proxies).saturating_mul(512).saturating_add(2048)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instances_memory_goes_with_its_users() {
        // R28
        let sizes = [(0, 512), (9, 512), (10, 768), (11, 768), (24, 768), (25, 1024), (26, 1024), (u64::MAX, 1024)];
        for (users, size) in sizes {
            assert_eq!(recommended_mb(users), size, "{users} users");
        }
    }

    #[test]
    fn less_than_recommended_warns() {
        // R28
        for (memory, warns) in [(767, true), (768, false), (769, false), (0, true)] {
            assert_eq!(warning(memory, 10).is_some(), warns, "{memory} MB");
        }
        assert!(warning(767, 10).unwrap().contains("768"));
    }

    #[test]
    fn a_machines_memory_goes_with_instances_and_proxies() {
        // R37
        for (instances, proxies, size) in
            [(5, 1, 5120), (4, 1, 4608), (6, 1, 5632), (100, 2, 54272), (100, 3, 54784), (99, 2, 53760), (0, 0, 2048)]
        {
            assert_eq!(machine_mb(instances, proxies), size, "{instances}+{proxies}");
        }
        assert_eq!(machine_mb(u64::MAX, 1), u64::MAX);
    }
}
