//! Places of a table in an order of their own, some hundreds of bytes at a time: to read a long list part by part.

/// Places in a part; a full one is halved.
const PART: usize = 128;

/// The order. It knows no keys: who asks says which places come before.
#[derive(Default, Debug)]
pub struct Order {
    parts: Vec<Vec<u32>>,
}

impl Order {
    /// Adds a place behind those that are `before` it.
    pub fn insert(&mut self, at: u32, before: impl Fn(u32) -> bool) {
        let (mut part, mut place) = self.find(&before);
        if part == self.parts.len() {
            // Behind all: a list that is filled in its order is filled up.
            match self.parts.last() {
                Some(last) if last.len() < PART => (part, place) = (part - 1, last.len()),
                _ => self.parts.push(Vec::new()),
            }
        }
        let Some(list) = self.parts.get_mut(part) else { return };
        if list.len() == PART {
            let upper = list.split_off(PART / 2);
            self.parts.insert(part + 1, upper);
            if place > PART / 2 {
                (part, place) = (part + 1, place - PART / 2);
            }
        }
        let Some(list) = self.parts.get_mut(part) else { return };
        if list.len() == list.capacity() {
            list.reserve_exact((list.len() / 2).clamp(1, PART - list.len()));
        }
        list.insert(place, at);
    }

    /// Takes out the place behind those that are `before` it.
    pub fn remove(&mut self, at: u32, before: impl Fn(u32) -> bool) {
        let (part, place) = self.find(&before);
        let Some(list) = self.parts.get_mut(part).filter(|list| list.get(place) == Some(&at)) else { return };
        list.remove(place);
        if list.is_empty() {
            self.parts.remove(part);
        }
    }

    /// The places behind those that are `before`, in order.
    pub fn from(&self, before: impl Fn(u32) -> bool) -> impl Iterator<Item = u32> {
        let (part, place) = self.find(&before);
        self.parts.iter().skip(part).flatten().skip(place).copied()
    }

    fn find(&self, before: &impl Fn(u32) -> bool) -> (usize, usize) {
        let part = self.parts.partition_point(|part| part.last().is_some_and(|last| before(*last)));
        let place = self.parts.get(part).map_or(0, |list| list.partition_point(|at| before(*at)));
        (part, place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_a_sorted_list() {
        let mut rng = fastrand::Rng::with_seed(5);
        let mut keys: Vec<u32> = (0..4_000).collect();
        rng.shuffle(&mut keys);
        let (mut order, mut model) = (Order::default(), std::collections::BTreeSet::new());
        for _ in 0..20_000 {
            let at = rng.usize(0..4_000);
            let before = |place: u32| keys[place as usize] < keys[at];
            if model.insert((keys[at], at as u32)) {
                order.insert(at as u32, before);
            } else if rng.bool() {
                model.remove(&(keys[at], at as u32));
                order.remove(at as u32, before);
            }
        }
        let from = rng.u32(0..4_000);
        for first in [0, from, 4_000] {
            let expected: Vec<u32> = model.range((first, 0)..).map(|(_, at)| *at).collect();
            assert_eq!(order.from(|place| keys[place as usize] < first).collect::<Vec<_>>(), expected);
        }
        assert!(order.parts.iter().all(|part| !part.is_empty() && part.len() <= PART));
    }

    #[test]
    fn what_comes_in_order_fills_the_parts() {
        let mut order = Order::default();
        (0..1_000).for_each(|at| order.insert(at, |place| place < at));
        assert_eq!((order.parts.len(), order.from(|_| false).collect::<Vec<_>>()), (8, (0..1_000).collect()));
    }
}
