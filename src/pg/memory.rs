//! Values in Postgres's memory contexts.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_char, c_int};

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgMemoryContexts, PgSqlErrorCode, pg_sys};

use crate::heap;

const UTF8: c_int = pg_sys::pg_enc::PG_UTF8 as c_int;

/// A copy of fewer bytes than this is left to the allocator.
const LARGE: usize = 1 << 20;

/// Raises 53200 unless there is memory for so many bytes of a statement's values, and for what is made of them.
pub fn afford(bytes: usize) {
    if bytes < LARGE {
        return;
    }
    if let Err(error) = heap::set_aside(bytes.saturating_mul(2)) {
        let message = error.message().to_owned();
        let report = ErrorReport::new(PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY, message, "sequin_fdw");
        report.set_hint(error.hint_text().unwrap_or_default().to_owned()).report(PgLogLevel::ERROR);
    }
}

/// Whether the database's encoding is UTF-8.
pub fn in_utf8() -> bool {
    // SAFETY: reads the database's encoding.
    unsafe { pg_sys::GetDatabaseEncoding() == UTF8 }
}

/// A C string in the server's encoding, in the current memory context. A NUL, which would end it early, is
/// left out; what the encoding cannot hold is an error of Postgres's own (22P05).
pub fn c_text(text: &str) -> *mut c_char {
    let utf8 = c_utf8(text);
    // SAFETY: a NUL-terminated string of this length. What comes back is the same, or a converted copy.
    unsafe { pg_sys::pg_any_to_server(utf8, libc::strlen(utf8) as c_int, UTF8) }
}

/// A C string in UTF-8 whatever the server's encoding, for what never leaves the backend.
pub fn c_utf8(text: &str) -> *mut c_char {
    afford(text.len());
    let text = text.replace('\0', "");
    // SAFETY: `pstrdup` copies a string that holds no NUL into memory that Postgres owns.
    unsafe { PgMemoryContexts::CurrentMemoryContext.pstrdup(&text) }
}

/// The text of a C string in the server's encoding. In a database without an encoding (SQL_ASCII) what is not
/// UTF-8 is an error of Postgres's own (22021).
///
/// # Safety
/// The pointer must be null or lead to a NUL-terminated string.
pub unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    let utf8 = match in_utf8() {
        true => pointer,
        // SAFETY: by the contract above. What comes back is the same, or a converted copy.
        false => unsafe { pg_sys::pg_server_to_any(pointer, libc::strlen(pointer) as c_int, UTF8) },
    };
    // SAFETY: a NUL-terminated string.
    let text = unsafe { CStr::from_ptr(utf8) };
    afford(text.count_bytes());
    text.to_string_lossy().into_owned()
}

/// The text as messages may hold it: pgrx hands them to Postgres as they are, so that in a database of another encoding only
/// ASCII is safe. The rest is spelled out, until [`as_meant`] is asked.
pub fn message(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || in_utf8() {
        return Cow::Borrowed(text);
    }
    let spelled = spelled_out(text, char::is_ascii);
    // Without a transaction there is no catalogue to find a conversion in.
    // SAFETY: reads the state of this process.
    if unsafe { pg_sys::IsTransactionState() } {
        // SAFETY: a NUL-terminated string.
        let meant = unsafe { CStr::from_ptr(c_text(&storable(text))) }.to_owned();
        SPELLED.with_borrow_mut(|known| {
            known.truncate(MOST_SPELLED - 1);
            known.push_front((spelled.clone(), meant));
        });
    }
    Cow::Owned(spelled)
}

/// Messages of which is known what they were spelled from: those of an error, and of errors that hold it up on its way.
const MOST_SPELLED: usize = 32;

thread_local! {
    /// What [`message`] has spelled out lately, and what it was, in the server's encoding. The last one comes first.
    static SPELLED: RefCell<VecDeque<(String, CString)>> = const { RefCell::new(VecDeque::new()) };
}

/// In the server's encoding what [`message`] has spelled out. Asks no catalogue, so that it serves when an error is sent.
pub fn as_meant(spelled: &CStr) -> Option<CString> {
    if in_utf8() {
        return None;
    }
    let is = |known: &&(String, CString)| known.0.as_bytes() == spelled.to_bytes();
    // A process that exits still says something when it knows no texts any more.
    SPELLED.try_with(|known| known.try_borrow().ok()?.iter().find(is).map(|(_, meant)| meant.clone())).ok().flatten()
}

