//! Rendered pages that are kept and served again, so that a benchmark measures the client and not the sandbox.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::http::Response;

/// So many pages are kept at most.
const BOUND: usize = 2048;

#[derive(Default)]
pub struct Pages(Mutex<HashMap<String, Response>>);

impl Pages {
    /// The page that was kept under this key, or a fresh one, which is kept if it is a success.
    pub fn get(&self, key: String, render: impl FnOnce() -> Response) -> Response {
        if let Some(response) = crate::lock(&self.0).get(&key) {
            return response.clone();
        }
        let mut response = render();
        response.packed = crate::server::gzip(&response.body);
        let mut pages = crate::lock(&self.0);
        if response.status == 200 && pages.len() < BOUND {
            pages.insert(key, response.clone());
        }
        response
    }

    pub fn clear(&self) {
        crate::lock(&self.0).clear();
    }
}
