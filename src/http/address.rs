//! Which URL a request has, and whether that host may be asked.

use reqwest::Url;

use crate::connector::wire::{Host, Request};
use crate::error::{Error, Kind, Result};
use crate::options::ServerOptions;

/// The hosts of one server.
pub struct Addresses {
    server: String,
    base: Option<Url>,
    login: Option<Url>,
    allow_insecure: bool,
    /// Lower case, exact or `*.example.com`; empty is any.
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
        let url = join(root, &request.path)?;
        self.check(&url)?;
        Ok(url)
    }

    fn check(&self, url: &Url) -> Result<()> {
        self.check_scheme(url)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::new(Kind::Unreadable, "the API names a URL with a password in it"));
        }
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        if self.allowed.is_empty() || self.allowed.iter().any(|pattern| matches(pattern, host)) {
            return Ok(());
        }
        Err(Error::new(Kind::Forbidden, format!("the host \"{host}\" may not be asked"))
            .hint("The setting sequin_fdw.allowed_hosts lists the hosts that may."))
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

/// Appends a path, and makes sure that it leads to the same host: some paths come from answers.
fn join(root: &Url, path: &str) -> Result<Url> {
    let joined = format!("{}{path}", root.as_str().trim_end_matches('/'));
    Url::parse(&joined)
        .ok()
        .filter(|url| path.starts_with('/') && url.origin() == root.origin())
        .ok_or_else(|| Error::new(Kind::Unreadable, "the API names a path that is none").detail(path))
}

fn matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(domain) if domain.starts_with('.') => host.strip_suffix(domain).is_some_and(|sub| !sub.is_empty()),
        _ => host == pattern,
    }
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
        for path in ["@evil.test/", ".evil.test/", ":444/", "https://evil.test/", ""] {
            let error = hosts.resolve(&at(Host::Api, path), None).unwrap_err();
            assert_eq!(error.kind(), Kind::Unreadable, "{path}");
        }
        for path in ["//evil.test/", "/\\evil.test/", "/@evil.test"] {
            let url = hosts.resolve(&at(Host::Api, path), None).unwrap();
            assert_eq!(url.host_str(), Some("api.example"));
        }
    }
}
