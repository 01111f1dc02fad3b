//! No answer, however large, and no shortage of memory ends more than a statement.

use std::collections::BTreeSet;
use std::process::Command;

use crate::support::{AIRTABLE, Action, Config, Fault, Process, Session, World};

/// What a backend may hold, and what it takes besides: Postgres copies large texts, too.
const MOST: u64 = (256 + 160) << 20;

fn long(start: &str, fill: &str, times: usize, end: &str) -> Action {
    Action::Long { start: start.to_owned(), fill: fill.to_owned(), times, end: end.to_owned(), gzip: 0 }
}

fn packed(action: Action, layers: u8) -> Action {
    match action {
        Action::Long { start, fill, times, end, .. } => Action::Long { start, fill, times, end, gzip: layers },
        other => other,
    }
}

/// `ok`, or the error's code.
fn outcome(session: &mut Session, sql: &str) -> String {
    match session.try_rows(sql) {
        Ok(_) => "ok".to_owned(),
        Err(failure) => failure.code,
    }
}

const ID: &str = "003000000000001AAA";
const PAGE: &str = r#"{"totalSize":1,"done":true,"records":["#;

fn record(before: &str) -> String {
    format!(r#"{PAGE}{{"attributes":{{"type":"Contact"}},"Id":"{ID}"{before}"#)
}

/// Answers to `SELECT id, description, score__c FROM contact`, and what may come of them.
fn answers() -> Vec<(&'static str, Action, &'static [&'static str])> {
    let rest = r#","Description":null,"Score__c":null}]}"#;
    let small = format!(r#"{{"attributes":{{}},"Id":"{ID}","Description":null,"Score__c":null}}"#);
    vec![
        ("a bomb", packed(long("", " ", 300 << 20, ""), 1), &["54000"]),
        ("a bomb in a bomb", packed(long("", " ", 300 << 20, ""), 2), &["HV00M", "54000"]),
        ("much", long("", " ", 100 << 20, ""), &["54000"]),
        ("no end", Action::Endless("[1,".to_owned()), &["54000"]),
        ("a lie about the length", Action::ClaimLength(1 << 40), &["54000"]),
        (
            "a million records",
            long(r#"{"totalSize":1000001,"done":true,"records":["#, &format!("{small},"), 500_000, "]}"),
            &["HV00M", "54000", "53200"],
        ),
        ("values beyond number", long("{\"x\":[", "1,", 30_000_000, "1]}"), &["53200"]),
        ("brackets", long(&record(",\"X\":"), "[", 30_000_000, ""), &["HV00M", "53200"]),
        (
            "a number",
            long(&record(",\"Description\":null,\"Score__c\":1"), "0", 10_000_000, "}]}"),
            &["22003", "22P02"],
        ),
        (
            "a small number",
            long(&record(",\"Description\":null,\"Score__c\":0.1"), "0", 10_000_000, "}]}"),
            &["22003", "22P02", "ok"],
        ),
        ("keys", long(&record(""), ",\"X__c\":1", 1_000_000, rest), &["ok"]),
        ("a key", long(&record(",\"X"), "x", 50_000_000, &format!("\":1{rest}")), &["ok"]),
        ("a text", long(&record(",\"Description\":\""), "x", 50_000_000, "\",\"Score__c\":null}]}"), &["ok"]),
        // What may be spelled out is taken for six times as long.
        (
            "a text beyond ascii",
            long(&record(",\"Description\":\""), "ä", 25_000_000, "\",\"Score__c\":null}]}"),
            &["ok", "53200"],
        ),
        (
            "escapes",
            long(&record(",\"Description\":\""), "\\u00e4", 8_000_000, "\",\"Score__c\":null}]}"),
            &["ok", "53200"],
        ),
    ]
}

#[test]
fn an_answer_of_any_size_is_an_error_of_its_statement_and_takes_no_more_than_the_limit() {
    let world = World::alone(Config::new().records("Contact", 50));
    let mut session = world.connect();
    let pid = session.pid();
    let backend = Process(pid);
    let sql = "SELECT length(description), score__c, id FROM salesforce.contact";
    session.run(sql);
    for (name, action, wanted) in answers() {
        world.sandbox.fault(Fault::new(action).path("/query").times(1));
        let (result, peak) = backend.peak(|| session.try_rows(sql));
        assert!(peak < MOST, "{name}: {} MB", peak >> 20);
        match result {
            Ok(_) => assert!(wanted.contains(&"ok"), "{name} must be refused"),
            Err(failure) => {
                assert!(wanted.contains(&failure.code.as_str()), "{name}: {failure:#?}");
                if ["53200", "54000"].contains(&failure.code.as_str()) {
                    failure.mentions("salesforce.contact");
                    assert_eq!(failure.table.as_deref(), Some("contact"), "{name}");
                    assert!(failure.hint.is_some(), "{name}: {failure:#?}");
                }
            }
        }
        world.sandbox.clear_faults();
        assert_eq!(session.rows(sql).len(), 50, "the next query after {name}");
        assert_eq!(session.pid(), pid);
    }
}

#[test]
fn so_is_one_to_an_import_a_write_a_sign_in_an_analyze_and_a_refresh() {
    let world = World::alone(Config::new().records("Contact", 50));
    let mut session = world.connect();
    session.run("CREATE SCHEMA crm");
    session.run("SELECT sequin.start_sync('salesforce.contact', 'crm.contact')");
    session.run("SELECT sequin.refresh('crm.contact')");
    let backend = Process(session.pid());
    let import = "IMPORT FOREIGN SCHEMA salesforce LIMIT TO (lead) FROM SERVER sf INTO salesforce";
    let objects = r#"{"sobjects":["#;
    let object = r#"{"name":"A","queryable":true,"deprecatedAndHidden":false},"#;
    let last = r#"{"name":"A","queryable":true,"deprecatedAndHidden":false}]}"#;
    let write = "UPDATE salesforce.contact SET description = clock_timestamp()::text";
    let written = r#"{"success":true,"id":"003000000000001AAA","errors":[]},"#;
    let cases: [(&str, Action, &str, &[&str]); 9] = [
        ("/sobjects", long(objects, object, 1_000_000, last), import, &["HV00R", "53200", "54000"]),
        ("/describe", long("{\"fields\":[", "{},", 10_000_000, "{}]}"), import, &["HV00M", "53200", "54000"]),
        ("/describe", packed(long("", " ", 200 << 20, ""), 1), import, &["54000"]),
        ("/composite/sobjects", long("[", written, 900_000, "{}]"), write, &["08007"]),
        ("/composite/sobjects", packed(long("", " ", 200 << 20, ""), 1), write, &["08007"]),
        ("/composite/sobjects", long("[", "{},", 15_000_000, "{}]"), write, &["08007"]),
        ("/query", packed(long("", " ", 200 << 20, ""), 1), "ANALYZE salesforce.contact", &["54000"]),
        ("/query", packed(long("", " ", 200 << 20, ""), 1), "SELECT sequin.refresh('crm.contact')", &["54000"]),
        ("/query", long("{\"x\":[", "1,", 30_000_000, "1]}"), "SELECT sequin.refresh('crm.contact')", &["53200"]),
    ];
    for (path, action, sql, wanted) in cases {
        world.sandbox.fault(Fault::new(action.clone()).path(path));
        let (code, peak) = backend.peak(|| outcome(&mut session, sql));
        let action = format!("{action:?}").chars().take(60).collect::<String>();
        assert!(wanted.contains(&code.as_str()), "{sql} with {action} at {path}: {code}");
        assert!(peak < MOST, "{sql} with {action} at {path}: {} MB", peak >> 20);
        world.sandbox.clear_faults();
        assert_eq!(session.number("SELECT count(*) FROM salesforce.contact"), 50);
    }
    for action in [long("{\"access_token\":\"", "x", 50_000_000, "\"}"), packed(long("", " ", 200 << 20, ""), 1)] {
        world.sandbox.fault(Fault::new(action).path("/oauth2/token"));
        let mut fresh = world.connect();
        let backend = Process(fresh.pid());
        let (code, peak) = backend.peak(|| outcome(&mut fresh, "SELECT id FROM salesforce.contact"));
        assert!(["54000", "28000", "HV00M"].contains(&code.as_str()), "{code}");
        assert!(peak < MOST);
        world.sandbox.clear_faults();
        assert_eq!(fresh.number("SELECT count(*) FROM salesforce.contact"), 50);
    }
}

#[test]
fn many_empty_records_with_many_columns_are_refused_before_they_fill_the_memory() {
    let world = World::of(&AIRTABLE, Config::new());
    let mut session = world.connect();
    let backend = Process(session.pid());
    session.run("SELECT * FROM ops.people LIMIT 1");
    let record = r#"{"id":"rec00000000000001","createdTime":"2022-01-01T00:00:00.000Z","fields":{}}"#;
    let page = long("{\"records\":[", &format!("{record},"), 600_000, &format!("{record}]}}"));
    world.sandbox.fault(Fault::new(page).path("/listRecords"));
    let (failure, peak) = backend.peak(|| session.fails("SELECT * FROM ops.people"));
    assert!(["53200", "54000"].contains(&failure.code.as_str()), "{failure:#?}");
    failure.mentions("ops.people");
    assert!(peak < MOST, "{} MB", peak >> 20);
    let field = r#"{"id":"fld00000000000001","name":"a","type":"formula","options":{"a":{"a":{"a":{"a":{}}}}}},"#;
    let end = r#"{"id":"fld00000000000001","name":"a","type":"formula"}]}]}"#;
    let start = r#"{"tables":[{"id":"tbl00000000000001","name":"a","fields":["#;
    world.sandbox.fault(Fault::new(long(start, field, 600_000, end)).path("/tables"));
    session.run("CREATE SCHEMA again");
    let sql = format!("IMPORT FOREIGN SCHEMA \"{}\" FROM SERVER {} INTO again", AIRTABLE.namespace, AIRTABLE.server);
    let (code, peak) = backend.peak(|| outcome(&mut session, &sql));
    assert!(["53200", "54000", "54011", "HV00M"].contains(&code.as_str()), "{code}");
    assert!(peak < MOST, "{} MB", peak >> 20);
    world.sandbox.clear_faults();
    assert_eq!(session.number("SELECT count(*) FROM ops.people"), 300);
}

#[test]
fn large_answers_that_do_not_fit_together_come_one_after_the_other() {
    let world = World::alone(Config::new().records("Contact", 50));
    let mut session = world.connect();
    let backend = Process(session.pid());
    session.run("SELECT id FROM salesforce.contact LIMIT 1");
    let text = long(&record(",\"LastName\":\"y\",\"Description\":\""), "x", 40 << 20, "\"}]}");
    world.sandbox.fault(Fault::new(text).path("/query"));
    // Each scan has its first page under way, or waiting, while the others go on.
    let scan = |n: u32| format!("(SELECT description FROM salesforce.contact WHERE last_name <> '{n}' OFFSET 0) s{n}");
    let scans: Vec<_> = (0..3).map(scan).collect();
    let sql = format!("SELECT sum(length(s0.description)) FROM {}", scans.join(", "));
    let (length, peak) = backend.peak(|| session.value(&sql));
    assert_eq!(length, (40 << 20).to_string());
    assert!(peak < MOST, "{} MB", peak >> 20);
    // Pieces of one scan, which are asked for at once.
    world.sandbox.clear_faults();
    let text = long(&record(",\"AccountId\":null,\"Description\":\""), "x", 40 << 20, "\"}]}");
    world.sandbox.fault(Fault::new(text).path("/query"));
    let ids: Vec<_> = (0..3000).map(|index| world.sandbox.id("Contact", index)).collect();
    let sql = format!(
        "SELECT count(*) FROM salesforce.contact WHERE md5(description) > '' AND account_id = ANY ('{{{}}}')",
        ids.join(",")
    );
    world.sandbox.clear_requests();
    let (code, peak) = backend.peak(|| outcome(&mut session, &sql));
    assert!(world.queries().len() > 3, "{:?}", world.queries().len());
    assert_eq!(code, "ok");
    assert!(peak < MOST, "{} MB", peak >> 20);
}

/// Limits the address space of a process to what it has and so many bytes more.
fn limit(pid: i32, more: u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmSize:")).expect("it says how large it is");
    let now: u64 = line.split_whitespace().nth(1).and_then(|size| size.parse().ok()).expect("a number");
    // The soft limit alone, which can be lifted again.
    assert!(prlimit(pid, &format!("--as={}:", now * 1024 + more)));
}

/// Runs `prlimit` as whoever owns the process: others may not.
fn prlimit(pid: i32, limit: &str) -> bool {
    let owner = Command::new("stat").args(["-c", "%U", &format!("/proc/{pid}")]).output().expect("stat runs").stdout;
    let owner = String::from_utf8_lossy(&owner).trim().to_owned();
    let arguments = ["--pid", &pid.to_string(), limit];
    let own = Command::new("id").arg("-un").output().expect("id runs").stdout;
    let done = if String::from_utf8_lossy(&own).trim() == owner {
        Command::new("prlimit").args(arguments).status()
    } else {
        Command::new("runuser").args(["-u", &owner, "--", "prlimit"]).args(arguments).status()
    };
    done.expect("prlimit runs").success()
}

#[test]
fn a_backend_whose_address_space_is_limited_raises_errors_and_gets_no_signal() {
    let world = World::alone(Config::new().records("Contact", 2000));
    let mut admin = world.connect();
    admin.run("CREATE SCHEMA crm");
    admin.run("SELECT sequin.start_sync('salesforce.contact', 'crm.contact')");
    let text = |bytes: usize| long(&record(",\"Description\":\""), "x", bytes, "\",\"Score__c\":null}]}");
    let small = format!(r#"{{"attributes":{{}},"Id":"{ID}","Description":"some","Score__c":7}}"#);
    let many = |count: usize| {
        let start = format!(r#"{{"totalSize":{},"done":true,"records":["#, count + 1);
        long(&start, &format!("{small},"), count, &format!("{small}]}}"))
    };
    let scan = "SELECT sum(length(description)), count(*) FROM (SELECT id, description, score__c FROM salesforce.contact OFFSET 0) s";
    let import = "IMPORT FOREIGN SCHEMA salesforce LIMIT TO (lead) FROM SERVER sf INTO salesforce";
    let object = r#"{"name":"A","queryable":true,"deprecatedAndHidden":false},"#;
    let last = r#"{"name":"A","queryable":true,"deprecatedAndHidden":false}]}"#;
    let insert = "INSERT INTO salesforce.contact (last_name, description) VALUES ('x', repeat('y', 60000000))";
    let cases: Vec<(&str, Option<(&str, Action)>)> = vec![
        (scan, None),
        (scan, Some(("/query", text(20 << 20)))),
        (scan, Some(("/query", text(60 << 20)))),
        (scan, Some(("/query", many(100_000)))),
        (scan, Some(("/query", many(500_000)))),
        (scan, Some(("/query", packed(long("", " ", 100 << 20, ""), 1)))),
        (import, Some(("/sobjects", long("{\"sobjects\":[", object, 500_000, last)))),
        ("ANALYZE salesforce.contact", Some(("/query", many(300_000)))),
        ("SELECT sequin.refresh('crm.contact')", Some(("/query", many(300_000)))),
        ("SELECT sequin.refresh('crm.contact')", None),
        (insert, None),
        (
            "SELECT count(*) FROM salesforce.contact WHERE last_name = ANY (SELECT repeat('z', 1000) || n FROM generate_series(1, 50000) n)",
            None,
        ),
        (
            "SELECT count(*) FROM salesforce.contact WHERE last_name = ANY (array_fill('abc'::text, ARRAY[5000000]))",
            None,
        ),
        (
            "SELECT * FROM sequin.upsert('salesforce.contact', 'erp_key__c', (SELECT jsonb_agg(jsonb_build_object('erp_key__c', n, 'last_name', 'x', 'description', repeat('x', 100000))) FROM generate_series(1, 300) n))",
            None,
        ),
        (
            "SELECT * FROM sequin.call('sf', 'POST', '/services/data/v62.0/sobjects/Contact', to_jsonb(repeat('x', 60000000)))",
            None,
        ),
    ];
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for more in [0, 2, 8, 24, 64, 160, 400].map(|mib: u64| mib << 20) {
        let mut session = world.connect();
        let pid = session.pid();
        session.run("SELECT id FROM salesforce.contact LIMIT 1");
        limit(pid, more);
        for (sql, fault) in &cases {
            if let Some((path, action)) = fault {
                world.sandbox.fault(Fault::new(action.clone()).path(path));
            }
            let result = session.try_rows(sql);
            world.sandbox.clear_faults();
            let shown: String = sql.chars().take(70).collect();
            match result {
                Ok(_) => drop(seen.insert(format!("{} ok", more >> 20))),
                Err(failure) => {
                    assert!(!failure.code.is_empty(), "{shown} with {} MiB more: {failure:#?}", more >> 20);
                    assert!(!failure.code.starts_with("XX"), "{shown} with {} MiB more: {failure:#?}", more >> 20);
                    seen.insert(format!("{} {}", more >> 20, failure.code));
                }
            }
            assert_eq!(session.value("SELECT 1"), "1", "{shown} with {} MiB more: the session lives on", more >> 20);
        }
        // With what it had before it works as before.
        assert!(prlimit(pid, "--as=unlimited:"));
        assert_eq!(session.number("SELECT count(*) FROM salesforce.contact"), 2000);
    }
    assert!(seen.iter().any(|it| it.ends_with("53200")) && seen.iter().any(|it| it == "400 ok"), "{seen:?}");
    let log = world.cluster().log_text();
    assert!(!log.contains("was terminated by signal"), "a process was ended by a signal");
    // A new session as well.
    assert_eq!(world.connect().value("SELECT 1"), "1");
}
