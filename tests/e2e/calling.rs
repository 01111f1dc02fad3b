//! `sequin.call`: it stays where base_url leads, and what it returns gives no secret away.

use std::ops::RangeInclusive;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::{Action, Config, Fault, Session, World};

const TOKEN: &str = "00Dplanted!token-7f3a+b/c";
const SECRET: &str = "planted secret&5b1c";

/// A server `sf` at this address, with a token for everybody, and its owner.
fn world(path: &str) -> (World, Session) {
    let world = World::bare(Config::new().static_token(TOKEN));
    let mut session = world.connect();
    session.run(&world.server_at(&format!("{}{path}", world.sandbox.url()), "sf", ", max_retries '0'"));
    session.run(&format!(
        "CREATE USER MAPPING FOR PUBLIC SERVER sf OPTIONS (token '{TOKEN}', client_id 'planted-client', client_secret '{SECRET} ')"
    ));
    (world, session)
}

fn call(path: &str) -> String {
    format!("SELECT status, headers, body FROM sequin.call('sf', 'GET', '{path}')")
}

#[test]
fn a_call_stays_below_base_url_however_its_path_is_spelled() {
    let (world, mut session) = world("/tenant-a/v1");
    for path in [
        "/../../tenant-b/x",
        "/%2E%2e/%2e%2E/tenant-b/x",
        "/.%2e/x",
        "/x/../../v10/x",
        "/..%2f..%2ftenant-b",
        "/..%5cx",
        "/%2e%2e",
        "/x//../../y",
        "/..;/tenant-b",
    ] {
        session.fails_with("42501", &call(path)).mentions("base_url").hints("appended");
    }
    for path in ["/\\..\\..\\x", "/x#y", "/.\t./x", "/.\n./x", "@evil.example/", ":1/"] {
        session
            .fails_with("22P02", &format!("SELECT * FROM sequin.call('sf', 'GET', E'{}')", path.replace('\\', "\\\\")));
    }
    session.fails_with("42501", &call("//evil.example/x"));
    assert!(world.sandbox.requests().is_empty(), "{:?}", world.sandbox.requests());
    for path in ["/x/../y", "/x?next=/../../z", "/%252e%252e/x", "/x;a=..b/..."] {
        assert_eq!(session.value(&format!("SELECT status FROM ({}) AS c", call(path))), "404");
    }
    for request in world.sandbox.requests() {
        assert!(request.path.starts_with("/tenant-a/v1/"), "{}", request.path);
    }
}

#[test]
fn an_option_that_climbs_leads_nowhere() {
    let (world, mut session) = world("");
    session.run("CREATE FOREIGN TABLE up (id text OPTIONS (field 'Id', type 'id', key 'true'), x text OPTIONS (field 'X')) SERVER sf OPTIONS (object '..', operations 'insert, update')");
    session.fails_with("HV00R", "SELECT * FROM up");
    session.fails_with("HV00R", "INSERT INTO up (x) VALUES ('a')");
    session.fails_with("HV00R", "SELECT * FROM sequin.upsert('up', 'id', '[{\"id\": \"001\"}]')");
    assert!(world.sandbox.requests().is_empty(), "{:?}", world.sandbox.requests());
}

#[test]
fn what_a_call_returns_gives_no_secret_to_a_role_that_may_only_use_the_server() {
    let (world, mut session) = world("");
    let guest = format!("{}_guest", world.name);
    world.as_superuser().run(&format!("CREATE ROLE \"{guest}\" LOGIN PASSWORD 'guest'"));
    session.run(&format!("GRANT USAGE ON FOREIGN SERVER sf TO \"{guest}\""));
    let mut guest = world.connect_as(&guest, "guest");
    let basic = STANDARD.encode(format!("planted-client:{SECRET}"));
    let escaped: String = SECRET.chars().map(|letter| format!("\\u{:04x}", u32::from(letter))).collect();
    let url = TOKEN.replace('!', "%21").replace('+', "%2B").replace('/', "%2f");
    let hex: String = TOKEN.bytes().map(|byte| format!("{byte:02x}")).collect();
    let echo = format!("Bearer {TOKEN} | Basic {basic} | {url} | {hex} | {SECRET} and planted+secret%265b1c");
    let json = format!(
        r#"{{"n":1.50,"big":123456789012345678901234567890,"{TOKEN}":[{},"{escaped}",{{"a":"{}"}}]}}"#,
        serde_json::Value::from(echo.as_str()),
        serde_json::Value::from(format!("{{\"deep\":\"{SECRET}\"}}")).to_string().trim_matches('"'),
    );
    let headers = || vec![("X-Echo".to_owned(), echo.clone()), ("X-Plain".to_owned(), "as it was".to_owned())];
    let parts = [TOKEN, SECRET, &basic, &url, &hex, "7f3a", "5b1c", "%265b1c"];
    for (code, body) in [(200, json.clone()), (403, json.clone()), (400, echo.clone())] {
        world.sandbox.fault(Fault::new(Action::Status { code, body, headers: headers() }).times(1));
        let rows = guest.rows(&call("/services/data/"));
        let text = format!("{rows:?}");
        for part in parts {
            assert!(!text.contains(part), "{part} in {text}");
        }
        assert!(text.contains("***") && text.contains("as it was"), "{text}");
        assert_eq!(rows[0][0].as_deref(), Some(code.to_string().as_str()));
        if code != 400 {
            let body = rows[0][2].as_deref().unwrap_or_default();
            assert!(body.contains("\"n\": 1.50") && body.contains("123456789012345678901234567890"), "{body}");
        }
    }
}

