//! The order of all nodes for requests of one size: packed keys, and the least of each 64.

use super::Strategy;
use super::strategy::{count_key, weigh_load};
use crate::cluster::index::{Bits, Index};

/// The key of a node that has not enough left.
const NONE: u64 = u64::MAX;

const BLOCK: usize = u64::BITS as usize;

/// What decides on the order of nodes, beside the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) strategy: Strategy,
    pub(super) cpus: i64,
    pub(super) memory: i64,
}

/// The nodes as requests of one size see them.
#[derive(Debug)]
pub(super) struct Shape {
    size: Size,
    /// By slot: weight, number of claims and place in the order of names; less is better.
    keys: Vec<u64>,
    /// For each 64 slots the least key and its slot.
    least: Vec<(u64, u32)>,
    /// Nodes that have enough left.
    fits: Bits,
    /// How far the journal of loads was read.
    read_to: Option<u64>,
    /// When it was last asked for.
    used: u64,
}

/// Shapes of the sizes asked for last. Services are scaled by creating the same again and again.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    all: Vec<Shape>,
    clock: u64,
}

/// Sizes remembered: eight bytes a node each.
const SIZES_MAX: usize = 16;

impl Shapes {
    /// The nodes as they are now.
    pub(super) fn get(&mut self, size: Size, index: &Index) -> &Shape {
        self.clock += 1;
        let at = self.all.iter().position(|shape| shape.size == size).unwrap_or_else(|| {
            if self.all.len() == SIZES_MAX {
                let oldest = self.all.iter().enumerate().min_by_key(|(_, shape)| shape.used);
                let oldest = oldest.map_or(0, |(at, _)| at);
                self.all.swap_remove(oldest);
            }
            self.all.push(Shape::new(size));
            self.all.len() - 1
        });
        let shape = &mut self.all[at];
        shape.used = self.clock;
        shape.catch_up(index);
        shape
    }
}

impl Shapes {
    /// Whether what is remembered is what it would be if it were worked out now.
    pub(super) fn check(&mut self, index: &Index) -> Result<(), String> {
        for shape in &mut self.all {
            shape.catch_up(index);
            let mut anew = Shape::new(shape.size);
            anew.catch_up(index);
            let fits = |shape: &Shape| shape.fits.iter().collect::<Vec<u32>>();
            if (&shape.keys, &shape.least) != (&anew.keys, &anew.least)
                || fits(shape) != fits(&anew)
            {
                return Err(format!("the order for {:?} is not renewed", shape.size));
            }
        }
        Ok(())
    }
}

impl Shape {
    fn new(size: Size) -> Self {
        Self {
            size,
            keys: Vec::new(),
            least: Vec::new(),
            fits: Bits::default(),
            read_to: None,
            used: 0,
        }
    }

    /// Nodes that have enough left, whatever else there is against them.
    pub(super) fn fits(&self) -> &Bits {
        &self.fits
    }

    /// What to sort by, best first.
    pub(super) fn key(&self, slot: u32) -> u64 {
        self.keys[slot as usize]
    }

    /// The best of these nodes, all of which fit.
    pub(super) fn best(&self, among: &Bits) -> Option<u32> {
        let mut best = (NONE, 0);
        for (block, (word, least)) in among.words().iter().zip(&self.least).enumerate() {
            // Most blocks are no better than what was found already, whichever of them is meant.
            if *word == 0 || least.0 >= best.0 {
                continue;
            }
            if among.contains(least.1) {
                best = *least;
                continue;
            }
            let mut left = *word;
            while left != 0 {
                let slot = block * BLOCK + left.trailing_zeros() as usize;
                left &= left - 1;
                if self.keys[slot] < best.0 {
                    best = (self.keys[slot], slot as u32);
                }
            }
        }
        (best.0 != NONE).then_some(best.1)
    }

    fn catch_up(&mut self, index: &Index) {
        let log = &index.loads_log;
        match self.read_to.and_then(|read_to| log.since(read_to)) {
            Some(slots) if slots.len() < index.universe().max(BLOCK) => {
                let blocks = index.universe().div_ceil(BLOCK);
                self.keys.resize(blocks * BLOCK, NONE);
                self.least.resize(blocks, (NONE, 0));
                for slot in slots {
                    self.renew(*slot, index);
                    self.renew_block(*slot as usize / BLOCK);
                }
            }
            _ => self.rebuild(index),
        }
        self.read_to = Some(log.end());
    }

