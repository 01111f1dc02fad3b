//! A synced table: what `sequin.sync` and the catalogue say of it.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use pg_sys::Oid;
use pgrx::{PgRelation, pg_sys};
use serde_json::Value as Json;

use super::catalog::{self, Table};
use super::memory::{c_text, text};
use super::role::{ActingAs, is_bound};
use super::spi::{Arg, Rows, Spi, moment_arg, oid_arg, text_arg, told_arg};
use super::version;
use crate::error::{Error, Kind, Result};
use crate::query::delta::{Feed, Followed};
use crate::schema::Object;
use crate::sync::options::SyncOptions;
use crate::sync::pace::back_off;
use crate::sync::wording::{Names, SYNCED_AT, qualified};

/// What is locked of a synced table besides its rows.
#[derive(Clone, Copy)]
pub enum Lock {
    /// Writers share it from before their request until they commit; whoever merges has it alone.
    Writing = 1,
    /// One at a time reads the API for the table.
    Following = 2,
    /// Those who refresh it wait for each other here, where deadlocks among them are found.
    Refreshing = 3,
    /// Those who insert what may be only once wait for each other: an index knows of a row when the API has created it.
    Inserting = 4,
}

/// A synced table and the foreign table that it follows.
pub struct Synced {
    pub target: Oid,
    /// Who owns the table: requests use this role's user mapping, and code of users runs as this role.
    pub owner: Oid,
    pub source: Table,
    pub names: Names,
    pub followed: Followed,
    /// The places in the synced table of the key and the columns of `names`, and their types.
    pub places: Vec<(i16, Oid)>,
    /// The same columns.
    pub columns: Vec<Compared>,
    /// Where the records are, now and when the table was begun.
    pub origin: Json,
    known_origin: Json,
    pub options: SyncOptions,
    pub every: Duration,
    /// Synced tables of the same server, this one among them: they share its quota.
    pub siblings: u64,
    /// The fields that the object had when the table was begun.
    pub fields: HashSet<String>,
    /// How long from one sweep to the next.
    pub sweep_every: Option<Duration>,
    pub state: State,
}

/// A column that rows are compared in: its places in the foreign table and in the synced one, its field, type and name.
pub type Compared = (i16, i16, String, u32, String);

/// What changes while a table is followed. Moments are Postgres's own.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub since: Option<Json>,
    pub filled: bool,
    pub sweep_began: Option<i64>,
    pub sweep_position: Option<Json>,
    pub sweep_read: u64,
    pub swept_at: Option<i64>,
    /// Those of [`Synced::columns`] that all rows have been compared in.
    pub columns: Option<Vec<Compared>>,
    /// Keys of records that the table refuses.
    pub refused: BTreeSet<String>,
    pub expected: Option<u64>,
    pub current_at: Option<i64>,
    pub changed_at: Option<i64>,
    pub requests: u64,
    pub tokens: Option<f64>,
    pub tokens_at: Option<i64>,
    pub failures: u32,
    pub error: Option<String>,
    pub note: Option<String>,
    pub next_try: Option<i64>,
}

/// Now, in Postgres's own count of microseconds.
pub fn now() -> i64 {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}

impl Lock {
    fn tag(self, target: Oid) -> pg_sys::LOCKTAG {
        pg_sys::LOCKTAG {
            // SAFETY: a global that is set when the backend connects.
            locktag_field1: unsafe { pg_sys::MyDatabaseId }.to_u32(),
            locktag_field2: pg_sys::RelationRelationId.to_u32(),
            locktag_field3: target.to_u32(),
            // Core locks the relation itself in another way, and its columns not at all.
            locktag_field4: self as u16,
            locktag_type: pg_sys::LockTagType::LOCKTAG_OBJECT as u8,
            // As advisory locks: those of a session outlive an abort.
            locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
        }
    }

    /// Waits for it, open to interrupts; held until the transaction ends.
    pub fn take(self, target: Oid, alone: bool) {
        self.acquire(target, alone, false, false);
    }

