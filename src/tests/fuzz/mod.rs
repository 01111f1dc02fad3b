//! Everything that reads outside bytes, fed with recorded answers that were changed at random.
//!
//! `tests/fuzz` holds what the simulated APIs have answered, one conversation a file, and what was once found. A short run is
//! part of `cargo test`; `make soak` has a long one: SEQUIN_FUZZ_MINUTES says how long, and begins with the time as seed.
//! SEQUIN_FUZZ_SEED begins with another; what fails says which, and leaves its input in `target/fuzz`. Put under another name
//! into `tests/fuzz` it is tried first from then on.
//!
//! What must hold: nothing panics, no error is our own fault or of endless length, no step takes more memory than it has
//! asked for (see [`crate::heap`]), and none takes long.

mod mutate;
mod scenarios;
mod talk;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::connector::contract::Connector;
use crate::connector::machine::Job;
use crate::connector::wire::Request;
use crate::http::body::Incoming;
use crate::options::{OptionMap, Place as Where, ServerOptions, validate};
use crate::query::ask::BoundRead;
use crate::query::page::Page;
use crate::query::predicate::Predicate;
use crate::schema::Object;
use mutate::Dice;
use scenarios::{Place, SCENARIOS, Scenario};
use talk::{Recorded, Source, Talk, mutate_all, payload};

/// How long a run takes that nobody has asked for.
const BRIEFLY: Duration = Duration::from_secs(12);

/// An API, and where its recordings are about.
struct Api {
    name: &'static str,
    options: &'static [(&'static str, &'static str)],
    schema: &'static str,
    read: &'static str,
    written: &'static str,
    credentials: &'static [(&'static str, &'static str)],
}

const APIS: [Api; 2] = [
    Api {
        name: "salesforce",
        options: &[],
        schema: "salesforce",
        read: "Every_Type__c",
        written: "Contact",
        credentials: &[("client_id", sandbox::CLIENT_ID), ("client_secret", sandbox::CLIENT_SECRET)],
    },
    Api {
        name: "airtable",
        options: &[("base_url", "https://api.airtable.com")],
        schema: sandbox::AIRTABLE_BASE,
        read: "appp0saPd801Y4O94/tbl5YMNoT8QhvG0ch",
        written: "appp0saPd801Y4O94/tbloaJ3qu4Qgu5pKr",
        credentials: &[
            ("client_id", sandbox::CLIENT_ID),
            ("client_secret", sandbox::CLIENT_SECRET),
            ("refresh_token", sandbox::AIRTABLE_REFRESH_TOKEN),
        ],
    },
];

impl Api {
    fn connector(&self) -> Arc<dyn Connector> {
        let given = self.options.iter().copied().chain([("connector", self.name)]);
        let map: OptionMap = given.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        crate::connector::open(&ServerOptions::read("fuzz", &map).unwrap()).unwrap()
    }
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// The recordings of one API, by their names.
fn recordings(api: &Api) -> BTreeMap<String, Vec<Recorded>> {
    let directory = corpus().join(api.name);
    let files = std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let read = |file: std::io::Result<std::fs::DirEntry>| {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    };
    files.map(read).collect()
}

fn gather<T>(connector: &dyn Connector, source: Source<'_>, job: Job<T>) -> (Vec<T>, Vec<Recorded>) {
    let mut all = Vec::new();
    let mut talk = Talk { connector, source, slowest: Duration::ZERO };
    talk.play(job, |one| all.push(one));
    let kept = if let Source::Api(_, kept) = talk.source { kept } else { Vec::new() };
    (all, kept)
}

/// What all scenarios of an API need to know of it.
struct Known {
    connector: Arc<dyn Connector>,
    read: Object,
    written: Object,
    keys: Vec<String>,
}

impl Known {
    /// From recordings, or from an API that is recorded.
    fn of(
        api: &Api,
        mut source: impl FnMut(&str) -> Source<'static>,
        mut kept: impl FnMut(&str, Vec<Recorded>),
    ) -> Known {
        let connector = api.connector();
        let mut described = |object: &str, name: &str| {
            let (mut objects, answers) = gather(&*connector, source(name), connector.describe(object));
            kept(name, answers);
            objects.pop().unwrap_or_else(|| panic!("{name} describes nothing"))
        };
        let read = described(api.read, "describe");
        let written = described(api.written, "describe_written");
        let key = written.fields.iter().find(|field| field.key).unwrap().clone();
        let read_keys = BoundRead::new(&written.name, vec![key], Predicate::True, serde_json::Value::Null);
        let job = connector.read(&read_keys).unwrap().remove(0);
        let (pages, answers) = gather::<Page>(&*connector, source("keys"), job);
        kept("keys", answers);
        let of = |page: &Page| (0..page.rows()).map(|row| page.value(row, 0).to_input()).collect::<Vec<_>>();
        let keys = pages.iter().flat_map(of).collect();
        Known { connector, read, written, keys }
    }

