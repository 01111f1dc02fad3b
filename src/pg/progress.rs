//! How far a statement is that writes: what its errors and WARNINGs say, and what it need not find out twice.
//!
//! A statement of a user's on a synced table has others run on the foreign table, one for each row that it inserts. They
//! are parts of it, and share its progress.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use pgrx::pg_sys::Oid;

#[derive(Default)]
pub struct Progress {
    /// Rows that were sent or needed no sending.
    pub rows: Cell<usize>,
    /// Records that were written.
    pub written: Cell<usize>,
    /// Columns of the foreign table whose fields the API does not have any more.
    pub lost: RefCell<Vec<String>>,
}

thread_local! {
    /// The foreign table that the running statement's parts write to, and how far it is.
    static WHOLE: RefCell<Option<(Oid, Rc<Progress>)>> = const { RefCell::new(None) };
}

impl Progress {
    /// Of a statement that writes to a foreign table: its own, unless it is a part of another.
    pub fn of(table: Oid) -> Rc<Progress> {
        WHOLE.with_borrow(|whole| match whole {
            Some((of, progress)) if *of == table => Rc::clone(progress),
            _ => Rc::default(),
        })
    }

    /// As long as the [`Part`] lives, statements that write to this foreign table are parts of this one.
    pub fn share(self: &Rc<Progress>, table: Oid) -> Part {
        Part(WHOLE.replace(Some((table, Rc::clone(self)))))
    }

    pub fn has_lost(&self, column: &str) -> bool {
        self.lost.borrow().iter().any(|lost| lost == column)
    }
}

/// See [`Progress::share`].
pub struct Part(Option<(Oid, Rc<Progress>)>);

impl Drop for Part {
    fn drop(&mut self) {
        WHOLE.set(self.0.take());
    }
}
