//! Ways to sign in.

use std::time::{Duration, SystemTime};

use reqwest::Method;
use secrecy::ExposeSecret;

use super::*;
use crate::connector::contract::{Connector, Token};
use crate::connector::wire::{Body, Effect, Host};
use crate::error::Kind;
use crate::options::Credentials;

const GRANTED: &str =
    r#"{"access_token":"00D!new","instance_url":"https://acme.my.salesforce.com","token_type":"Bearer"}"#;

fn sign_in(
    login: &str,
    mapping: &[(&str, &str)],
    refresh: Option<&str>,
    answer: &str,
) -> (Vec<Request>, Result<Vec<Token>>) {
    let salesforce = Salesforce::new(&server(&[("login_url", login)])).unwrap();
    let mapping = mapping.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let refresh = refresh.map(Into::into);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    match salesforce.sign_in(&Credentials::read(mapping), refresh.as_ref(), now) {
        Ok(job) => play(job, &[answer]),
        Err(error) => (Vec::new(), Err(error)),
    }
}

fn form(request: &Request) -> &str {
    match &request.body {
        Some(Body::SecretForm(form)) => form.expose_secret(),
        _ => panic!("no form"),
    }
}

#[test]
fn a_token_is_used_as_it_is() {
    let (sent, tokens) = sign_in("https://x.example", &[("token", "00D!abc"), ("client_id", "c")], None, "");
    assert!(sent.is_empty());
    assert_eq!(tokens.unwrap()[0].access.expose_secret(), "00D!abc");
}

#[test]
fn each_way_to_sign_in_sends_its_form() {
    for (mapping, refresh, expected, effect) in [
        (
            &[("client_id", "c&d"), ("client_secret", "s=")][..],
            None,
            "grant_type=client_credentials&client_id=c%26d&client_secret=s%3D",
            Effect::None,
        ),
        (
            &[("client_id", "c"), ("refresh_token", "old"), ("client_secret", "s")],
            Some("new"),
            "grant_type=refresh_token&refresh_token=new&client_id=c&client_secret=s",
            Effect::Once,
        ),
        (
            &[("client_id", "c"), ("refresh_token", "old")],
            None,
            "grant_type=refresh_token&refresh_token=old&client_id=c",
            Effect::Once,
        ),
        (
            &[("client_id", "c"), ("client_secret", "s"), ("username", "u@x"), ("password", "p"), ("scope", "api")],
            None,
            "grant_type=password&client_id=c&client_secret=s&username=u%40x&password=p&scope=api",
            Effect::None,
        ),
    ] {
        let (sent, tokens) = sign_in("https://x.example", mapping, refresh, GRANTED);
        let [request] = &sent[..] else { panic!("one request") };
        assert_eq!(form(request), expected);
        assert_eq!((request.method.clone(), request.host), (Method::POST, Host::Login));
        assert_eq!(request.path, "/services/oauth2/token");
        assert_eq!((request.authorized, request.effect), (false, effect));
        let token = tokens.unwrap().remove(0);
        assert_eq!(token.access.expose_secret(), "00D!new");
        assert_eq!(token.instance.unwrap().as_str(), "https://acme.my.salesforce.com/");
        assert!(token.refresh.is_none() && token.lifetime.is_none());
    }
}

#[test]
fn a_private_key_signs_an_assertion_for_the_login_host() {
    #[derive(serde::Deserialize)]
    struct Claims {
        iss: String,
        sub: String,
        aud: String,
        exp: u64,
    }
    let pem = include_str!("key.pem");
    let one_line = pem.replace('\n', "\\n");
    for (key, login) in [(pem, "https://test.salesforce.com/"), (&one_line, "https://acme.my.salesforce.com/x")] {
        let mapping = [("client_id", "c"), ("username", "u@x"), ("private_key", key)];
        let (sent, _) = sign_in(login, &mapping, None, GRANTED);
        let assertion = form(&sent[0])
            .strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=")
            .unwrap();
        let public = jsonwebtoken::DecodingKey::from_rsa_pem(include_bytes!("key.pub.pem")).unwrap();
        let mut check = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
        check.validate_exp = false;
        check.validate_aud = false;
        let claims = jsonwebtoken::decode::<Claims>(assertion, &public, &check).unwrap().claims;
        assert_eq!((claims.iss.as_str(), claims.sub.as_str(), claims.exp), ("c", "u@x", 1_000_180));
        assert!(login.starts_with(&claims.aud) && !claims.aud.ends_with('/'), "{}", claims.aud);
    }
    let mapping = [("client_id", "c"), ("username", "u"), ("private_key", "hunter2")];
    let error = failed(sign_in("https://x.example", &mapping, None, "").1);
    assert_eq!(error.kind(), Kind::BadOption);
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[test]
fn what_a_user_mapping_lacks_is_named() {
    for (mapping, words) in [
        (&[][..], "nothing to sign in"),
        (&[("client_id", "c")], "client_secret"),
        (&[("client_secret", "s")], "client_id"),
        (&[("client_id", "c"), ("client_secret", "s"), ("username", "u")], "password"),
        (&[("refresh_token", "r")], "client_id"),
        (&[("client_id", "c"), ("private_key", "k")], "username"),
    ] {
        let error = failed(sign_in("https://x.example", mapping, None, "").1);
        assert_eq!(error.kind(), Kind::MissingOption);
        assert!(error.message().contains(words), "{error}");
    }
}

#[test]
fn an_answer_without_token_is_an_error_that_shows_nothing_of_it() {
    for body in [
        "",
        "[]",
        "<html>",
        r#"{"access_token":""}"#,
        r#"{"access_token":7}"#,
        r#"{"instance_url":"hunter2"}"#,
        r#"{"access_token":"hunter2","instance_url":"hunter2"}"#,
    ] {
        let error = failed(sign_in("https://x.example", &[("client_id", "c"), ("client_secret", "s")], None, body).1);
        assert_eq!(error.kind(), Kind::Unreadable, "{body}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn lifetimes_and_rotated_refresh_tokens_are_read() {
    for (seconds, lifetime) in [
        ("7200", 7200),
        (r#""3600""#, 3600),
        ("0", 30),
        ("1e999", 31_536_000),
        ("18446744073709551615", 31_536_000),
        (r#""99999999999999999999999999""#, 31_536_000),
    ] {
        let body = format!(r#"{{"access_token":"a","refresh_token":"r2","expires_in":{seconds}}}"#);
        let token = sign_in("https://x.example", &[("client_id", "c"), ("refresh_token", "r")], None, &body)
            .1
            .unwrap()
            .remove(0);
        assert_eq!(token.lifetime, Some(Duration::from_secs(lifetime)), "{seconds}");
        assert_eq!(token.refresh.unwrap().expose_secret(), "r2");
    }
}
