//! Which URL a request has, and whether that host may be asked.

use reqwest::Url;

use crate::connector::answer::excerpt;
use crate::connector::wire::{Host, Request};
use crate::error::{Error, Kind, Result};
use crate::options::{ServerOptions, allows};

/// The hosts of one server.
pub struct Addresses {
    server: String,
    base: Option<Url>,
    login: Option<Url>,
    allow_insecure: bool,
    /// As [`crate::options::hosts`] has them; empty is any.
    allowed: Vec<String>,
}

impl Addresses {
    pub fn new(server: &ServerOptions, allowed: Vec<String>) -> Result<Addresses> {
        let addresses = Addresses {
            server: server.server.clone(),
            base: parse("base_url", server.base_url.as_deref())?,
            login: parse("login_url", server.login_url.as_deref())?,
            allow_insecure: server.allow_insecure,
            allowed,
        };
        for url in addresses.base.iter().chain(&addresses.login) {
            addresses.check_scheme(url)?;
        }
        Ok(addresses)
    }

    /// The URL of a request. `instance` is the host that the token is for.
    pub fn resolve(&self, request: &Request, instance: Option<&Url>) -> Result<Url> {
        let root = match request.host {
            Host::Api => self.base.as_ref().or(instance),
            Host::Login => self.login.as_ref().or(self.base.as_ref()),
        };
        let root = root.ok_or_else(|| {
            let message = format!("server \"{}\" has no option \"base_url\"", self.server);
            Error::new(Kind::MissingOption, message).hint("ALTER SERVER … OPTIONS (ADD base_url 'https://…');")
        })?;
        let url = join(root, request)?;
        self.check(&url)?;
        Ok(url)
    }

    /// Whether a token's answer may name this as the API's place, to which the token then goes: an origin alone, of the
    /// vendor's `domains` or on a host that the server's options name.
    ///
    /// Errors: HV00M.
    pub fn check_instance(&self, url: &Url, domains: &[&str]) -> Result<()> {
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let anonymous = url.username().is_empty() && url.password().is_none();
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        let named = [&self.base, &self.login].into_iter().flatten().any(|known| known.host() == url.host());
        let of_vendor = domains.iter().any(|domain| allows(&format!("*.{domain}"), host));
        if self.check_scheme(url).is_ok() && bare && anonymous && url.has_host() && (named || of_vendor) {
            return Ok(());
        }
        let scheme = if self.allow_insecure { "https:// or http://" } else { "https://" };
        let message =
            format!("signing in names a place that is not the API's: {}", excerpt(url.as_str().as_bytes(), 200));
        Err(Error::new(Kind::Unreadable, message).hint(format!(
            "It must be {scheme} and a host, nothing else; the host of base_url or login_url, or one below {}. The token \
             was not sent there. Check login_url.",
            domains.join(", ")
        )))
    }

    fn check(&self, url: &Url) -> Result<()> {
        self.check_scheme(url)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::new(Kind::Unreadable, "the API names a URL with a password in it"));
        }
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        if self.allowed.is_empty() || self.allowed.iter().any(|entry| allows(entry, host)) {
            return Ok(());
        }
        Err(Error::new(Kind::Forbidden, format!("the host \"{host}\" may not be asked")).hint(
            "The option allowed_hosts of the FOREIGN DATA WRAPPER lists the hosts that may, and the setting \
                 sequin_fdw.allowed_hosts can leave out some of them.",
        ))
    }

    fn check_scheme(&self, url: &Url) -> Result<()> {
        match url.scheme() {
            "https" => Ok(()),
            "http" if self.allow_insecure => Ok(()),
            "http" => {
                let message = format!("{} would be asked without encryption", origin(url));
                Err(Error::new(Kind::BadOption, message)
                    .hint("Use https://, or set the server option allow_insecure 'true' to try things out."))
            }
            other => Err(Error::new(Kind::BadOption, format!("\"{other}:\" is no scheme of an API; https: is"))),
        }
    }
}

/// Scheme, host and port, like `https://acme.my.salesforce.com`.
pub fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn parse(option: &str, url: Option<&str>) -> Result<Option<Url>> {
    let url = url
        .map(Url::parse)
        .transpose()
        .map_err(|error| Error::new(Kind::BadOption, format!("option \"{option}\" is no URL: {error}")))?;
    Ok(url)
}

