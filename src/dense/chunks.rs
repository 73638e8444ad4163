//! A list that grows chunk by chunk: what is in it never moves once its chunk is full.

/// A list in chunks of `1 << BITS`. Only the first one grows; so a short list takes little.
#[derive(Debug)]
pub struct Chunks<T, const BITS: u32> {
    chunks: Vec<Vec<T>>,
    len: usize,
}

impl<T, const BITS: u32> Default for Chunks<T, BITS> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<T, const BITS: u32> Chunks<T, BITS> {
    const SIZE: usize = 1 << BITS;

    /// Adds one at the end.
    pub fn push(&mut self, value: T) {
        if self.len == self.chunks.len() * Self::SIZE {
            let size = if self.len == 0 { 0 } else { Self::SIZE };
            if self.chunks.is_empty() {
                self.chunks.reserve_exact(1);
            }
            self.chunks.push(Vec::with_capacity(size));
        }
        let Some(last) = self.chunks.last_mut() else { return };
        if last.len() == last.capacity() {
            // By half: the instances with few phones are many.
            last.reserve_exact((last.len() / 2).clamp(1, Self::SIZE - last.len()));
        }
        last.push(value);
        self.len += 1;
    }

    /// The one at a place.
    #[inline]
    pub fn get(&self, at: usize) -> Option<&T> {
        self.chunks.get(at >> BITS)?.get(at & (Self::SIZE - 1))
    }

    /// As [`Self::get`], to change it.
    #[inline]
    pub fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.chunks.get_mut(at >> BITS)?.get_mut(at & (Self::SIZE - 1))
    }

    /// All, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// As [`Self::iter`], to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.chunks.iter_mut().flatten()
    }

    /// All, taken out.
    pub fn take(&mut self) -> impl Iterator<Item = T> + use<T, BITS> {
        self.len = 0;
        std::mem::take(&mut self.chunks).into_iter().flatten()
    }

    /// How many there are.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_stay_as_it_grows() {
        let mut list = Chunks::<usize, 3>::default();
        for n in 0..100 {
            assert_eq!((list.len(), list.get(n)), (n, None));
            list.push(n);
            *list.get_mut(n).unwrap() += 1;
        }
        assert!((0..100).all(|n| list.get(n) == Some(&(n + 1))));
        assert_eq!(list.iter().copied().collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
        assert!(list.chunks.iter().all(|chunk| chunk.capacity() == 8));
        assert_eq!((list.take().count(), list.is_empty()), (100, true));
    }
}
