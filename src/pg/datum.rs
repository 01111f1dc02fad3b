//! [`Value`]s to and from Postgres's datums.

use std::ffi::{c_char, c_int};
use std::ptr;

use pgrx::pg_sys::{self, BuiltinOid, Datum, Oid, PgOid};
use pgrx::{FromDatum, IntoDatum};
use serde_json::value::RawValue;

use super::memory::{SHORT, afford, c_text, in_utf8, plain_bytes, text, text_datum, text_in_place};
use super::numeric;
use crate::error::{Error, Kind, Result};
use crate::query::page::{Cell as PageCell, Store};
use crate::value::{Type, Value};

/// The function behind `numeric / numeric`.
const NUMERIC_DIV: u32 = 1727;

/// Days and microseconds between the Unix epoch and Postgres's, 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

/// What the rooms below see of a type, or `None` for types that only Postgres understands.
pub fn scalar_type(oid: Oid) -> Option<Type> {
    Some(match PgOid::from(oid) {
        PgOid::BuiltIn(builtin) => match builtin {
            BuiltinOid::BOOLOID => Type::Bool,
            BuiltinOid::INT2OID | BuiltinOid::INT4OID | BuiltinOid::INT8OID => Type::Int,
            BuiltinOid::FLOAT4OID | BuiltinOid::FLOAT8OID => Type::Float,
            BuiltinOid::NUMERICOID => Type::Decimal,
            BuiltinOid::TEXTOID | BuiltinOid::VARCHAROID => Type::Text,
            BuiltinOid::DATEOID => Type::Date,
            BuiltinOid::TIMEOID => Type::Time,
            BuiltinOid::TIMESTAMPTZOID => Type::Instant,
            _ => return None,
        },
        _ => return None,
    })
}

/// The element's type, for arrays of types that [`scalar_type`] knows.
pub fn list_type(oid: Oid) -> Option<Type> {
    scalar_type(element(oid)?)
}

fn element(array: Oid) -> Option<Oid> {
    // SAFETY: a catalogue look-up.
    let element = unsafe { pg_sys::get_element_type(array) };
    (element != pg_sys::InvalidOid).then_some(element)
}

/// How cells of a column of this type are wanted from an API.
pub fn column_type(oid: Oid) -> Type {
    // SAFETY: a catalogue look-up.
    let base = unsafe { pg_sys::getBaseType(oid) };
    if let Some(ty) = scalar_type(base) {
        return ty;
    }
    match PgOid::from(base) {
        PgOid::BuiltIn(BuiltinOid::JSONBOID | BuiltinOid::JSONOID) => Type::Json,
        PgOid::BuiltIn(BuiltinOid::BYTEAOID) => Type::Bytes,
        _ if element(base).is_some() => Type::TextList,
        _ => Type::Text,
    }
}

/// The value of a datum. A type that [`scalar_type`] and [`list_type`] do not know becomes its text form.
///
/// # Safety
/// The datum must be of the type `oid`.
pub unsafe fn to_value(datum: Datum, null: bool, oid: Oid) -> Value {
    if null {
        return Value::Null;
    }
    match element(oid) {
        // SAFETY: an array of this element type, by the contract above.
        Some(element) => unsafe { list_to_value(datum, element) },
        // SAFETY: by the contract above.
        None => unsafe { item_to_value(datum, oid) },
    }
}

