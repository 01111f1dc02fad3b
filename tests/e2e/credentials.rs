//! Signing in: every flow of the API, whose credentials count, and what is said when they are refused.

use std::process::Command;

use crate::support::{Config, Sandbox, Session, World, says};

/// A world with a server and an importable schema, but no user mapping yet.
fn world(config: Config) -> World {
    let world = World::bare(config);
    let mut session = world.connect();
    session.run(&world.server("sf", ""));
    session.run("CREATE SCHEMA salesforce");
    session.run(
        "CREATE FOREIGN TABLE salesforce.contact (id text OPTIONS (field 'Id', type 'id', key 'true'), last_name text OPTIONS (field 'LastName')) \
         SERVER sf OPTIONS (object 'Contact')",
    );
    world
}

fn map(session: &mut Session, options: &str) {
    session.run(&format!("CREATE USER MAPPING FOR CURRENT_USER SERVER sf OPTIONS ({options})"));
}

/// The bearer tokens that queries came with.
fn bearers(world: &World) -> Vec<String> {
    let mut tokens: Vec<String> = world
        .requests()
        .iter()
        .filter_map(|request| request.header("authorization")?.strip_prefix("Bearer ").map(str::to_owned))
        .collect();
    tokens.dedup();
    tokens
}

#[test]
fn wrong_credentials_are_28000_with_a_hint() {
    let world = world(Config::new());
    let mut session = world.connect();
    map(&mut session, "client_id 'sandbox-client', client_secret 'wrong'");
    for _ in 0..2 {
        let failure = session.fails_with("28000", "SELECT * FROM salesforce.contact");
        failure.mentions("invalid_client").in_request(&format!("POST {}/services/oauth2/token", world.sandbox.url()));
        assert!(says(&failure.detail) && says(&failure.hint), "{failure:#?}");
        assert!(!failure.everything().contains("wrong'"), "{failure:#?}");
    }
    assert!(world.queries().is_empty());
    // Mended, it works in the same session.
    session.run("ALTER USER MAPPING FOR CURRENT_USER SERVER sf OPTIONS (SET client_secret 'sandbox-secret')");
    assert!(!session.rows("SELECT * FROM salesforce.contact LIMIT 1").is_empty());
}

#[test]
fn a_missing_user_mapping_says_how_to_make_one() {
    let world = world(Config::new());
    let mut session = world.connect();
    let failure = session.fails("SELECT * FROM salesforce.contact");
    assert!(["HV00J", "42704", "28000"].contains(&failure.code.as_str()), "{failure:#?}");
    failure.hints("CREATE USER MAPPING").mentions("sf");
    assert!(world.sandbox.requests().is_empty());
}

#[test]
fn an_incomplete_user_mapping_says_what_it_lacks() {
    let world = world(Config::new());
    let mut session = world.connect();
    map(&mut session, "client_id 'sandbox-client'");
    session
        .fails_with("HV00J", "SELECT * FROM salesforce.contact")
        .mentions("client_secret")
        .hints("ALTER USER MAPPING");
    assert!(world.sandbox.requests().is_empty());
}

#[test]
fn a_ready_token_needs_no_signing_in() {
    let world = world(Config::new().static_token("00D-ready!token"));
    let mut session = world.connect();
    map(&mut session, "token '00D-ready!token'");
    assert!(!session.rows("SELECT * FROM salesforce.contact").is_empty());
    assert_eq!(bearers(&world), ["00D-ready!token"]);
    assert_eq!(world.sandbox.tokens_issued(), 0);
    session.run("ALTER USER MAPPING FOR CURRENT_USER SERVER sf OPTIONS (SET token 'another')");
    session.fails_with("28000", "SELECT * FROM salesforce.contact").mentions("INVALID_SESSION_ID");
}

#[test]
fn user_name_and_password() {
    let world = world(Config::new());
    let mut session = world.connect();
    map(
        &mut session,
        "client_id 'sandbox-client', client_secret 'sandbox-secret', username 'ada@example.com', password 'sandbox-passwordTOKEN'",
    );
    assert!(!session.rows("SELECT * FROM salesforce.contact").is_empty());
    let form =
        world.sandbox.requests().into_iter().find(|request| request.path.contains("/oauth2/")).expect("a sign-in").body;
    assert!(form.contains("grant_type=password"), "{}", form.len());
}

