//! The bases that the sandbox serves: their tables, and records as functions of seed, table and place. Ids of bases,
//! tables and fields are functions of their names alone.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;

use super::base::{Attachment, Base, Cell, Data, USERS};
use super::formula;
use super::id::Id;
use super::schema::{Choice, Field, HONOLULU, KOLKATA, Kind, Outcome, RollupNames, Table, UTC, View, Zone};
use super::switches::Switches;
use crate::draw::{ODD, hash, pick};
use crate::time::{DAY, day};

/// The base with all the tables below.
pub const BASE: &str = "Operations 🧪";

/// Where the value of a field comes from: of 256 records so many are blank, the others drawn.
#[derive(Clone, Copy)]
enum Source {
    None,
    Drawn(u8, fn(u64, u32) -> Cell),
    /// Links to at most so many records.
    Linked(u8, usize),
}

struct Builder {
    base: Base,
    sources: Vec<Vec<Source>>,
    counts: Vec<u32>,
    seed: u64,
}

/// The names of the tables of the first base, and how many records they have if nothing else is said.
const COUNTS: [(&str, u32); 8] = [
    ("People", 300),
    ("Companies", 60),
    ("Projects", 40),
    ("Measurements", 1200),
    (ODD_TABLE, 30),
    ("Time Log", 25),
    ("Time/Log", 15),
    ("Empty", 0),
];

pub const ODD_TABLE: &str = "Odd / {names}, \"quoted\" \\ 'too' 🧪";

pub fn has_table(name: &str) -> bool {
    COUNTS.iter().any(|(known, _)| *known == name || Id::named("tbl", &format!("{BASE}/{known}")).as_str() == name)
}

/// All bases. `records` has the numbers of records that were asked for, by the names or ids of the tables.
pub fn bases(seed: u64, records: &BTreeMap<String, u32>) -> Vec<Base> {
    let mut bases = vec![operations(seed, records)];
    // Two of one name, one that may only be read and one that may not even be seen.
    for (id, name, permission) in [
        ("Archive", "Archive", "read"),
        ("Twin 1", "Twin", "create"),
        ("Twin 2", "Twin", "create"),
        ("Hidden", "Hidden", "none"),
    ] {
        let mut it = Builder::new(Id::named("app", id), name, permission, seed);
        let notes = it.table("Notes", 10);
        it.add(notes, "Name", Kind::Text("singleLineText"), Source::Drawn(0, serial));
        it.add(notes, "Text", Kind::Text("multilineText"), Source::Drawn(40, odd));
        bases.push(it.finish());
    }
    bases
}

pub fn base_id() -> Id {
    Id::named("app", BASE)
}

fn operations(seed: u64, records: &BTreeMap<String, u32>) -> Base {
    let mut it = Builder::new(base_id(), BASE, "create", seed);
    for (name, count) in COUNTS {
        let at = it.table(name, count);
        let asked = records.get(name).or_else(|| records.get(it.base.tables[at].id.as_str()));
        it.counts[at] = asked.copied().unwrap_or(count);
    }
    companies(&mut it);
    projects(&mut it);
    people(&mut it);
    measurements(&mut it);
    odd_names(&mut it);
    for (table, note) in [("Time Log", "spaces"), ("Time/Log", "slashes")] {
        let at = it.at(table);
        it.add(at, "Entry", Kind::Text("singleLineText"), Source::Drawn(0, serial));
        it.add(at, note, Kind::Duration, Source::Drawn(60, duration));
    }
    let empty = it.at("Empty");
    it.add(empty, "Name", Kind::Text("singleLineText"), Source::None);
    it.add(empty, "Amount", Kind::Number { precision: 0 }, Source::None);
    it.finish()
}

fn companies(it: &mut Builder) {
    let t = it.at("Companies");
    it.add(t, "Name", Kind::Text("singleLineText"), Source::Drawn(10, company));
    it.add(t, "City", Kind::Text("singleLineText"), Source::Drawn(40, city));
    it.add(t, "Founded", Kind::Date, Source::Drawn(40, date));
    it.add(t, "Revenue", Kind::Currency { precision: 2, symbol: "€" }, Source::Drawn(40, money));
    it.add(t, "Tags", it.choices(t, "Tags", SKILLS, true), Source::Drawn(80, skills));
    it.link(t, "Subsidiary of", "Companies", None, true, Source::Linked(160, 1));
}