/// Letters that are not seen, but change what is shown around them.
const HIDDEN: [RangeInclusive<char>; 6] = [
    '\u{1}'..='\u{8}',
    '\u{b}'..='\u{1f}',
    '\u{7f}'..='\u{9f}',
    '\u{200b}'..='\u{200f}',
    '\u{2028}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
];

#[test]
fn no_hidden_letter_of_an_api_s_text_passes_into_an_error_or_the_log() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    let nasty: String = HIDDEN.into_iter().flatten().chain("\u{61c}\u{feff}".chars()).collect();
    let is_hidden = |letter: char| nasty.contains(letter);
    let text = serde_json::Value::from(format!("nasty {nasty} end")).to_string();
    let from = world.cluster().log_text().len();
    let read = "SELECT id, last_name FROM salesforce.contact";
    for body in [
        format!(r#"[{{"message":{text},"errorCode":{text},"fields":[{text}]}}]"#),
        format!(
            r#"[{{"message":"x\n^\nERROR at Row:1:Column:8\nnasty","errorCode":"INVALID_FIELD","fields":[{text}]}}]"#
        ),
        format!(r#"{{"error":{text},"error_description":{text}}}"#),
        format!("nasty {nasty} end"),
    ] {
        for code in [200, 400, 401, 429] {
            world.sandbox.fault(Fault::status(code, body.clone()).path("/query").times(6));
            let failure = session.fails(read);
            world.sandbox.clear_faults();
            assert!(
                !failure.everything().replace("\\u{", "").contains("{202e}") || !failure.message.contains('\u{202e}')
            );
            for part in [
                Some(&failure.message),
                failure.detail.as_ref(),
                failure.hint.as_ref(),
                failure.context.as_ref(),
                failure.column.as_ref(),
            ] {
                let part = part.map_or("", |part| part.as_str());
                assert!(!part.contains(is_hidden), "{code} {part:?}");
            }
        }
    }
    // An error of Postgres's own repeats the API's text too.
    session.run("ALTER FOREIGN TABLE salesforce.contact ALTER COLUMN last_name TYPE inet");
    let page = format!(
        r#"{{"totalSize":1,"done":true,"records":[{{"attributes":{{"type":"Contact"}},"Id":"003000000000001AAA","LastName":{text}}}]}}"#
    );
    world.sandbox.fault(Fault::new(Action::Body(page)).path("/query"));
    let failure = session.fails_with("22P02", read);
    assert!(failure.message.contains("nasty \\u{1}") && !failure.message.contains(is_hidden), "{failure:#?}");
    assert_eq!(failure.column.as_deref(), Some("last_name"));
    let log = world.cluster().log_text();
    let line = log[from..].lines().find(|line| line.contains("nasty") && line.replace('\t', "").contains(is_hidden));
    assert!(line.is_none(), "{line:?}");
}

#[test]
fn no_time_that_an_api_names_is_longer_than_a_day() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    for after in ["18446744073709551615", "99999999999999999999999", "1e999", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        // Without an own bucket each would find the rate closed.
        session.run("ALTER USER MAPPING FOR CURRENT_USER SERVER sf OPTIONS (SET client_secret 'sandbox-secret')");
        let headers = vec![("Retry-After".to_owned(), after.to_owned())];
        world
            .sandbox
            .fault(Fault::new(Action::Status { code: 503, body: String::new(), headers }).path("/query").times(1));
        let failure = session.fails("SELECT id FROM salesforce.contact");
        failure.hints("in a day, or later");
        assert!(!failure.everything().contains("18446744073709551615"), "{failure:#?}");
    }
}