#[test]
fn a_refresh_token_that_is_replaced_is_kept_for_other_sessions() {
    let world = world(Config::new().switches(|switches| switches.rotate_refresh_tokens = true));
    let mut session = world.connect();
    map(&mut session, "client_id 'sandbox-client', client_secret 'sandbox-secret', refresh_token 'sandbox-refresh'");
    for turn in 1..=3 {
        assert!(!session.rows("SELECT * FROM salesforce.contact LIMIT 1").is_empty(), "session's turn {turn}");
        world.sandbox.expire_tokens();
    }
    for turn in 1..=3 {
        // A backend of its own knows only what was kept.
        assert!(!world.connect().rows("SELECT * FROM salesforce.contact LIMIT 1").is_empty(), "backend {turn}");
    }
    // Replaced while a transaction runs that is rolled back: the old one is used up all the same.
    world.sandbox.expire_tokens();
    session.run("BEGIN");
    session.run("SELECT * FROM salesforce.contact LIMIT 1");
    session.run("ROLLBACK");
    assert!(!world.connect().rows("SELECT * FROM salesforce.contact LIMIT 1").is_empty());
    // And the first session goes on, though others have replaced the token meanwhile.
    world.sandbox.expire_tokens();
    assert!(!session.rows("SELECT * FROM salesforce.contact LIMIT 1").is_empty());
}

#[test]
fn a_refresh_token_that_stays_is_used_again() {
    let world = world(Config::new());
    let mut session = world.connect();
    map(&mut session, "client_id 'sandbox-client', client_secret 'sandbox-secret', refresh_token 'sandbox-refresh'");
    for _ in 0..2 {
        assert!(!session.rows("SELECT * FROM salesforce.contact LIMIT 1").is_empty());
        world.sandbox.expire_tokens();
    }
    assert!(!world.connect().rows("SELECT * FROM salesforce.contact LIMIT 1").is_empty());
}

/// An RSA key pair in PEM: private, public.
pub fn key_pair() -> (String, String) {
    let openssl = |arguments: &[&str], input: &str| {
        use std::io::Write;
        use std::process::Stdio;
        let mut child = Command::new("openssl")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is there");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("openssl reads");
        String::from_utf8(child.wait_with_output().expect("openssl ends").stdout).expect("PEM is text")
    };
    let private = openssl(&["genrsa", "2048"], "");
    let public = openssl(&["rsa", "-pubout"], &private);
    (private, public)
}

#[test]
fn a_signed_assertion_of_the_jwt_bearer_flow() {
    let (private, public) = key_pair();
    let (other, _) = key_pair();
    let world = world(Config::new().credentials(|credentials| credentials.public_key = Some(public)));
    let mut session = world.connect();
    map(&mut session, &format!("client_id 'sandbox-client', username 'ada@example.com', private_key '{private}'"));
    assert!(!session.rows("SELECT * FROM salesforce.contact").is_empty());
    world.sandbox.expire_tokens();
    assert!(!session.rows("SELECT * FROM salesforce.contact").is_empty());
    // A key that the API does not know.
    session.run(&format!("ALTER USER MAPPING FOR CURRENT_USER SERVER sf OPTIONS (SET private_key '{other}')"));
    session.fails_with("28000", "SELECT * FROM salesforce.contact").mentions("invalid_grant");
    // What is no key at all is said before anything is sent.
    session.run("ALTER USER MAPPING FOR CURRENT_USER SERVER sf OPTIONS (SET private_key 'not a key')");
    world.sandbox.clear_requests();
    let failure = session.fails("SELECT * FROM salesforce.contact");
    assert_eq!(failure.code, "HV00D", "{failure:#?}");
    failure.mentions("private_key");
    assert!(!failure.everything().contains("not a key"), "{failure:#?}");
    assert!(world.sandbox.requests().is_empty());
}