/// As [`to_value`], of a type that is no array, and a datum that is not NULL.
///
/// # Safety
/// The datum must be of the type `oid`.
unsafe fn item_to_value(datum: Datum, oid: Oid) -> Value {
    // SAFETY, for every conversion below: the datum is of the type that was just tested.
    match PgOid::from(oid) {
        PgOid::BuiltIn(BuiltinOid::BOOLOID) => {
            // SAFETY: see above.
            unsafe { bool::from_datum(datum, false) }.map_or(Value::Null, Value::Bool)
        }
        PgOid::BuiltIn(BuiltinOid::INT2OID) => {
            // SAFETY: see above.
            unsafe { i16::from_datum(datum, false) }.map_or(Value::Null, |n| Value::Int(n.into()))
        }
        PgOid::BuiltIn(BuiltinOid::INT4OID) => {
            // SAFETY: see above.
            unsafe { i32::from_datum(datum, false) }.map_or(Value::Null, |n| Value::Int(n.into()))
        }
        PgOid::BuiltIn(BuiltinOid::INT8OID) => {
            // SAFETY: see above.
            unsafe { i64::from_datum(datum, false) }.map_or(Value::Null, Value::Int)
        }
        PgOid::BuiltIn(BuiltinOid::FLOAT4OID) => {
            // SAFETY: see above.
            unsafe { f32::from_datum(datum, false) }.map_or(Value::Null, |n| Value::Float(n.into()))
        }
        PgOid::BuiltIn(BuiltinOid::FLOAT8OID) => {
            // SAFETY: see above.
            unsafe { f64::from_datum(datum, false) }.map_or(Value::Null, Value::Float)
        }
        PgOid::BuiltIn(BuiltinOid::DATEOID) => {
            // SAFETY: see above; a date is an int4.
            unsafe { i32::from_datum(datum, false) }.map_or(Value::Null, |days| {
                Value::Date(match days {
                    i32::MIN | i32::MAX => days,
                    _ => days.saturating_add(EPOCH_DAYS),
                })
            })
        }
        PgOid::BuiltIn(BuiltinOid::TIMEOID) => {
            // SAFETY: see above; a time is an int8.
            unsafe { i64::from_datum(datum, false) }.map_or(Value::Null, Value::Time)
        }
        PgOid::BuiltIn(BuiltinOid::TIMESTAMPTZOID) => {
            // SAFETY: see above; a timestamptz is an int8.
            unsafe { i64::from_datum(datum, false) }.map_or(Value::Null, |micros| {
                Value::Instant(match micros {
                    i64::MIN | i64::MAX => micros,
                    // The last millennia of Postgres's calendar do not fit; they are not infinity.
                    _ => micros.saturating_add(EPOCH_MICROS).min(i64::MAX - 1),
                })
            })
        }
        PgOid::BuiltIn(BuiltinOid::TEXTOID | BuiltinOid::VARCHAROID) => {
            // SAFETY: see above.
            Value::Text(unsafe { text_of(datum) })
        }
        // SAFETY: see above.
        PgOid::BuiltIn(BuiltinOid::NUMERICOID) => Value::Decimal(unsafe { output(datum, oid) }),
        // SAFETY: see above.
        _ => Value::Text(unsafe { output(datum, oid) }),
    }
}

/// Turns datums of one column into cells: as [`to_value`], but seen through domains, and JSON and bytes as what they
/// are. Made once per statement: the catalogue is asked here.
pub struct Decoder {
    base: Oid,
    kind: Cell,
    output: pg_sys::FmgrInfo,
}

enum Cell {
    Text,
    Numeric,
    /// A float4, which as a float8 would have digits that nobody gave it.
    Decimal,
    Json,
    Bytes,
    /// `char(n)`, which pads what it holds.
    Padded,
    /// Without a zone: taken as UTC, as it is when it is read.
    Timestamp,
    List,
    Other,
}

impl Decoder {
    /// For a column of this type.
    pub fn new(oid: Oid) -> Self {
        let mut output = pg_sys::FmgrInfo::default();
        let (mut function, mut varlena) = (pg_sys::InvalidOid, false);
        // SAFETY: catalogue look-ups into live variables. What the function caches lives in the current context,
        // which is the executor's: as long as this decoder.
        let base = unsafe {
            let base = pg_sys::getBaseType(oid);
            pg_sys::getTypeOutputInfo(base, &mut function, &mut varlena);
            pg_sys::fmgr_info(function, &mut output);
            base
        };
        let kind = match PgOid::from(base) {
            PgOid::BuiltIn(BuiltinOid::TEXTOID | BuiltinOid::VARCHAROID) => Cell::Text,
            PgOid::BuiltIn(BuiltinOid::NUMERICOID) => Cell::Numeric,
            PgOid::BuiltIn(BuiltinOid::FLOAT4OID) => Cell::Decimal,
            PgOid::BuiltIn(BuiltinOid::BPCHAROID) => Cell::Padded,
            PgOid::BuiltIn(BuiltinOid::TIMESTAMPOID) => Cell::Timestamp,
            _ if element(base).is_some() => Cell::List,
            PgOid::BuiltIn(BuiltinOid::JSONBOID | BuiltinOid::JSONOID) => Cell::Json,
            PgOid::BuiltIn(BuiltinOid::BYTEAOID) => Cell::Bytes,
            _ => Cell::Other,
        };
        Decoder { base, kind, output }
    }