    /// Takes it alone if that works at once; held until the transaction ends.
    pub fn try_take(self, target: Oid) -> bool {
        self.acquire(target, true, false, true)
    }

    /// The same, held until [`Lock::leave`].
    pub fn try_hold(self, target: Oid) -> bool {
        self.acquire(target, true, true, true)
    }

    fn acquire(self, target: Oid, alone: bool, session: bool, at_once: bool) -> bool {
        let mode = if alone { pg_sys::ExclusiveLock } else { pg_sys::ShareLock } as i32;
        // SAFETY: a lock's tag of a kind that Postgres knows.
        let got = unsafe { pg_sys::LockAcquire(&self.tag(target), mode, session, at_once) };
        got != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
    }

    /// Whether what [`Lock::try_hold`] took is still held: code of users may let go of all locks of this kind.
    pub fn is_held(self, target: Oid) -> bool {
        version::holds_lock(&self.tag(target), pg_sys::ExclusiveLock as i32)
    }

    /// Lets go of what [`Lock::try_hold`] took.
    pub fn leave(self, target: Oid) {
        if self.is_held(target) {
            // SAFETY: as above.
            unsafe { pg_sys::LockRelease(&self.tag(target), pg_sys::ExclusiveLock as i32, true) };
        }
    }
}

/// The table `sequin.sync`; `None` if the extension is not here.
pub fn state_table() -> Option<Oid> {
    // SAFETY: catalogue look-ups.
    let schema = unsafe { pg_sys::get_namespace_oid(c"sequin".as_ptr(), true) };
    // SAFETY: likewise.
    let table = unsafe { pg_sys::get_relname_relid(c"sync".as_ptr(), schema) };
    (table != pg_sys::InvalidOid).then_some(table)
}

/// Whether that table is the extension's own: where the extension is not, anybody may have made one of this name.
pub fn is_installed() -> bool {
    let Some(table) = state_table() else { return false };
    // SAFETY: catalogue look-ups.
    unsafe {
        let extension = pg_sys::get_extension_oid(c"sequin_fdw".as_ptr(), true);
        extension != pg_sys::InvalidOid && pg_sys::getExtensionOfObject(pg_sys::RelationRelationId, table) == extension
    }
}

/// Acts as the role that owns the extension's own tables.
pub fn as_keeper() -> Result<ActingAs> {
    let table = state_table().ok_or_else(|| Error::new(Kind::Internal, "the table sequin.sync is missing"))?;
    Ok(ActingAs::role(owner_of(table)))
}

/// A relation as messages and notifications name it: with its schema, quoted where it must be.
pub fn title(relation: Oid) -> String {
    let (schema, name) = catalog::relation_name(relation);
    // SAFETY: two NUL-terminated strings.
    unsafe { text(pg_sys::quote_qualified_identifier(c_text(&schema), c_text(&name))) }
}

/// Who owns a relation; nobody if there is none.
pub fn owner_of(relation: Oid) -> Oid {
    // SAFETY: a look-up by the key of this cache; what it finds is a row of this type, and lives until it is released.
    unsafe {
        let row = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::RELOID as _, relation.into());
        if row.is_null() {
            return pg_sys::InvalidOid;
        }
        let owner = (*pg_sys::GETSTRUCT(row).cast::<pg_sys::FormData_pg_class>()).relowner;
        pg_sys::ReleaseSysCache(row);
        owner
    }
}

/// Refuses whoever is not the owner, nor a member of that role. To be asked before the table is locked: whoever may do
/// nothing with it must not hold up those who may.
pub fn must_own(target: Oid) -> Result<()> {
    let (owner, (_, name)) = (owner_of(target), catalog::relation_name(target));
    if owner == pg_sys::InvalidOid {
        return Err(Error::new(Kind::UnknownObject, format!("there is no table with OID {}", target.to_u32())));
    }
    if catalog::has_role(owner) {
        return Ok(());
    }
    Err(Error::new(Kind::Forbidden, format!("must be owner of table \"{name}\"")))
}

