//! The one place where an [`Error`] becomes a Postgres error, and where errors learn their context.
//!
//! pgrx's report carries neither CONTEXT nor column names. Postgres asks every callback on
//! `error_context_stack` for them when it finishes an error, so one is linked just before raising. It is
//! not unlinked: whoever catches the error puts the stack back as it was.
//! <https://www.postgresql.org/docs/current/error-message-reporting.html>

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::panic::AssertUnwindSafe;
use std::ptr;

use pgrx::pg_sys::panic::{CaughtError, ErrorReport};
use pgrx::{PgLogLevel, PgSqlErrorCode, PgTryBuilder, pg_guard, pg_sys};

use super::memory::{self, c_text, c_utf8, message, storable};
use crate::error::{Error, Kind, Result, is_hidden, shown};

unsafe extern "C-unwind" {
    /// Adds a line of CONTEXT to the error being finished. The bindings leave it out.
    fn errcontext_msg(format: *const c_char, ...) -> c_int;
}

/// What a callback adds to an error; a null pointer adds nothing. Lives in Postgres's memory, which an
/// abort frees after the error is reported.
#[derive(Clone, Copy)]
struct Context {
    line: *const c_char,
    schema: *const c_char,
    table: *const c_char,
    column: *const c_char,
    datatype: *const c_char,
    constraint: *const c_char,
}

impl Default for Context {
    fn default() -> Self {
        Context::new(None, None, None, None)
    }
}

impl Context {
    /// In the current memory context.
    fn new(line: Option<&str>, schema: Option<&str>, table: Option<&str>, column: Option<&str>) -> Self {
        let keep = |text: Option<&str>| text.map_or(ptr::null(), |text| c_text(&storable(text)).cast_const());
        let (line, schema, table, column) = (keep(line), keep(schema), keep(table), keep(column));
        Context { line, schema, table, column, datatype: ptr::null(), constraint: ptr::null() }
    }
}

/// Hands out the value, or raises the error as Postgres's own.
pub fn or_raise<T>(result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => raise(&error),
    }
}

thread_local! {
    /// The last error that named a column: its message, and the column.
    static NAMED: RefCell<(String, String)> = RefCell::default();
}

/// Gives an error that was raised here, and is about to be raised again, its names anew: those of this table.
/// <https://docs.rs/pgrx-pg-sys/0.18.1/pgrx_pg_sys/panic/struct.ErrorReport.html> has no place for them.
pub fn name_anew(text: &str, schema: &str, table: &str) {
    let column = NAMED.with_borrow(|(known, column)| (*known == *message(text)).then(|| column.clone()));
    link(Context::new(None, Some(schema), Some(table), column.as_deref()));
}

/// An error that was held up on its way.
pub struct Caught {
    error: Box<CaughtError>,
    origin: Option<Origin>,
}

impl Caught {
    /// Lets it go on.
    pub fn raise(self) -> ! {
        link(self.origin.as_ref().map(Origin::context).unwrap_or_default());
        self.error.rethrow()
    }
}

/// Holds up an error of `work`, for something that has to come before it; interrupts go on at once. The transaction
/// is as good as aborted: the error has to be raised.
pub fn hold_up<T>(work: impl FnOnce() -> T) -> Result<T, Box<Caught>> {
    // SAFETY: reads a global of the one thread that runs Postgres code.
    let mut held = Held { outer: unsafe { pg_sys::error_context_stack }, last: None };
    let mut callback = pg_sys::ErrorContextCallback {
        // What surrounds this adds its lines of CONTEXT when the error is raised again, not twice.
        previous: ptr::null_mut(),
        callback: Some(copy_error),
        arg: (&raw mut held).cast(),
    };
    let done = PgTryBuilder::new(AssertUnwindSafe(|| {
        let _pushed = Stack::put(&raw mut callback);
        Ok(work())
    }))
    .catch_others(|error| Err(Box::new(error)))
    .execute();
    let error = match done {
        Ok(done) => return Ok(done),
        Err(error) => error,
    };
    let (passes, text) = match &*error {
        CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => {
            (is_interrupt(report.sql_error_code() as c_int), report.message())
        }
        CaughtError::RustPanic { ereport, .. } => (true, ereport.message()),
    };
    let origin = held.last.filter(|origin| origin.message.to_string_lossy() == text);
    let caught = Caught { error, origin };
    if passes {
        caught.raise();
    }
    // Whatever else the abort lets go of may wait as long as the error; these nobody can wait for.
    // SAFETY: nothing that runs now holds one, and whoever did has been left.
    unsafe { pg_sys::LWLockReleaseAll() };
    Err(Box::new(caught))
}