/// Appends the request's path to the root, and makes sure that the result is below it. Some paths hold what an answer or an
/// option named, some a user has worded, and the access token goes along.
fn join(root: &Url, request: &Request) -> Result<Url> {
    let path = request.path.as_str();
    let below = root.as_str().trim_end_matches('/');
    // The parser takes a backslash for a slash, and drops tabs and line ends.
    // <https://url.spec.whatwg.org/#path-state>
    let plain = path.starts_with('/') && !path.contains(|letter: char| letter.is_ascii_control() || letter == '\\');
    let stays = match climbs(path) {
        Climb::Not => true,
        // A user may word a path as it pleases where all of the host is the API.
        _ if request.by_user && root.path() == "/" => true,
        Climb::Within => request.by_user,
        Climb::Out => false,
    };
    Url::parse(&format!("{below}{path}"))
        .ok()
        .filter(|url| plain && stays && url.origin() == root.origin() && url.fragment().is_none())
        .ok_or_else(|| match request.by_user {
            true => Error::new(Kind::Forbidden, "a call may only go to paths below the server's base_url")
                .hint("The path is appended to base_url. Give it without \"..\", in whatever spelling."),
            false => Error::new(Kind::Unreadable, "a request's path leads out of the API").detail(path).hint(
                "It holds what the API, or an option of the table, named. Check the options; import the table again.",
            ),
        })
}

/// Where the dots of a path lead.
#[derive(Debug, PartialEq)]
enum Climb {
    Not,
    Within,
    Out,
}

