//! `sequin.start_sync`, `sequin.refresh` and `sequin.stop_sync`.

use std::time::Duration;

use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::{PgLogLevel, check_for_interrupts};

use super::catalog::{self, Table};
use super::error::{tell, warn};
use super::follower::{Follower, LONG_LOOK_BACK, Progress, Task};
use super::merge;
use super::schema_watch::SchemaWatch;
use super::session::Remote;
use super::spi::{Spi, oid_arg, text_arg};
use super::statements;
use super::synced::{self, Lock, Synced, as_keeper};
use super::wait;
use crate::error::{Error, Kind, Result};
use crate::schema::Object;
use crate::schema::drift::Drift;
use crate::schema::sql::identifier as quote;
use crate::sync::options::SyncOptions;
use crate::sync::wording::{Names, SYNCED_AT, create_table, qualified};

/// How long to wait for what others hold.
const PAUSE: Duration = Duration::from_millis(50);

/// Makes a table that follows `source`, or lets the one of that name do so; of one that does already, sets how.
/// `every`: an interval of Postgres's.
///
/// Errors: 42501 for whoever may not read the one or does not own the other, 0A000 where the two do not fit.
pub fn start(source: Oid, target: &str, every: Datum, options: &str) -> Result<Oid> {
    catalog::forbid_in_read_only("sequin.start_sync()");
    let table = open_source(source)?;
    SyncOptions::read(options)?;
    let spi = Spi::connect()?;
    let interval = (pg_sys::INTERVALOID, Some(every));
    let checked = {
        // Where nobody's own operators are found.
        let _keeper = as_keeper()?;
        spi.run(
            "SELECT extract(epoch FROM $1) >= 0.1, ($2::jsonb->>'sweep_every')::interval > interval '0'",
            &[interval, text_arg(Some(options))],
        )?
    };
    let bad = |name: &str, least: &str| Error::new(Kind::BadOption, format!("\"{name}\" must be {least}"));
    if !checked.flag(0, 1) {
        return Err(bad("every", "at least 0.1 seconds"));
    }
    if checked.text(0, 2).as_deref() == Some("f") {
        return Err(bad("sweep_every", "longer than nothing, or null"));
    }
    let (quoted, existing) = synced::find(target);
    if let Some(existing) = existing {
        synced::must_own(existing)?;
        forget_orphan(&spi, existing)?;
    }
    let target = match existing {
        Some(existing) if let Some(synced) = Synced::read(existing)? => {
            if synced.source.oid != source {
                let message = format!("{quoted} follows another foreign table, \"{}\"", synced.source.name);
                return Err(Error::new(Kind::NotSupported, message).hint("sequin.stop_sync() ends that."));
            }
            let _keeper = as_keeper()?;
            spi.run(
                "UPDATE sequin.sync SET every = $2, options = $3::jsonb WHERE target = $1",
                &[oid_arg(existing), interval, text_arg(Some(options))],
            )?;
            return Ok(existing);
        }
        Some(existing) => {
            adopt(&spi, &table, existing)?;
            existing
        }
        None => {
            let (name, like) = (synced::name_of_new(target), qualified(&table.schema, &table.name));
            spi.run(&create_table(&name, &like, &synced::key(&table)?.name), &[])?;
            synced::find(&name).1.ok_or_else(|| Error::new(Kind::Internal, "the new table is not to be found"))?
        }
    };
    synced::must_fit(target)?;
    let names = names(&table, target)?;
    add_triggers(&spi, target, &names)?;
    let owner = synced::owner_of(target);
    let remote = Remote::open(table.server, owner)?;
    let located = |error| table.locate(error);
    let described = remote.collect(vec![remote.connector.describe(&table.object.name)]).map_err(located)?;
    let feed = described.first().and_then(|object| remote.connector.feed(object));
    if let Some(object) = described.first() {
        must_know(&table, object, &names)?;
    }
    let counts = match remote.connector.counts(std::slice::from_ref(&table.object.name)) {
        Some(job) => remote.collect(vec![job]).map_err(located)?,
        None => Vec::new(),
    };
    let expected = counts.iter().flatten().map(|(_, count)| count.to_string()).next();
    let _keeper = as_keeper()?;
    spi.run(
        "INSERT INTO sequin.sync (target, source, every, options, origin, feed, expected, fields) \
         VALUES ($1, $2, $3, $4::jsonb, $5::jsonb, $6::jsonb, $7::bigint, $8::jsonb)",
        &[
            oid_arg(target),
            oid_arg(source),
            interval,
            text_arg(Some(options)),
            text_arg(Some(&synced::origin(&table)?.to_string())),
            text_arg(feed.map(|feed| serde_json::json!(feed).to_string()).as_deref()),
            text_arg(expected.as_deref()),
            text_arg(described.first().map(|object| synced::names_of(object).to_string()).as_deref()),
        ],
    )?;
    if !super::registry::is_there() {
        let hint = "Set shared_preload_libraries = 'sequin_fdw' and restart the server; until then sequin.refresh() does \
                    its work on demand.";
        tell(PgLogLevel::NOTICE, "no worker keeps the table up to date", None, Some(hint));
    }
    Ok(target)
}

