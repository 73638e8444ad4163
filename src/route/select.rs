//! Which of an instance's targets a request goes to, and in which order others are tried.
//!
//! Priority first, then weight by rendezvous hashing of the account, so that one account meets the
//! same target on every node and after every reload, and only the accounts of a lost target move.
//! Targets that are down are left out: an instance with none up is answered at once (503). Pure and
//! without allocation; called by `engine`.

use super::snapshot::{Backend, Instance};

/// The most targets an instance can have in a snapshot; `compile` reports and drops further ones.
pub const MAX_TARGETS: usize = 16;

/// The order in which targets are tried: positions in [`Instance::backends`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Targets {
    order: [u8; MAX_TARGETS],
    length: u8,
}

impl Targets {
    /// Whether no target is up.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// How many targets are up.
    pub fn len(&self) -> usize {
        usize::from(self.length)
    }

    /// The targets, best first. `instance` must be the one they were selected from.
    pub fn iter<'a>(&'a self, instance: &'a Instance) -> impl Iterator<Item = &'a Backend> + 'a {
        self.order.iter().take(self.len()).filter_map(|at| instance.backends.get(usize::from(*at)))
    }
}

/// Orders the targets of `instance` that are up for the account whose hash is `key_hash`.
pub fn targets(instance: &Instance, key_hash: u64, into: &mut Targets) {
    // Mostly there is no choice.
    if let [only] = &*instance.backends {
        *into = Targets { order: [0; MAX_TARGETS], length: u8::from(only.health.is_up()) };
        return;
    }
    let mut ranked = [(0u16, 0f64, 0u8); MAX_TARGETS];
    let mut length = 0usize;
    for (backend, at) in instance.backends.iter().zip(0u8..) {
        if !backend.health.is_up() {
            continue;
        }
        let Some(slot) = ranked.get_mut(length) else { break };
        *slot = (backend.priority, score(backend, key_hash), at);
        length += 1;
    }
    let ranked = ranked.get_mut(..length).unwrap_or_default();
    ranked.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(&b.2)));
    for (to, from) in into.order.iter_mut().zip(ranked.iter()) {
        *to = from.2;
    }
    into.length = u8::try_from(length).unwrap_or(0);
}

/// The number by which an account meets the same target on every node, of whatever build: FNV-1a,
/// mixed.
pub fn account_hash(account: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
    mix(account.iter().fold(0xCBF2_9CE4_8422_2325, fold))
}

/// Weighted rendezvous: the share of accounts for which a target scores highest is its weight's share.
/// Weight 0 scores lowest.
fn score(backend: &Backend, key_hash: u64) -> f64 {
    let mut mixed = mix(key_hash ^ u64::from(backend.id.0).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    mixed = match backend.address.ip() {
        std::net::IpAddr::V4(ip) => mix(mixed ^ u64::from(ip.to_bits())),
        std::net::IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            mix(mix(mixed ^ (bits >> 64) as u64) ^ bits as u64)
        }
    };
    mixed = mix(mixed ^ u64::from(backend.address.port()));
    if backend.weight == 0 {
        return -1.0;
    }
    // 53 bits make a number strictly between 0 and 1, so its logarithm is finite and negative.
    let unit = ((mixed >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -f64::from(backend.weight) / unit.ln()
}

/// The finalizer of SplitMix64: every input bit reaches every output bit.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::InstanceId;
    use crate::model;
    use crate::route::testing::{compiled, instance, table};
    use std::sync::Arc;

    fn with(backends: &[(&str, u16, u16)]) -> Arc<Instance> {
        let mut row = instance(1, "acme");
        row.backends = backends
            .iter()
            .zip(1..)
            .map(|((address, priority, weight), id)| model::Backend {
                id: crate::ids::BackendId(id),
                priority: *priority,
                weight: *weight,
                ..model::Backend::at(address)
            })
            .collect();
        Arc::clone(compiled(&table([row], [])).by_id(InstanceId(1)).unwrap())
    }

    fn order(instance: &Instance, key: u64) -> Vec<u16> {
        let mut targets = Targets::default();
        super::targets(instance, key, &mut targets);
        targets.iter(instance).map(|backend| backend.id.0).collect()
    }

    #[test]
    fn the_hash_of_an_account_is_the_same_in_every_build() {
        // The FNV-1a test vectors for these, mixed.
        for (account, fnv) in
            [(&b""[..], 0xCBF2_9CE4_8422_2325), (b"a", 0xAF63_DC4C_8601_EC8C), (b"foobar", 0x8594_4171_F739_67E8)]
        {
            assert_eq!(account_hash(account), mix(fnv));
        }
    }

    #[test]
    fn priority_goes_before_weight() {
        let instance = with(&[("192.0.2.1", 10, 1000), ("192.0.2.2", 0, 1), ("192.0.2.3", 5, 500)]);
        for key in 0..100 {
            assert_eq!(order(&instance, key), [2, 3, 1]);
        }
    }

    #[test]
    fn equals_share_by_weight_and_zero_comes_last() {
        let instance = with(&[("192.0.2.1", 0, 300), ("192.0.2.2", 0, 100), ("192.0.2.3", 0, 0)]);
        let mut first = [0u32; 4];
        for key in 0..40_000 {
            let order = order(&instance, key);
            first[usize::from(order[0])] += 1;
            assert_eq!(order[2], 3);
        }
        assert!((29_000..=31_000).contains(&first[1]), "{first:?}");
    }

    #[test]
    fn an_account_keeps_its_target_and_only_those_of_a_lost_one_move() {
        let instance = with(&[("192.0.2.1", 0, 1), ("192.0.2.2", 0, 1), ("192.0.2.3", 0, 1)]);
        let before: Vec<_> = (0..500).map(|key| order(&instance, key)).collect();
        instance.backends[1].health.failure(1);
        for (key, before) in (0..500).zip(before) {
            let after = order(&instance, key);
            let expected: Vec<_> = before.into_iter().filter(|id| *id != 2).collect();
            assert_eq!(after, expected);
        }
    }

    #[test]
    fn no_healthy_target_means_none() {
        let instance = with(&[("192.0.2.1", 0, 1), ("192.0.2.2", 1, 1)]);
        instance.backends.iter().for_each(|backend| _ = backend.health.failure(1));
        assert!(order(&instance, 7).is_empty());
    }
}