    fn rebuild(&mut self, index: &Index) {
        let blocks = index.universe().div_ceil(BLOCK);
        self.keys.clear();
        self.keys.resize(blocks * BLOCK, NONE);
        self.least.clear();
        self.least.resize(blocks, (NONE, 0));
        self.fits.clear();
        for slot in index.known.iter() {
            self.renew(slot, index);
        }
        (0..blocks).for_each(|block| self.renew_block(block));
    }

    fn renew(&mut self, slot: u32, index: &Index) {
        let Size { strategy, cpus, memory } = self.size;
        let load = &index.loads()[slot as usize];
        // A node that has left is in no set, and what it leaves behind must not look good.
        let weight = weigh_load(strategy, load, cpus, memory);
        let weight = weight.filter(|_| index.known.contains(slot));
        self.fits.set(slot, weight.is_some());
        self.keys[slot as usize] = match weight {
            Some(weight) => count_key(strategy, weight, load.count, load.rank),
            None => NONE,
        };
    }

    fn renew_block(&mut self, block: usize) {
        let keys = &self.keys[block * BLOCK..][..BLOCK];
        let least = keys.iter().copied().min().unwrap_or(NONE);
        let at = keys.iter().position(|key| *key == least).unwrap_or(0);
        self.least[block] = (least, (block * BLOCK + at) as u32);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    use super::*;
    use crate::cluster::Cluster;
    use crate::cluster::testing::{add_engine, addr};

    fn size(cpus: i64) -> Size {
        Size { strategy: Strategy::Spread, cpus, memory: 0 }
    }

    fn cluster() -> Cluster {
        let mut cluster = Cluster::default();
        add_engine(&mut cluster, &addr(1), "node-1", &[]);
        cluster
    }

    #[test]
    fn the_sizes_asked_for_last_are_remembered() {
        let (cluster, mut shapes) = (cluster(), Shapes::default());
        for cpus in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 16] {
            shapes.get(size(cpus), cluster.index());
        }
        let mut held: Vec<i64> = shapes.all.iter().map(|shape| shape.size.cpus).collect();
        held.sort_unstable();
        assert_eq!(held, [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    }

    #[test]
    fn what_was_not_renewed_is_noticed() {
        let (cluster, mut shapes) = (cluster(), Shapes::default());
        shapes.get(size(1), cluster.index());
        assert_eq!(shapes.check(cluster.index()), Ok(()));
        shapes.all[0].fits.clear();
        assert!(shapes.check(cluster.index()).is_err());
        shapes.all[0] = Shape::new(size(1));
        shapes.get(size(1), cluster.index());
        shapes.all[0].keys[0] += 1;
        assert!(shapes.check(cluster.index()).is_err());
    }

    proptest! {
        /// Over several blocks of 64, some of them without any node that is meant.
        #[test]
        fn the_best_is_the_least(
            keys in prop::collection::vec(prop::option::of(0..1000_u64), 0..300),
            among in prop::collection::vec(any::<bool>(), 300),
            empty in 0..5_usize,
        ) {
            let mut shape = Shape::new(size(0));
            let blocks = keys.len().div_ceil(BLOCK);
            // As the order of names does, the slot tells equals apart.
            let keyed = keys.iter().zip(0..).map(|(key, slot)| key.map_or(NONE, |k| k * 300 + slot));
            shape.keys = keyed.collect();
            shape.keys.resize(blocks * BLOCK, NONE);
            shape.least.resize(blocks, (NONE, 0));
            (0..blocks).for_each(|block| shape.renew_block(block));
            let meant = |slot: &usize| {
                keys[*slot].is_some() && among[*slot] && slot / BLOCK != empty
            };
            let slots: Vec<usize> = (0..keys.len()).filter(meant).collect();
            let best = slots.iter().min_by_key(|slot| shape.keys[**slot]).map(|slot| *slot as u32);
            let among: Bits = slots.iter().map(|slot| *slot as u32).collect();
            prop_assert_eq!(shape.best(&among), best);
        }
    }
}
