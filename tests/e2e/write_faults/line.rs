//! A sandbox, a proxy before it, and the table that leads through both.

use std::thread;

use postgres::SimpleQueryMessage;
use proxy::{Proxy, Schedule};
use serde_json::{Map, Value};

use super::judge::{Case, Verdict};
use super::strike::Purpose;
use super::subject::Subject;
use crate::support::{Config, Failure, Notices, Sandbox, Session, World};

pub struct Line<'w> {
    world: &'w World,
    pub subject: &'static Subject,
    pub sandbox: Sandbox,
    pub proxy: Proxy,
    pub table: String,
    /// The API's own names of the object and of the two fields.
    pub object: String,
    fields: [String; 2],
}

/// A record as the sandbox holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    pub id: String,
    pub name: String,
    pub note: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statement {
    Insert,
    InsertReturning,
    Copy,
    /// To something else in each row.
    Update,
    /// To the same in all rows, so that no row passes through the executor.
    UpdateDirectly,
    /// Of rows that are looked at here.
    Delete,
    DeleteDirectly,
}

impl Statement {
    pub fn inserts(self) -> bool {
        matches!(self, Statement::Insert | Statement::InsertReturning | Statement::Copy)
    }

    pub fn deletes(self) -> bool {
        matches!(self, Statement::Delete | Statement::DeleteDirectly)
    }

    pub fn past(self) -> &'static str {
        match self {
            Statement::Update | Statement::UpdateDirectly => "updated",
            Statement::Delete | Statement::DeleteDirectly => "deleted",
            Statement::Insert | Statement::InsertReturning | Statement::Copy => "inserted",
        }
    }
}

/// What a statement said.
#[derive(Debug)]
pub struct Told {
    /// The number of rows in its command tag, or its error.
    pub outcome: Result<u64, Failure>,
    pub returned: Vec<Held>,
    pub warnings: Vec<Failure>,
    /// From `sequin.unconfirmed()`: the ids of what was written.
    pub written: Vec<String>,
    /// And of what nobody knows: ids, of new records the names.
    pub unknown: Vec<String>,
}

pub fn name(row: usize) -> String {
    format!("{row:04}")
}