fn projects(it: &mut Builder) {
    let t = it.at("Projects");
    it.add(t, "Code", Kind::AutoNumber, Source::None);
    it.add(t, "Label", Kind::Text("singleLineText"), Source::Drawn(30, city));
    it.formula(t, "Title", "'P-'&{Code}&IF({Label},' '&{Label},'')", Outcome::Text);
    it.base.tables[t].primary = 2;
    it.add(t, "Budget", Kind::Currency { precision: 2, symbol: "$" }, Source::Drawn(50, money));
    it.add(t, "Due", Kind::Date, Source::Drawn(50, date));
    it.add(t, "Done", Kind::Checkbox, Source::Drawn(128, checked));
}

fn people(it: &mut Builder) {
    let t = it.at("People");
    it.add(t, "Name", Kind::Text("singleLineText"), Source::Drawn(8, person));
    it.add(t, "Email", Kind::Text("email"), Source::Drawn(40, email));
    it.add(t, "Phone", Kind::Text("phoneNumber"), Source::Drawn(80, phone));
    it.add(t, "Website", Kind::Text("url"), Source::Drawn(120, url));
    it.add(t, "Notes", Kind::Text("multilineText"), Source::Drawn(60, odd));
    it.add(t, "Bio", Kind::Text("richText"), Source::Drawn(100, bio));
    it.add(t, "Age", Kind::Number { precision: 0 }, Source::Drawn(50, age));
    it.add(t, "Big", Kind::Number { precision: 0 }, Source::Drawn(50, big));
    it.add(t, "Score", Kind::Number { precision: 3 }, Source::Drawn(50, score));
    it.add(t, "Salary", Kind::Currency { precision: 2, symbol: "$" }, Source::Drawn(50, money));
    it.add(t, "Bonus", Kind::Percent { precision: 1 }, Source::Drawn(60, percent));
    it.add(t, "Worked", Kind::Duration, Source::Drawn(60, duration));
    it.add(t, "Rating", Kind::Rating { max: 5 }, Source::Drawn(60, rating));
    it.add(t, "Active", Kind::Checkbox, Source::Drawn(110, checked));
    it.add(t, "Status", it.choices(t, "Status", STATUS, false), Source::Drawn(50, status));
    it.add(t, "Skills", it.choices(t, "Skills", SKILLS, true), Source::Drawn(60, skills));
    it.add(t, "Born", Kind::Date, Source::Drawn(50, date));
    it.add(t, "Last seen", Kind::DateTime { zone: UTC }, Source::Drawn(50, moment));
    it.add(t, "Meeting", Kind::DateTime { zone: KOLKATA }, Source::Drawn(90, moment));
    it.add(t, "Photos", Kind::Attachments, Source::Drawn(150, photos));
    it.link(t, "Company", "Companies", Some("Staff"), true, Source::Linked(50, 1));
    it.link(t, "Projects", "Projects", Some("Members"), false, Source::Linked(80, 4));
    it.link(t, "Manager", "People", None, true, Source::Linked(100, 1));
    it.add(t, "Owner", Kind::Collaborator { many: false }, Source::Drawn(80, owner));
    it.add(t, "Team", Kind::Collaborator { many: true }, Source::Drawn(80, team));
    it.add(t, "Badge", Kind::Barcode, Source::Drawn(120, badge));
    it.add(t, "Number", Kind::AutoNumber, Source::None);
    it.add(t, "Created", Kind::CreatedTime, Source::None);
    it.add(t, "Modified", Kind::ModifiedTime { of: Vec::new() }, Source::None);
    it.add(t, "Created by", Kind::CreatedBy, Source::None);
    it.add(t, "Modified by", Kind::ModifiedBy, Source::None);
    it.add(t, "Profile", Kind::Button, Source::None);
    let feeds = it.make_choices(t, "Feed", &["CRM", "ERP"]);
    it.add(t, "Feed", Kind::SyncSource { choices: feeds }, Source::Drawn(60, feed));
    it.add(t, "Summary", Kind::AiText, Source::Drawn(100, summary));
    it.add(t, "Order", Kind::ManualSort, Source::Drawn(0, serial));
    it.add(t, "Aura", Kind::Unknown, Source::Drawn(128, aura));
    it.formula(t, "Label", "{Name}&' ('&{Age}&')'", Outcome::Text);
    it.formula(t, "Salary per score", "{Salary}/{Score}", Outcome::Number(4));
    it.formula(t, "Is adult", "{Age}>=18", Outcome::Checkbox);
    it.formula(t, "Adult flag", "AND({Age}>=18,{Active})", Outcome::Number(0));
    it.formula(t, "Next review", "DATEADD({Born},30,'years')", Outcome::Date);
    it.formula(t, "Seen later", "DATEADD({Last seen},90,'minutes')", Outcome::DateTime);
    it.formula(t, "Error prone", "IF({Age}>60,ERROR(),{Phone})", Outcome::Text);
    let field = Kind::Formula { expr: None, text: "{gone}*2".to_owned(), result: Outcome::Text };
    it.add(t, "Broken", field, Source::None);
    it.lookup(t, "Company city", "Company", "City");
    it.lookup(t, "Project budgets", "Projects", "Budget");
    it.lookup(t, "Project due", "Projects", "Due");
    it.lookup(t, "Project members", "Projects", "Members");
    it.rollup(t, "Total budget", "Projects", "Budget", "SUM(values)", Outcome::Number(2));
    it.rollup(t, "Latest due", "Projects", "Due", "IF(COUNTALL(values)>0,MAX(values),BLANK())", Outcome::Date);
    it.rollup(t, "Project list", "Projects", "Title", "ARRAYJOIN(values,'; ')", Outcome::Text);
    let link = it.field(t, "Projects");
    it.add(t, "Project count", Kind::Count { link }, Source::None);
    let age = it.field(t, "Age");
    it.add(t, "Age modified", Kind::ModifiedTime { of: vec![age] }, Source::None);

    let staff = it.at("Companies");
    let link = it.field(staff, "Staff");
    it.add(staff, "Headcount", Kind::Count { link }, Source::None);
    it.rollup(staff, "Payroll", "Staff", "Salary", "SUM(values)", Outcome::Number(2));

    let table = &it.base.tables[t];
    let filter = formula::parse("AND({Active},{Age}>=18)", table, &Switches::default()).ok();
    let view = View {
        id: Id::named("viw", "People/Active adults"),
        name: "Active adults".to_owned(),
        filter,
        sort: vec![(age, true)],
        hidden: vec![it.field(t, "Salary"), it.field(t, "Notes")],
    };
    it.base.tables[t].views.push(view);
}