/// Refuses a table that cannot be kept: one that the end of a session or a crash empties, since nothing would tell that
/// it is to be filled again, and one whose rows can be changed by way of another, where its triggers see nothing of it.
pub fn must_fit(target: Oid) -> Result<()> {
    let (schema, name) = catalog::relation_name(target);
    // SAFETY: a catalogue look-up.
    let lasts = unsafe { pg_sys::get_rel_persistence(target) } as u8;
    let what = match lasts {
        pg_sys::RELPERSISTENCE_TEMP => "a temporary table",
        pg_sys::RELPERSISTENCE_UNLOGGED => "unlogged: a crash empties it",
        _ if has_kin(target)? => {
            "a partition, or one of several that inherit: what is written by way of another is not sent"
        }
        _ => return Ok(()),
    };
    let message = format!("\"{name}\" cannot be a synced table, since it is {what}");
    Err(Error::new(Kind::NotSupported, message)
        .hint("Name an ordinary table, or one that is not there yet.")
        .table(&schema, &name))
}

/// Whether a table inherits from another, or another from it.
fn has_kin(table: Oid) -> Result<bool> {
    let _keeper = as_keeper()?;
    let spi = Spi::connect()?;
    let sql = "SELECT FROM pg_catalog.pg_inherits WHERE inhrelid = $1 OR inhparent = $1 LIMIT 1";
    Ok(spi.run_kept(sql, &[oid_arg(table)])?.len() > 0)
}

/// Locks a relation against being dropped, until the transaction ends. False if there is none any more.
pub fn lock_relation(relation: Oid, mode: u32) -> bool {
    // SAFETY: any OID may be locked.
    unsafe { pg_sys::LockRelationOid(relation, mode as i32) };
    // SAFETY: a catalogue look-up.
    unsafe { pg_sys::get_rel_relkind(relation) != 0 }
}

/// A column of a synced table, or of one that is to be.
pub struct Column {
    pub place: i16,
    pub name: String,
    pub ty: Oid,
    modifier: i32,
    /// Whether the table computes it.
    computed: bool,
    pub not_null: bool,
    /// Whether a row needs a value for it.
    pub needed: bool,
}

/// The columns of a relation, without those of which core keeps no more than the place.
pub fn columns(relation: Oid) -> Vec<Column> {
    // SAFETY: the caller has a lock on it.
    let relation = unsafe { PgRelation::open(relation) };
    let descriptor = relation.tuple_desc();
    let columns = descriptor.iter().filter(|column| !column.attisdropped);
    columns
        .map(|column| Column {
            place: column.attnum,
            // SAFETY: a name is a NUL-terminated string.
            name: unsafe { text(column.attname.data.as_ptr()) },
            ty: column.atttypid,
            modifier: column.atttypmod,
            computed: column.attgenerated != 0 || column.attidentity as u8 == pg_sys::ATTRIBUTE_IDENTITY_ALWAYS,
            not_null: column.attnotnull,
            needed: column.attnotnull && !column.atthasdef && column.attidentity == 0,
        })
        .collect()
}

/// A type as SQL has it.
fn type_name(ty: Oid, modifier: i32) -> String {
    // SAFETY: a catalogue look-up; the result is a NUL-terminated string.
    unsafe { text(pg_sys::format_type_with_typemod(ty, modifier)) }
}

/// The column of a foreign table's key. Errors: HV00J without one.
pub fn key(source: &Table) -> Result<&catalog::Column> {
    source.key().ok_or_else(|| {
        let name = &source.name;
        Error::new(Kind::MissingOption, format!("foreign table \"{name}\" has no key column"))
            .hint("ALTER FOREIGN TABLE … ALTER COLUMN id OPTIONS (ADD key 'true');")
            .table(&source.schema, name)
    })
}

/// A column that source and target share.
pub struct Shared {
    /// Where it stands in the source, and where in the target.
    pub places: (i16, i16),
    pub ty: Oid,
    pub name: String,
}