/// The last error that was reported beneath [`hold_up`]. Most often somebody has caught it and went on.
struct Held {
    /// The callbacks of what surrounds this.
    outer: *mut pg_sys::ErrorContextCallback,
    last: Option<Origin>,
}

/// What a report of pgrx's has no place for, and the message that tells which error it is of.
struct Origin {
    message: CString,
    line: Option<CString>,
    schema: Option<CString>,
    table: Option<CString>,
    column: Option<CString>,
    datatype: Option<CString>,
    constraint: Option<CString>,
}

impl Origin {
    fn of(error: &pg_sys::ErrorData) -> Origin {
        // SAFETY: Postgres's texts are null or end with NUL.
        let copy = |text: *const c_char| (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_owned());
        Origin {
            message: copy(error.message).unwrap_or_default(),
            line: copy(error.context),
            schema: copy(error.schema_name),
            table: copy(error.table_name),
            column: copy(error.column_name),
            datatype: copy(error.datatype_name),
            constraint: copy(error.constraint_name),
        }
    }

    /// In the current memory context.
    fn context(&self) -> Context {
        let keep = |text: &Option<CString>| {
            // SAFETY: copies a text that ends with NUL.
            text.as_ref().map_or(ptr::null(), |text| unsafe { pg_sys::pstrdup(text.as_ptr()) }.cast_const())
        };
        Context {
            line: keep(&self.line),
            schema: keep(&self.schema),
            table: keep(&self.table),
            column: keep(&self.column),
            datatype: keep(&self.datatype),
            constraint: keep(&self.constraint),
        }
    }
}

/// The last callback of a stack: all others have added to the error what they know.
#[pg_guard]
unsafe extern "C-unwind" fn copy_error(arg: *mut c_void) {
    // SAFETY: `hold_up` points to its own variable.
    let Some(held) = (unsafe { arg.cast::<Held>().as_mut() }) else { return };
    // A statement may come to any number of errors that somebody catches, and a copy cannot be freed as a whole but
    // with its memory.
    let is_error = memory::briefly(|| {
        // SAFETY: something is being reported; the copy lasts as long as this memory.
        let copy = unsafe { &*pg_sys::CopyErrorData() };
        let is_error = copy.elevel >= PgLogLevel::ERROR as c_int;
        if is_error {
            held.last = Some(Origin::of(copy));
        }
        is_error
    });
    // A mere notice is not raised again: what surrounds this adds its lines now.
    let mut next = if is_error { ptr::null_mut() } else { held.outer };
    // SAFETY: null, or the callback of a function that is still running.
    while let Some(outer) = unsafe { next.as_ref() } {
        if let Some(callback) = outer.callback {
            // SAFETY: a callback and its own argument, while something is being reported.
            unsafe { callback(outer.arg) };
        }
        next = outer.previous;
    }
}

/// Whether an SQLSTATE is of the class "operator intervention": a cancel, a timeout, a shutdown.
fn is_interrupt(code: c_int) -> bool {
    // ERRCODE_TO_CATEGORY of utils/elog.h.
    const CATEGORY: c_int = (1 << 12) - 1;
    code & CATEGORY == PgSqlErrorCode::ERRCODE_QUERY_CANCELED as c_int & CATEGORY
}

/// Raises the error. Destructors run; Postgres does the rest.
pub fn raise(error: &Error) -> ! {
    if let Some(column) = error.column_name() {
        NAMED.set((message(error.message()).into_owned(), column.to_owned()));
    }
    let (schema, table) = error.table_name().unzip();
    let line = error.request_text().map(|request| format!("remote request: {request}"));
    link(Context::new(line.as_deref(), schema, table, error.column_name()));
    let mut report =
        ErrorReport::new(sql_error_code(error.kind()), message(error.message()).into_owned(), "sequin_fdw");
    if let Some(detail) = error.detail_text() {
        report = report.set_detail(message(detail).into_owned());
    }
    if let Some(hint) = error.hint_text() {
        report = report.set_hint(message(hint).into_owned());
    }
    report.report(PgLogLevel::ERROR);
    // Postgres has taken over.
    unreachable!("reporting at level ERROR does not return")
}

/// Raises a WARNING.
pub fn warn(text: &str, hint: &str) {
    tell(PgLogLevel::WARNING, text, None, Some(hint));
}

