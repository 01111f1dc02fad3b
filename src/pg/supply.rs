//! Records at hand: while they are being put into a synced table, a scan of its foreign table reads them and asks nobody.
//!
//! So they pass through the executor like any rows of the foreign table, from page to table, without being gathered
//! anywhere in between.

use std::cell::RefCell;

use pgrx::pg_sys::Oid;

use super::spi::trigger_depth;
use crate::query::page::Page;
use crate::schema::Field;

/// Records of a foreign table.
pub struct Supply {
    pub table: Oid,
    /// What the cells of the records are.
    pub fields: Vec<Field>,
    pub pages: Vec<Page>,
}

thread_local! {
    /// Beside the records how deep in triggers they may be read: not by triggers of those who own the synced table.
    static SUPPLY: RefCell<Option<(i32, Supply)>> = const { RefCell::new(None) };
}

/// Runs `work`, in which scans of the table read these records, each scan all of them. Gives the records back, unless
/// a panic ends it.
pub fn with<T>(supply: Supply, work: impl FnOnce() -> T) -> (T, Vec<Page>) {
    /// Puts back what was at hand before, also when an error passes by: a trigger may refresh another synced table.
    struct Before(Option<(i32, Supply)>);
    impl Drop for Before {
        fn drop(&mut self) {
            SUPPLY.with_borrow_mut(|supply| *supply = self.0.take());
        }
    }
    let before = Before(SUPPLY.with_borrow_mut(|slot| slot.replace((trigger_depth(), supply))));
    let done = work();
    let pages = SUPPLY.with_borrow_mut(|slot| slot.take().map(|(_, supply)| supply.pages).unwrap_or_default());
    drop(before);
    (done, pages)
}

/// How many records of a table are at hand, for the planner; `None` if the API is to be asked.
pub fn rows(table: Oid) -> Option<usize> {
    SUPPLY.with_borrow(|slot| {
        let (_, supply) = slot.as_ref().filter(|(depth, supply)| supply.table == table && *depth == trigger_depth())?;
        Some(supply.pages.iter().map(Page::rows).sum())
    })
}

/// The records at hand of a table, for a scan that begins.
pub fn take(table: Oid) -> Option<(Vec<Field>, Vec<Page>)> {
    SUPPLY.with_borrow_mut(|slot| {
        let (_, supply) = slot.as_mut().filter(|(depth, supply)| supply.table == table && *depth == trigger_depth())?;
        Some((supply.fields.clone(), std::mem::take(&mut supply.pages)))
    })
}

/// Gives back what [`take`] handed out, also when an error ends the scan.
pub fn give_back(pages: Vec<Page>) {
    SUPPLY.with_borrow_mut(|slot| {
        if let Some((_, supply)) = slot {
            supply.pages = pages;
        }
    });
}