/// Forgets that a table follows a foreign table that is gone: it may follow another.
fn forget_orphan(spi: &Spi, target: Oid) -> Result<()> {
    let _keeper = as_keeper()?;
    let orphaned = "DELETE FROM sequin.sync WHERE target = $1 AND source NOT IN (SELECT oid FROM pg_catalog.pg_class)";
    if spi.run(orphaned, &[oid_arg(target)])?.processed > 0 {
        forget_rest(spi, target)?;
    }
    Ok(())
}

/// Forgets what else is known of a table that is not synced any more. As the keeper of our tables.
fn forget_rest(spi: &Spi, target: Oid) -> Result<()> {
    for table in ["sync_deleted", "sync_told"] {
        spi.run(&format!("DELETE FROM sequin.{table} WHERE target = $1"), &[oid_arg(target)])?;
    }
    Ok(())
}

/// Refuses to follow fields that the object does not have. Errors: HV005.
fn must_know(source: &Table, object: &Object, names: &Names) -> Result<()> {
    for field in Drift::between(&source.object, object).gone {
        let Some(column) = source.column_of(&field.name).filter(|column| names.columns.contains(&column.name)) else {
            continue;
        };
        let message = format!("the API's object \"{}\" has no field \"{}\"", object.name, field.name);
        let (schema, name) = (&source.schema, &source.name);
        let hint = format!("ALTER FOREIGN TABLE {} DROP COLUMN {};", qualified(schema, name), quote(&column.name));
        return Err(Error::new(Kind::UnknownField, message).hint(hint).table(schema, name).column(&column.name));
    }
    Ok(())
}

/// A foreign table of this wrapper that the current user may read, locked against being dropped.
fn open_source(source: Oid) -> Result<Table> {
    synced::lock_relation(source, pg_sys::AccessShareLock);
    let (_, name) = catalog::relation_name(source);
    if !catalog::is_our_table(source) {
        return Err(Error::new(Kind::NotSupported, format!("\"{name}\" is no foreign table of sequin_fdw")));
    }
    let select = pg_sys::ACL_SELECT as pg_sys::AclMode;
    // SAFETY: a catalogue look-up for the current user.
    if unsafe { pg_sys::pg_class_aclcheck(source, pg_sys::GetUserId(), select) } != pg_sys::AclResult::ACLCHECK_OK {
        return Err(Error::new(Kind::Forbidden, format!("permission denied for foreign table \"{name}\"")));
    }
    Table::read(source)
}

fn names(source: &Table, target: Oid) -> Result<Names> {
    let (schema, name) = catalog::relation_name(target);
    let mut shared = synced::shared(source, &synced::columns(target))?.into_iter().map(|column| column.name);
    Ok(Names {
        target: qualified(&schema, &name),
        source: qualified(&source.schema, &source.name),
        key: shared.next().unwrap_or_default(),
        columns: shared.collect(),
    })
}

