//! Bookkeeping of access and refresh tokens, the same for every API with OAuth: what was issued, what is still
//! good, and when it shall stop being good.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

/// Tokens of one login host. Several sandboxes may share one store, so that one issues what another accepts.
#[derive(Default)]
pub struct Tokens(Mutex<State>);

#[derive(Default)]
struct State {
    issued: usize,
    named: usize,
    valid: HashSet<String>,
    fixed: HashSet<String>,
    /// Refresh token → its name in the configuration.
    refresh: HashMap<String, String>,
    expire_after: Option<usize>,
}

impl Tokens {
    /// Issues an access token; `spell` gives it its API's look from a running number.
    pub fn issue(&self, spell: impl FnOnce(usize) -> String) -> String {
        let mut state = crate::lock(&self.0);
        state.issued += 1;
        let token = spell(state.issued);
        state.valid.insert(token.clone());
        token
    }

    /// A name for another kind of token, unlike any before.
    pub fn issue_name(&self, kind: &str) -> String {
        let mut state = crate::lock(&self.0);
        state.named += 1;
        format!("{kind}-{:06}", state.named)
    }

    /// A token that was never issued and does not expire.
    pub fn add_fixed(&self, token: &str) {
        crate::lock(&self.0).fixed.insert(token.to_owned());
    }

    pub fn add_refresh(&self, token: &str, owner: &str) {
        crate::lock(&self.0).refresh.insert(token.to_owned(), owner.to_owned());
    }

    /// Uses a refresh token. With a `successor` the old one is good no more.
    pub fn refresh(&self, token: &str, successor: Option<&str>) -> bool {
        let mut state = crate::lock(&self.0);
        let Some(owner) = state.refresh.get(token).cloned() else { return false };
        if let Some(successor) = successor {
            state.refresh.remove(token);
            state.refresh.insert(successor.to_owned(), owner);
        }
        true
    }

    /// Whether a request with this token is let in. Counts down to the ordered expiry.
    pub fn admits(&self, token: &str) -> bool {
        let mut state = crate::lock(&self.0);
        if state.fixed.contains(token) {
            return true;
        }
        if !state.valid.contains(token) {
            return false;
        }
        match &mut state.expire_after {
            Some(0) => {
                state.expire_after = None;
                state.valid.clear();
                return false;
            }
            Some(n) => *n -= 1,
            None => {}
        }
        true
    }

    /// Takes one token back, whichever kind it is.
    pub fn revoke(&self, token: &str) -> bool {
        let mut state = crate::lock(&self.0);
        state.valid.remove(token) | state.fixed.remove(token) | state.refresh.remove(token).is_some()
    }

    /// Every access token issued so far is good no more.
    pub fn expire(&self) {
        crate::lock(&self.0).valid.clear();
    }

    /// The same, once `n` more requests have been let in.
    pub fn expire_after(&self, n: usize) {
        crate::lock(&self.0).expire_after = Some(n);
    }

    pub fn issued(&self) -> usize {
        crate::lock(&self.0).issued
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_expire_after_the_ordered_number_of_requests_and_new_ones_are_good() {
        let tokens = Tokens::default();
        let first = tokens.issue(|n| format!("t{n}"));
        tokens.expire_after(2);
        assert!(tokens.admits(&first) && tokens.admits(&first));
        assert!(!tokens.admits(&first));
        let second = tokens.issue(|n| format!("t{n}"));
        assert!(tokens.admits(&second) && !tokens.admits(&first));
    }

    #[test]
    fn a_rotated_refresh_token_is_single_use() {
        let tokens = Tokens::default();
        tokens.add_refresh("r1", "app");
        assert!(tokens.refresh("r1", None) && tokens.refresh("r1", Some("r2")));
        assert!(!tokens.refresh("r1", None) && tokens.refresh("r2", None));
    }
}
