//! What is written at once: of each claim only its last state, whatever it went through meanwhile.

use crate::engine::registry::journal::{Entry, shard_of};
use crate::ids::{InstanceId, Shard};
use crate::licence::ledger::{Change, Name, Record};
use std::collections::{BTreeMap, BTreeSet};

/// Entries of the journal that are not on the disk yet. It names each account once, so a store that is away lets it
/// grow to as many as are registered and no further: without a store no new claim is made.
#[derive(Default, Debug)]
pub struct Batch {
    /// Instances whose claims all end, before what is in `claims`.
    pub cleared: BTreeSet<InstanceId>,
    /// The claims as they are to be; none is to be deleted.
    pub claims: BTreeMap<(InstanceId, Name), Option<Record>>,
    waiting: Vec<u64>,
}

impl Batch {
    /// Adds an entry that happened after all that are in it.
    pub fn add(&mut self, Entry { instance, change }: Entry) {
        match change {
            Change::Put { account, record, ticket } => {
                self.waiting.extend(ticket);
                self.claims.insert((instance, account), Some(record));
            }
            Change::Delete { account } => {
                self.claims.insert((instance, account), None);
            }
            Change::Clear => {
                self.claims.retain(|(of, _), _| *of != instance);
                self.cleared.insert(instance);
            }
        }
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.cleared.is_empty() && self.claims.is_empty()
    }

    /// Forgets what is on the disk now.
    pub fn done(&mut self) {
        self.cleared.clear();
        self.claims.clear();
    }

    /// Takes out those who wait, by the shard in which they do.
    pub fn take_waiting(&mut self, saved: bool) -> BTreeMap<Shard, Vec<(u64, bool)>> {
        let mut by_shard: BTreeMap<Shard, Vec<(u64, bool)>> = BTreeMap::new();
        for ticket in self.waiting.drain(..) {
            by_shard.entry(shard_of(ticket)).or_default().push((ticket, saved));
        }
        by_shard
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kind;

    #[test]
    fn the_last_state_of_each_claim_counts() {
        // R66
        let name = |text: &str| Name::from(text.as_bytes());
        let record = |ttl| Record { user: name("u"), kind: Kind::Full, device: None, ttl };
        let put = |account: &str, ttl, ticket| Change::Put { account: name(account), record: record(ttl), ticket };
        let mut batch = Batch::default();
        let mut add = |instance, change| batch.add(Entry { instance: InstanceId(instance), change });
        add(1, put("a", 60, Some(0x100)));
        add(1, Change::Delete { account: name("a") });
        add(1, put("a", 90, Some(0x201)));
        add(1, put("b", 60, None));
        add(2, put("c", 60, Some(0x300)));
        add(2, Change::Clear);
        add(2, put("d", 60, None));
        let claims: Vec<_> =
            batch.claims.iter().map(|((i, a), r)| (i.0, a.clone(), r.as_ref().map(|r| r.ttl))).collect();
        assert_eq!(claims, [(1, name("a"), Some(90)), (1, name("b"), Some(60)), (2, name("d"), Some(60))]);
        assert_eq!(batch.cleared, [InstanceId(2)].into());
        let waiting = batch.take_waiting(true);
        assert_eq!(waiting[&Shard(0)], [(0x100, true), (0x300, true)]);
        assert_eq!(waiting[&Shard(1)], [(0x201, true)]);
        assert!(batch.take_waiting(true).is_empty() && !batch.is_empty());
        batch.done();
        assert!(batch.is_empty());
    }
}
