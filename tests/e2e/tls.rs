//! HTTPS is verified, against the system's authorities or the one that `ca_file` names.

use crate::support::{Config, World, says};

#[test]
fn https_is_verified_with_ca_file_and_refused_without() {
    let world = World::bare(Config::new().tls(true));
    let authority = world.file("ca.pem", world.sandbox.ca_pem().expect("HTTPS is served"));
    // Naming a file of the server's may be a superuser's right.
    let mut admin = world.as_superuser();
    admin.run(&format!(
        "CREATE SERVER sf FOREIGN DATA WRAPPER sequin_fdw OPTIONS (connector 'salesforce', base_url '{}', ca_file '{authority}')",
        world.sandbox.url()
    ));
    admin.run(&format!(
        "CREATE SERVER unverified FOREIGN DATA WRAPPER sequin_fdw OPTIONS (connector 'salesforce', base_url '{}')",
        world.sandbox.url()
    ));
    admin.run(&format!("GRANT USAGE ON FOREIGN SERVER sf, unverified TO \"{}\"", world.name));
    let mut session = world.connect();
    session.run(&world.mapping("sf"));
    session.run(&world.mapping("unverified"));
    session.run("CREATE SCHEMA salesforce");
    session.run("IMPORT FOREIGN SCHEMA salesforce LIMIT TO (contact) FROM SERVER sf INTO salesforce");
    assert!(session.number("SELECT count(*) FROM salesforce.contact") > 0);
    session.run("CREATE SCHEMA elsewhere");
    world.sandbox.clear_requests();
    let failure = session.fails_with(
        "08001",
        "IMPORT FOREIGN SCHEMA salesforce LIMIT TO (contact) FROM SERVER unverified INTO elsewhere",
    );
    assert!(says(&failure.hint), "{failure:#?}");
    failure.mentions("ca_file").mentions("ertificate");
    assert!(world.sandbox.requests().is_empty());
}

#[test]
fn plain_http_needs_to_be_allowed() {
    let world = World::bare(Config::new());
    let mut session = world.connect();
    let sql = format!(
        "CREATE SERVER plain FOREIGN DATA WRAPPER sequin_fdw OPTIONS (connector 'salesforce', base_url '{}')",
        world.sandbox.url()
    );
    session.run(&sql);
    session.run(&world.mapping("plain"));
    session.run("CREATE SCHEMA salesforce");
    session
        .fails_with("HV00D", "IMPORT FOREIGN SCHEMA salesforce LIMIT TO (contact) FROM SERVER plain INTO salesforce")
        .hints("allow_insecure");
    assert!(world.sandbox.requests().is_empty(), "no secret went over an open line");
}

#[test]
fn an_authority_that_cannot_be_read_is_named() {
    let world = World::bare(Config::new().tls(true));
    let mut admin = world.as_superuser();
    admin.run("CREATE SCHEMA salesforce");
    for (file, text) in [("/no/such/file.pem", None), ("rubbish.pem", Some("this is no certificate"))] {
        let path = text.map_or(file.to_owned(), |text| world.file(file, text));
        admin.run(&format!(
            "CREATE SERVER sf FOREIGN DATA WRAPPER sequin_fdw OPTIONS (connector 'salesforce', base_url '{}', ca_file '{path}')",
            world.sandbox.url()
        ));
        admin.run(&world.mapping("sf"));
        let failure = admin.fails("IMPORT FOREIGN SCHEMA salesforce LIMIT TO (contact) FROM SERVER sf INTO salesforce");
        assert!(["HV00D", "08001"].contains(&failure.code.as_str()), "{failure:#?}");
        failure.mentions("ca_file");
        // What stands in a file of the server's is nobody's business.
        assert!(!failure.everything().contains("no certificate\n"), "{failure:#?}");
        admin.run("DROP SERVER sf CASCADE");
    }
}