/// Checks that a table which is there can follow the foreign table, and gives it what it lacks.
fn adopt(spi: &Spi, source: &Table, target: Oid) -> Result<()> {
    synced::lock_relation(target, pg_sys::ShareRowExclusiveLock);
    let (schema, name) = catalog::relation_name(target);
    let refuse = |message: String| Error::new(Kind::NotSupported, message).table(&schema, &name);
    // SAFETY: a catalogue look-up.
    if unsafe { pg_sys::get_rel_relkind(target) } as u8 != pg_sys::RELKIND_RELATION {
        return Err(refuse(format!("\"{name}\" is no ordinary table")));
    }
    synced::must_fit(target)?;
    let columns = synced::columns(target);
    let shared = synced::shared(source, &columns)?;
    let (key, key_place) = (quote(&shared[0].name), shared[0].places.1);
    let unfilled = columns.iter().find(|column| {
        column.needed && column.name != SYNCED_AT && !shared.iter().any(|shared| shared.places.1 == column.place)
    });
    if let Some(column) = unfilled {
        let message = format!("column \"{}\" of \"{name}\" is NOT NULL, and nothing gives it a value", column.name);
        return Err(refuse(message).hint("Give it a default."));
    }
    let unique = {
        let _keeper = as_keeper()?;
        spi.run(
            "SELECT FROM pg_catalog.pg_index WHERE indrelid = $1 AND indisunique AND indimmediate AND indisvalid \
             AND indpred IS NULL AND indnkeyatts = 1 AND indkey[0] = $2::int2",
            &[oid_arg(target), text_arg(Some(&key_place.to_string()))],
        )?
        .len()
            > 0
    };
    let not_null = columns.iter().any(|column| column.place == key_place && column.not_null);
    if !unique || !not_null {
        return Err(refuse(format!("\"{name}\" has no primary key on {key}"))
            .hint(format!("ALTER TABLE {} ADD PRIMARY KEY ({key});", qualified(&schema, &name))));
    }
    match columns.iter().find(|column| column.name == SYNCED_AT) {
        None => {
            spi.run(&format!("ALTER TABLE {} ADD COLUMN {SYNCED_AT} timestamptz", qualified(&schema, &name)), &[])?;
        }
        Some(column) if column.ty == pg_sys::TIMESTAMPTZOID => {}
        Some(_) => return Err(refuse(format!("column \"{SYNCED_AT}\" of \"{name}\" must be timestamptz"))),
    }
    // Left by a synced table whose state was lost.
    drop_triggers(spi, target)?;
    let table = qualified(&schema, &name);
    if spi.run(&format!("SELECT FROM {table} LIMIT 1"), &[])?.len() > 0 {
        let message =
            format!("what \"{name}\" has and the API has not will be deleted when all records have been read");
        tell(PgLogLevel::NOTICE, &message, None, None);
    }
    Ok(())
}

/// Puts our triggers on a table that the current user owns. Nobody but the keeper of our own tables may make them.
fn add_triggers(spi: &Spi, target: Oid, names: &Names) -> Result<()> {
    let triggers = names.triggers();
    {
        let _keeper = as_keeper()?;
        for trigger in &triggers {
            spi.run(trigger, &[])?;
        }
    }
    if triggers_of(spi, target)?.len() == triggers.len() {
        return Ok(());
    }
    // The table is locked, but not its schema, whose owner may have put another one in its place.
    let message = format!("the table {} has got another name meanwhile", names.target);
    Err(Error::new(Kind::Conflict, message).hint("Try again."))
}

/// The names of our triggers of a table.
fn triggers_of(spi: &Spi, target: Oid) -> Result<Vec<String>> {
    let _keeper = as_keeper()?;
    let of = "SELECT tgname FROM pg_catalog.pg_trigger \
         WHERE tgrelid = $1 AND tgfoid = 'sequin.write_through'::pg_catalog.regproc";
    let found = spi.run(of, &[oid_arg(target)])?;
    Ok((0..found.len()).filter_map(|row| found.text(row, 1)).collect())
}

/// Drops our triggers of a table. How many there were is the result.
fn drop_triggers(spi: &Spi, target: Oid) -> Result<usize> {
    let names = triggers_of(spi, target)?;
    let (schema, name) = catalog::relation_name(target);
    for trigger in &names {
        spi.run(&format!("DROP TRIGGER {} ON {}", quote(trigger), qualified(&schema, &name)), &[])?;
    }
    Ok(names.len())
}

