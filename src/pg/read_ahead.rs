//! Reading rows ahead of the node that modifies, so that they go to the API in batches.
//!
//! Core asks its input for a row, writes it, and asks for the next; its own batching of foreign inserts counts rows
//! before they are written, and knows neither RETURNING nor updates. So the input's function is wrapped: it reads as
//! many rows as a batch takes, and hands them out one by one. Core then asks for each row's outcome as ever. While a
//! batch is on its way, the rows of the next one are read.

use std::cell::RefCell;
use std::collections::HashMap;

use pgrx::{pg_guard, pg_sys};

use super::error::{hold_up, or_raise};
use super::executor::Slot;
use super::modify::Modify;
use super::modify_node::{self, for_this_row, twin};
use crate::error::{Error, Result};
use crate::heap;

thread_local! {
    /// By the wrapped node: a node has no room for a pointer of ours.
    static WRAPPED: RefCell<HashMap<*mut pg_sys::PlanState, *mut ReadAhead>> = RefCell::default();
}

/// Rows that were read and not yet handed out.
pub struct ReadAhead {
    node: *mut pg_sys::PlanState,
    state: *mut pg_sys::EState,
    /// The node's own function.
    read: pg_sys::ExecProcNodeMtd,
    /// Null if rows are only kept back, to be sent one by one.
    modify: *mut Modify,
    /// Whether all rows are read before the first is handed out.
    whole: bool,
    /// Whether each row is kept as it was read; else nobody looks at them again, and the first one stands for all.
    keeps: bool,
    /// Those that are handed out.
    rows: Rows,
    next: usize,
    /// Those of the batch after.
    following: Rows,
    ended: bool,
}

#[derive(Default)]
struct Rows {
    slots: Vec<Slot<'static>>,
    filled: usize,
}

impl ReadAhead {
    /// Wraps a node, from its first row on. What is read goes to `modify`, unless that is null.
    ///
    /// `whole`: everything is read before anything is written, since the input reads what the statement writes, and must
    /// not see it. This takes memory for all rows.
    ///
    /// # Safety
    /// The node must be initialised and not yet run; node, state and `modify` must live as long as the executor's memory.
    pub unsafe fn wrap(node: *mut pg_sys::PlanState, state: *mut pg_sys::EState, modify: *mut Modify, whole: bool) {
        if WRAPPED.with_borrow(|wrapped| wrapped.contains_key(&node)) {
            return;
        }
        // SAFETY: live by the contract above.
        let read = unsafe { (*node).ExecProcNodeReal };
        // SAFETY: null or live by the contract above.
        let keeps = unsafe { modify.as_ref() }.is_none_or(|modify| modify.plan.looks_at_rows());
        let (rows, next, following, ended) = (Rows::default(), 0, Rows::default(), false);
        let ahead = ReadAhead { node, state, read, modify, whole, keeps, rows, next, following, ended };
        // SAFETY: the executor's state is live.
        let ahead = super::memory::keep(unsafe { (*state).es_query_cxt }, ahead);
        WRAPPED.with_borrow_mut(|wrapped| wrapped.insert(node, ahead));
        // SAFETY: a node that has not run yet, and a function of the right kind.
        unsafe { pg_sys::ExecSetExecProcNode(node, Some(next_row)) };
    }

    fn next(&mut self) -> Result<*mut pg_sys::TupleTableSlot> {
        if self.next == self.rows.filled {
            self.fill()?;
        }
        let there = self.next < self.rows.filled;
        let slot = self.rows.slots.get(if self.keeps { self.next } else { 0 }).filter(|_| there);
        self.next += 1;
        Ok(slot.map_or(std::ptr::null_mut(), Slot::as_ptr))
    }

    /// Reads a batch, unless that was done, sends it, and meanwhile reads the next.
    fn fill(&mut self) -> Result<()> {
        self.next = 0;
        if self.following.filled == 0 {
            self.read(false).map_err(|error| self.misfit(error))?;
        }
        std::mem::swap(&mut self.rows, &mut self.following);
        self.following.filled = 0;
        if self.ended || self.whole {
            return Ok(());
        }
        // SAFETY: it lives as long as the executor's memory, and nobody else uses it now.
        let Some(modify) = (unsafe { self.modify.as_mut() }) else { return Ok(()) };
        let sent = modify.launch()?;
        let read = hold_up(|| sent.meanwhile(|| self.read(true)));
        // What became of these rows comes before whatever is wrong with those that follow.
        modify.land(sent)?;
        match read {
            Ok(read) => read.map_err(|error| self.misfit(error)),
            Err(caught) => caught.raise(),
        }
    }

    /// Reads the rows of the next batch. An error is to go through [`ReadAhead::misfit`]; one of Postgres's own unwinds if
    /// it is to be caught, and loses what a report of pgrx's has no place for.
    fn read(&mut self, unwinds: bool) -> Result<()> {
        let Some(read) = self.read else { return Ok(()) };
        while !self.ended {
            // SAFETY: the node's own function, for this node.
            let row = || unsafe { read(self.node) };
            // SAFETY: the one thread that runs Postgres code; a slot of the executor's, or null.
            let row = unsafe { Slot::new(if unwinds { pg_sys::ffi::pg_guard_ffi_boundary(row) } else { row() }) };
            let Some(row) = row.filter(|row| !row.is_empty()) else {
                self.ended = true;
                break;
            };
            let row = if self.keeps || self.following.filled == 0 { self.copy(row)? } else { row };
            self.following.filled += 1;
            // SAFETY: it lives as long as the executor's memory, and nobody else uses it while a row is read.
            let Some(modify) = (unsafe { self.modify.as_mut() }) else { continue };
            // SAFETY: the executor's state is live, and core is between two rows.
            unsafe { modify_node::next_row(self.state) };
            // SAFETY: the executor's state is live.
            if unsafe { for_this_row(self.state, || modify.plan_row(row)) }? && !self.whole {
                break;
            }
        }
        Ok(())
    }

    fn misfit(&self, error: Error) -> Error {
        // SAFETY: null, or live as long as the executor's memory.
        match unsafe { self.modify.as_ref() } {
            Some(modify) => modify.misfit(error),
            None => error,
        }
    }

    /// Keeps a row, in the next free slot.
    fn copy(&mut self, row: Slot<'_>) -> Result<Slot<'static>> {
        let Rows { slots, filled } = &mut self.following;
        if slots.len() == *filled {
            heap::may_grow(slots.len(), slots.capacity(), size_of::<Slot<'_>>())?;
            // SAFETY: both are live while the executor runs.
            slots.extend(unsafe { twin(self.state, row) });
        }
        let copy = slots[*filled];
        // SAFETY: two slots of one kind and row type.
        unsafe { pg_sys::ExecCopySlot(copy.as_ptr(), row.as_ptr()) };
        copy.own();
        Ok(copy)
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        WRAPPED.with_borrow_mut(|wrapped| wrapped.remove(&self.node));
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn next_row(node: *mut pg_sys::PlanState) -> *mut pg_sys::TupleTableSlot {
    let ahead = WRAPPED.with_borrow(|wrapped| wrapped.get(&node).copied());
    // SAFETY: what is in the table is alive, and a node is never run from within itself.
    match ahead.and_then(|ahead| unsafe { ahead.as_mut() }) {
        Some(ahead) => or_raise(ahead.next()),
        None => std::ptr::null_mut(),
    }
}