    /// # Safety
    /// The datum must be of the column's type.
    pub unsafe fn decode(&mut self, datum: Datum, null: bool) -> Value {
        if null {
            return Value::Null;
        }
        // SAFETY, for every branch: the datum is of this type, by the contract above.
        match self.kind {
            // SAFETY: see above.
            Cell::Text => Value::Text(unsafe { text_of(datum) }),
            Cell::Numeric => {
                // SAFETY: see above.
                let plain = unsafe { plain_bytes(datum) }.and_then(numeric::text);
                // SAFETY: see above.
                Value::Decimal(plain.map_or_else(|| unsafe { self.output(datum) }, String::into_boxed_str))
            }
            // SAFETY: see above.
            Cell::Decimal => Value::Decimal(unsafe { self.output(datum) }),
            // SAFETY: see above.
            Cell::Json => Value::Json(unsafe { self.output(datum) }),
            Cell::Bytes => {
                // SAFETY: see above.
                unsafe { <&[u8]>::from_datum(datum, false) }.map_or(Value::Null, |bytes| {
                    afford(bytes.len());
                    Value::Bytes(bytes.into())
                })
            }
            // SAFETY: see above.
            Cell::Padded => Value::Text(unsafe { self.output(datum) }.trim_end_matches(' ').into()),
            // SAFETY: see above; it has the form of a timestamptz.
            Cell::Timestamp => unsafe { item_to_value(datum, pg_sys::TIMESTAMPTZOID) },
            Cell::List => {
                // SAFETY: see above.
                let list = unsafe { to_value(datum, false, self.base) };
                // SAFETY: see above; the header says how many dimensions an array has.
                let dimensions =
                    unsafe { (*pg_sys::pg_detoast_datum(datum.cast_mut_ptr()).cast::<pg_sys::ArrayType>()).ndim };
                if dimensions > 1 { Value::List([list].into()) } else { list }
            }
            // SAFETY: see above; a domain's datum is one of its base type.
            Cell::Other => unsafe { item_to_value(datum, self.base) },
        }
    }

    /// # Safety
    /// The datum must be of the column's type.
    unsafe fn output(&mut self, datum: Datum) -> Box<str> {
        // SAFETY: the type's own output function on a datum of the type; a NUL-terminated string comes back.
        unsafe { text(pg_sys::OutputFunctionCall(&mut self.output, datum)) }.into()
    }
}

/// The text of a text datum.
///
/// # Safety
/// The datum must be of type text or varchar.
unsafe fn text_of(datum: Datum) -> Box<str> {
    if !in_utf8() {
        // SAFETY: by the contract above.
        return unsafe { output(datum, pg_sys::TEXTOID) };
    }
    // SAFETY: by the contract above.
    if let Some(plain) = unsafe { plain_bytes(datum) }.and_then(|bytes| std::str::from_utf8(bytes).ok()) {
        afford(plain.len());
        return plain.into();
    }
    // SAFETY: by the contract above; what is stored is valid in the database's encoding.
    let text = unsafe { <&str>::from_datum(datum, false) }.unwrap_or_default();
    afford(text.len());
    text.into()
}

/// # Safety
/// The datum must be an array of this element type.
unsafe fn list_to_value(datum: Datum, element: Oid) -> Value {
    let (mut length, mut by_value, mut align) = (0, false, 0);
    // SAFETY: a catalogue look-up into three live variables.
    unsafe { pg_sys::get_typlenbyvalalign(element, &mut length, &mut by_value, &mut align) };
    let (mut items, mut nulls, mut count) = (ptr::null_mut(), ptr::null_mut(), 0);
    // SAFETY: an array by the contract above; Postgres allocates what the out-pointers get.
    unsafe {
        let array = pg_sys::pg_detoast_datum(datum.cast_mut_ptr()).cast();
        pg_sys::deconstruct_array(array, element, length.into(), by_value, align, &mut items, &mut nulls, &mut count);
    }
    let count = usize::try_from(count).unwrap_or(0);
    afford(count.saturating_mul(size_of::<Value>()));
    // SAFETY: `count` items and null flags were just made, of the element's type.
    let item = |at: usize| unsafe { to_value(*items.add(at), *nulls.add(at), element) };
    Value::List((0..count).map(item).collect())
}