/// Brings a synced table up to date. Returns how many rows have changed.
pub fn refresh(target: Oid) -> Result<u64> {
    catalog::forbid_in_read_only("sequin.refresh()");
    synced::must_own(target)?;
    if statements::is_being_updated(target) {
        let message = "sequin.refresh() cannot run within a statement that changes the table";
        return Err(Error::new(Kind::NotSupported, message).hint("It would undo what is not sent yet."));
    }
    if merge::is_being_written(target) {
        let message = "sequin.refresh() cannot run while the table is being brought up to date";
        return Err(Error::new(Kind::NotSupported, message)
            .hint("A trigger, constraint or default of the table calls it: let it do without."));
    }
    synced::lock_relation(target, pg_sys::AccessShareLock);
    Lock::Refreshing.take(target, true);
    // Not in the queue: the worker may itself be waiting for what this transaction has written.
    while !Lock::Following.try_take(target) {
        let io = wait::io()?;
        wait::pause(&io, PAUSE);
        check_for_interrupts!();
    }
    hold_state(target)?;
    let (mut changed, mut looked) = (0, false);
    loop {
        let synced = read(target)?;
        if synced.follows_another() || (synced.options.follow_schema && !looked) {
            looked = true;
            let mut watch = SchemaWatch::start(synced)?;
            watch.collect_all()?;
            watch.finish()?;
            continue;
        }
        let (task, last) = match (&synced.followed.feed, &synced.state.since, synced.state.filled) {
            (Some(_), None, _) => (Task::Poll(Duration::ZERO), false),
            (feed, _, false) => (Task::Sweep, feed.is_none()),
            (Some(_), ..) if synced.has_new_columns() => (Task::Sweep, false),
            // What is gone is seen by comparing alone.
            (Some(feed), ..) if !feed.deletions => (Task::Sweep, true),
            (Some(_), ..) => (Task::Poll(LONG_LOOK_BACK), true),
            (None, ..) => (Task::Sweep, true),
        };
        let (more, ended) = run(Follower::start(synced, task)?)?;
        changed += more;
        if last && ended {
            if let Some(error) = read(target)?.state.error {
                warn(&error, "Mend the record at the API, or what refuses it here: it is asked for again each time.");
            }
            return Ok(changed);
        }
    }
}

/// Waits for whoever is about to change how the table is synced, and keeps others from it until the transaction ends.
fn hold_state(target: Oid) -> Result<()> {
    let _keeper = as_keeper()?;
    let spi = Spi::connect()?;
    spi.run_kept("SELECT FROM sequin.sync WHERE target = $1 FOR NO KEY UPDATE", &[oid_arg(target)])?;
    Ok(())
}

fn read(target: Oid) -> Result<Synced> {
    Synced::read(target)?.ok_or_else(|| {
        let (schema, name) = catalog::relation_name(target);
        Error::new(Kind::NotSupported, format!("\"{name}\" is no synced table")).table(&schema, &name)
    })
}

/// How many rows have changed, and whether all was read: else the table follows other records by now.
fn run(mut follower: Follower) -> Result<(u64, bool)> {
    let mut changed = 0;
    loop {
        follower.collect_all()?;
        let progress = follower.keep(follower.began(), true)?;
        match progress {
            Progress::More(kept) | Progress::Part(kept) | Progress::Held(kept) | Progress::Done(kept) => {
                changed += kept.changed;
            }
            Progress::Gone => {}
        }
        follower.settle();
        match progress {
            Progress::More(_) => follower.forget_piece()?,
            Progress::Part(_) => follower.forget_part()?,
            Progress::Held(_) => {
                let io = wait::io()?;
                wait::pause(&io, PAUSE);
                check_for_interrupts!();
            }
            Progress::Done(_) => return Ok((changed, true)),
            Progress::Gone => return Ok((changed, false)),
        }
    }
}

/// Ends the syncing of a table, which stays as an ordinary one.
pub fn stop(target: Oid) -> Result<()> {
    synced::must_own(target)?;
    // As dropping a trigger does; in this order whoever follows the table locks, too.
    synced::lock_relation(target, pg_sys::AccessExclusiveLock);
    // Somebody may have had it before.
    synced::must_own(target)?;
    let (schema, name) = catalog::relation_name(target);
    let spi = Spi::connect()?;
    let known = {
        let _keeper = as_keeper()?;
        forget_rest(&spi, target)?;
        spi.run("DELETE FROM sequin.sync WHERE target = $1", &[oid_arg(target)])?.processed > 0
    };
    if drop_triggers(&spi, target)? == 0 && !known {
        return Err(Error::new(Kind::NotSupported, format!("\"{name}\" is no synced table")).table(&schema, &name));
    }
    Ok(())
}