/// The columns that source and target share: the key first.
///
/// Errors: HV00J without a key, 42804's kind where a shared name has another type.
pub fn shared(source: &Table, target: &[Column]) -> Result<Vec<Shared>> {
    let (name, key) = (&source.name, key(source)?);
    let mut shared = Vec::new();
    for column in std::iter::once(key).chain(source.columns().iter().filter(|column| column.attribute != key.attribute))
    {
        let Some(own) = target.iter().find(|own| own.name == column.name) else {
            if column.attribute == key.attribute {
                let message = format!("the table has no column \"{}\", the key of \"{name}\"", column.name);
                return Err(Error::new(Kind::NotSupported, message));
            }
            continue;
        };
        // What rounds or cuts would differ for ever.
        let what = match () {
            _ if own.ty != column.type_oid || (own.modifier != column.modifier && own.modifier >= 0) => {
                let types = (type_name(own.ty, own.modifier), type_name(column.type_oid, column.modifier));
                format!("is {} here, and {}", types.0, types.1)
            }
            _ if own.computed => "is computed here, and comes from the API".to_owned(),
            _ if own.name == SYNCED_AT => "is taken by synced tables, and is a field's".to_owned(),
            _ => {
                shared.push(Shared { places: (column.attribute, own.place), ty: own.ty, name: column.name.clone() });
                continue;
            }
        };
        return Err(Error::new(
            Kind::NotSupported,
            format!("column \"{}\" {what} in foreign table \"{name}\"", own.name),
        )
        .hint("Change one of the two, or leave the column out of the synced table.")
        .column(&column.name));
    }
    Ok(shared)
}

/// How often a synced table's records are all read and compared; NULL for never. More often where the API does not tell of
/// deletions.
pub const SWEEP_EVERY: &str = "CASE WHEN options ? 'sweep_every' THEN (options->>'sweep_every')::interval \
    WHEN (feed->>'deletions')::boolean THEN interval '1 day' ELSE interval '15 minutes' END";

/// Everything of a row. Moments come as they are.
const READ: &str = "SELECT source::oid, extract(epoch FROM every), options, feed, since, filled, sweep_began, \
    sweep_position, sweep_read, swept_at, expected, current_at, changed_at, requests, tokens, tokens_at, failures, error, \
    note, next_try, columns, origin, refused, (SELECT count(*) FROM sequin.sync o JOIN pg_catalog.pg_foreign_table f ON f.ftrelid = o.source \
      JOIN pg_catalog.pg_foreign_table own ON own.ftserver = f.ftserver WHERE own.ftrelid = sync.source)";

const SAVE: &str = "WITH held AS MATERIALIZED \
      (SELECT target FROM sequin.sync WHERE target = $1 FOR NO KEY UPDATE SKIP LOCKED), \
    told AS (INSERT INTO sequin.sync_told AS t (target, error, note) SELECT target, $15, $16 FROM held \
      ON CONFLICT (target) DO UPDATE SET error = excluded.error, note = excluded.note \
      WHERE (t.error, t.note) IS DISTINCT FROM (excluded.error, excluded.note)) \
    UPDATE sequin.sync SET since = $2::jsonb, filled = $3, sweep_began = $4, sweep_position = $5::jsonb, \
    sweep_read = $6, swept_at = $7, expected = $8, current_at = $9, changed_at = $10, requests = $11, \
    tokens = $12::float8, tokens_at = $13, failures = $14, next_try = $17, columns = $18::jsonb, refused = $19::jsonb \
    WHERE target IN (SELECT target FROM held)";