/// A table for scans of any size: few fields of the common types.
fn measurements(it: &mut Builder) {
    let t = it.at("Measurements");
    it.add(t, "Name", Kind::Text("singleLineText"), Source::Drawn(10, measurement));
    it.add(t, "Value", Kind::Number { precision: 3 }, Source::Drawn(20, score));
    it.add(t, "Count", Kind::Number { precision: 0 }, Source::Drawn(20, age));
    it.add(t, "Day", Kind::Date, Source::Drawn(20, date));
    it.add(t, "At", Kind::DateTime { zone: UTC }, Source::Drawn(20, moment));
    it.add(t, "Kind", it.choices(t, "Kind", STATUS, false), Source::Drawn(20, status));
    it.add(t, "Ok", Kind::Checkbox, Source::Drawn(128, checked));
    it.add(t, "Comment", Kind::Text("multilineText"), Source::Drawn(128, odd));
}

/// Names that break what is careless with them; some are equal once folded, some only once cut to 63 bytes.
fn odd_names(it: &mut Builder) {
    let t = it.at(ODD_TABLE);
    let long = "a very long name of a field that goes on and on beyond what fits";
    it.add(t, "Name / {key}", Kind::Text("singleLineText"), Source::Drawn(20, odd));
    let texts = [
        "First Name",
        "First-Name",
        "first_name",
        "FirstName",
        "closing } brace",
        "{braces}",
        "with \"quotes\" and 'those'",
        "back\\slash \\} both",
        "comma, semicolon; colon:",
        "emoji 😀",
        "😀",
        "🎉",
        "日本語",
        "Straße",
        "select",
        "_id",
        "_created_time",
        "id",
        "tableoid",
        " leading blank",
        "trailing blank ",
        "100% $1",
        "7th",
        "a.b[c]",
        "line\nbreak",
        "fldNotReallyAnId1",
    ];
    for name in texts {
        it.add(t, name, Kind::Text("singleLineText"), Source::Drawn(60, odd));
    }
    it.add(t, &format!("{long} one"), Kind::Number { precision: 0 }, Source::Drawn(60, age));
    it.add(t, &format!("{long} two"), Kind::Number { precision: 0 }, Source::Drawn(60, age));
    it.add(t, "Zoned", Kind::DateTime { zone: HONOLULU }, Source::Drawn(60, moment));
    it.base.tables[t].description = Some("Described with 'quotes' and a line\nbreak".to_owned());
    it.base.tables[t].fields[0].description = Some("The primary field; \"quoted\"".to_owned());
}

