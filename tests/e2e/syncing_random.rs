//! A synced table while everything happens at once: other clients change the API, users write, the worker, the server and
//! the API fail at random moments. At the end the table is what the API has, nothing that was written is lost, and
//! nothing that was deleted has come back.
//!
//! SEQUIN_SYNC_MINUTES=30 makes it last so long, SEQUIN_SYNC_SEED=7 begins elsewhere.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use proxy::Dice;
use serde_json::json;

use crate::support::people::{Crowd, OF_AIRTABLE, OF_SALESFORCE, Others, People};
use crate::support::{Action, Cluster, Failure, Fault, Session, World, kill, wait_until};

const WRITERS: u64 = 3;

/// What must be true of a record at the end.
#[derive(Clone, Debug, PartialEq)]
enum Fate {
    /// Its note is the one that was committed last.
    Note(String),
    Deleted,
    /// Something failed, or another client meddled: either way is right.
    Unknown,
}

struct Play<'a> {
    people: &'a People,
    world: &'a World,
    end: Instant,
    seed: u64,
    fates: Mutex<HashMap<String, Fate>>,
    /// What went wrong that must not.
    wrong: Mutex<Vec<String>>,
    /// What a record, deleted or not, was for a while and must not have been, unless somebody meddled.
    odd: Mutex<HashMap<(String, bool), String>>,
    commits: AtomicU64,
    failures: AtomicU64,
    kills: AtomicU64,
    crashes: AtomicU64,
}

mod of_salesforce {
    #[test]
    fn whatever_fails_and_whoever_writes_the_table_is_the_api_in_the_end() {
        super::whatever_fails_and_whoever_writes_the_table_is_the_api_in_the_end(&super::OF_SALESFORCE, 120);
    }
}

mod of_airtable {
    #[test]
    fn whatever_fails_and_whoever_writes_the_table_is_the_api_in_the_end() {
        super::whatever_fails_and_whoever_writes_the_table_is_the_api_in_the_end(&super::OF_AIRTABLE, 60);
    }
}

