//! Regular expressions as RE2 reads them: its Perl classes know ASCII alone.

use std::cell::RefCell;
use std::collections::HashMap;

use regex::Regex;

/// The patterns of one request, compiled once each.
#[derive(Default)]
pub struct Regexes(RefCell<HashMap<String, Option<Regex>>>);

impl Regexes {
    /// `None` if RE2 would not take the pattern.
    pub fn get(&self, pattern: &str) -> Option<Regex> {
        let mut known = self.0.borrow_mut();
        if let Some(regex) = known.get(pattern) {
            return regex.clone();
        }
        let regex = Regex::new(&ascii(pattern)).ok();
        known.insert(pattern.to_owned(), regex.clone());
        regex
    }
}

/// The pattern with `\d`, `\s`, `\w`, `\b` and their opposites made to know ASCII alone.
fn ascii(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut in_class = false;
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let Some(next) = chars.next() else {
                    out.push('\\');
                    break;
                };
                let class = match next {
                    'd' => "[:digit:]",
                    'D' => "[:^digit:]",
                    's' => "[\\t\\n\\f\\r ]",
                    'S' => "[^\\t\\n\\f\\r ]",
                    'w' => "[:word:]",
                    'W' => "[:^word:]",
                    'b' | 'B' if !in_class => {
                        out.push_str(if next == 'b' { "(?-u:\\b)" } else { "(?-u:\\B)" });
                        continue;
                    }
                    _ => {
                        out.push('\\');
                        out.push(next);
                        continue;
                    }
                };
                if in_class || !class.starts_with("[:") {
                    out.push_str(class);
                } else {
                    out.push('[');
                    out.push_str(class);
                    out.push(']');
                }
                continue;
            }
            '[' if !in_class => in_class = true,
            ']' => in_class = false,
            _ => {}
        }
        out.push(c);
    }
    out
}