/// A text that somebody else has worded, as the database can hold it: what its encoding lacks is spelled out.
pub fn storable(text: &str) -> Cow<'_, str> {
    // SAFETY: reads the database's encoding.
    let encoding = unsafe { pg_sys::GetDatabaseEncoding() };
    if text.is_ascii() || [UTF8, pg_sys::pg_enc::PG_SQL_ASCII as c_int].contains(&encoding) {
        return Cow::Borrowed(text);
    }
    // SAFETY: a catalogue look-up.
    let conversion = unsafe { pg_sys::FindDefaultConversionProc(UTF8, encoding) };
    let is_there = |letter: &char| {
        let (mut source, mut target) = ([0; 4], [0; 64]);
        let length = letter.encode_utf8(&mut source).len() as c_int;
        // SAFETY: a conversion between the two, as many bytes as are said, and room for what they may become.
        conversion != pg_sys::InvalidOid
            && length
                == unsafe {
                    pg_sys::pg_do_encoding_conversion_buf(
                        conversion,
                        UTF8,
                        encoding,
                        source.as_mut_ptr(),
                        length,
                        target.as_mut_ptr(),
                        target.len() as c_int,
                        true,
                    )
                }
    };
    Cow::Owned(spelled_out(text, |letter| letter.is_ascii() || is_there(letter)))
}

/// The text with `\u{…}` for each letter that may not stay.
fn spelled_out(text: &str, stays: impl Fn(&char) -> bool) -> String {
    let mut spelled = String::new();
    for letter in text.chars() {
        if stays(&letter) { spelled.push(letter) } else { spelled.extend(letter.escape_unicode()) }
    }
    spelled
}

/// A text datum in the server's encoding, in the current memory context.
pub fn text_datum(text: &str) -> pg_sys::Datum {
    let start = text.as_ptr().cast::<c_char>();
    if in_utf8() {
        // SAFETY: reads as many bytes as there are.
        return unsafe { pg_sys::cstring_to_text_with_len(start, text.len() as c_int) }.into();
    }
    let converted = c_text(text);
    // SAFETY: a NUL-terminated string.
    unsafe { pg_sys::cstring_to_text_with_len(converted, libc::strlen(converted) as c_int) }.into()
}

/// A copy of a plain value in the current memory context.
pub fn palloc<T: Copy>(value: T) -> *mut T {
    // SAFETY: Postgres's memory is aligned for any type of its own, and as large as asked for.
    unsafe {
        let place = pg_sys::palloc(size_of::<T>()).cast::<T>();
        place.write(value);
        place
    }
}

/// The bytes of a value of variable length, if they lie there as they are: neither compressed nor elsewhere.
///
/// # Safety
/// The datum must be of such a type, and live for `'d`.
pub unsafe fn plain_bytes<'d>(datum: pg_sys::Datum) -> Option<&'d [u8]> {
    let start = datum.cast_mut_ptr::<pg_sys::varlena>().cast_const();
    // SAFETY: by the contract above; the header says of which kind it is, and how long.
    unsafe {
        let plain = if pgrx::varatt_is_1b(start) { !pgrx::varatt_is_1b_e(start) } else { pgrx::varatt_is_4b_u(start) };
        plain.then(|| std::slice::from_raw_parts(pgrx::vardata_any(start).cast(), pgrx::varsize_any_exhdr(start)))
    }
}

/// The longest text, in bytes, that a header of one byte can say the length of.
pub const SHORT: usize = 126;

/// A text datum that stays where it is: its header goes to the byte before it. Only for a database in UTF-8.
///
/// `spot` is that byte and the text, of at most [`SHORT`] bytes; it must last as long as the datum.
pub fn text_in_place(spot: &mut [u8]) -> pg_sys::Datum {
    debug_assert!(!spot.is_empty() && spot.len() <= SHORT + 1);
    let start = spot.as_mut_ptr();
    // SAFETY: a header of one byte needs no alignment, and there is one byte at least.
    unsafe { pgrx::set_varsize_1b(start.cast(), spot.len() as i32) };
    pg_sys::Datum::from(start)
}

/// Runs `work` with another current memory context.
///
/// # Safety
/// The context must be live.
pub unsafe fn within<T>(context: pg_sys::MemoryContext, work: impl FnOnce() -> T) -> T {
    // SAFETY: live by the contract above. If `work` unwinds, whoever catches the error sets the context anew.
    let before = unsafe { pg_sys::MemoryContextSwitchTo(context) };
    let done = work();
    // SAFETY: it was the current one a moment ago.
    unsafe { pg_sys::MemoryContextSwitchTo(before) };
    done
}

/// Runs `work` with a current memory context of its own, which is freed afterwards.
pub fn briefly<T>(work: impl FnOnce() -> T) -> T {
    const NAME: &CStr = c"sequin_fdw brief";
    // SAFETY: a new context beneath the current one, which is deleted with it if `work` unwinds.
    let context = unsafe {
        pg_sys::AllocSetContextCreateInternal(
            pg_sys::CurrentMemoryContext,
            NAME.as_ptr(),
            pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
            pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
            pg_sys::ALLOCSET_SMALL_MAXSIZE as usize,
        )
    };
    // SAFETY: made just now.
    let done = unsafe { within(context, work) };
    // SAFETY: nothing of it is in use any more.
    unsafe { pg_sys::MemoryContextDelete(context) };
    done
}

/// A Rust value that is dropped when the memory context is reset or deleted.
///
/// The pointer is valid until then. This is how executor state dies with its query: on success, on error
/// and on abort.
pub fn keep<T>(context: pg_sys::MemoryContext, value: T) -> *mut T {
    PgMemoryContexts::For(context).leak_and_drop_on_delete(value)
}