/// Sends the client a message below the level of an error.
pub fn tell(level: PgLogLevel, text: &str, detail: Option<&str>, hint: Option<&str>) {
    let words = |text: &str| message(&shown(text.to_owned(), true)).into_owned();
    let mut report = ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, words(text), "sequin_fdw");
    if let Some(detail) = detail {
        report = report.set_detail(words(detail));
    }
    if let Some(hint) = hint {
        report = report.set_hint(words(hint));
    }
    report.report(level);
}

/// Has no error of this process carry a backtrace of Rust's, which pgrx adds to its DETAIL where RUST_BACKTRACE says so: it
/// tells a client of the server's inside, and nothing of what is wrong. To be called before there are threads.
///
/// Rust asks the environment once in a process's life; what is said to it for that is unsaid at once, for other libraries
/// have a Rust of their own. <https://doc.rust-lang.org/std/backtrace/index.html#environment-variables>
pub fn forgo_backtraces() {
    const NAME: &str = "RUST_LIB_BACKTRACE";
    let before = std::env::var_os(NAME);
    // SAFETY: the one thread of a process that is loading the library.
    unsafe { std::env::set_var(NAME, "0") };
    drop(std::backtrace::Backtrace::capture());
    match before {
        // SAFETY: as above.
        Some(before) => unsafe { std::env::set_var(NAME, before) },
        // SAFETY: as above.
        None => unsafe { std::env::remove_var(NAME) },
    }
}

/// Says in errors of Postgres's own which column was being filled. They repeat the value, which is the API's: what is hidden
/// in it is escaped, as in all errors.
pub struct Trail {
    /// In Postgres's memory: an error that unwinds through the trail's owner is raised anew further up.
    callback: *mut pg_sys::ErrorContextCallback,
    columns: Vec<*mut Context>,
}

impl Trail {
    /// For these columns of a foreign table. What is needed to report an error lives in the current memory context.
    pub fn new<'a>(schema: &str, table: &str, columns: impl IntoIterator<Item = &'a str>) -> Self {
        let context = |column| {
            let line = format!("column \"{column}\" of foreign table \"{table}\"");
            in_postgres(Context::new(Some(&line), Some(schema), Some(table), Some(column)))
        };
        let columns = columns.into_iter().map(context).collect();
        let callback = in_postgres(pg_sys::ErrorContextCallback {
            previous: ptr::null_mut(),
            callback: Some(add_column),
            arg: ptr::null_mut(),
        });
        Trail { callback, columns }
    }

    /// From here on errors name this column. An error that passes by finds the stack put right by whoever catches it.
    pub fn enter(&mut self, column: usize) {
        // SAFETY: the one thread that runs Postgres code; the callback is in memory that lives until an error of its
        // statement has been reported.
        unsafe {
            (*self.callback).arg = self.columns[column].cast();
            (*self.callback).previous = pg_sys::error_context_stack;
            pg_sys::error_context_stack = self.callback;
        }
    }

    pub fn leave(&mut self) {
        // SAFETY: what `enter` put on top is taken off again.
        unsafe { pg_sys::error_context_stack = (*self.callback).previous };
    }
}

/// Runs `work`. If an interrupt ends it (a cancel, a timeout, a shutdown, a client that is gone), `detail` gives the
/// error's DETAIL.
pub fn detail_on_interrupt<T>(detail: &dyn Fn() -> Option<String>, work: impl FnOnce() -> T) -> T {
    let mut callback = pg_sys::ErrorContextCallback {
        // SAFETY: reads a global of the one thread that runs Postgres code.
        previous: unsafe { pg_sys::error_context_stack },
        callback: Some(add_detail),
        arg: (&raw const detail).cast_mut().cast(),
    };
    // The callback stays where it is until this is dropped.
    let _pushed = Stack::put(&raw mut callback);
    work()
}

/// Puts the stack of callbacks back as it was, also when an error unwinds: it is then raised anew by whoever catches it
/// first, with the same DETAIL, when this frame is gone.
pub struct Stack(*mut pg_sys::ErrorContextCallback);