fn whatever_fails_and_whoever_writes_the_table_is_the_api_in_the_end(crowd: &'static Crowd, seconds: u64) {
    let minutes = std::env::var("SEQUIN_SYNC_MINUTES").ok().and_then(|text| text.parse::<f64>().ok());
    let time = minutes.map_or(Duration::from_secs(seconds), |minutes| Duration::from_secs_f64(minutes * 60.0));
    let seed = std::env::var("SEQUIN_SYNC_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let people = People::in_cluster(crowd, Cluster::private(&[("synchronous_commit", "on")]), 400);
    let mut session = people.world.connect();
    session.run(&format!("ALTER SERVER {} OPTIONS (ADD max_retries '1')", crowd.api.server));
    people.follow(&mut session, "300 ms", r#"{"sweep_every": "5 seconds"}"#);
    let play = Play {
        people: &people,
        world: &people.world,
        end: Instant::now() + time,
        seed,
        fates: Mutex::default(),
        wrong: Mutex::default(),
        odd: Mutex::default(),
        commits: AtomicU64::new(0),
        failures: AtomicU64::new(0),
        kills: AtomicU64::new(0),
        crashes: AtomicU64::new(0),
    };
    thread::scope(|scope| {
        for number in 0..WRITERS {
            let play = &play;
            scope.spawn(move || play.write(number));
        }
        scope.spawn(|| play.change_upstream(&people.others()));
        scope.spawn(|| play.watch());
        play.make_trouble();
    });
    play.settle();
}

/// Which of its writer's rounds a note is of.
fn round(note: Option<&str>) -> u64 {
    note.and_then(|note| note.split(' ').nth(1)?.parse().ok()).unwrap_or(0)
}

impl Play<'_> {
    fn on(&self) -> bool {
        Instant::now() < self.end
    }

    fn set(&self, ids: &[String], fate: &Fate) {
        let mut fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            let known = fates.entry(id.clone()).or_insert_with(|| fate.clone());
            // What is deleted stays so, and of what nobody knows nobody will.
            if matches!(known, Fate::Note(_)) {
                *known = fate.clone();
            }
        }
    }

    fn wrong(&self, what: String) {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// Waits until the server is there again.
    fn connect(&self) -> Session {
        let cluster = self.world.cluster();
        let mut found = None;
        wait_until(Duration::from_secs(30), || {
            found = cluster.connect(&self.world.name, &self.world.name, &self.world.password).ok();
            found.is_some()
        });
        let mut session = Session::new(found.expect("the server is back"));
        // It may go again at once.
        let _ = session.try_rows("SET statement_timeout = '20 s'");
        session
    }

    /// One of the writers: it changes notes of its own records, and deletes any.
    fn write(&self, number: u64) {
        let mut dice = Dice::new(&[self.seed, number]);
        let mut session = self.connect();
        let mut own: Vec<String> = Vec::new();
        let mut round = 0;
        while self.on() {
            round += 1;
            let note = format!("W{number} {round}");
            let pick = dice.below(own.len()).map(|at| own[at].clone());
            let done = match (dice.below(10).unwrap_or(0), pick) {
                (0..=2, _) | (_, None) => {
                    let rows = if dice.chance() < 0.3 { 3 } else { 1 };
                    let values = vec![format!("('{note}', 'Writer {number}')"); rows].join(", ");
                    let sql = format!("INSERT INTO crm.people (note, name) VALUES {values} RETURNING id");
                    session.try_rows(&sql).map(|rows| {
                        let ids: Vec<String> = rows.into_iter().filter_map(|mut row| row.swap_remove(0)).collect();
                        self.set(&ids, &Fate::Note(note.clone()));
                        own.extend(ids);
                    })
                }
                (3..=5, Some(id)) => self.update(&mut session, &[id], &note, "COMMIT"),
                (6, Some(_)) => {
                    let some: Vec<String> = own.iter().rev().take(6).cloned().collect();
                    self.update(&mut session, &some, &note, "COMMIT")
                }
                // What the API has done stays done: nobody knows it any more.
                (7, Some(id)) => {
                    self.set(std::slice::from_ref(&id), &Fate::Unknown);
                    self.update(&mut session, &[id], &note, "ROLLBACK")
                }
                (8, Some(id)) => {
                    let sql = format!(
                        "INSERT INTO crm.people (id, note) VALUES ('{id}', '{note}') ON CONFLICT (id) DO UPDATE SET note = excluded.note RETURNING id"
                    );
                    self.changing(&mut session, &[id], &sql, &Fate::Note(note.clone()))
                }
                (_, Some(id)) => {
                    let any = format!("SELECT id FROM crm.people ORDER BY md5(id || '{note}') LIMIT 1");
                    match if dice.chance() < 0.5 {
                        Ok(id)
                    } else {
                        session
                            .try_rows(&any)
                            .map(|rows| rows.into_iter().flatten().flatten().next().unwrap_or_default())
                    } {
                        Ok(id) => {
                            own.retain(|other| *other != id);
                            self.changing(
                                &mut session,
                                std::slice::from_ref(&id),
                                &format!("DELETE FROM crm.people WHERE id = '{id}' RETURNING id"),
                                &Fate::Deleted,
                            )
                        }
                        Err(failure) => Err(failure),
                    }
                }
            };
            match done {
                Ok(()) => _ = self.commits.fetch_add(1, Ordering::Relaxed),
                Err(failure) => {
                    self.failures.fetch_add(1, Ordering::Relaxed);
                    self.judge(&failure);
                    // What began has ended, or the server is gone.
                    if session.try_rows("ROLLBACK").is_err() {
                        session = self.connect();
                    }
                }
            }
            thread::sleep(Duration::from_millis(dice.below(60).unwrap_or(0) as u64));
        }
    }

    fn update(&self, session: &mut Session, ids: &[String], note: &str, end: &str) -> Result<(), Box<Failure>> {
        let list = ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ");
        let sql = format!("UPDATE crm.people SET note = '{note}' WHERE id IN ({list}) RETURNING id");
        if end == "COMMIT" {
            return self.changing(session, ids, &sql, &Fate::Note(note.to_owned()));
        }
        session.try_rows(&format!("BEGIN; {sql}; {end}")).map(drop)
    }

    /// Runs a statement that returns the ids it has changed, of these.
    fn changing(&self, session: &mut Session, ids: &[String], sql: &str, fate: &Fate) -> Result<(), Box<Failure>> {
        let done = session.try_rows(sql);
        match done {
            Ok(rows) => {
                let changed: Vec<String> = rows.into_iter().filter_map(|mut row| row.swap_remove(0)).collect();
                if *fate == Fate::Deleted {
                    let mut fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
                    fates.extend(changed.into_iter().map(|id| (id, Fate::Deleted)));
                } else {
                    self.set(&changed, fate);
                }
                Ok(())
            }
            Err(failure) => {
                self.set(ids, &Fate::Unknown);
                Err(failure)
            }
        }
    }

    /// Whether an error is one that trouble explains.
    fn judge(&self, failure: &Failure) {
        let class = failure.code.get(..2).unwrap_or_default();
        // Gone meanwhile, an upsert of what is gone, no connection to the API, none to the server.
        let explained = ["08", "57", "", "53"].contains(&class)
            || ["40001", "428C9", "25P02", "28000"].contains(&failure.code.as_str());
        if !explained || failure.code == "57014" {
            self.wrong(format!("{failure:?}"));
        }
    }

    /// Another client of the API. It leaves notes alone.
    fn change_upstream(&self, others: &Others) {
        let mut dice = Dice::new(&[self.seed, 100]);
        let mut round = 0;
        let mut ids: Vec<String> = (0..400).map(|n| self.people.id(n)).collect();
        while self.on() {
            round += 1;
            let name = format!("Upstream {round}");
            match dice.below(6).unwrap_or(0) {
                0 => {
                    let made = others.try_create(vec![json!({"name": name}); 1 + dice.below(5).unwrap_or(0)]);
                    ids.extend(made.into_iter().flatten());
                }
                1 => {
                    if let Some(at) = dice.below(ids.len()) {
                        let id = ids.swap_remove(at);
                        self.set(std::slice::from_ref(&id), &Fate::Unknown);
                        let _ = others.try_delete(&[id]);
                    }
                }
                2 => {
                    // Somebody else's.
                    let known = self.known();
                    if let Some(at) = dice.below(known.len()) {
                        self.set(std::slice::from_ref(&known[at]), &Fate::Unknown);
                        let _ = others.try_delete(std::slice::from_ref(&known[at]));
                    }
                }
                _ => {
                    let known = self.known();
                    let some = |dice: &mut Dice, of: &[String]| dice.below(of.len()).map(|at| of[at].clone());
                    let chosen = [some(&mut dice, &known), some(&mut dice, &ids), some(&mut dice, &ids)];
                    let mut chosen: Vec<String> = chosen.into_iter().flatten().collect();
                    chosen.sort();
                    chosen.dedup();
                    let changed = |id: String| json!({"id": id, "name": name, "place": name});
                    let _ = others.try_update(chosen.into_iter().map(changed).collect());
                }
            }
            thread::sleep(Duration::from_millis(dice.below(80).unwrap_or(0) as u64));
        }
    }

    /// The records that writers have made or changed.
    fn known(&self) -> Vec<String> {
        self.fates.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Sees to it that what is deleted does not come back, and that what is written is neither away nor older for a while.
    fn watch(&self) {
        let mut session = self.connect();
        while self.on() {
            let before = self.fates.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match session.try_rows("SELECT id, note FROM crm.people") {
                Ok(rows) => {
                    let cells = rows.into_iter().map(|mut row| (row[0].take().unwrap_or_default(), row[1].take()));
                    self.look(&before, &cells.collect());
                }
                Err(_) => session = self.connect(),
            }
            thread::sleep(Duration::from_millis(15));
        }
    }

    fn look(&self, before: &HashMap<String, Fate>, here: &HashMap<String, Option<String>>) {
        let mut odd = self.odd.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, fate) in before {
            let was = match (fate, here.get(id)) {
                (Fate::Deleted, Some(_)) => "deleted, and here again".to_owned(),
                (Fate::Note(note), None) => format!("{note}, and away"),
                (Fate::Note(note), Some(now)) if round(now.as_deref()) < round(Some(note)) => {
                    format!("{note}, and then {now:?}")
                }
                _ => continue,
            };
            odd.insert((id.clone(), *fate == Fate::Deleted), was);
        }
    }

    /// Ends the worker, the server, connections to the API; lets the API fail.
    fn make_trouble(&self) {
        let mut dice = Dice::new(&[self.seed, 200]);
        let (world, sandbox) = (self.world, &self.world.sandbox);
        let mut turn = dice.below(7).unwrap_or(0);
        while self.on() {
            thread::sleep(Duration::from_millis(500 + dice.below(1500).unwrap_or(0) as u64));
            // Nobody looks at them, and half an hour's would take all memory.
            sandbox.clear_requests();
            // Each kind in turn, from some place on.
            turn = (turn + 1) % 9;
            let times = 1 + dice.below(3).unwrap_or(0);
            match turn {
                0 => {
                    self.crashes.fetch_add(1, Ordering::Relaxed);
                    world.cluster().crash();
                }
                1 => self.end_worker("TERM"),
                2 => self.end_worker("KILL"),
                3 => {
                    for method in ["POST", "PATCH", "DELETE"] {
                        sandbox.fault(Fault::new(Action::DropAfter).method(method).times(times));
                    }
                }
                4 => sandbox.fault(Fault::new(Action::DropAfter).times(times)),
                5 => sandbox.fault(Fault::status(503, "[]").times(times * 2)),
                6 => {
                    sandbox.fault(Fault::new(Action::DropBefore));
                    thread::sleep(Duration::from_millis(700));
                    sandbox.clear_faults();
                }
                7 => {
                    sandbox.expire_tokens();
                    sandbox.expire_locators();
                }
                _ => sandbox.fault(Fault::new(Action::Delay(800)).path(self.people.crowd.read).times(times)),
            }
        }
        sandbox.clear_faults();
    }

    fn end_worker(&self, signal: &str) {
        if let Some(pid) = self.world.worker() {
            self.kills.fetch_add(1, Ordering::Relaxed);
            kill(pid, signal);
        }
    }

    /// When all is quiet again.
    fn settle(&self) {
        let mut session = self.connect();
        session.run("RESET statement_timeout");
        println!(
            "seed {}: {} commits, {} failures, {} kills of the worker, {} crashes of the server",
            self.seed,
            self.commits.load(Ordering::Relaxed),
            self.failures.load(Ordering::Relaxed),
            self.kills.load(Ordering::Relaxed),
            self.crashes.load(Ordering::Relaxed)
        );
        let sure = self
            .fates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .filter(|fate| **fate != Fate::Unknown)
            .count();
        println!("{sure} records of known fate");
        self.people.await_equal(&mut session);
        self.world.await_current(&mut session, "crm.people");
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(wrong.is_empty(), "{wrong:#?}");
        let records = self.people.held();
        let odd = self.odd.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, fate) in self.fates.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            match fate {
                Fate::Note(note) => {
                    let held = records.get(id).and_then(|record| record.get("note"));
                    assert_eq!(held, Some(note), "a lost write of {id}");
                }
                Fate::Deleted => assert!(!records.contains_key(id), "{id} was deleted"),
                Fate::Unknown => continue,
            }
            let was = odd.get(&(id.clone(), *fate == Fate::Deleted));
            assert_eq!(was, None, "what {id} was for a while");
        }
        let log = self.world.cluster().log_text();
        let bad: Vec<&str> = log
            .lines()
            .filter(|line| {
                ["duplicate key", "PANIC", "deadlock", "TRAP", "XX000"].iter().any(|word| line.contains(word))
            })
            .collect();
        assert!(bad.is_empty(), "{bad:#?}");
    }
}