#[test]
fn two_users_in_one_backend_use_their_own_credentials() {
    let world = world(Config::new().static_token("token-of-one").static_token("token-of-two"));
    let second = format!("{}_b", world.name);
    let mut admin = world.as_superuser();
    admin.run(&format!("CREATE ROLE \"{second}\" LOGIN PASSWORD 'second'; GRANT \"{second}\" TO \"{}\"", world.name));
    let mut session = world.connect();
    map(&mut session, "token 'token-of-one'");
    session.run(&format!("CREATE USER MAPPING FOR \"{second}\" SERVER sf OPTIONS (token 'token-of-two')"));
    session.run(&format!(
        "GRANT USAGE ON SCHEMA salesforce TO \"{second}\"; GRANT SELECT ON salesforce.contact TO \"{second}\""
    ));
    session.run("CREATE VIEW salesforce.names AS SELECT last_name FROM salesforce.contact");
    session.run(&format!("GRANT SELECT ON salesforce.names TO \"{second}\""));
    session.run("CREATE FUNCTION salesforce.as_owner() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM salesforce.contact'");
    session.run("PREPARE p AS SELECT count(*) FROM salesforce.contact");
    let mut uses = |sql: &str, token: &str| {
        world.sandbox.clear_requests();
        session.run(sql);
        if !token.is_empty() {
            assert_eq!(bearers(&world), [token], "{sql}");
        }
    };
    for _ in 0..2 {
        uses("SELECT * FROM salesforce.contact", "token-of-one");
        uses("EXECUTE p", "token-of-one");
        uses(&format!("SET ROLE \"{second}\""), "");
        uses("SELECT * FROM salesforce.contact", "token-of-two");
        uses("EXECUTE p", "token-of-two");
        // A view and a definer's function read with their owner's credentials, as everywhere in Postgres.
        uses("SELECT * FROM salesforce.names", "token-of-one");
        uses("SELECT salesforce.as_owner()", "token-of-one");
        uses("RESET ROLE", "");
    }
    // Nobody reads another's credentials.
    let mut other = world.connect_as(&second, "second");
    let hidden = other.rows(&format!("SELECT umoptions FROM pg_user_mappings WHERE usename = '{}'", world.name));
    assert!(hidden.iter().all(|row| row[0].is_none()), "{hidden:?}");
}

#[test]
fn a_mapping_for_everybody_serves_everybody() {
    let world = world(Config::new().static_token("token-of-all"));
    let mut session = world.connect();
    session.run("CREATE USER MAPPING FOR PUBLIC SERVER sf OPTIONS (token 'token-of-all')");
    assert!(!session.rows("SELECT * FROM salesforce.contact").is_empty());
    assert_eq!(bearers(&world), ["token-of-all"]);
}

#[test]
fn tokens_come_from_login_url_and_records_from_the_instance_it_names() {
    let login = Sandbox::start(Config::new()).expect("a login host");
    let world = World::bare(Config::new().accept_tokens_of(&login));
    login.set_instance_url(&world.sandbox.url());
    let mut session = world.connect();
    session.run(&format!(
        "CREATE SERVER sf FOREIGN DATA WRAPPER sequin_fdw OPTIONS (connector 'salesforce', login_url '{}', allow_insecure 'true')",
        login.url()
    ));
    session.run(&world.mapping("sf"));
    session.run(
        "CREATE SCHEMA salesforce; IMPORT FOREIGN SCHEMA salesforce LIMIT TO (contact) FROM SERVER sf INTO salesforce",
    );
    assert!(!session.rows("SELECT id FROM salesforce.contact").is_empty());
    assert!(login.requests().iter().all(|request| request.path.contains("/oauth2/")));
    assert!(world.sandbox.requests().iter().all(|request| !request.path.contains("/oauth2/")));
}

#[test]
fn a_token_goes_to_no_place_but_the_vendor_s_or_one_that_the_options_name() {
    let elsewhere = Sandbox::start(Config::new()).expect("another host");
    let port = elsewhere.url().rsplit(':').next().map(str::to_owned).unwrap_or_default();
    let login = Sandbox::start(Config::new()).expect("a login host");
    let world = World::bare(Config::new().accept_tokens_of(&login));
    let mut session = world.connect();
    session.run(&format!(
        "CREATE SERVER sf FOREIGN DATA WRAPPER sequin_fdw OPTIONS (connector 'salesforce', login_url '{}', allow_insecure 'true')",
        login.url()
    ));
    session.run(&world.mapping("sf"));
    session.run("CREATE SCHEMA salesforce");
    const READ: &str = "IMPORT FOREIGN SCHEMA salesforce LIMIT TO (contact) FROM SERVER sf INTO salesforce";
    for bad in [
        format!("http://localhost:{port}"),
        format!("http://127.0.0.2:{port}"),
        format!("http://[::1]:{port}"),
        format!("http://salesforce.com.localhost:{port}"),
        format!("ftp://127.0.0.1:{port}"),
        format!("http://127.0.0.1:{port}/tenant-b"),
        format!("http://127.0.0.1:{port}?x="),
        format!("http://127.0.0.1:{port}#"),
        format!("http://user@127.0.0.1:{port}"),
        format!("http://acme.my.salesforce.com@127.0.0.1:{port}"),
        "file:///etc/passwd".to_owned(),
        "nowhere".to_owned(),
    ] {
        login.set_instance_url(&bad);
        let failure = session.fails_with("HV00M", READ);
        failure.hints("login_url").in_request(&format!("POST {}/services/oauth2/token", login.url()));
        assert!(elsewhere.requests().is_empty(), "{bad}");
    }
    login.set_instance_url(&world.sandbox.url());
    session.run(READ);
}
