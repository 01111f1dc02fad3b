//! Every option there is, in one table: its name, where it goes, whether it is secret, how it is checked.
//!
//! The validator, the hints of its errors and the README's tables all follow [`OPTIONS`].

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, Kind, Result, nearest};
use crate::schema::{Capabilities, Operations, Reference};

/// The connectors that a server can name.
pub const CONNECTORS: &[&str] = &["airtable", "salesforce"];

/// What an option is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Wrapper,
    Server,
    UserMapping,
    Table,
    Column,
    Import,
}

impl Place {
    fn title(self) -> &'static str {
        match self {
            Place::Wrapper => "FOREIGN DATA WRAPPER",
            Place::Server => "SERVER",
            Place::UserMapping => "USER MAPPING",
            Place::Table => "FOREIGN TABLE",
            Place::Column => "column",
            Place::Import => "IMPORT FOREIGN SCHEMA",
        }
    }
}

/// One option that a user can set.
pub struct OptionSpec {
    pub name: &'static str,
    pub place: Place,
    /// Says what is wrong with a value, without repeating the value.
    check: fn(&str) -> std::result::Result<(), String>,
}

const fn spec(name: &'static str, place: Place, check: fn(&str) -> std::result::Result<(), String>) -> OptionSpec {
    OptionSpec { name, place, check }
}

/// All options. Whatever stands under `UserMapping` is secret.
pub const OPTIONS: &[OptionSpec] = &[
    spec("allowed_hosts", Place::Wrapper, allowed_hosts),
    spec("connector", Place::Server, connector),
    spec("base_url", Place::Server, url),
    spec("login_url", Place::Server, url),
    spec("api_version", Place::Server, not_empty),
    spec("page_size", Place::Server, positive),
    spec("max_concurrency", Place::Server, positive),
    spec("requests_per_second", Place::Server, count),
    spec("request_timeout", Place::Server, seconds),
    spec("max_retries", Place::Server, count),
    spec("typecast", Place::Server, boolean),
    spec("ca_file", Place::Server, absolute_path),
    spec("allow_insecure", Place::Server, boolean),
    spec("token", Place::UserMapping, not_empty),
    spec("client_id", Place::UserMapping, not_empty),
    spec("client_secret", Place::UserMapping, not_empty),
    spec("refresh_token", Place::UserMapping, not_empty),
    spec("username", Place::UserMapping, not_empty),
    spec("password", Place::UserMapping, not_empty),
    spec("private_key", Place::UserMapping, not_empty),
    spec("scope", Place::UserMapping, not_empty),
    spec("object", Place::Table, not_empty),
    spec("operations", Place::Table, operations),
    spec("estimated_rows", Place::Table, count),
    spec("field", Place::Column, not_empty),
    spec("type", Place::Column, not_empty),
    spec("key", Place::Column, boolean),
    spec("references", Place::Column, references),
    spec("capabilities", Place::Column, capabilities),
    spec("naming", Place::Import, naming),
];

type Check = std::result::Result<(), String>;

fn must(holds: bool, what: &str) -> Check {
    if holds { Ok(()) } else { Err(format!("must be {what}")) }
}

fn not_empty(value: &str) -> Check {
    must(!value.trim().is_empty(), "set to something")
}

fn connector(value: &str) -> Check {
    must(CONNECTORS.contains(&value), &format!("one of: {}", CONNECTORS.join(", ")))
}

fn url(value: &str) -> Check {
    let url = reqwest::Url::parse(value).map_err(|error| format!("is no URL: {error}"))?;
    must(
        matches!(url.scheme(), "https" | "http") && url.has_host(),
        "an https:// (or, with allow_insecure, http://) URL with a host",
    )?;
    must(
        url.username().is_empty() && url.password().is_none(),
        "a URL without a user name or password: credentials belong to the USER MAPPING",
    )?;
    must(url.query().is_none() && url.fragment().is_none(), "a URL without query and fragment")
}

fn allowed_hosts(value: &str) -> Check {
    let form = "a list of hosts alone, without scheme and port: acme.my.salesforce.com, *.example.com";
    must(hosts(value).is_ok(), form)
}

