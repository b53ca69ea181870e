//! Persistent arrays and maps: a change copies a few fixed-size pages, whatever the number of elements, and leaves
//! every snapshot taken before as it was.

use std::sync::Arc;

use crate::hash::{Seed, range};

/// Children of a page, elements of a leaf.
const FAN: usize = 64;

type Leaf<T> = Arc<[T; FAN]>;
type Page<T> = Arc<[Option<Leaf<T>>; FAN]>;

/// An array indexed by slot, shared between snapshots.
#[derive(Debug, Clone)]
pub(super) struct Tree<T> {
    root: Arc<[Option<Page<T>>]>,
}

impl<T: Clone + Default> Tree<T> {
    /// An array of at least `len` default elements.
    pub(super) fn new(len: usize) -> Self {
        Self {
            root: (0..len.div_ceil(FAN * FAN).max(1)).map(|_| None).collect(),
        }
    }

    /// The element, `None` where none was ever set.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&T> {
        let page = self.root.get(index / (FAN * FAN))?.as_ref()?;
        let leaf = page[index / FAN % FAN].as_ref()?;
        Some(&leaf[index % FAN])
    }

    /// The element for changes; earlier clones of the array keep theirs.
    ///
    /// # Panics
    /// When `index` is beyond the size the array was made for.
    pub(super) fn get_mut(&mut self, index: usize) -> &mut T {
        let root = Arc::make_mut(&mut self.root);
        let page = root[index / (FAN * FAN)].get_or_insert_with(|| Arc::new([const { None }; FAN]));
        let leaf = Arc::make_mut(page)[index / FAN % FAN]
            .get_or_insert_with(|| Arc::new(std::array::from_fn(|_| T::default())));
        &mut Arc::make_mut(leaf)[index % FAN]
    }
}

/// A key of a [`Map`]: 128 bits of address and whatever else tells it apart.
pub(super) trait MapKey: Copy + Eq {
    /// The key as words to hash.
    fn words(&self) -> ([u64; 4], u64);

    /// Its hash. A key of two words may do with less than five.
    #[inline]
    fn hash(&self, seed: &Seed) -> u64 {
        let (words, tail) = self.words();
        seed.long(words, tail)
    }
}

/// A map with few elements a leaf, shared between snapshots.
#[derive(Debug, Clone)]
pub(super) struct Map<K, V> {
    tree: Tree<Vec<(K, V)>>,
    leaves: u32,
    seed: Seed,
}

impl<K: MapKey, V: Clone> Map<K, V> {
    /// A map meant for about `expected` elements; more make it slower, not wrong.
    pub(super) fn new(expected: usize, seed: Seed) -> Self {
        let leaves = u32::try_from(expected.clamp(FAN, 1 << 18)).unwrap_or(1 << 18);
        Self {
            tree: Tree::new(leaves as usize),
            leaves,
            seed,
        }
    }

    fn leaf(&self, key: &K) -> usize {
        range(key.hash(&self.seed) as u32, self.leaves) as usize
    }

    /// The value of a key.
    #[inline]
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.tree
            .get(self.leaf(key))?
            .iter()
            .find(|(own, _)| own == key)
            .map(|(_, value)| value)
    }

    /// Sets the value of a key and gives the one before.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let at = self.leaf(&key);
        let leaf = self.tree.get_mut(at);
        if let Some((_, own)) = leaf.iter_mut().find(|(own, _)| *own == key) {
            return Some(std::mem::replace(own, value));
        }
        leaf.push((key, value));
        None
    }

    /// Takes a key out.
    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.leaf(key);
        let leaf = self.tree.get_mut(at);
        let place = leaf.iter().position(|(own, _)| own == key)?;
        Some(leaf.swap_remove(place).1)
    }

    /// Every key and value, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        (0..self.leaves as usize)
            .filter_map(|leaf| self.tree.get(leaf))
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::{Map, MapKey, Tree};
    use crate::hash::Seed;
    use std::collections::HashMap;

    impl MapKey for u64 {
        fn words(&self) -> ([u64; 4], u64) {
            ([*self, 0, 0, 0], 0)
        }
    }

    #[test]
    fn a_clone_keeps_what_it_had() {
        let mut tree = Tree::<u32>::new(100_000);
        *tree.get_mut(77_777) = 5;
        let before = tree.clone();
        *tree.get_mut(77_777) = 6;
        assert_eq!(
            (before.get(77_777), tree.get(77_777), tree.get(3)),
            (Some(&5), Some(&6), None)
        );
    }

    #[test]
    fn the_map_agrees_with_a_hash_map() {
        let (mut map, mut model) = (Map::<u64, u64>::new(128, Seed::fixed(1)), HashMap::new());
        let mut state = 1u64;
        for step in 0..20_000u64 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let key = (state >> 33) % 1_000;
            if state >> 63 == 0 {
                assert_eq!(map.insert(key, step), model.insert(key, step));
            } else {
                assert_eq!(map.remove(&key), model.remove(&key));
            }
            assert_eq!(map.get(&key), model.get(&key));
        }
        assert_eq!(map.iter().count(), model.len());
    }
}
