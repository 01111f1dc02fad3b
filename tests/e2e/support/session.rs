//! A connection that speaks in texts: rows are cells of text or NULL.

use std::io::Write;

use postgres::{Client, SimpleQueryMessage};

use super::failure::Failure;

pub type Row = Vec<Option<String>>;

pub struct Session {
    client: Client,
}

impl Session {
    pub fn new(client: Client) -> Session {
        Session { client }
    }

    pub fn try_rows(&mut self, sql: &str) -> Result<Vec<Row>, Box<Failure>> {
        let messages = self.client.simple_query(sql).map_err(|error| Box::new(Failure::of(&error)))?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect()),
            _ => None,
        });
        Ok(rows.collect())
    }

    #[track_caller]
    pub fn rows(&mut self, sql: &str) -> Vec<Row> {
        self.try_rows(sql).unwrap_or_else(|failure| panic!("{sql}\n{failure:#?}"))
    }

    #[track_caller]
    pub fn run(&mut self, sql: &str) {
        self.rows(sql);
    }

    /// The first column.
    #[track_caller]
    pub fn column(&mut self, sql: &str) -> Vec<String> {
        self.rows(sql).into_iter().map(|mut row| row.swap_remove(0).unwrap_or_else(|| "NULL".to_owned())).collect()
    }

    /// The one cell; NULL is `NULL`.
    #[track_caller]
    pub fn value(&mut self, sql: &str) -> String {
        let mut column = self.column(sql);
        assert_eq!(column.len(), 1, "{sql}: not one row");
        column.swap_remove(0)
    }

    #[track_caller]
    pub fn number(&mut self, sql: &str) -> i64 {
        self.value(sql).parse().unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// EXPLAIN's lines as one text.
    #[track_caller]
    pub fn explain(&mut self, options: &str, sql: &str) -> String {
        self.column(&format!("EXPLAIN ({options}) {sql}")).join("\n")
    }

    /// The error of a statement that must fail.
    #[track_caller]
    pub fn fails(&mut self, sql: &str) -> Failure {
        match self.try_rows(sql) {
            Ok(rows) => panic!("must fail, but returns {} rows: {sql}\n{:?}", rows.len(), &rows[..rows.len().min(3)]),
            Err(failure) => *failure,
        }
    }

    #[track_caller]
    pub fn fails_with(&mut self, code: &str, sql: &str) -> Failure {
        let failure = self.fails(sql);
        assert_eq!(failure.code, code, "{sql}\n{failure:#?}");
        failure
    }

    #[track_caller]
    pub fn pid(&mut self) -> i32 {
        self.number("SELECT pg_backend_pid()") as i32
    }

    /// Runs one statement and returns the number of rows in its command tag.
    #[track_caller]
    pub fn count(&mut self, sql: &str) -> u64 {
        match self.client.execute(sql, &[]) {
            Ok(count) => count,
            Err(error) => panic!("{sql}\n{:#?}", Failure::of(&error)),
        }
    }

    /// `COPY … FROM STDIN` of these lines; the number of rows in its command tag.
    pub fn try_copy(&mut self, sql: &str, lines: &str) -> Result<u64, Box<Failure>> {
        let mut copy = || {
            let mut writer = self.client.copy_in(sql)?;
            writer.write_all(lines.as_bytes()).expect("the connection takes it");
            writer.finish()
        };
        copy().map_err(|error| Box::new(Failure::of(&error)))
    }

    #[track_caller]
    pub fn copy(&mut self, sql: &str, lines: &str) -> u64 {
        self.try_copy(sql, lines).unwrap_or_else(|failure| panic!("{sql}\n{failure:#?}"))
    }

    /// The client, for what goes through the extended protocol.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }
}

/// Rows that no order was asked of.
pub fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort();
    rows
}
