//! Which keys a sweep has seen.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use crate::error::Result;
use crate::heap;

/// Keys, each in 8 bytes: a sweep of ten million records remembers all of them.
///
/// A key that was not seen may be taken for one that was, of ten million by a chance of 1 in 10¹². Its row then stays until
/// the next sweep, which hashes otherwise.
#[derive(Default)]
pub struct Seen {
    hasher: RandomState,
    hashes: HashSet<u64>,
}

impl Seen {
    /// Errors: 53200 if there is no memory to remember more.
    pub fn add(&mut self, key: &str) -> Result<()> {
        heap::may_grow(self.hashes.len(), self.hashes.capacity(), 2 * size_of::<u64>())?;
        self.hashes.insert(self.hasher.hash_one(key));
        Ok(())
    }

    pub fn has(&self, key: &str) -> bool {
        self.hashes.contains(&self.hasher.hash_one(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_seen_and_nothing_else() {
        let mut seen = Seen::default();
        (0..10_000).for_each(|n| seen.add(&format!("003{n:015}")).unwrap());
        assert!((0..10_000).all(|n| seen.has(&format!("003{n:015}"))));
        assert!((10_000..20_000).all(|n| !seen.has(&format!("003{n:015}"))));
    }
}
