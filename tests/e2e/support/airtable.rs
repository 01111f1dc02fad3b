//! What is Airtable's alone: worlds without tables, and what lists were asked for.

use sandbox::Config;

use super::api::AIRTABLE;
use super::world::World;

impl World {
    /// With Airtable's server, a user mapping, and all tables of the base.
    pub fn airtable(config: Config) -> World {
        World::of(&AIRTABLE, config)
    }

    /// The same without tables.
    pub fn airtable_without_tables(config: Config) -> World {
        World::unimported(&AIRTABLE, config)
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