impl Synced {
    /// Reads a synced table, and locks it against being dropped. `None` if it is not one, or not any more.
    pub fn read(target: Oid) -> Result<Option<Synced>> {
        if !lock_relation(target, pg_sys::AccessShareLock) || !is_installed() {
            return Ok(None);
        }
        let Some(known) = Known::of(target)? else { return Ok(None) };
        must_fit(target)?;
        if !lock_relation(known.source, pg_sys::AccessShareLock) {
            let message = format!("the foreign table of synced table \"{}\" is gone", catalog::relation_name(target).1);
            return Err(
                Error::new(Kind::UnknownObject, message).hint("sequin.stop_sync() keeps the table as an ordinary one.")
            );
        }
        let source = Table::read(known.source)?;
        let shared = shared(&source, &columns(target))?;
        let (schema, name) = catalog::relation_name(target);
        let mut names = shared.iter().map(|column| column.name.clone());
        let names = Names {
            target: qualified(&schema, &name),
            source: qualified(&source.schema, &source.name),
            key: names.next().unwrap_or_default(),
            columns: names.collect(),
        };
        let field = |name: &String| {
            let column = source.columns().iter().find(|column| column.name == *name);
            column.map(|column| source.object.fields[column.field].clone())
        };
        let fields: Vec<_> = shared.iter().filter_map(|column| field(&column.name)).collect();
        let columns = shared.iter().zip(&fields).map(|(column, field)| {
            let (there, here) = column.places;
            (there, here, field.name.clone(), column.ty.to_u32(), column.name.clone())
        });
        Ok(Some(Synced {
            columns: columns.collect(),
            fields: known.fields,
            origin: origin(&source)?,
            known_origin: known.origin,
            target,
            owner: owner_of(target),
            names,
            followed: Followed { object: source.object.name.clone(), fields, feed: known.feed },
            source,
            places: shared.iter().map(|column| (column.places.1, column.ty)).collect(),
            options: known.options,
            every: known.every,
            siblings: known.siblings,
            sweep_every: known.sweep_every,
            state: known.state,
        }))
    }

    /// Reads the state and what users set anew. False if the table is not synced any more.
    pub fn reload(&mut self) -> Result<bool> {
        let Some(known) = Known::of(self.target)? else { return Ok(false) };
        self.state = known.state;
        self.options = known.options;
        self.every = known.every;
        self.siblings = known.siblings;
        Ok(true)
    }

    /// Writes the state down. False if the table is not synced any more, or somebody is about to end that.
    pub fn save(&self) -> Result<bool> {
        self.state.save(self.target)
    }

    /// Whether the foreign table shows other records than those that the table was begun with.
    pub fn follows_another(&self) -> bool {
        self.origin != self.known_origin
    }

    /// Lets the table be filled from where the records are now. What it has stays until that is done.
    pub fn begin_anew(&self, feed: Option<Feed>, object: &Object) -> Result<()> {
        let _keeper = as_keeper()?;
        // The worker hears of a change of `every`.
        let sql = "UPDATE sequin.sync SET every = every, origin = $2::jsonb, feed = $3::jsonb, fields = $4::jsonb, filled = false, \
             expected = NULL, since = NULL, sweep_began = NULL, sweep_position = NULL, sweep_read = 0, swept_at = NULL, \
             columns = NULL, refused = NULL WHERE target = $1";
        let feed = feed.map(|feed| serde_json::json!(feed).to_string());
        let args = [
            oid_arg(self.target),
            text_arg(Some(&self.origin.to_string())),
            text_arg(feed.as_deref()),
            text_arg(Some(&names_of(object).to_string())),
        ];
        Spi::connect()?.run(sql, &args)?;
        Ok(())
    }

    /// Takes in all that may have changed since a read of the API began. False, and nothing is taken in, if what was
    /// read does not belong into the table as it is now: it is not synced any more, or somebody else's, or it has
    /// another name or other columns, or the records are elsewhere.
    pub fn renew(&mut self) -> Result<bool> {
        let Some(now) = Synced::read(self.target)? else { return Ok(false) };
        let same = (now.owner, now.source.oid, &now.names, &now.columns, &now.origin, &now.known_origin)
            == (self.owner, self.source.oid, &self.names, &self.columns, &self.origin, &self.known_origin);
        if same {
            *self = now;
        }
        Ok(same)
    }

