//! How much memory this process holds, and may hold.
//!
//! A failed allocation aborts a Rust process, and a process of Postgres that aborts takes the whole cluster along. So
//! three things keep allocations from failing:
//!
//! - everything is counted, by the allocator in `pg`, and whatever grows with what an API or a statement brings asks
//!   [`check`] or [`set_aside`] first: beyond a limit that is an error of one statement (53200);
//! - before something large is made by code that cannot fail, as that of serde is, [`set_aside`] holds as much address
//!   space as it may take, and the allocator gives it back when the system refuses memory;
//! - a reserve stands ready in the same way for all that is too small to ask.

use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};

use crate::error::{Error, Kind, Result};

/// What a backend may hold, for all that it has under way.
const BACKEND: usize = 256 << 20;
/// The same of a worker, which follows many tables.
const WORKER: usize = 512 << 20;

/// What stands ready for allocations that do not ask. As a mapping of its own it costs address space and no memory; glibc
/// makes one of every block above 32 MiB.
/// <https://man7.org/linux/man-pages/man3/mallopt.3.html> (M_MMAP_THRESHOLD)
const RESERVE: usize = 33 << 20;

/// Growth below this is left to the reserve.
const SMALL: usize = RESERVE / 8;

static HELD: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(BACKEND);

/// Blocks that are held and not used. The first two are the reserve, and what is kept for reporting an error.
static ASIDE: [Mutex<Vec<u8>>; 8] = [const { Mutex::new(Vec::new()) }; 8];
/// How many of the bytes that are held they are.
static UNUSED: AtomicUsize = AtomicUsize::new(0);
/// Where else blocks may be.
const OTHERS: Range<usize> = 2..8;
/// Whether the reserve is there.
static READY: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether this thread can do without what it asks the allocator for.
    static TRYING: Cell<bool> = const { Cell::new(false) };
}

/// The allocator has handed out so many bytes.
pub fn took(bytes: usize) {
    HELD.fetch_add(bytes, Ordering::Relaxed);
    #[cfg(test)]
    watch::count(bytes as isize);
}

/// The allocator has got so many bytes back.
pub fn gave(bytes: usize) {
    HELD.fetch_sub(bytes, Ordering::Relaxed);
    #[cfg(test)]
    watch::count(-(bytes as isize));
}

/// Whether whoever asks the allocator has said that a refusal will do.
pub fn may_fail() -> bool {
    TRYING.get()
}

/// Makes the memory of a vector larger by so many bytes. Errors: as [`check`].
pub fn grow(bytes: &mut Vec<u8>, more: usize) -> Result<()> {
    check(more)?;
    let spare = bytes.capacity() - bytes.len();
    attempt(bytes, spare + more).then_some(()).ok_or_else(refused)
}

/// Asks for room that may be refused.
fn attempt(bytes: &mut Vec<u8>, more: usize) -> bool {
    TRYING.set(true);
    let reserved = bytes.try_reserve_exact(more).is_ok();
    TRYING.set(false);
    reserved
}

/// Gives what is set aside back to the system, which refuses memory; not what is kept for errors. Whether there was
/// anything.
pub fn release() -> bool {
    release_from(0..1) | release_from(OTHERS)
}

/// Gives everything back, so that there is memory to report that there is none.
pub fn release_for_error() {
    release_from(0..ASIDE.len());
}

fn release_from(places: Range<usize>) -> bool {
    READY.store(false, Ordering::Release);
    let mut released = false;
    for place in &ASIDE[places] {
        let block = match place.try_lock() {
            Ok(mut block) => std::mem::take(&mut *block),
            Err(TryLockError::Poisoned(block)) => std::mem::take(&mut *block.into_inner()),
            // Somebody is just putting something there.
            Err(TryLockError::WouldBlock) => continue,
        };
        released |= block.capacity() > 0;
        discard(block);
    }
    released
}

/// Bytes in use.
pub fn held() -> usize {
    HELD.load(Ordering::Relaxed).saturating_sub(UNUSED.load(Ordering::Relaxed))
}

