//! A small client of the sandbox, as the tests use it.

use std::time::Duration;

use sandbox::{CLIENT_ID, CLIENT_SECRET, Config, Sandbox};
use serde_json::Value as Json;

pub const TOKEN: &str = "static!token";

pub struct Client {
    pub sandbox: Sandbox,
    pub agent: ureq::Agent,
    pub token: String,
}

pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    /// The code of the first error of the array.
    pub fn code(&self) -> String {
        self.json()[0]["errorCode"].as_str().unwrap_or_default().to_owned()
    }
}

pub fn agent() -> ureq::Agent {
    // 300 is an answer here, not a redirect.
    ureq::Agent::config_builder()
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(10)))
        .build()
        .into()
}

impl Client {
    pub fn new(config: Config) -> Client {
        let sandbox = Sandbox::start(config.static_token(TOKEN)).unwrap();
        Client { sandbox, agent: agent(), token: TOKEN.to_owned() }
    }

    pub fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer, ureq::Error> {
        let url =
            if target.starts_with("http") { target.to_owned() } else { format!("{}{target}", self.sandbox.url()) };
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        if !headers.iter().any(|(n, _)| n.eq_ignore_ascii_case("authorization")) {
            request = request.header("Authorization", format!("Bearer {}", self.token));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.to_owned()).unwrap();
        let mut response = self.agent.run(request)?;
        let bytes = response.body_mut().with_config().limit(1 << 30).read_to_vec()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Answer { status: response.status().as_u16(), headers: response.headers().clone(), text })
    }

    pub fn get(&self, resource: &str) -> Answer {
        let target = if resource.starts_with("/services") {
            resource.to_owned()
        } else {
            format!("/services/data/v62.0/{resource}")
        };
        self.send("GET", &target, &[], "").unwrap()
    }

    pub fn write(&self, method: &str, resource: &str, body: &str) -> Answer {
        let json = [("Content-Type", "application/json; charset=UTF-8")];
        self.send(method, &format!("/services/data/v62.0/{resource}"), &json, body).unwrap()
    }

    pub fn query(&self, soql: &str) -> Answer {
        self.get(&format!("query?q={}", encode(soql)))
    }

    /// All records over all pages.
    pub fn all(&self, resource: &str, soql: &str) -> Vec<Json> {
        let mut page = self.get(&format!("{resource}?q={}", encode(soql))).json();
        let mut records = Vec::new();
        loop {
            records.extend(page["records"].as_array().unwrap_or_else(|| panic!("{page}")).clone());
            match page["nextRecordsUrl"].as_str() {
                Some(next) => page = self.get(next).json(),
                None => return records,
            }
        }
    }

    /// The first selected field of every record.
    pub fn column(&self, soql: &str) -> Vec<Json> {
        let field = soql.split([' ', ',']).nth(1).unwrap();
        self.all("query", soql).into_iter().map(|r| r[field].clone()).collect()
    }

    pub fn count(&self, object: &str, filter: &str) -> u64 {
        let answer = self.query(&format!("SELECT COUNT() FROM {object} WHERE {filter}"));
        answer.json()["totalSize"].as_u64().unwrap_or_else(|| panic!("{}", answer.text))
    }

    pub fn form(&self, resource: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut headers = headers.to_vec();
        headers.push(("Content-Type", "application/x-www-form-urlencoded"));
        if headers.len() == 1 {
            headers.push(("Authorization", "none"));
        }
        self.send("POST", &format!("/services/oauth2/{resource}"), &headers, &body).unwrap()
    }

    pub fn login(&self) -> String {
        let fields = [("grant_type", "client_credentials"), ("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)];
        self.form("token", &fields, &[]).json()["access_token"].as_str().unwrap().to_owned()
    }
}

pub fn encode(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