impl Builder {
    fn new(id: Id, name: &str, permission: &'static str, seed: u64) -> Builder {
        Builder { base: Base::new(id, name, permission), sources: Vec::new(), counts: Vec::new(), seed }
    }

    fn table(&mut self, name: &str, count: u32) -> usize {
        let scope = if self.base.name == BASE { BASE } else { self.base.id.as_str() };
        let view = View {
            id: Id::named("viw", &format!("{scope}/{name}/Grid view")),
            name: "Grid view".to_owned(),
            filter: None,
            sort: Vec::new(),
            hidden: Vec::new(),
        };
        self.base.tables.push(Table {
            id: Id::named("tbl", &format!("{scope}/{name}")),
            name: name.to_owned(),
            description: None,
            fields: Vec::new(),
            primary: 0,
            views: vec![view],
        });
        self.base.data.push(Data::default());
        self.sources.push(Vec::new());
        self.counts.push(count);
        self.base.tables.len() - 1
    }

    /// The place of a table that was made before.
    fn at(&self, table: &str) -> usize {
        self.base.table(table).unwrap_or_else(|| panic!("the sample has no table {table}"))
    }

    fn field(&self, table: usize, name: &str) -> usize {
        self.base.tables[table].field(name).unwrap_or_else(|| panic!("the sample has no field {name}"))
    }

    fn add(&mut self, table: usize, name: &str, kind: Kind, source: Source) -> usize {
        let id = Id::named("fld", &format!("{}/{name}", self.base.tables[table].id));
        let field = Field { id, name: name.to_owned(), description: None, kind, removed: false };
        self.base.tables[table].fields.push(field);
        self.sources[table].push(source);
        self.base.tables[table].fields.len() - 1
    }

    fn make_choices(&self, table: usize, field: &str, names: &[&str]) -> Vec<Choice> {
        let id = |name: &str| Id::named("sel", &format!("{}/{field}/{name}", self.base.tables[table].id));
        names.iter().map(|name| Choice { id: id(name), name: (*name).to_owned() }).collect()
    }

    fn choices(&self, table: usize, field: &str, names: &[&str], many: bool) -> Kind {
        Kind::Select { choices: self.make_choices(table, field, names), many }
    }

    fn link(&mut self, table: usize, name: &str, to: &str, back: Option<&str>, single: bool, source: Source) {
        let other = self.at(to);
        let field = self.add(table, name, Kind::Link { table: other, inverse: None, single }, source);
        if let Some(back) = back {
            let kind = Kind::Link { table, inverse: Some(field), single: false };
            let inverse = self.add(other, back, kind, Source::None);
            self.base.tables[table].fields[field].kind = Kind::Link { table: other, inverse: Some(inverse), single };
        }
    }

    fn formula(&mut self, table: usize, name: &str, text: &str, result: Outcome) {
        let expr = formula::parse(text, &self.base.tables[table], &Switches::default());
        let expr = Some(expr.unwrap_or_else(|e| panic!("{text}: {}", e.message())));
        self.add(table, name, Kind::Formula { expr, text: text.to_owned(), result }, Source::None);
    }

    fn lookup(&mut self, table: usize, name: &str, link: &str, field: &str) {
        let (link, field) = self.through(table, link, field);
        self.add(table, name, Kind::Lookup { link, field }, Source::None);
    }

    fn rollup(&mut self, table: usize, name: &str, link: &str, field: &str, text: &str, result: Outcome) {
        let (link, field) = self.through(table, link, field);
        let expr = formula::parse(text, &RollupNames, &Switches::default());
        let expr = expr.unwrap_or_else(|e| panic!("{text}: {}", e.message()));
        self.add(table, name, Kind::Rollup { link, field, expr, result }, Source::None);
    }