/// The text form in UTF-8.
///
/// # Safety
/// The datum must be of the type `oid`.
unsafe fn output(datum: Datum, oid: Oid) -> Box<str> {
    let (mut function, mut varlena) = (pg_sys::InvalidOid, false);
    // SAFETY: a catalogue look-up, then the type's own output function on a datum of the type.
    let cell = unsafe {
        pg_sys::getTypeOutputInfo(oid, &mut function, &mut varlena);
        pg_sys::OidOutputFunctionCall(function, datum)
    };
    // SAFETY: a NUL-terminated string in the server's encoding.
    unsafe { text(cell) }.into()
}

/// Turns cells of one column into datums. Made once per scan: the catalogue is asked here.
pub struct Encoder {
    target: Target,
    /// Whether texts are the same bytes here.
    utf8: bool,
    input: pg_sys::FmgrInfo,
    io_param: Oid,
    modifier: i32,
}

/// Types that need no text form on the way.
#[derive(Clone, Copy, PartialEq)]
enum Target {
    Bool,
    Int2,
    Int4,
    Int8,
    Text,
    Date,
    Time,
    Instant,
    Float8,
    Numeric,
    TextArray,
    /// By the type's input function.
    Input,
}

impl Encoder {
    /// For a column of this type and modifier.
    pub fn new(oid: Oid, modifier: i32) -> Self {
        let mut input = pg_sys::FmgrInfo::default();
        let (mut function, mut io_param) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
        // SAFETY: catalogue look-ups into live variables. What the function caches lives in the current
        // context, which is the executor's: as long as this encoder.
        unsafe {
            pg_sys::getTypeInputInfo(oid, &mut function, &mut io_param);
            pg_sys::fmgr_info(function, &mut input);
        }
        let target = match PgOid::from(oid) {
            // A modifier cuts, rounds or refuses: the input function knows how.
            _ if modifier >= 0 => Target::Input,
            PgOid::BuiltIn(BuiltinOid::BOOLOID) => Target::Bool,
            PgOid::BuiltIn(BuiltinOid::INT2OID) => Target::Int2,
            PgOid::BuiltIn(BuiltinOid::INT4OID) => Target::Int4,
            PgOid::BuiltIn(BuiltinOid::INT8OID) => Target::Int8,
            PgOid::BuiltIn(BuiltinOid::FLOAT8OID) => Target::Float8,
            PgOid::BuiltIn(BuiltinOid::NUMERICOID) => Target::Numeric,
            PgOid::BuiltIn(BuiltinOid::TEXTOID | BuiltinOid::VARCHAROID) => Target::Text,
            PgOid::BuiltIn(BuiltinOid::DATEOID) => Target::Date,
            PgOid::BuiltIn(BuiltinOid::TIMEOID) => Target::Time,
            PgOid::BuiltIn(BuiltinOid::TIMESTAMPTZOID) => Target::Instant,
            PgOid::BuiltIn(BuiltinOid::TEXTARRAYOID) => Target::TextArray,
            _ => Target::Input,
        };
        Encoder { target, utf8: in_utf8(), input, io_param, modifier }
    }

    /// The datum, in the current memory context; `None` is NULL.
    pub fn encode(&mut self, value: &Value) -> Result<Option<Datum>> {
        Ok(match (self.target, value) {
            (_, Value::Null) => None,
            (Target::Bool, Value::Bool(flag)) => flag.into_datum(),
            (Target::Int2, Value::Int(number)) => narrow::<i16>(*number, "smallint")?.into_datum(),
            (Target::Int4, Value::Int(number)) => narrow::<i32>(*number, "integer")?.into_datum(),
            (Target::Int8, Value::Int(number)) => number.into_datum(),
            (Target::Float8, Value::Float(number)) => number.into_datum(),
            (Target::Date, Value::Date(days)) => date_datum(*days),
            (Target::Time, Value::Time(micros)) => micros.into_datum(),
            (Target::Instant, Value::Instant(micros)) => instant_datum(*micros),
            (Target::Text, Value::Text(text)) => Some(text_datum(text)),
            (Target::TextArray, Value::List(items)) => Some(text_array(items)),
            _ => Some(self.by_input(value)),
        })
    }