    fn place<'p>(&'p self, api: &'p Api) -> Place<'p> {
        let Known { read, written, keys, .. } = self;
        Place { schema: api.schema, read, written, keys, credentials: api.credentials }
    }
}

/// One thing to feed.
enum Target<'t> {
    Talk { api: &'t Api, known: &'t Known, name: &'t str, scenario: Scenario, answers: &'t [Recorded] },
    Unpack,
    Options,
}

impl Target<'_> {
    fn title(&self) -> String {
        match self {
            Target::Talk { api, name, .. } => format!("{} {name}", api.name),
            Target::Unpack => "unpack".to_owned(),
            Target::Options => "options".to_owned(),
        }
    }

    /// One execution: the input, what came of it, and how long its longest step took.
    fn run(&self, seed: u64, as_it_was: bool) -> (String, Result<Duration, String>) {
        let mut dice = Dice::new(seed);
        let mut input = String::new();
        let done = catch_unwind(AssertUnwindSafe(|| match self {
            Target::Talk { api, known, scenario, answers, .. } => {
                let mut answers = answers.to_vec();
                if !as_it_was {
                    mutate_all(&mut dice, &mut answers);
                }
                input = serde_json::to_string(&answers).unwrap();
                let source = Source::Recording(answers.into_iter());
                let mut talk = Talk { connector: &*known.connector, source, slowest: Duration::ZERO };
                scenario(&mut talk, &known.place(api), &mut dice);
                talk.slowest
            }
            Target::Unpack => unpack(&mut dice, &mut input),
            Target::Options => options(&mut dice, &mut input),
        }));
        let done = done.map_err(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
            text.unwrap_or("no reason given").to_owned()
        });
        (input, done)
    }
}

/// A packed body that was damaged.
fn unpack(dice: &mut Dice, input: &mut String) -> Duration {
    use std::io::Write as _;
    let start = Instant::now();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let most = if dice.one_in(50) { 400_000 } else { 2_000 };
    let times = 1 + dice.below(most);
    encoder.write_all("{\"records\":[]},".repeat(times).as_bytes()).unwrap();
    let mut wire = encoder.finish().unwrap();
    if !dice.one_in(4) {
        wire = mutate::bytes(dice, &wire);
    }
    *input = format!("{} bytes: {:?}", wire.len(), &wire[..wire.len().min(2_000)]);
    let encoding = [(reqwest::header::CONTENT_ENCODING, reqwest::header::HeaderValue::from_static("gzip"))];
    let mut body = Incoming::new(&encoding.into_iter().collect(), None).unwrap();
    let size = 1 + dice.below(20_000);
    if wire.chunks(size).all(|piece| body.add(Bytes::copy_from_slice(piece)).is_ok()) {
        let _ = body.finish();
    }
    start.elapsed()
}

/// Options of servers and mappings, as somebody may have set them.
fn options(dice: &mut Dice, input: &mut String) -> Duration {
    let start = Instant::now();
    let places = [Where::Server, Where::UserMapping, Where::Table, Where::Column, Where::Import];
    let values = [
        "salesforce",
        "airtable",
        "https://acme.my.salesforce.com/a",
        "http://[::1]:80",
        "62.0",
        "100",
        "0.5",
        "true",
        "insert, update",
        "Account via Owner",
        "filter, sort",
        "snake_case",
        "/tmp/x",
        "-----BEGIN PRIVATE KEY-----",
    ];
    let place = *dice.pick(&places);
    let names: Vec<&str> =
        crate::options::OPTIONS.iter().filter(|spec| spec.place == place).map(|spec| spec.name).collect();
    let mut map: OptionMap = OptionMap::new();
    for _ in 0..1 + dice.below(8) {
        let name = (*dice.pick(&names)).to_owned();
        let name = if dice.one_in(10) { mutate::text(dice, &name) } else { name };
        let value = (*dice.pick(&values)).to_owned();
        let value = if dice.one_in(2) { mutate::text(dice, &value) } else { value };
        map.insert(name, value);
    }
    *input = format!("{map:?}");
    let valid = validate(place, map.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    if place == Where::Server && valid.is_ok() {
        let server = ServerOptions::read("fuzz", &map).unwrap();
        let _ = crate::connector::open(&server);
    }
    let _ = crate::sync::options::SyncOptions::read(&String::from_utf8_lossy(&mutate::body(
        dice,
        br#"{"quota_share":0.5,"sweep_every":"6 hours","follow_schema":true}"#,
    )));
    start.elapsed()
}

/// `Some` of what an environment variable says.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

#[test]
fn no_answer_breaks_what_reads_it() {
    let time = number("SEQUIN_FUZZ_MINUTES").map(|minutes| Duration::from_secs(60 * minutes));
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() << 20;
    let first = number("SEQUIN_FUZZ_SEED").unwrap_or_else(|| if time.is_some() { clock() } else { 1 });
    let recorded: Vec<_> = APIS.iter().map(|api| (api, recordings(api))).collect();
    let known: Vec<Known> = recorded
        .iter()
        .map(|(api, files)| {
            let source = |name: &str| Source::Recording(files[name].clone().into_iter());
            Known::of(api, source, |_, _| {})
        })
        .collect();
    let mut targets = vec![Target::Unpack, Target::Options];
    for ((api, files), known) in recorded.iter().zip(&known) {
        for (name, scenario) in SCENARIOS {
            // `read-found` is for the scenario `read`.
            for (_, answers) in files.iter().filter(|(file, _)| file.split('-').next() == Some(name)) {
                targets.push(Target::Talk { api, known, name, scenario: *scenario, answers });
            }
        }
    }
    let fail = |target: &Target<'_>, seed: u64, input: &str, why: &str| {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fuzz");
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join(format!("{}-{seed}.json", target.title().replace(' ', "-")));
        std::fs::write(&file, input).unwrap();
        panic!(
            "{} fails: {why}\nits input is in {}; SEQUIN_FUZZ_SEED={seed} repeats it",
            target.title(),
            file.display()
        );
    };
    // What fails is told at the end.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut tally: BTreeMap<String, (u64, Duration)> = BTreeMap::new();
    let mut failed = None;
    for target in &targets {
        if let (input, Err(why)) = target.run(0, true) {
            failed.get_or_insert((target, 0, input, why));
        }
    }
    let start = Instant::now();
    let mut seed = first;
    'all: while failed.is_none() && start.elapsed() < time.unwrap_or(BRIEFLY) {
        for target in &targets {
            let (input, done) = target.run(seed, false);
            match done {
                Ok(took) => {
                    let (count, slowest) = tally.entry(target.title()).or_default();
                    *count += 1;
                    *slowest = (*slowest).max(took);
                }
                Err(why) => {
                    failed = Some((target, seed, input, why));
                    break 'all;
                }
            }
        }
        seed += 1;
    }
    std::panic::set_hook(hook);
    for (title, (count, slowest)) in &tally {
        println!("{title}: {count} executions, the longest step {slowest:?}");
    }
    let all: u64 = tally.values().map(|(count, _)| count).sum();
    println!("{all} executions in {:?}, seeds {first} to {seed}", start.elapsed());
    if let Some((target, seed, input, why)) = failed {
        fail(target, seed, &input, &why);
    }
    assert!(all > 1_000 || time.is_some(), "only {all} executions");
}

