//! Looking at how an object that a synced table follows has changed, and changing the tables likewise; and beginning
//! anew where it has become another object.

use std::task::Poll;

use super::role::ActingAs;
use super::session::{Answers, Remote};
use super::spi::{Spi, oid_arg, text_arg, told_arg};
use super::synced::{Synced, as_keeper};
use crate::error::Result;
use crate::schema::Object;
use crate::schema::drift::Drift;

/// A description that was asked for.
pub struct SchemaWatch {
    synced: Synced,
    answers: Answers<Object>,
    object: Option<Object>,
}

impl SchemaWatch {
    /// Asks, within a transaction.
    pub fn start(synced: Synced) -> Result<SchemaWatch> {
        let remote = Remote::open(synced.source.server, synced.owner)?;
        let answers = remote.stream(vec![remote.connector.describe(&synced.followed.object)], Default::default());
        Ok(SchemaWatch { synced, answers, object: None })
    }

    /// Ready when the answer is there; never waits.
    pub fn collect(&mut self) -> Poll<Result<()>> {
        loop {
            match self.answers.poll() {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Ready(Some(Ok(object))) => self.object = Some(object),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(self.synced.source.locate(error))),
            }
        }
    }

    /// The same, waiting, open to interrupts.
    pub fn collect_all(&mut self) -> Result<()> {
        while let Some(object) = self.answers.receive().map_err(|error| self.synced.source.locate(error))? {
            self.object = Some(object);
        }
        Ok(())
    }

    /// Writes down what has changed, or, if the table's options say so, follows it. True if all is to be read anew.
    ///
    /// Errors: Postgres's own, where a view needs a column that is to go, say.
    pub fn finish(&self) -> Result<bool> {
        let Some(object) = &self.object else { return Ok(false) };
        // As the tables are by now.
        let Some(synced) = Synced::read(self.synced.target)? else { return Ok(false) };
        // What was described may be another object than the one that is followed now.
        if (&synced.origin, synced.owner) != (&self.synced.origin, self.synced.owner) {
            return Ok(false);
        }
        let mut drift = Drift::between(&synced.source.object, object);
        if !synced.follows_another() {
            drift.added.retain(|field| !synced.fields.contains(&field.name));
        }
        let follow = synced.options.follow_schema && !drift.is_none();
        let spi = Spi::connect()?;
        if follow {
            let fields = &synced.source.object.fields;
            let columns: Vec<_> =
                synced.source.columns().iter().map(|column| (column.name.as_str(), &fields[column.field])).collect();
            let _owner = ActingAs::role(synced.owner);
            for command in synced.names.follow_schema(&columns, &drift) {
                spi.run(&command, &[])?;
            }
        }
        let note = if follow {
            None
        } else {
            drift.note(|field| synced.source.column_of(&field.name).map(|column| column.name.as_str()))
        };
        let moved = synced.follows_another();
        if moved {
            let remote = Remote::open(synced.source.server, synced.owner)?;
            synced.begin_anew(remote.connector.feed(object), object)?;
        }
        let _keeper = as_keeper()?;
        spi.run(
            "UPDATE sequin.sync SET requests = requests + 1, \
             swept_at = CASE WHEN $2::boolean THEN 'epoch' ELSE swept_at END WHERE target = $1",
            &[oid_arg(synced.target), text_arg(Some(if follow { "t" } else { "f" }))],
        )?;
        spi.run(
            "INSERT INTO sequin.sync_told (target, schema_note) SELECT target, $2 FROM sequin.sync WHERE target = $1 \
             ON CONFLICT (target) DO UPDATE SET schema_note = excluded.schema_note",
            &[oid_arg(synced.target), told_arg(note.as_deref())],
        )?;
        Ok(follow || moved)
    }
}