fn boolean(value: &str) -> Check {
    must(parse_bool(value).is_some(), "true or false")
}

fn parse_bool(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Some(true),
        "false" | "off" | "no" | "0" => Some(false),
        _ => None,
    }
}

fn positive(value: &str) -> Check {
    must(value.parse::<u32>().is_ok_and(|n| n > 0), "a whole number above 0")
}

fn count(value: &str) -> Check {
    must(value.parse::<u32>().is_ok(), "a whole number, 0 or more")
}

fn seconds(value: &str) -> Check {
    must(
        value.parse::<f64>().is_ok_and(|s| s.is_finite() && s > 0.0 && s <= 86_400.0),
        "a number of seconds above 0, at most 86400",
    )
}

fn absolute_path(value: &str) -> Check {
    must(std::path::Path::new(value).is_absolute(), "an absolute path")
}

fn naming(value: &str) -> Check {
    must(matches!(value, "snake_case" | "api_native"), "snake_case or api_native")
}

fn operations(value: &str) -> Check {
    Operations::parse(value).map(drop)
}

fn references(value: &str) -> Check {
    Reference::parse(value).map(drop)
}

fn capabilities(value: &str) -> Check {
    Capabilities::parse(value).map(drop)
}

/// Checks the options of one place as `CREATE` and `ALTER` leave them.
///
/// Errors: HV00D for an unknown, misplaced or ill-valued option, HV00J for a missing one. No value is
/// repeated in an error: it may be a secret in the wrong place.
pub fn validate<'a>(place: Place, given: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<()> {
    let mut names = Vec::new();
    for (name, value) in given {
        let Some(spec) = OPTIONS.iter().find(|spec| spec.place == place && spec.name == name) else {
            return Err(unknown(place, name));
        };
        (spec.check)(value).map_err(|wrong| Error::new(Kind::BadOption, format!("option \"{name}\" {wrong}")))?;
        names.push(name);
    }
    if place == Place::Server && !names.contains(&"connector") {
        return Err(Error::new(Kind::MissingOption, "option \"connector\" is missing")
            .hint(format!("Add OPTIONS (connector '…') with one of: {}.", CONNECTORS.join(", "))));
    }
    Ok(())
}

fn unknown(place: Place, name: &str) -> Error {
    let error = Error::new(Kind::BadOption, format!("invalid option \"{name}\" for {}", place.title()));
    if let Some(elsewhere) = OPTIONS.iter().find(|spec| spec.name == name) {
        return error.hint(format!("It belongs to {}.", elsewhere.place.title()));
    }
    let mut valid: Vec<_> = OPTIONS.iter().filter(|spec| spec.place == place).map(|spec| spec.name).collect();
    if let Some(meant) = nearest(name, valid.iter().copied()) {
        valid.retain(|candidate| *candidate != meant);
        valid.insert(0, meant);
    }
    error.hint(if valid.is_empty() {
        "There are no valid options here.".to_owned()
    } else {
        format!("Valid options here: {}.", valid.join(", "))
    })
}

/// The hosts of a list, each as URLs have it: lower case, and in ASCII. Errors: the first entry that is not a host.
pub fn hosts(list: &str) -> std::result::Result<Vec<String>, &str> {
    let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries.map(|entry| host(entry).ok_or(entry)).collect()
}

/// A host, or `*.` and one.
fn host(entry: &str) -> Option<String> {
    let (star, name) = entry.strip_prefix("*.").map_or(("", entry), |name| ("*.", name));
    // A colon stands in an IPv6 address in brackets, else before a port.
    let alone = !name.contains(['/', '\\', '@', '?', '#', '*', '%']) && !name.contains(char::is_whitespace);
    if !alone || (name.contains(':') && !name.ends_with(']')) {
        return None;
    }
    let url = reqwest::Url::parse(&format!("https://{name}/")).ok()?;
    let host = url.host_str()?.trim_end_matches('.');
    (url.path() == "/" && !host.is_empty()).then(|| format!("{star}{host}"))
}