fn limit() -> usize {
    LIMIT.load(Ordering::Relaxed)
}

/// Says that this process is a worker.
pub fn serve_many() {
    LIMIT.store(WORKER, Ordering::Relaxed);
}

/// Whether so many bytes more are so little that nobody has to wait for anybody: a quarter of the limit, since whoever goes
/// on alone above it may need as much for the answer, for reading it, and for the one before.
pub fn is_ample(bytes: usize) -> bool {
    held().saturating_add(bytes) <= limit() / 4
}

/// Whether what can be had again, or done in smaller pieces, is better let go of.
pub fn is_short() -> bool {
    held() > limit() / 2
}

/// Whether so many bytes are beyond the limit, whatever is given back.
pub fn is_hopeless(bytes: usize) -> bool {
    bytes > limit()
}

/// Errors: 53200 if so many bytes more are beyond the limit, or if the system has none left.
pub fn check(bytes: usize) -> Result<()> {
    if held().saturating_add(bytes) > limit() {
        return Err(beyond_limit());
    }
    if READY.load(Ordering::Acquire) || restore() { Ok(()) } else { Err(refused()) }
}

/// To be asked before a collection takes one more element. Errors: as [`check`], if it has to grow and may not.
pub fn may_grow(len: usize, capacity: usize, element: usize) -> Result<()> {
    if len < capacity {
        return Ok(());
    }
    set_aside(capacity.saturating_mul(2).saturating_mul(element)).map(drop)
}

/// Holds address space for what is about to be made, until it is dropped. Errors: as [`check`].
pub fn set_aside(bytes: usize) -> Result<Aside> {
    #[cfg(test)]
    watch::ask(bytes);
    check(bytes)?;
    if bytes <= SMALL {
        return Ok(Aside(None));
    }
    let block = block(bytes.max(RESERVE)).ok_or_else(refused)?;
    let aside = Aside(put(block, OTHERS));
    // It may have been had only for the reserve.
    check(0)?;
    Ok(aside)
}

/// What was set aside, and where; nowhere if it is little.
#[derive(Debug)]
pub struct Aside(Option<usize>);

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(at) = self.0 {
            discard(std::mem::take(&mut *ASIDE[at].lock().unwrap_or_else(PoisonError::into_inner)));
        }
    }
}

/// Has the reserve stand ready again. False if the system refuses it.
fn restore() -> bool {
    let place = |at: usize| match block(RESERVE) {
        Some(block) => {
            put(block, at..at + 1);
            true
        }
        None => false,
    };
    let restored = place(0) && place(1);
    READY.store(restored, Ordering::Release);
    restored
}

/// A block that is held and not used.
fn block(bytes: usize) -> Option<Vec<u8>> {
    let mut block = Vec::new();
    // Before it is made, lest for a moment it seem to be in use.
    UNUSED.fetch_add(bytes, Ordering::Relaxed);
    #[cfg(test)]
    watch::count(-(bytes as isize));
    if attempt(&mut block, bytes) {
        return Some(block);
    }
    UNUSED.fetch_sub(bytes, Ordering::Relaxed);
    #[cfg(test)]
    watch::count(bytes as isize);
    None
}

fn discard(block: Vec<u8>) {
    let bytes = block.capacity();
    drop(block);
    #[cfg(test)]
    watch::count(bytes as isize);
    UNUSED.fetch_sub(bytes, Ordering::Relaxed);
}

/// Puts a block into the first of these places that is free; if none is, it is enough that it could be had.
fn put(block: Vec<u8>, places: Range<usize>) -> Option<usize> {
    for at in places {
        let mut place = ASIDE[at].lock().unwrap_or_else(PoisonError::into_inner);
        if place.capacity() == 0 {
            *place = block;
            return Some(at);
        }
    }
    discard(block);
    None
}