impl<'w> Line<'w> {
    /// `options` of the server begin with a comma.
    pub fn new(world: &'w World, subject: &'static Subject, number: usize, options: &str) -> Line<'w> {
        let api = subject.api;
        let sandbox = Sandbox::start((subject.config)((api.usual)(Config::new()))).expect("the sandbox starts");
        let proxy = Proxy::start(sandbox.url()).expect("the proxy starts");
        sandbox.set_instance_url(&proxy.url());
        let server = format!("line{number}");
        let mut session = world.connect();
        session.run(&world.server_at(&proxy.url(), &server, options));
        session.run(&world.mapping(&server));
        session.run(&format!(
            "CREATE SCHEMA {server}; IMPORT FOREIGN SCHEMA \"{}\" LIMIT TO ({}) FROM SERVER {server} INTO {server}",
            api.namespace, subject.table
        ));
        let fields = subject.fields.map(|field| (api.field)(&sandbox, subject.object, field));
        let object = (api.object)(&sandbox, subject.object);
        Line { world, subject, sandbox, proxy, table: format!("{server}.{}", subject.table), object, fields }
    }

    /// All live records, in the order in which a scan brings them.
    pub fn held(&self) -> Vec<Held> {
        let records = self.subject.api.held(&self.sandbox, self.subject.object).into_iter();
        let held = |(id, fields): (String, Map<String, Value>)| {
            let [name, note] = self.fields.each_ref().map(|field| Some(fields.get(field)?.as_str()?.to_owned()));
            Held { id, name: name.expect("a name"), note }
        };
        records.map(held).collect()
    }

    /// No records.
    pub fn empty(&self) {
        self.sandbox.set_records(self.subject.object, 0);
    }

    /// The records 1 to `rows`, whichever of them are there. This too is what users do after a fault.
    pub fn fill(&self, rows: usize) {
        self.proxy.set(Schedule::pass());
        let [name, note] = self.subject.columns;
        self.world.connect().run(&format!(
            "INSERT INTO {0} ({name}, {note}) SELECT lpad(g::text, 4, '0'), 'filled' FROM generate_series(1, {rows}) g \
             WHERE lpad(g::text, 4, '0') NOT IN (SELECT {name} FROM {0})",
            self.table
        ));
        assert_eq!(self.held().len(), rows);
    }

    pub fn connect(&self) -> Talk {
        let (session, notices) = self.world.connect_listening();
        Talk { session, notices, seen: 0 }
    }

    /// Runs a statement on the subject's usual rows while `strike` makes something go wrong, and judges it. What its error's DETAIL says comes along.
    pub fn judged(&self, statement: Statement, mark: &str, strike: impl FnOnce()) -> Result<(Verdict, String), String> {
        let rows = self.subject.rows();
        if statement.inserts() {
            self.empty()
        } else {
            self.fill(rows)
        }
        let before = self.held();
        self.proxy.clear_journal();
        strike();
        let told = self.connect().run(self, statement, rows, mark);
        self.sandbox.clear_faults();
        self.proxy.set(Schedule::pass());
        let after = self.held();
        let case = Case { line: self, statement, rows, mark, before: &before, after: &after };
        let detail = told.outcome.as_ref().err().and_then(|failure| failure.detail.clone()).unwrap_or_default();
        let tell = |wrong| {
            format!("{statement:?}, {mark}: {wrong}\n{:#?}\n{:#?}\n{}", told.outcome, told.warnings, self.story())
        };
        case.judge(&told).map(|verdict| (verdict, detail)).map_err(tell)
    }

    pub fn admin(&self) -> Session {
        self.world.as_superuser()
    }

    /// What the server has logged of a backend.
    pub fn log_of(&self, pid: i32) -> String {
        let log = std::fs::read(&self.world.cluster().log).expect("the log can be read");
        let of = format!("[{pid}] ");
        String::from_utf8_lossy(&log).lines().filter(|line| line.contains(&of)).collect::<Vec<_>>().join("\n")
    }

    /// How many requests of this purpose came to the proxy.
    pub fn count(&self, purpose: Purpose) -> usize {
        self.proxy.journal().iter().filter(|entry| (self.subject.purpose)(&entry.path) == purpose).count()
    }

    /// What happened, for a failing test to tell.
    pub fn story(&self) -> String {
        let line = |entry: &proxy::Entry| {
            let action: String = format!("{:?}", entry.action).chars().take(40).collect();
            format!("{} {:?}: {action}, answered {:?}", entry.method, (self.subject.purpose)(&entry.path), entry.status)
        };
        self.proxy.journal().iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// A session whose statements are listened to.
pub struct Talk {
    pub session: Session,
    notices: Notices,
    /// Rows of `sequin.unconfirmed()` that earlier statements left.
    seen: usize,
}

impl Talk {
    /// Runs a statement on `rows` rows. `mark` is what it writes.
    pub fn run(&mut self, line: &Line<'_>, statement: Statement, rows: usize, mark: &str) -> Told {
        let sql = self::sql(line, statement, rows, mark);
        let (outcome, returned) = match statement {
            Statement::Copy => {
                let lines: String = (1..=rows).map(|row| format!("{}\t{mark}\n", name(row))).collect();
                (self.session.try_copy(&sql, &lines).map_err(|failure| *failure), Vec::new())
            }
            _ => match self.session.client().simple_query(&sql) {
                Ok(messages) => answer(&messages),
                Err(error) => (Err(Failure::of(&error)), Vec::new()),
            },
        };
        let mut told = Told { outcome, returned, warnings: Vec::new(), written: Vec::new(), unknown: Vec::new() };
        // The warning comes after the error, with the next statement if not before.
        let unconfirmed = format!(
            "SELECT object, operation, outcome, id, sent ->> '{}' FROM sequin.unconfirmed() OFFSET {}",
            line.fields[0], self.seen
        );
        let Ok(unconfirmed) = self.session.try_rows(&unconfirmed) else {
            // A terminated backend says no more.
            return told;
        };
        self.seen += unconfirmed.len();
        for mut row in unconfirmed {
            let mut cell = |at: usize| row[at].take();
            let what = [cell(0), cell(1), cell(2)].map(Option::unwrap_or_default);
            let key = cell(3).or_else(|| cell(4)).unwrap_or_default();
            match what.each_ref().map(String::as_str) {
                [object, done, "written"] if object == line.object && done == statement.past() => {
                    told.written.push(key)
                }
                [object, done, "unknown"] if object == line.object && done == statement.past() => {
                    told.unknown.push(key)
                }
                _ => panic!("sequin.unconfirmed() says {what:?} after {statement:?}"),
            }
        }
        told.warnings = self.notices.take(&mut self.session);
        told
    }
}

fn answer(messages: &[SimpleQueryMessage]) -> (Result<u64, Failure>, Vec<Held>) {
    let mut count = 0;
    let mut returned = Vec::new();
    for message in messages {
        match message {
            SimpleQueryMessage::Row(row) => returned.push(Held {
                id: row.get(0).unwrap_or_default().to_owned(),
                name: row.get(1).unwrap_or_default().to_owned(),
                note: row.get(2).map(str::to_owned),
            }),
            SimpleQueryMessage::CommandComplete(rows) => count = *rows,
            _ => {}
        }
    }
    (Ok(count), returned)
}

fn sql(line: &Line<'_>, statement: Statement, rows: usize, mark: &str) -> String {
    let (table, key, [name, note]) = (&line.table, line.subject.api.key, line.subject.columns);
    let insert = format!(
        "INSERT INTO {table} ({name}, {note}) SELECT lpad(g::text, 4, '0'), '{mark}' FROM generate_series(1, {rows}) g"
    );
    match statement {
        Statement::Insert => insert,
        Statement::InsertReturning => format!("{insert} RETURNING {key}, {name}, {note}"),
        Statement::Copy => format!("COPY {table} ({name}, {note}) FROM STDIN"),
        Statement::Update => format!("UPDATE {table} SET {note} = '{mark} ' || {name}"),
        Statement::UpdateDirectly => format!("UPDATE {table} SET {note} = '{mark}'"),
        Statement::Delete => format!("DELETE FROM {table} WHERE length({name}) = 4"),
        Statement::DeleteDirectly => format!("DELETE FROM {table}"),
    }
}

/// Does all the work on so many lines at once, and returns what each piece brought, in their order.
pub fn on_lines<T: Send>(
    world: &World,
    subject: &'static Subject,
    lines: usize,
    options: impl Fn(usize) -> String + Sync,
    pieces: usize,
    work: impl Fn(&Line<'_>, usize) -> T + Sync,
) -> Vec<T> {
    let mut done: Vec<(usize, T)> = thread::scope(|scope| {
        let (options, work) = (&options, &work);
        let run = |number: usize| {
            move || {
                let line = Line::new(world, subject, number, &options(number));
                (number..pieces).step_by(lines).map(|piece| (piece, work(&line, piece))).collect::<Vec<_>>()
            }
        };
        let threads: Vec<_> = (0..lines).map(|number| scope.spawn(run(number))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a line does not panic")).collect()
    });
    done.sort_by_key(|(piece, _)| *piece);
    done.into_iter().map(|(_, brought)| brought).collect()
}

/// Fails with the first few complaints.
#[track_caller]
pub fn no_complaints(complaints: &[String]) {
    let first = complaints.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("\n\n");
    assert!(complaints.is_empty(), "{} complaints:\n{first}", complaints.len());
}
