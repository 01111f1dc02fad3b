//! Attachments: written by their addresses, kept by their ids, and told of where the API could not fetch them.

use crate::support::{Config, World};

const NAMES: &str =
    "(SELECT string_agg(p->>'filename', ',' ORDER BY n) FROM jsonb_array_elements(photos) WITH ORDINALITY AS t (p, n))";

#[test]
fn attachments_are_written_by_address_kept_by_id_and_cleared() {
    let world = World::airtable(Config::new());
    let mut session = world.connect();
    let insert = format!(
        "INSERT INTO ops.people (name, photos) VALUES ('zz', '[{{\"url\": \"https://example.com/a.png\"}}, {{\"url\": \"https://example.com/b.pdf\", \"filename\": \"mine.pdf\"}}]') RETURNING {NAMES}"
    );
    assert_eq!(session.value(&insert), "a.png,mine.pdf");
    // One is kept by its id, one goes, one comes.
    let update = format!(
        "UPDATE ops.people SET photos = jsonb_build_array(jsonb_build_object('id', photos->1->>'id'), jsonb_build_object('url', 'https://example.com/c.txt')) WHERE name = 'zz' RETURNING {NAMES}"
    );
    assert_eq!(session.value(&update), "mine.pdf,c.txt");
    assert_eq!(
        session.value("UPDATE ops.people SET photos = NULL WHERE name = 'zz' RETURNING (photos IS NULL)::text"),
        "true"
    );
    for wrong in ["'[{\"url\": 5}]'", "'{}'", "'[\"att\"]'"] {
        let failure = session.fails_with("22P02", &format!("UPDATE ops.people SET photos = {wrong} WHERE name = 'zz'"));
        assert_eq!(failure.column.as_deref(), Some("photos"), "{failure:#?}");
    }
}

#[test]
fn an_attachment_that_the_api_cannot_fetch_is_warned_of() {
    let world = World::airtable(Config::new());
    let (mut session, notices) = world.connect_listening();
    session.run(
        "INSERT INTO ops.people (name, photos) SELECT 'zz' || n, CASE n WHEN 13 THEN '[{\"url\": \"https://unreachable.example/a.png\"}]'::jsonb END FROM generate_series(1, 25) AS n",
    );
    notices
        .warning(&mut session)
        .mentions("has written rows 11 to 20 of the statement without attachments that it could not fetch");
    assert_eq!(session.number("SELECT count(*) FROM ops.people WHERE name LIKE 'zz%' AND photos IS NULL"), 25);
}