    /// Refuses a table of which its owner may not see all rows: what is hidden would neither be sent nor follow the API.
    pub fn must_see_all(&self) -> Result<()> {
        if !is_bound(self.owner, self.target) {
            return Ok(());
        }
        let (schema, name) = catalog::relation_name(self.target);
        Err(Error::new(Kind::Forbidden, format!("row level security hides rows of \"{name}\" from its owner"))
            .detail("The table is kept, and sent, as its owner sees it.")
            .hint(format!("ALTER TABLE {} NO FORCE ROW LEVEL SECURITY;", self.names.target))
            .table(&schema, &name))
    }

    /// Whether there are columns that no sweep has compared: rows that do not change at the API lack them.
    pub fn has_new_columns(&self) -> bool {
        let known = self.state.columns.as_deref().unwrap_or_default();
        self.state.filled && self.columns.iter().any(|column| !known.contains(column))
    }
}

/// The names of an object's fields.
pub fn names_of(object: &Object) -> Json {
    object.fields.iter().map(|field| field.name.as_str()).collect()
}

/// Where the records of a foreign table are.
pub fn origin(source: &Table) -> Result<Json> {
    let server = catalog::server(source.server)?;
    Ok(serde_json::json!({ "object": source.object.name, "api": server.base_url.or(server.login_url) }))
}

impl State {
    /// Writes down that a read has failed. How long to wait until the next is the result.
    pub fn note_failure(target: Oid, error: &str, least: Duration) -> Result<Duration> {
        let Some(Known { mut state, .. }) = Known::of(target)? else { return Ok(Duration::ZERO) };
        let wait = state.fail(error, least);
        state.save(target)?;
        Ok(wait)
    }

    /// Takes in that a read has failed. How long to wait until the next is the result: not less than `least`.
    pub fn fail(&mut self, error: &str, least: Duration) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let wait = back_off(self.failures).max(least);
        self.error = Some(error.to_owned());
        self.next_try = Some(now().saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX)));
        wait
    }

    /// Writes the state down. False if the table is not synced any more, or somebody is about to end that.
    pub fn save(&self, target: Oid) -> Result<bool> {
        let json = |json: &Option<Json>| text_arg(json.as_ref().map(Json::to_string).as_deref());
        let moment = |at: Option<i64>| at.map_or((pg_sys::TIMESTAMPTZOID, None), moment_arg);
        let number = |number: u64| -> Arg {
            (pg_sys::INT8OID, Some(pg_sys::Datum::from(i64::try_from(number).unwrap_or(i64::MAX))))
        };
        let args = [
            oid_arg(target),
            json(&self.since),
            (pg_sys::BOOLOID, Some(self.filled.into())),
            moment(self.sweep_began),
            json(&self.sweep_position),
            number(self.sweep_read),
            moment(self.swept_at),
            self.expected.map_or((pg_sys::INT8OID, None), number),
            moment(self.current_at),
            moment(self.changed_at),
            number(self.requests),
            text_arg(self.tokens.map(|tokens| tokens.to_string()).as_deref()),
            moment(self.tokens_at),
            number(self.failures.into()),
            told_arg(self.error.as_deref()),
            told_arg(self.note.as_deref()),
            moment(self.next_try),
            text_arg(self.columns.as_ref().map(|columns| serde_json::json!(columns).to_string()).as_deref()),
            text_arg((!self.refused.is_empty()).then(|| serde_json::json!(self.refused).to_string()).as_deref()),
        ];
        let _keeper = as_keeper()?;
        let spi = Spi::connect()?;
        let done = spi.run_kept(SAVE, &args)?;
        Ok(done.processed > 0)
    }
}

/// A row of `sequin.sync`.
struct Known {
    source: Oid,
    every: Duration,
    options: SyncOptions,
    sweep_every: Option<Duration>,
    siblings: u64,
    feed: Option<Feed>,
    origin: Json,
    fields: HashSet<String>,
    state: State,
}