/// Writes down what the simulated APIs answer: `cargo test --lib record_the_corpus -- --ignored`.
#[test]
#[ignore = "changes files of the project"]
fn record_the_corpus() {
    let config = sandbox::Config::new().records("Contact", 12).records("Every_Type__c", 12).records("Account", 3);
    let config = config.filler_objects(20).records("People", 30).records("Companies", 12).static_token("fuzz");
    let sandbox: &'static sandbox::Sandbox = Box::leak(Box::new(sandbox::Sandbox::start(config).unwrap()));
    sandbox.set_page_size(Some(5));
    sandbox.set_airtable_switches(|switches| {
        switches.requests_per_second = 0;
        switches.requests_per_second_and_token = 0;
        switches.page_size = Some(5);
    });
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let agent: &'static ureq::Agent = Box::leak(Box::new(agent));
    let ask: &'static dyn Fn(&Request) -> Recorded = Box::leak(Box::new(move |request: &Request| {
        let mut http = ureq::http::Request::builder().method(request.method.as_str());
        http = http.uri(format!("{}{}", sandbox.url(), request.path));
        let kind = if request.authorized {
            http = http.header("Authorization", "Bearer fuzz");
            "application/json"
        } else {
            "application/x-www-form-urlencoded"
        };
        for (name, value) in &request.headers {
            http = http.header(*name, value);
        }
        let mut answer = agent.run(http.header("Content-Type", kind).body(payload(request)).unwrap()).unwrap();
        let header = |name: &str| Some((name.to_owned(), answer.headers().get(name)?.to_str().ok()?.to_owned()));
        let headers =
            ["date", "sforce-limit-info", "retry-after", "content-type"].into_iter().filter_map(header).collect();
        Recorded { status: answer.status().as_u16(), headers, body: answer.body_mut().read_to_vec().unwrap() }
    }));
    for api in &APIS {
        let directory = corpus().join(api.name);
        std::fs::create_dir_all(&directory).unwrap();
        let keep = |name: &str, answers: Vec<Recorded>| {
            assert!(answers.iter().all(|answer| answer.status < 300), "{} {name}: {answers:?}", api.name);
            let text = serde_json::to_string_pretty(&answers).unwrap();
            std::fs::write(directory.join(format!("{name}.json")), text + "\n").unwrap();
        };
        let known = Known::of(api, |_| Source::Api(ask, Vec::new()), keep);
        for (name, scenario) in SCENARIOS {
            let source = Source::Api(ask, Vec::new());
            let mut talk = Talk { connector: &*known.connector, source, slowest: Duration::ZERO };
            scenario(&mut talk, &known.place(api), &mut Dice::new(1));
            if let Source::Api(_, answers) = talk.source
                && !answers.is_empty()
                && *name != "describe"
            {
                keep(name, answers);
            }
        }
    }
}