impl Stack {
    pub fn put(top: *mut pg_sys::ErrorContextCallback) -> Stack {
        // SAFETY: a global of the one thread that runs Postgres code.
        let before = unsafe { pg_sys::error_context_stack };
        // SAFETY: as above.
        unsafe { pg_sys::error_context_stack = top };
        Stack(before)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { pg_sys::error_context_stack = self.0 };
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn add_detail(arg: *mut c_void) {
    // SAFETY: `detail_on_interrupt` points to its own argument.
    let Some(detail) = (unsafe { arg.cast::<&dyn Fn() -> Option<String>>().as_ref() }) else { return };
    // SAFETY: reads the error that is being reported.
    let code = unsafe { pg_sys::geterrcode() };
    // Postgres ends a backend whose client is gone with an error of another class.
    // SAFETY: a flag of this process.
    let client_is_gone = unsafe { pg_sys::ClientConnectionLost } != 0;
    if !is_interrupt(code) && !client_is_gone {
        return;
    }
    if let Some(text) = detail() {
        let text = shown(text, true);
        const AS_IS: &CStr = c"%s";
        // SAFETY: a printf format of one string, and that string, both NUL-terminated.
        unsafe { pg_sys::errdetail_internal(AS_IS.as_ptr(), c_utf8(&message(&text))) };
    }
}

fn sql_error_code(kind: Kind) -> PgSqlErrorCode {
    let packed = kind
        .sqlstate()
        .bytes()
        .enumerate()
        // MAKE_SQLSTATE of utils/elog.h: six bits a character.
        .fold(0, |packed, (at, byte)| packed | ((i32::from(byte) - 48) & 0x3f) << (6 * at));
    PgSqlErrorCode::from(packed as isize)
}

/// Puts a callback on the stack, in memory of the current context.
fn link(context: Context) {
    let context = in_postgres(context);
    let callback = in_postgres(pg_sys::ErrorContextCallback {
        // SAFETY: reads a global of the one thread that runs Postgres code.
        previous: unsafe { pg_sys::error_context_stack },
        callback: Some(add_context),
        arg: context.cast(),
    });
    // SAFETY: the callback was copied into memory that outlives its place on the stack.
    unsafe { pg_sys::error_context_stack = callback };
}

/// A copy in the current memory context, freed with it.
fn in_postgres<T: Copy>(value: T) -> *mut T {
    // SAFETY: `palloc` returns memory of the size asked for, aligned for any type, or raises.
    let copy = unsafe { pg_sys::palloc(size_of::<T>()) }.cast::<T>();
    // SAFETY: fresh memory of the right size.
    unsafe { copy.write(value) };
    copy
}

#[pg_guard]
unsafe extern "C-unwind" fn add_column(arg: *mut c_void) {
    memory::briefly(|| {
        const AS_IS: &CStr = c"%s";
        // SAFETY: something is being reported; the copy lasts as long as this memory.
        let error = unsafe { &*pg_sys::CopyErrorData() };
        let plain = |text: *const c_char, lines: bool| {
            // SAFETY: null, or a text of Postgres's that ends with NUL.
            let text = unsafe { memory::text(text) };
            let hidden = |letter: char| is_hidden(letter) && !(lines && letter == '\n');
            text.contains(hidden).then(|| c_text(&shown(text, lines)))
        };
        if let Some(text) = plain(error.message, false) {
            // SAFETY: a printf format of one string, and that string, both NUL-terminated; the report keeps a copy.
            unsafe { pg_sys::errmsg_internal(AS_IS.as_ptr(), text) };
        }
        if let Some(text) = plain(error.detail, true) {
            // SAFETY: as above.
            unsafe { pg_sys::errdetail_internal(AS_IS.as_ptr(), text) };
        }
    });
    // SAFETY: the argument of this callback.
    unsafe { add_context(arg) };
}

#[pg_guard]
unsafe extern "C-unwind" fn add_context(arg: *mut c_void) {
    // SAFETY: null, or a `Context` that lives as long as the callback.
    let Some(context) = (unsafe { arg.cast::<Context>().as_ref() }) else { return };
    const AS_IS: &CStr = c"%s";
    if !context.line.is_null() {
        // SAFETY: a printf format of one string, and that string, both NUL-terminated.
        unsafe { errcontext_msg(AS_IS.as_ptr(), context.line) };
    }
    for (code, name) in [
        (pg_sys::PG_DIAG_SCHEMA_NAME, context.schema),
        (pg_sys::PG_DIAG_TABLE_NAME, context.table),
        (pg_sys::PG_DIAG_COLUMN_NAME, context.column),
        (pg_sys::PG_DIAG_DATATYPE_NAME, context.datatype),
        (pg_sys::PG_DIAG_CONSTRAINT_NAME, context.constraint),
    ] {
        if !name.is_null() {
            // SAFETY: the field code is one that `err_generic_string` knows; it copies the text.
            unsafe { pg_sys::err_generic_string(code.into(), name) };
        }
    }
}