/// Whether an entry of such a list allows a host, or all that another entry does.
pub fn allows(entry: &str, other: &str) -> bool {
    match entry.strip_prefix('*') {
        Some(domain) if domain.starts_with('.') => other.strip_suffix(domain).is_some_and(|sub| !sub.is_empty()),
        _ => entry == other,
    }
}

/// What two lists both allow; a list that is empty allows any host. `None` if they have nothing in common.
pub fn common(one: Vec<String>, other: Vec<String>) -> Option<Vec<String>> {
    if one.is_empty() || other.is_empty() {
        return Some(if one.is_empty() { other } else { one });
    }
    let narrower = |a: &String, b: &String| match () {
        _ if allows(a, b) => Some(b.clone()),
        _ if allows(b, a) => Some(a.clone()),
        _ => None,
    };
    let both: Vec<String> = one.iter().flat_map(|a| other.iter().filter_map(move |b| narrower(a, b))).collect();
    (!both.is_empty()).then_some(both)
}

/// Options as Postgres keeps them: already validated, names unique.
pub type OptionMap = BTreeMap<String, String>;

/// The options of a server, read.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerOptions {
    /// The server's name, for errors and statistics.
    pub server: String,
    pub connector: String,
    pub base_url: Option<String>,
    pub login_url: Option<String>,
    pub api_version: Option<String>,
    pub page_size: Option<u32>,
    /// Requests under way at once, per backend.
    pub max_concurrency: u32,
    /// Of all backends; 0 is any number. Unset, what the API is known to allow.
    pub requests_per_second: Option<u32>,
    /// How long one request may take, from connecting to the last byte.
    pub request_timeout: Duration,
    pub max_retries: u32,
    /// Whether the API may make values fit, where it can.
    pub typecast: bool,
    pub ca_file: Option<String>,
    pub allow_insecure: bool,
}

impl ServerOptions {
    pub fn read(server: &str, options: &OptionMap) -> Result<Self> {
        let text = |name: &str| options.get(name).cloned();
        let number = |name: &str| options.get(name).and_then(|value| value.parse::<u32>().ok());
        let connector = text("connector").ok_or_else(|| {
            Error::new(Kind::MissingOption, format!("server \"{server}\" has no option \"connector\""))
        })?;
        Ok(ServerOptions {
            server: server.to_owned(),
            connector,
            base_url: text("base_url"),
            login_url: text("login_url"),
            api_version: text("api_version"),
            page_size: number("page_size"),
            max_concurrency: number("max_concurrency").unwrap_or(8),
            requests_per_second: number("requests_per_second"),
            request_timeout: options
                .get("request_timeout")
                .and_then(|value| value.parse().ok())
                .map_or(Duration::from_secs(120), Duration::from_secs_f64),
            max_retries: number("max_retries").unwrap_or(4),
            typecast: flag(options, "typecast"),
            ca_file: text("ca_file"),
            allow_insecure: flag(options, "allow_insecure"),
        })
    }
}

/// A boolean option; absent is false.
pub fn flag(options: &OptionMap, name: &str) -> bool {
    options.get(name).and_then(|value| parse_bool(value)).unwrap_or(false)
}

/// What a user mapping holds. Nothing prints it, and it is wiped when dropped.
#[derive(Clone, Default)]
pub struct Credentials(BTreeMap<String, SecretString>);

impl Credentials {
    pub fn read(options: OptionMap) -> Self {
        Credentials(options.into_iter().map(|(name, value)| (name, value.into())).collect())
    }

    /// 128 bits that tell them from others.
    pub fn digest(&self) -> [u64; 2] {
        [0, 1].map(|half: u8| {
            let mut hasher = DefaultHasher::new();
            half.hash(&mut hasher);
            for (name, secret) in &self.0 {
                (name, secret.expose_secret()).hash(&mut hasher);
            }
            hasher.finish()
        })
    }

    pub fn get(&self, name: &str) -> Option<&SecretString> {
        self.0.get(name)
    }

    /// The secret, or HV00J that names what the user mapping lacks.
    pub fn require(&self, name: &str, purpose: &str) -> Result<&SecretString> {
        self.get(name).ok_or_else(|| {
            Error::new(Kind::MissingOption, format!("the user mapping has no option \"{name}\", which {purpose} needs"))
                .hint(format!("ALTER USER MAPPING … OPTIONS (ADD {name} '…');"))
        })
    }
}

impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).all(|((a, x), (b, y))| a == b && x.expose_secret() == y.expose_secret())
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_option_is_refused_with_the_nearest_name_first() {
        let error = validate(Place::Server, [("connector", "salesforce"), ("base_ulr", "x")]).unwrap_err();
        assert_eq!(error.kind(), Kind::BadOption);
        assert!(error.hint_text().unwrap().starts_with("Valid options here: base_url, "));
    }

    #[test]
    fn a_secret_on_the_server_is_refused_without_being_repeated() {
        let error = validate(Place::Server, [("connector", "salesforce"), ("client_secret", "hunter2")]).unwrap_err();
        assert_eq!(error.kind(), Kind::BadOption);
        assert_eq!(error.hint_text(), Some("It belongs to USER MAPPING."));
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn a_server_without_connector_is_refused_as_a_missing_option() {
        let error = validate(Place::Server, [("base_url", "https://a.example")]).unwrap_err();
        assert_eq!(error.kind(), Kind::MissingOption);
    }

    #[test]
    fn what_is_no_host_alone_is_refused_as_one() {
        let list = |text: &str| hosts(text).map(|hosts| hosts.join(" ")).map_err(str::to_owned);
        assert_eq!(
            list(" API.Example.Com., *.Bücher.example,, [::1] ").unwrap(),
            "api.example.com *.xn--bcher-kva.example [::1]"
        );
        assert_eq!(list(" , "), Ok(String::new()));
        for bad in [
            "a.example:443",
            "https://a.example",
            "a.example/x",
            "u@a.example",
            "*",
            "*.",
            "a.*.example",
            "a b",
            "[::1]:443",
            "a%2eb",
        ] {
            assert_eq!(list(&format!("good.example, {bad}")), Err(bad.to_owned()), "{bad}");
        }
    }

    #[test]
    fn two_lists_allow_what_both_do() {
        let list = |text: &str| hosts(text).unwrap();
        for (one, other, both) in [
            ("", "", Some("")),
            ("", "a.test", Some("a.test")),
            ("*.test", "", Some("*.test")),
            ("a.test, b.test", "b.test, c.test", Some("b.test")),
            ("*.test", "a.test, b.example", Some("a.test")),
            ("*.a.test, x.example", "*.test", Some("*.a.test")),
            ("*.test", "*.test", Some("*.test")),
            ("*.test", "test", None),
            ("a.test", "b.test", None),
        ] {
            for (one, other) in [(one, other), (other, one)] {
                let found = common(list(one), list(other));
                assert_eq!(found.map(|list| list.join(", ")).as_deref(), both, "{one} and {other}");
            }
        }
    }

    #[test]
    fn values_are_checked() {
        for (place, name, bad) in [
            (Place::Wrapper, "allowed_hosts", "https://a.example"),
            (Place::Server, "page_size", "-17"),
            (Place::Server, "request_timeout", "-1"),
            (Place::Server, "base_url", "ftp://a.example"),
            (Place::Server, "base_url", "https://user:pass@a.example"),
            (Place::Server, "ca_file", "ca.pem"),
            (Place::Table, "operations", "insert, truncate"),
            (Place::Column, "capabilities", "filter, fly"),
            (Place::Column, "key", "perhaps"),
            (Place::Import, "naming", "camelCase"),
        ] {
            let given = [("connector", "salesforce"), (name, bad)];
            let given = if place == Place::Server { &given[..] } else { &given[1..] };
            let error = validate(place, given.iter().copied()).unwrap_err();
            assert_eq!(error.kind(), Kind::BadOption, "{name} = {bad}");
            assert!(!error.message().contains(bad), "{name} repeats its value");
        }
    }

    #[test]
    fn debug_of_credentials_prints_names_only() {
        let map = [("token".to_owned(), "hunter2".to_owned())].into();
        assert_eq!(format!("{:?}", Credentials::read(map)), r#"{"token"}"#);
    }
}