impl Known {
    fn of(target: Oid) -> Result<Option<Known>> {
        let _keeper = as_keeper()?;
        let spi = Spi::connect()?;
        let read = format!(
            "{READ}, extract(epoch FROM {SWEEP_EVERY}), fields FROM sequin.sync LEFT JOIN sequin.sync_told USING (target) WHERE target = $1"
        );
        let rows = spi.run_kept(&read, &[oid_arg(target)])?;
        (rows.len() > 0).then(|| Known::read(&rows)).transpose()
    }

    fn read(rows: &Rows) -> Result<Known> {
        let text = |column| rows.text(0, column);
        let json = |column| text(column).and_then(|json| serde_json::from_str(&json).ok());
        let moment = |column| rows.datum(0, column).map(|at| at.value() as i64);
        let seconds = |column| text(column).and_then(|number| number.parse::<f64>().ok());
        Ok(Known {
            source: Oid::from(u32::try_from(rows.count(0, 1)).unwrap_or_default()),
            every: Duration::from_secs_f64(seconds(2).unwrap_or_default().clamp(0.1, 1e9)),
            options: SyncOptions::read(&text(3).unwrap_or_default())?,
            feed: json(4).and_then(|feed| serde_json::from_value(feed).ok()),
            state: State {
                since: json(5),
                filled: rows.flag(0, 6),
                sweep_began: moment(7),
                sweep_position: json(8),
                sweep_read: rows.count(0, 9),
                swept_at: moment(10),
                expected: text(11).and_then(|number| number.parse().ok()),
                current_at: moment(12),
                changed_at: moment(13),
                requests: rows.count(0, 14),
                tokens: seconds(15),
                tokens_at: moment(16),
                failures: u32::try_from(rows.count(0, 17)).unwrap_or(u32::MAX),
                error: text(18),
                note: text(19),
                next_try: moment(20),
                columns: text(21).and_then(|columns| serde_json::from_str(&columns).ok()),
                refused: text(23).and_then(|keys| serde_json::from_str(&keys).ok()).unwrap_or_default(),
            },
            origin: json(22).unwrap_or_default(),
            fields: json(26).and_then(|fields| serde_json::from_value(fields).ok()).unwrap_or_default(),
            siblings: rows.count(0, 24).max(1),
            sweep_every: seconds(25).map(|seconds| Duration::from_secs_f64(seconds.clamp(1.0, 1e9))),
        })
    }
}

/// A name as SQL has it, quoted anew, and the relation that has it; `None` if there is none. Errors: Postgres's own for
/// what is no name.
pub fn find(name: &str) -> (String, Option<Oid>) {
    let name = super::memory::text_datum(name);
    let (no_lock, missing_ok) = (pg_sys::NoLock as i32, pg_sys::RVROption::RVR_MISSING_OK);
    // SAFETY: a text, a list of names made of it, and the name of a relation made of that.
    unsafe {
        let names = pg_sys::textToQualifiedNameList(name.cast_mut_ptr());
        let quoted = text(pg_sys::NameListToQuotedString(names));
        let relation = pg_sys::makeRangeVarFromNameList(names);
        let found = pg_sys::RangeVarGetRelidExtended(relation, no_lock, missing_ok, None, std::ptr::null_mut());
        (quoted, (found != pg_sys::InvalidOid).then_some(found))
    }
}

/// Where the search path of the session puts a new relation of this name: its name with its schema, quoted. Errors: Postgres's
/// own for what is no name, and where there is no such schema.
pub fn name_of_new(name: &str) -> String {
    let name = super::memory::text_datum(name);
    // SAFETY: a text, a list of names made of it, the name of a relation made of that, and a schema that exists.
    unsafe {
        let relation = pg_sys::makeRangeVarFromNameList(pg_sys::textToQualifiedNameList(name.cast_mut_ptr()));
        let schema = pg_sys::RangeVarGetCreationNamespace(relation);
        qualified(&text(pg_sys::get_namespace_name(schema)), &text((*relation).relname))
    }
}