/// About how many bytes it takes to read JSON: its texts once more, what serde makes of them on the way, and for each value
/// what the widest of our types takes as an element of a list that has just grown.
pub fn to_read(json: &[u8]) -> usize {
    const VALUE: usize = 128;
    // Nobody needs to count where the answer is below what the reserve has room for.
    if json.len() <= SMALL / VALUE {
        return json.len() * VALUE;
    }
    let begins = |byte: u8| u8::from(matches!(byte, b',' | b'[' | b'{'));
    // By pieces whose count fits into a byte: that is counted 16 at once.
    let count = |piece: &[u8]| usize::from(piece.iter().fold(0u8, |sum, byte| sum.wrapping_add(begins(*byte))));
    let values: usize = json.chunks(255).map(count).sum();
    json.chunks(PIECE).map(texts).sum::<usize>() + values * VALUE
}

/// Texts are looked at by pieces of this length.
const PIECE: usize = 64 << 10;

/// What the texts in a piece of JSON take.
fn texts(piece: &[u8]) -> usize {
    let times = if piece.contains(&b'\\') {
        // A text with escapes goes through a buffer, which grows by doubling.
        4
    } else if piece.contains(&b'"') {
        1
    } else if piece.is_ascii() {
        // A piece of a long text. If it stands where no text may, it becomes a part of serde's message.
        3
    } else {
        // Where some letters are spelled out.
        6
    };
    piece.len() * times
}

fn beyond_limit() -> Error {
    let message = format!("what is under way takes more than the {} MiB that a process may use for it", limit() >> 20);
    Error::new(Kind::OutOfMemory, message)
        .hint("Set a smaller page_size, name fewer columns, or read and write less in one statement.")
}

fn refused() -> Error {
    Error::new(Kind::OutOfMemory, "the system has no memory left for this process")
        .hint("Give the server more memory or address space, or have it run fewer processes.")
}

/// What one thread takes, for tests.
#[cfg(test)]
pub mod watch {
    use std::cell::Cell;

    thread_local! {
        static NOW: Cell<isize> = const { Cell::new(0) };
        static MOST: Cell<isize> = const { Cell::new(0) };
        static ASKED: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn count(bytes: isize) {
        NOW.set(NOW.get() + bytes);
        MOST.set(MOST.get().max(NOW.get()));
    }

    pub(super) fn ask(bytes: usize) {
        ASKED.set(ASKED.get().saturating_add(bytes));
    }

    pub fn begin() {
        NOW.set(0);
        MOST.set(0);
        ASKED.set(0);
    }

    /// The most that it has held more since, and how much it has set aside in all.
    pub fn end() -> (usize, usize) {
        (MOST.get().unsigned_abs(), ASKED.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allocated_is_counted_and_what_is_set_aside_is_not() {
        // Other tests allocate at the same time, but not that much.
        const MUCH: usize = 100 << 20;
        const NEARLY: usize = 60 << 20;
        let before = held();
        let block: Vec<u8> = std::hint::black_box(Vec::with_capacity(MUCH));
        assert!(held() >= before + NEARLY, "{} {before}", held());
        drop(block);
        let before = held();
        let aside = set_aside(MUCH).unwrap();
        assert!(HELD.load(Ordering::Relaxed) >= before + NEARLY && held() < before + NEARLY);
        drop(aside);
        assert!(held() < before + NEARLY);
    }

    #[test]
    fn more_than_the_limit_is_an_error_of_its_own() {
        for error in [check(BACKEND).unwrap_err(), set_aside(usize::MAX).unwrap_err()] {
            assert_eq!(error.kind(), Kind::OutOfMemory);
            assert!(error.message().contains("256 MiB"), "{error}");
        }
        assert!(may_grow(3, 4, usize::MAX).is_ok() && may_grow(4, 4, usize::MAX).is_err());
    }

    #[test]
    fn values_are_counted_where_there_are_many() {
        let many = format!("[{}1]", "1,".repeat(1 << 20));
        assert!(to_read(many.as_bytes()) > 128 << 20);
        let texts =
            format!("[{}1]", "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\",".repeat(16 << 10));
        assert!(to_read(texts.as_bytes()) < 4 << 20);
        assert_eq!(to_read(b"{}"), 256);
    }
}
