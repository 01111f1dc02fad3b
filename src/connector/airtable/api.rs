//! What a server's options say of the API, its ids, and its limits.

use crate::connector::contract::Rate;
use crate::error::{Error, Kind, Result};
use crate::options::ServerOptions;
use crate::query::change::WriteLimits;
use crate::schema::Field;

/// Records of a page, and what the server's option `page_size` may lower that to.
/// <https://airtable.com/developers/web/api/list-records>
const PAGE_ROWS: std::ops::RangeInclusive<u32> = 1..=100;

/// <https://airtable.com/developers/web/api/create-records>
pub const LIMITS: WriteLimits = WriteLimits { records: 10, bytes: 1 << 20 };

/// The fields that every record has and no table of fields tells of.
pub const KEY: &str = "_id";
pub const CREATED: &str = "_created_time";

/// What their columns have for a type.
pub const KEY_TYPE: &str = "recordId";
pub const CREATED_TYPE: &str = "recordCreatedTime";

/// The connector `airtable`.
pub struct Airtable {
    page_rows: u32,
    max_retries: u32,
    requests_per_second: Option<u32>,
    typecast: bool,
}

impl Airtable {
    /// Errors: HV00D if an option is set that the API has no use for.
    pub fn new(server: &ServerOptions) -> Result<Self> {
        if server.api_version.is_some() {
            return Err(Error::new(
                Kind::BadOption,
                "option \"api_version\" means nothing to Airtable, whose API has one",
            )
            .hint("ALTER SERVER … OPTIONS (DROP api_version);"));
        }
        let page_rows = server.page_size.unwrap_or(*PAGE_ROWS.end());
        let page_rows = page_rows.clamp(*PAGE_ROWS.start(), *PAGE_ROWS.end());
        let (max_retries, requests_per_second) = (server.max_retries, server.requests_per_second);
        Ok(Airtable { page_rows, max_retries, requests_per_second, typecast: server.typecast })
    }

    /// Records in a page, no more than are expected to be read in all.
    pub fn page_rows_of(&self, expected: Option<u64>) -> u32 {
        let expected = expected.map_or(u32::MAX, |rows| u32::try_from(rows).unwrap_or(u32::MAX));
        self.page_rows.min(expected.max(1))
    }

    /// Of a base, whoever asks, and of a token. The server's option takes the place of both.
    /// <https://airtable.com/developers/web/api/rate-limits>
    pub fn rates(&self, path: &str) -> Vec<Rate> {
        const OF_BASE: u32 = 5;
        const OF_TOKEN: u32 = 50;
        let base = path.split(['/', '?']).find(|part| is_id("app", part));
        let base =
            base.map(|base| Rate::per_second(format!("base {base}"), self.requests_per_second.or(Some(OF_BASE))));
        let of_token = if self.requests_per_second.is_none() { Some(OF_TOKEN) } else { None };
        let token = Rate { per_credential: true, ..Rate::per_second("Airtable with this token", of_token) };
        base.into_iter().chain([token]).collect()
    }

    /// Whether Airtable may make values fit: add choices, find linked records by their names.
    pub fn typecast(&self) -> bool {
        self.typecast
    }

    pub fn max_retries(&self) -> u32 {
        self.max_retries
    }

    pub fn page_rows(&self) -> u32 {
        self.page_rows
    }
}

/// Whether this is an id of the kind that begins with `prefix`: 14 letters and digits follow.
pub fn is_id(prefix: &str, text: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|rest| rest.len() == 14 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Base and table of an object's name: `app…/tbl…`.
///
/// Errors: HV00R if it is none.
pub fn base_and_table(object: &str) -> Result<(&str, &str)> {
    object.split_once('/').filter(|(base, table)| is_id("app", base) && is_id("tbl", table)).ok_or_else(|| {
        Error::new(Kind::UnknownObject, format!("\"{object}\" names no table of Airtable"))
            .hint("The table's option \"object\" must hold the ids of base and table: app…/tbl…. IMPORT FOREIGN SCHEMA writes it.")
    })
}

/// Whether a field is one of [`KEY`] and [`CREATED`].
pub fn is_of_record(field: &Field) -> bool {
    field.name == KEY || field.name == CREATED
}

/// Refuses fields that are not named by their id: the API would answer under another name.
pub fn check_fields(fields: &[Field]) -> Result<()> {
    match fields.iter().find(|field| !is_of_record(field) && !is_id("fld", &field.name)) {
        None => Ok(()),
        Some(field) => Err(Error::new(Kind::UnknownField, format!("\"{}\" is no id of a field of Airtable", field.name))
            .column(&field.name)
            .hint("The column's option \"field\" must hold the field's id, fld…, or _id or _created_time. IMPORT FOREIGN SCHEMA writes it.")),
    }
}