/// Follows a path as any server might that unpacks it once: `%2e` is a dot, `%2f`, `%5c` and `\` are slashes, several
/// slashes may be one, and some take `..;x` for `..`.
fn climbs(path: &str) -> Climb {
    let path = path.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let path = path.replace("%2e", ".").replace("%2f", "/").replace("%5c", "/").replace("%3b", ";");
    let (mut depth, mut climb) = (0_u32, Climb::Not);
    for segment in path.split(['/', '\\']) {
        match segment.split(';').next().unwrap_or_default() {
            "" => {}
            "." => climb = Climb::Within,
            ".." if depth == 0 => return Climb::Out,
            ".." => {
                depth -= 1;
                climb = Climb::Within;
            }
            _ => depth += 1,
        }
    }
    climb
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::server_options;

    fn addresses(base: Option<&str>, login: Option<&str>, allowed: &[&str]) -> Result<Addresses> {
        let mut server = server_options("https://unused.example");
        server.base_url = base.map(str::to_owned);
        server.login_url = login.map(str::to_owned);
        server.allow_insecure = false;
        Addresses::new(&server, allowed.iter().map(|&host| host.to_owned()).collect())
    }

    fn at(host: Host, path: &str) -> Request {
        Request { host, ..Request::get(path) }
    }

    #[test]
    fn login_goes_to_login_url_and_the_rest_to_base_url_with_its_path() {
        let both = addresses(Some("https://api.example/v1/"), Some("https://login.example"), &[]);
        let both = both.unwrap();
        let url = |host| both.resolve(&at(host, "/x?a=b"), None).unwrap().to_string();
        assert_eq!(url(Host::Api), "https://api.example/v1/x?a=b");
        assert_eq!(url(Host::Login), "https://login.example/x?a=b");
        let one = addresses(Some("https://api.example"), None, &[]).unwrap();
        let url = one.resolve(&at(Host::Login, "/x"), None).unwrap();
        assert_eq!(url.as_str(), "https://api.example/x");
    }

    #[test]
    fn without_base_url_the_token_s_instance_is_asked_and_checked_likewise() {
        let none = addresses(None, Some("https://login.example"), &["*.example"]).unwrap();
        let resolve = |instance: &str| {
            let instance = Url::parse(instance).unwrap();
            none.resolve(&at(Host::Api, "/x"), Some(&instance))
        };
        assert_eq!(resolve("https://a.example").unwrap().as_str(), "https://a.example/x");
        let kind = |instance| resolve(instance).unwrap_err().kind();
        assert_eq!(kind("http://a.example"), Kind::BadOption);
        assert_eq!(kind("https://u:p@a.example"), Kind::Unreadable);
        assert_eq!(kind("https://elsewhere.test"), Kind::Forbidden);
        let error = none.resolve(&at(Host::Api, "/x"), None).unwrap_err();
        assert_eq!(error.kind(), Kind::MissingOption);
        assert!(error.message().contains("\"base_url\""));
    }

    #[test]
    fn http_without_allow_insecure_is_refused_with_the_way_out() {
        let error = addresses(Some("http://a.example"), None, &[]).err().unwrap();
        assert_eq!(error.kind(), Kind::BadOption);
        assert!(error.hint_text().unwrap().contains("allow_insecure"));
    }

    #[test]
    fn only_allowed_hosts_are_asked_and_a_star_is_for_subdomains() {
        for (host, allowed) in [
            ("api.example.com", true),
            ("API.Example.Com", true),
            ("exact.test", true),
            ("example.com", false),
            ("evilexample.com", false),
            ("exact.test.evil.com", false),
        ] {
            let base = format!("https://{host}");
            let hosts = addresses(Some(&base), None, &["*.example.com", "exact.test"]).unwrap();
            let resolved = hosts.resolve(&at(Host::Api, "/"), None);
            assert_eq!(resolved.is_ok(), allowed, "{host}");
            if let Err(error) = resolved {
                assert_eq!(error.kind(), Kind::Forbidden);
                assert!(error.message().contains(host));
                assert!(error.hint_text().unwrap().contains("sequin_fdw.allowed_hosts"));
            }
        }
    }

    #[test]
    fn a_path_from_an_answer_cannot_lead_to_another_host() {
        let hosts = addresses(Some("https://api.example"), None, &[]).unwrap();
        for path in ["@evil.test/", ".evil.test/", ":444/", "https://evil.test/", "", "/\\evil.test/", "/a#b", "/\t/a"]
        {
            let error = hosts.resolve(&at(Host::Api, path), None).unwrap_err();
            assert_eq!(error.kind(), Kind::Unreadable, "{path}");
        }
        for path in ["//evil.test/", "/@evil.test"] {
            let url = hosts.resolve(&at(Host::Api, path), None).unwrap();
            assert_eq!(url.host_str(), Some("api.example"));
        }
    }

    /// Ways to climb out of `/tenant-a/v1`.
    const CLIMBS: [&str; 16] = [
        "/../../tenant-b/x",
        "/..",
        "/x/../../y",
        "/%2E%2e/tenant-b/x",
        "/.%2e/x",
        "/%2e./x",
        "/x/%2E%2E/%2E%2E/y",
        "/..%2ftenant-b/x",
        "/x%2F..%2f..%2Fy",
        "/..%5cx",
        "//../x",
        "/x//../../y",
        "/./../x",
        "/..;a=b/x",
        "/..%3Ba/x",
        "/../v1-other/x",
    ];

    #[test]
    fn a_call_stays_below_the_path_of_base_url_however_it_climbs() {
        let hosts = addresses(Some("https://api.example/tenant-a/v1/"), None, &[]).unwrap();
        let call = |path: &str| Request { by_user: true, ..at(Host::Api, path) };
        for path in CLIMBS {
            let error = hosts.resolve(&call(path), None).unwrap_err();
            assert_eq!(error.kind(), Kind::Forbidden, "{path}");
            assert!(error.message().contains("base_url") && error.hint_text().is_some());
        }
        for (path, url) in [
            ("/x/../y", "https://api.example/tenant-a/v1/y"),
            ("/x?to=/../../y", "https://api.example/tenant-a/v1/x?to=/../../y"),
            ("/%252e%252e/x", "https://api.example/tenant-a/v1/%252e%252e/x"),
            ("/x;a=../..b/...", "https://api.example/tenant-a/v1/x;a=../..b/..."),
            ("//evil.example/@x:1", "https://api.example/tenant-a/v1//evil.example/@x:1"),
        ] {
            assert_eq!(hosts.resolve(&call(path), None).unwrap().as_str(), url);
        }
        let whole = addresses(Some("https://api.example"), None, &[]).unwrap();
        assert_eq!(whole.resolve(&call("/../x"), None).unwrap().as_str(), "https://api.example/x");
    }

    #[test]
    fn no_request_of_a_connector_climbs_at_all() {
        for base in ["https://api.example", "https://api.example/tenant-a/v1"] {
            let hosts = addresses(Some(base), None, &[]).unwrap();
            for path in CLIMBS.into_iter().chain(["/x/../y", "/x/./y", "/x/%2e"]) {
                let error = hosts.resolve(&at(Host::Api, path), None).unwrap_err();
                assert_eq!(error.kind(), Kind::Unreadable, "{path}");
            }
        }
    }

    #[test]
    fn a_token_s_answer_may_name_an_origin_of_the_vendor_or_of_the_options_and_nothing_else() {
        let check = |hosts: &Addresses, instance: &str| {
            hosts.check_instance(&Url::parse(instance).unwrap(), &["vendor.com", "vendor.mil"])
        };
        let hosts = addresses(Some("https://api.example/v1"), Some("https://10.0.0.7:8443"), &[]).unwrap();
        for good in [
            "https://acme.my.vendor.com",
            "https://ACME.vendor.mil/",
            "https://api.example",
            "https://api.example:444",
            "https://10.0.0.7",
        ] {
            assert!(check(&hosts, good).is_ok(), "{good}");
        }
        for bad in [
            "http://acme.vendor.com",
            "https://evil.example",
            "https://vendor.com.evil.example",
            "https://evilvendor.com",
            "https://127.0.0.1",
            "https://[::1]",
            "https://localhost",
            "https://169.254.169.254",
            "https://acme.vendor.com/path",
            "https://acme.vendor.com?x",
            "https://acme.vendor.com#x",
            "https://u@acme.vendor.com",
            "https://u:p@api.example",
            "https://acme.vendor.com@evil.example",
            "ftp://acme.vendor.com",
            "file:///etc/passwd",
            "data:text/plain,x",
        ] {
            let error = check(&hosts, bad).unwrap_err();
            assert_eq!(error.kind(), Kind::Unreadable, "{bad}");
            let hint = error.hint_text().unwrap();
            assert!(hint.contains("base_url") && hint.contains("vendor.com, vendor.mil"), "{hint}");
        }
        let insecure = Addresses { allow_insecure: true, ..hosts };
        assert!(check(&insecure, "http://acme.vendor.com").is_ok());
        assert!(check(&insecure, "ws://acme.vendor.com").is_err());
    }
}