    fn through(&self, table: usize, link: &str, field: &str) -> (usize, usize) {
        let link = self.field(table, link);
        let Kind::Link { table: other, .. } = self.base.tables[table].fields[link].kind else {
            panic!("the sample's {field} is looked up through what is no link");
        };
        (link, self.field(other, field))
    }

    /// Fills the tables.
    fn finish(mut self) -> Base {
        for table in 0..self.base.tables.len() {
            self.fill(table);
        }
        for table in 0..self.base.tables.len() {
            for field in 0..self.sources[table].len() {
                if let Source::Linked(blanks, most) = self.sources[table][field] {
                    self.connect(table, field, blanks, most);
                }
            }
        }
        self.base.commit(0);
        self.base
    }

    fn draw(&self, table: usize, field: usize, index: u32) -> u64 {
        let record = hash(self.seed ^ (table as u64 + 1) << 40 ^ u64::from(index));
        hash(record ^ (field as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn fill(&mut self, table: usize) {
        const FROM: i64 = day(2022, 1, 3) as i64 * DAY;
        let salt = self.base.id.as_str().bytes().fold(self.seed, |sum, b| hash(sum ^ u64::from(b)));
        for index in 0..self.counts[table] {
            let cells = self.sources[table].iter().enumerate().map(|(field, source)| match source {
                Source::Drawn(blanks, make) => {
                    let draw = self.draw(table, field, index);
                    // The top byte decides about blank; the rest is free.
                    if (draw >> 56) < u64::from(*blanks) { Cell::Blank } else { make(draw & (u64::MAX >> 8), index) }
                }
                _ => Cell::Blank,
            });
            let cells: Vec<Cell> = cells.collect();
            let draw = self.draw(table, 1000, index);
            let created = FROM + i64::from(index) * 61_000;
            let id = self.base.insert(table, salt, created, draw as usize % USERS.len(), cells);
            self.base.update(table, id, |record| {
                record.comments = (draw >> 8) as u32 % 4;
                if draw & 0x10_0000 != 0 {
                    let later = (draw >> 30) as i64 % (500 * DAY) + 1;
                    record.modified = Some((created + later, (draw >> 16) as usize % USERS.len()));
                }
            });
        }
    }

    /// Draws links, and writes them on both sides.
    fn connect(&mut self, table: usize, field: usize, blanks: u8, most: usize) {
        let Kind::Link { table: other, inverse, .. } = self.base.tables[table].fields[field].kind else { return };
        let targets: Vec<Id> = self.base.data[other].records.values().map(|r| r.id).collect();
        let mut back: HashMap<Id, Vec<Id>> = HashMap::new();
        let draws: Vec<u64> = self.base.data[table].records.keys().map(|at| self.draw(table, field, *at)).collect();
        for (record, draw) in self.base.data[table].records.values_mut().zip(draws) {
            if targets.is_empty() || (draw >> 56) < u64::from(blanks) {
                continue;
            }
            let mut links: Vec<Id> = Vec::new();
            for at in 0..1 + (draw >> 40) as usize % most {
                let link = pick(&targets, hash(draw + at as u64));
                if !links.contains(&link) {
                    links.push(link);
                    back.entry(link).or_default().push(record.id);
                }
            }
            record.cells[field] = Cell::Links(links);
        }
        if let Some(inverse) = inverse {
            for record in self.base.data[other].records.values_mut() {
                if let Some(links) = back.remove(&record.id) {
                    record.cells[inverse] = Cell::Links(links);
                }
            }
        }
    }
}

fn text(text: impl Into<Box<str>>) -> Cell {
    Cell::Text(text.into())
}

const STATUS: &[&str] = &["To do", "In progress", "Done", "Won't do", "on hold, maybe", "\"Quoted\"", "Émigré", "10%"];
const SKILLS: &[&str] = &["SQL", "Rust", "C++", "a, b", "100%", "日本", "under_score", "x\"y"];
const FIRST: &[&str] = &["Ada", "Grace", "ada", "Zoë", "Conan", "Émile", "İpek", "Li", "Ångström", "Bob"];
const LAST: &[&str] = &["Lovelace", "Hopper", "O'Brien", "de la Cruz", "Smith", "SMITH", "Nuñez", "von Ω", "李"];
const CITIES: &[&str] =
    &["Berlin", "berlin", "São Paulo", "Oslo", "Saint-Étienne", "New York, NY", "Łódź", "Kyoto 京都"];

fn serial(_: u64, index: u32) -> Cell {
    text(format!("{index:06}"))
}

fn measurement(draw: u64, index: u32) -> Cell {
    if draw.is_multiple_of(7) { odd(draw >> 3, index) } else { text(format!("m{:05}", index / 2)) }
}

fn odd(draw: u64, _: u32) -> Cell {
    match (draw >> 16) % 24 {
        0 => text("x".repeat(500)),
        1..=5 => text(format!("{}{}", pick(ODD, draw), (draw >> 24) % 50)),
        _ => text(pick(ODD, draw)),
    }
}

fn bio(draw: u64, _: u32) -> Cell {
    text(format!("**{}**\n\n- {}\n- [ ] {}\n", pick(ODD, draw), pick(ODD, draw >> 8), pick(ODD, draw >> 16)))
}

fn person(draw: u64, index: u32) -> Cell {
    if draw.is_multiple_of(9) {
        return odd(draw >> 4, index);
    }
    text(format!("{} {}", pick(FIRST, draw >> 4), pick(LAST, draw >> 12)))
}

fn company(draw: u64, index: u32) -> Cell {
    let name = pick(&["Acme", "ACME", "Müller & Söhne", "Smith, Jones", "\"Quoted\" Ltd", "C:\\new"], draw);
    if draw.is_multiple_of(3) { text(name) } else { text(format!("{name} {index}")) }
}

fn city(draw: u64, _: u32) -> Cell {
    text(pick(CITIES, draw))
}

fn email(draw: u64, index: u32) -> Cell {
    let name = pick(&["ada", "Ada", "grace.hopper", "o'brien"], draw);
    text(format!("{name}+{index}@example.com"))
}

fn phone(draw: u64, _: u32) -> Cell {
    text(format!("+{} {:07}", draw % 90 + 10, (draw >> 8) % 10_000_000))
}

fn url(draw: u64, index: u32) -> Cell {
    text(format!("https://example.com/{}?id={index}&x=%20#f", draw % 1000))
}

fn age(draw: u64, _: u32) -> Cell {
    Cell::Number(match draw % 8 {
        0 => 0.0,
        1 => -1.0,
        2 => 18.0,
        _ => ((draw >> 8) % 90) as f64,
    })
}

fn big(draw: u64, _: u32) -> Cell {
    Cell::Number(match draw % 6 {
        0 => 0.0,
        1 => 9_007_199_254_740_991.0,
        2 => -9_007_199_254_740_991.0,
        3 => 2_147_483_648.0,
        _ => ((draw >> 8) % 1_000_000_000_000) as f64,
    })
}

fn score(draw: u64, _: u32) -> Cell {
    Cell::Number(match draw % 16 {
        0..=1 => 0.0,
        2 => 1e21,
        3 => 1e-7,
        4 => 0.1,
        5 => -0.001,
        6 => 1.5,
        7 => 100.0,
        _ => (((draw >> 8) % 2_000_001) as f64 - 1_000_000.0) / 1000.0,
    })
}

fn money(draw: u64, _: u32) -> Cell {
    Cell::Number(match draw % 8 {
        0 => 0.0,
        1 => 0.01,
        2 => -12.5,
        3 => 1_000_000.0,
        _ => ((draw >> 8) % 10_000_000) as f64 / 100.0,
    })
}

fn percent(draw: u64, _: u32) -> Cell {
    Cell::Number(pick(&[0.0, 0.5, 0.125, 1.0, 1.5, -0.1, 0.333], draw))
}

fn duration(draw: u64, _: u32) -> Cell {
    Cell::Number(match draw % 6 {
        0 => 0.0,
        1 => 86_400.0,
        2 => 359_999.0,
        3 => -60.0,
        _ => ((draw >> 8) % 100_000) as f64,
    })
}

fn rating(draw: u64, _: u32) -> Cell {
    Cell::Number((draw % 5 + 1) as f64)
}

fn checked(_: u64, _: u32) -> Cell {
    Cell::Checked
}

fn status(draw: u64, _: u32) -> Cell {
    text(pick(STATUS, draw))
}

fn skills(draw: u64, _: u32) -> Cell {
    let sure = draw as usize % SKILLS.len();
    let chosen = SKILLS.iter().enumerate().filter(|(at, _)| *at == sure || (draw >> (8 + at)) & 3 == 0);
    let mut names: Vec<Box<str>> = chosen.map(|(_, name)| (*name).into()).collect();
    if draw & 0x80 != 0 {
        // They come in the order in which they were chosen.
        names.reverse();
    }
    Cell::Choices(names)
}

fn a_day(draw: u64) -> i32 {
    const NAMED: [i32; 8] = [
        day(1900, 1, 1),
        day(9999, 12, 31),
        day(2000, 2, 29),
        day(2024, 2, 29),
        day(1970, 1, 1),
        day(1969, 12, 31),
        day(2024, 12, 31),
        day(2024, 5, 31),
    ];
    match draw % 3 {
        0 => pick(&NAMED, draw >> 8),
        1 => day(2024, 5, 1) + ((draw >> 8) % 60) as i32,
        _ => day(1950, 1, 1) + ((draw >> 8) % 40_000) as i32,
    }
}

fn date(draw: u64, _: u32) -> Cell {
    Cell::Date(a_day(draw))
}

fn moment(draw: u64, _: u32) -> Cell {
    let of_day = match (draw >> 4) % 4 {
        0 => 0,
        1 => DAY - 1,
        2 => (draw >> 32) as i64 % 86_400 * 1000,
        _ => (draw >> 32) as i64 % DAY,
    };
    Cell::Moment(i64::from(a_day(draw)) * DAY + of_day)
}

fn photos(draw: u64, _: u32) -> Cell {
    const FILES: [(&str, &str); 4] = [
        ("photo 1.png", "image/png"),
        ("\"odd\", name.txt", "text/plain"),
        ("日本.pdf", "application/pdf"),
        ("a&b=c.jpg", "image/jpeg"),
    ];
    let one = |at: u64| {
        let (filename, mime) = pick(&FILES, hash(draw + at));
        Attachment {
            id: Id::new("att", draw + at),
            filename: filename.to_owned(),
            mime: mime.to_owned(),
            size: draw % 100_000 + 1,
        }
    };
    Cell::Attachments((0..draw % 3 + 1).map(one).collect())
}

fn owner(draw: u64, _: u32) -> Cell {
    Cell::Users(vec![draw as usize % USERS.len()])
}

fn team(draw: u64, _: u32) -> Cell {
    let first = draw as usize % USERS.len();
    let second = (draw >> 8) as usize % USERS.len();
    Cell::Users(if first == second { vec![first] } else { vec![first, second] })
}

fn badge(draw: u64, _: u32) -> Cell {
    let code = format!("{:012}", draw % 1_000_000_000_000);
    Cell::Json(Box::new(if draw & 1 == 0 { json!({ "text": code }) } else { json!({ "text": code, "type": "ean13" }) }))
}

fn feed(draw: u64, _: u32) -> Cell {
    text(pick(&["CRM", "ERP"], draw))
}

fn summary(draw: u64, _: u32) -> Cell {
    Cell::Json(Box::new(match draw % 3 {
        0 => json!({ "state": "error", "errorType": "emptyDependency", "isStale": false, "value": null }),
        1 => json!({ "state": "generated", "isStale": true, "value": pick(ODD, draw >> 8) }),
        _ => json!({ "state": "generated", "isStale": false, "value": "A summary." }),
    }))
}

fn aura(draw: u64, _: u32) -> Cell {
    Cell::Json(Box::new(match draw % 4 {
        0 => json!({ "colour": "blue", "rays": [1, 2.5, null] }),
        1 => json!("plain text"),
        2 => json!(42),
        _ => json!([true, "x"]),
    }))
}

/// What `zone` of the name a client gave in `timeZone` is, if the sandbox knows it.
pub fn zone(name: &str) -> Option<Zone> {
    if name.eq_ignore_ascii_case("gmt") {
        return Some(UTC);
    }
    [UTC, KOLKATA, HONOLULU].into_iter().find(|z| z.0.eq_ignore_ascii_case(name))
}
