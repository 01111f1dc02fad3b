//! Records at hand: while they are being put into a synced table, a scan of its foreign table reads them and asks nobody.
//!
//! So they pass through the executor like any rows of the foreign table, from page to table, without being gathered
//! anywhere in between. They belong to the one statement that [`read_by`] runs. A function, trigger or constraint of
//! the owner's that reads the foreign table meanwhile asks the API, as it would anywhere else.

use std::cell::RefCell;
use std::ffi::{CStr, CString};

use pgrx::pg_sys::Oid;

use super::memory::c_text;
use crate::query::page::Page;
use crate::schema::Field;

/// Records of a foreign table.
pub struct Supply {
    pub table: Oid,
    /// What the cells of the records are.
    pub fields: Vec<Field>,
    pub pages: Vec<Page>,
}

struct AtHand {
    supply: Supply,
    /// The text of the statement that reads them, while it runs.
    statement: Option<CString>,
    /// Whether its scan has them.
    taken: bool,
}

impl AtHand {
    /// Whether they wait for the scan of a statement on that table.
    fn waits(&self, table: Oid) -> bool {
        self.statement.is_some() && !self.taken && self.supply.table == table
    }
}

thread_local! {
    static AT_HAND: RefCell<Option<AtHand>> = const { RefCell::new(None) };
}

/// Runs `work` with these records at hand for the statements that it runs by [`read_by`], each of which reads all of
/// them. Gives the records back, unless a panic ends it.
pub fn with<T>(supply: Supply, work: impl FnOnce() -> T) -> (T, Vec<Page>) {
    /// Puts back what was at hand before, also when an error passes by: a trigger may refresh another synced table.
    struct Before(Option<AtHand>);
    impl Drop for Before {
        fn drop(&mut self) {
            AT_HAND.with_borrow_mut(|slot| *slot = self.0.take());
        }
    }
    let at_hand = AtHand { supply, statement: None, taken: false };
    let before = Before(AT_HAND.with_borrow_mut(|slot| slot.replace(at_hand)));
    let done = work();
    let pages = AT_HAND.with_borrow_mut(|slot| slot.take().map(|at_hand| at_hand.supply.pages).unwrap_or_default());
    drop(before);
    (done, pages)
}

/// Runs `work`, which runs the statement of this text: its scan reads the records at hand.
pub fn read_by<T>(statement: &str, work: impl FnOnce() -> T) -> T {
    struct Done;
    impl Drop for Done {
        fn drop(&mut self) {
            AT_HAND.with_borrow_mut(|slot| {
                if let Some(at_hand) = slot {
                    at_hand.statement = None;
                }
            });
        }
    }
    // As the executor has it: in the database's encoding.
    // SAFETY: a NUL-terminated string.
    let text = unsafe { CStr::from_ptr(c_text(statement)) }.to_owned();
    AT_HAND.with_borrow_mut(|slot| {
        if let Some(at_hand) = slot {
            at_hand.statement = Some(text);
        }
    });
    let _done = Done;
    work()
}

/// How many records of a table are at hand, for the planner of the statement that reads them; `None` if the API is to be
/// asked.
pub fn rows(table: Oid) -> Option<usize> {
    AT_HAND.with_borrow(|slot| {
        let at_hand = slot.as_ref().filter(|at_hand| at_hand.waits(table))?;
        Some(at_hand.supply.pages.iter().map(Page::rows).sum())
    })
}

/// The records at hand of a table, for a scan that begins in the statement of this text.
pub fn take(table: Oid, statement: &CStr) -> Option<(Vec<Field>, Vec<Page>)> {
    AT_HAND.with_borrow_mut(|slot| {
        let at_hand = slot.as_mut().filter(|at_hand| at_hand.waits(table))?;
        if at_hand.statement.as_deref() != Some(statement) {
            return None;
        }
        at_hand.taken = true;
        Some((at_hand.supply.fields.clone(), std::mem::take(&mut at_hand.supply.pages)))
    })
}

/// Gives back what [`take`] handed out, also when an error ends the scan.
pub fn give_back(pages: Vec<Page>) {
    AT_HAND.with_borrow_mut(|slot| {
        if let Some(at_hand) = slot {
            at_hand.supply.pages = pages;
            at_hand.taken = false;
        }
    });
}
