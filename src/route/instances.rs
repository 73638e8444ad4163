//! The instances of a snapshot, ordered by id: one [`Trie`], so that versions of a table share what did not change.
//! Rows that could not be loaded are there too, for the next compile; who reads the table does not see them.

use super::snapshot::Instance;
use super::trie::{self, Keyed, Trie};
use crate::ids::InstanceId;
use crate::model;
use crate::stats::InstanceStats;
use std::sync::Arc;

/// Instances by id.
#[derive(Clone, Default)]
pub struct Instances {
    rows: Trie<Placed>,
    /// How many of them are sound.
    sound: usize,
}

/// A row and what it became.
#[derive(Clone)]
pub(super) struct Placed {
    pub(super) id: InstanceId,
    pub(super) became: Became,
}

/// What became of a row.
#[derive(Clone)]
pub(super) enum Became {
    /// An instance that is served.
    Sound(Arc<Instance>),
    /// An instance whose name is another's.
    Nameless(Arc<Instance>),
    /// It cannot be loaded at all.
    Broken(Arc<Broken>),
}

/// A row that cannot be loaded, with the counters of when it could.
pub(super) struct Broken {
    pub(super) row: Arc<model::Instance>,
    pub(super) stats: Arc<InstanceStats>,
}

impl Keyed for Placed {
    fn key(&self) -> u32 {
        self.id.0
    }
}

impl Became {
    /// The row it was made of.
    pub(super) fn row(&self) -> &Arc<model::Instance> {
        match self {
            Self::Sound(instance) | Self::Nameless(instance) => &instance.row,
            Self::Broken(broken) => &broken.row,
        }
    }

    /// Its counters.
    pub(super) fn stats(&self) -> &Arc<InstanceStats> {
        match self {
            Self::Sound(instance) | Self::Nameless(instance) => &instance.stats,
            Self::Broken(broken) => &broken.stats,
        }
    }

    /// The instance, if there is one at all.
    pub(super) fn built(&self) -> Option<&Arc<Instance>> {
        match self {
            Self::Sound(instance) | Self::Nameless(instance) => Some(instance),
            Self::Broken(_) => None,
        }
    }

    fn sound(&self) -> Option<&Arc<Instance>> {
        match self {
            Self::Sound(instance) => Some(instance),
            Self::Nameless(_) | Self::Broken(_) => None,
        }
    }
}

impl Instances {
    /// How many there are.
    pub const fn len(&self) -> usize {
        self.sound
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.sound == 0
    }

    /// The one of an id.
    pub fn get(&self, id: InstanceId) -> Option<&Arc<Instance>> {
        self.row(id)?.sound()
    }

    /// All of them in the order of their ids.
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.rows.iter())
    }

    /// How many rows there are, sound or not.
    pub(super) const fn rows(&self) -> usize {
        self.rows.len()
    }

    /// What became of a row.
    pub(super) fn row(&self, id: InstanceId) -> Option<&Became> {
        self.rows.get(id.0, |_| true).map(|placed| &placed.became)
    }

    /// Every row.
    pub(super) fn every(&self) -> impl Iterator<Item = &Placed> {
        self.rows.iter()
    }

    /// The rows they were made of, and those that nothing could be made of.
    pub fn every_row(&self) -> impl Iterator<Item = &Arc<model::Instance>> {
        self.every().map(|placed| placed.became.row())
    }

    pub(super) fn put(&mut self, id: InstanceId, became: Became) {
        self.sound += usize::from(became.sound().is_some());
        let before = self.rows.put(Placed { id, became }, |_| true);
        self.sound -= usize::from(before.is_some_and(|before| before.became.sound().is_some()));
    }

    /// All of them at once, each id once: cheaper than one after the other.
    pub(super) fn of(all: Vec<Placed>) -> Self {
        let sound = all.iter().filter(|placed| placed.became.sound().is_some()).count();
        Self { rows: all.into_iter().collect(), sound }
    }

    pub(super) fn take(&mut self, id: InstanceId) -> Option<Became> {
        let taken = self.rows.take(id.0, |_| true)?.became;
        self.sound -= usize::from(taken.sound().is_some());
        Some(taken)
    }

    /// What differs between two versions: instances that are on one side only, and those that are on both and may
    /// differ. What both share is not looked at.
    pub fn differences<'a>(
        &'a self,
        other: &'a Self,
        mut tell: impl FnMut(Option<&'a Arc<Instance>>, Option<&'a Arc<Instance>>),
    ) {
        let sound = |placed: Option<&'a Placed>| placed.and_then(|placed| placed.became.sound());
        self.rows.differences(&other.rows, &|_, _| true, &mut |old, new| match (sound(old), sound(new)) {
            (Some(old), Some(new)) if Arc::ptr_eq(old, new) => {}
            (None, None) => {}
            (old, new) => tell(old, new),
        });
    }
}

/// All instances of a snapshot.
pub struct Iter<'a>(trie::Iter<'a, Placed>);

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Arc<Instance>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.find_map(|placed| placed.became.sound())
    }
}

impl<'a> IntoIterator for &'a Instances {
    type Item = &'a Arc<Instance>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

#[cfg(test)]
impl std::ops::Index<usize> for Instances {
    type Output = Arc<Instance>;

    fn index(&self, n: usize) -> &Arc<Instance> {
        self.iter().nth(n).expect("so many instances")
    }
}

#[cfg(test)]
impl Instances {
    /// Changes the instance at a place.
    pub fn edit(&mut self, n: usize, work: impl FnOnce(&mut Instance)) {
        let id = self[n].id;
        let Some(Became::Sound(mut instance)) = self.take(id) else { panic!("it is sound") };
        work(Arc::make_mut(&mut instance));
        self.put(id, Became::Sound(instance));
    }
}

#[cfg(test)]
impl FromIterator<Arc<Instance>> for Instances {
    fn from_iter<T: IntoIterator<Item = Arc<Instance>>>(all: T) -> Self {
        let mut made = Self::default();
        all.into_iter().for_each(|instance| made.put(instance.id, Became::Sound(instance)));
        made
    }
}
