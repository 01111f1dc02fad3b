//! Chance that is the same for the same seed.

use proxy::Dice;

pub struct Draw(Dice);

impl Draw {
    pub fn new(seed: u64) -> Draw {
        Draw(Dice::new(&[seed]))
    }

    /// A number below `n`, 0 if there is none.
    pub fn below(&mut self, n: usize) -> usize {
        self.0.below(n).unwrap_or(0)
    }

    /// True in this share of all draws.
    pub fn hit(&mut self, share: f64) -> bool {
        self.0.chance() < share
    }

    pub fn one<'t, T: ?Sized>(&mut self, of: &[&'t T]) -> &'t T {
        of[self.below(of.len())]
    }
}

/// A text as an SQL literal.
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
