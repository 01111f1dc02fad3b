//! Worlds with a simulated Airtable, and local copies of its tables.

use std::io::Write;

use sandbox::{AIRTABLE_BASE, AIRTABLE_TOKEN, Config};

use super::session::Session;
use super::world::World;

impl World {
    /// With a server `at`, a user mapping, and all tables of the base imported into the schema `ops`. Nothing is refused for
    /// its rate.
    pub fn airtable(config: Config) -> World {
        let world = World::airtable_unlimited(config);
        world.import_base(&mut world.connect());
        world
    }

    /// The same without tables.
    pub fn airtable_unlimited(config: Config) -> World {
        let world = World::bare(config.airtable(|switches| {
            switches.requests_per_second = 0;
            switches.requests_per_second_and_token = 0;
        }));
        let mut session = world.connect();
        session.run(&world.airtable_server("at", ", requests_per_second '0'"));
        session.run(&format!("CREATE USER MAPPING FOR CURRENT_USER SERVER at OPTIONS (token '{AIRTABLE_TOKEN}')"));
        session.run("CREATE SCHEMA ops");
        world
    }

    fn import_base(&self, session: &mut Session) {
        session.run(&format!("IMPORT FOREIGN SCHEMA \"{AIRTABLE_BASE}\" FROM SERVER at INTO ops"));
        self.sandbox.clear_requests();
    }

    /// CREATE SERVER for the sandbox; `options` begin with a comma.
    pub fn airtable_server(&self, name: &str, options: &str) -> String {
        format!(
            "CREATE SERVER {name} FOREIGN DATA WRAPPER sequin_fdw OPTIONS (connector 'airtable', base_url '{}', allow_insecure 'true'{options})",
            self.sandbox.url()
        )
    }

    /// What the lists of records so far were asked for.
    pub fn lists(&self) -> Vec<serde_json::Value> {
        let lists = self.requests().into_iter().filter(|request| request.path.ends_with("/listRecords"));
        lists.map(|request| serde_json::from_str(&request.body).expect("a list is asked for in JSON")).collect()
    }

    /// The formulas of the lists so far.
    pub fn formulas(&self) -> Vec<String> {
        let formula = |list: serde_json::Value| list["filterByFormula"].as_str().unwrap_or_default().to_owned();
        self.lists().into_iter().map(formula).collect()
    }
}

/// Makes a table in `schema` of what the sandbox holds, all but the columns of JSON.
pub fn load(world: &World, session: &mut Session, object: &str, table: &str, schema: &str) {
    let csv = world.sandbox.dump_csv(object).unwrap_or_else(|| panic!("the sandbox has no {object}"));
    let fields: Vec<&str> = csv.lines().next().unwrap_or_default().split(',').collect();
    let columns = session.rows(&format!(
        "SELECT attname, format_type(atttypid, atttypmod), substr(option, 7) FROM pg_attribute, unnest(attfdwoptions) AS option \
         WHERE attrelid = 'ops.{table}'::regclass AND attnum > 0 AND NOT attisdropped AND option LIKE 'field=%' ORDER BY attnum"
    ));
    let mut list = Vec::new();
    for row in &columns {
        let [name, ty, field] = [0, 1, 2].map(|at| row[at].clone().unwrap_or_default());
        if ty == "jsonb" {
            continue;
        }
        assert!(fields.contains(&field.as_str()), "the dump has no {field}: {fields:?}");
        // An error is no value.
        let value = format!("CASE WHEN \"{field}\" NOT LIKE '{{\"error\"%' THEN \"{field}\" END");
        list.push(match ty.as_str() {
            "text[]" => format!(
                "CASE WHEN \"{field}\" IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(\"{field}\"::jsonb)) END AS \"{name}\""
            ),
            "numeric" => format!(
                "CASE WHEN \"{field}\" LIKE '{{\"specialValue\"%' THEN (\"{field}\"::jsonb->>'specialValue')::numeric ELSE ({value})::numeric END AS \"{name}\""
            ),
            "boolean" => format!(
                "CASE WHEN \"{field}\" IS NULL THEN false ELSE ({value})::boolean END AS \"{name}\""
            ),
            _ => format!("({value})::{ty} AS \"{name}\""),
        });
    }
    let staging = fields.iter().map(|field| format!("\"{field}\" text")).collect::<Vec<_>>().join(", ");
    session.run(&format!("CREATE TEMPORARY TABLE staging ({staging})"));
    let mut writer = session.client().copy_in("COPY staging FROM STDIN (FORMAT csv, HEADER)").expect("COPY begins");
    writer.write_all(csv.as_bytes()).expect("COPY takes the dump");
    writer.finish().expect("COPY ends");
    session.run(&format!(
        "CREATE TABLE {schema}.\"{table}\" AS SELECT {} FROM staging; DROP TABLE staging; ANALYZE {schema}.\"{table}\"",
        list.join(", ")
    ));
}