    /// One number divided by another, as `avg` divides a sum by a count; `None` of nothing. For numeric columns.
    pub fn quotient(&mut self, sum: &Value, count: &Value) -> Result<Option<Datum>> {
        if matches!(count, Value::Null | Value::Int(0)) {
            return Ok(None);
        }
        let Some((sum, count)) = self.encode(sum)?.zip(self.encode(count)?) else { return Ok(None) };
        // SAFETY: Postgres's own division of two numerics.
        Ok(Some(unsafe { pg_sys::OidFunctionCall2Coll(NUMERIC_DIV.into(), pg_sys::InvalidOid, sum, count) }))
    }

    /// As [`Encoder::encode`], of a page's cell. The datum may lie in the page.
    pub fn encode_cell(&mut self, cell: PageCell, store: &mut Store) -> Result<Option<Datum>> {
        match cell {
            PageCell::Other(at) => self.encode(store.other(at)),
            PageCell::Text(text) => {
                afford(text.len());
                self.encode(&store.value(cell))
            }
            _ => self.encode(&store.value(cell)),
        }
    }

    /// As [`Encoder::encode_cell`], of a cell that surely is no error; `None` of others.
    #[inline]
    pub fn encode_plain(&self, cell: PageCell, store: &mut Store) -> Option<Datum> {
        match (cell, self.target) {
            (PageCell::Text(text), Target::Text) if self.utf8 && text.len() <= SHORT => {
                Some(text_in_place(store.spot(text)))
            }
            (PageCell::Instant(micros), Target::Instant) => instant_datum(micros),
            (PageCell::Date(days), Target::Date) => date_datum(days),
            (PageCell::Bool(flag), Target::Bool) => flag.into_datum(),
            (PageCell::Decimal { units, scale }, Target::Numeric) => Some(numeric::datum(units, scale)),
            _ => None,
        }
    }

    /// The cell that JSON stands for in a column of this type, as `jsonb_populate_record` reads it.
    ///
    /// What the type does not take is an error of Postgres's own (22P02, …).
    pub fn read_json(&mut self, json: &str, oid: Oid) -> Result<Value> {
        let text = |json: &str| serde_json::from_str::<String>(json).ok();
        let base = column_type(oid);
        let value = match json.as_bytes().first() {
            Some(b'n') if base != Type::Json => Value::Null,
            _ if base == Type::Json => Value::Json(json.into()),
            Some(b'"') => Value::Text(text(json).unwrap_or_default().into()),
            Some(b'[') if base == Type::TextList => {
                let items: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
                let item = |item: &RawValue| match item.get() {
                    "null" => Value::Null,
                    raw => Value::Text(text(raw).unwrap_or_else(|| raw.to_owned()).into()),
                };
                Value::List(items.into_iter().map(item).collect())
            }
            _ => Value::Text(json.into()),
        };
        if value.is_null() {
            return Ok(value);
        }
        let datum = self.by_input(&value);
        // SAFETY: the type's input function has just made it.
        Ok(unsafe { Decoder::new(oid).decode(datum, false) })
    }

    fn by_input(&mut self, value: &Value) -> Datum {
        afford(value.weight());
        let form = c_text(&value.to_input());
        // SAFETY: a NUL-terminated string in the server's encoding, and the type's own input function.
        unsafe { pg_sys::InputFunctionCall(&mut self.input, form, self.io_param, self.modifier) }
    }
}

fn date_datum(days: i32) -> Option<Datum> {
    days.saturating_sub(EPOCH_DAYS).into_datum()
}

fn instant_datum(micros: i64) -> Option<Datum> {
    micros.saturating_sub(EPOCH_MICROS).into_datum()
}

fn narrow<T: TryFrom<i64>>(number: i64, name: &str) -> Result<T> {
    T::try_from(number).map_err(|_| {
        Error::new(Kind::OutOfRange, format!("{number} is out of range for type {name}"))
            .hint("Declare the column as bigint or numeric.")
    })
}

fn text_array(items: &[Value]) -> Datum {
    afford(size_of_val(items));
    let mut datums: Vec<Datum> = items
        .iter()
        .map(|item| match item {
            Value::Text(text) => text_datum(text),
            other => text_datum(&other.to_input()),
        })
        .collect();
    // SAFETY: as many text datums as said; text is of variable length, by reference, int-aligned.
    let array = unsafe {
        pg_sys::construct_array(
            datums.as_mut_ptr(),
            datums.len() as c_int,
            pg_sys::TEXTOID,
            -1,
            false,
            pg_sys::TYPALIGN_INT as c_char,
        )
    };
    Datum::from(array)
}
