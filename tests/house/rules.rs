//! Rules that look at one file at a time. Each returns its complaints.

use crate::File;
use crate::text::{code, tokens, without_tests};

/// What is testable without a server knows no server.
const PURE: &[&str] = &["schema", "query", "connector", "http", "io", "error", "value", "number", "options", "heap"];

const MOST_BYTES: usize = 36_000;

/// The room that a file of `src/` belongs to: `query` for `src/query/ask.rs`, `error` for `src/error.rs`.
fn room(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    let room = inside.split('/').next().unwrap_or(inside);
    room.strip_suffix(".rs").unwrap_or(room)
}

/// Files that are compiled for tests alone: `tests.rs`, `testing.rs` and what lies under `tests/`.
fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.ends_with("/testing.rs")
}

pub fn unsafe_code(file: &File) -> Vec<String> {
    if room(&file.path) == "pg" {
        return Vec::new();
    }
    complain(file, &code(&file.text), "unsafe code outside src/pg/", |line| {
        !line.trim_start().starts_with('#') && tokens(line).contains(&"unsafe")
    })
}

pub fn postgres_in_pure_rooms(file: &File) -> Vec<String> {
    if !PURE.contains(&room(&file.path)) {
        return Vec::new();
    }
    complain(file, &code(&file.text), "a pure room names Postgres", |line| {
        tokens(line).iter().any(|token| matches!(*token, "pgrx" | "pg_sys" | "pgrx_pg_sys"))
    })
}

/// A call that may panic needs a comment line right above it that says why it does not.
pub fn panics(file: &File) -> Vec<String> {
    if is_test(&file.path) {
        return Vec::new();
    }
    let lines: Vec<_> = file.text.lines().collect();
    let excused = |number: usize| number > 0 && lines[number - 1].trim_start().starts_with("//");
    let mut number = 0;
    complain(
        file,
        &without_tests(&code(&file.text)),
        "may panic, and no comment line above says why it cannot",
        |line| {
            number += 1;
            let words = tokens(line);
            let panics = words.windows(2).any(|pair| match pair {
                [macro_name, "!"] => {
                    matches!(
                        *macro_name,
                        "panic" | "unreachable" | "todo" | "unimplemented" | "assert" | "assert_eq" | "assert_ne"
                    )
                }
                _ => false,
            }) || words.windows(3).any(|three| matches!(three, [".", "unwrap" | "expect", "("]));
            panics && !excused(number - 1)
        },
    )
}

pub fn size(file: &File) -> Vec<String> {
    if file.text.len() <= MOST_BYTES {
        Vec::new()
    } else {
        vec![format!("{}: {} bytes, at most {MOST_BYTES}", file.path, file.text.len())]
    }
}

pub fn machine_paths(file: &File) -> Vec<String> {
    complain(file, &file.text, "a path of one machine", |line| {
        ["/work", "/root", "/home"].iter().any(|home| line.contains(&format!("{home}/")))
    })
}

/// The names in the table of options: what stands in `spec("…", Place::…`.
pub fn option_names(source: &str) -> Vec<String> {
    let after = source.split("OPTIONS: &[OptionSpec]").nth(1).unwrap_or_default();
    let table = after.split("];").next().unwrap_or_default();
    table.split("spec(").skip(1).filter_map(|entry| Some(entry.split('"').nth(1)?.to_owned())).collect()
}

pub fn undocumented(names: &[String], readme: &str) -> Vec<String> {
    let missing = names.iter().filter(|name| !readme.contains(&format!("`{name}`")));
    missing.map(|name| format!("README.md does not mention the option `{name}`")).collect()
}

fn complain(file: &File, text: &str, what: &str, mut is_bad: impl FnMut(&str) -> bool) -> Vec<String> {
    let numbered = text.lines().enumerate();
    numbered.filter(|(_, line)| is_bad(line)).map(|(at, _)| format!("{}:{}: {what}", file.path, at + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn unsafe_is_found_outside_its_room() {
        let text = "#![deny(unsafe_code)]\n// unsafe in words\nfn f() { unsafe { g() } }\nconst S: &str = \"unsafe\";\n#[unsafe(no_mangle)]\n";
        assert_eq!(unsafe_code(&file("src/io/a.rs", text)), ["src/io/a.rs:3: unsafe code outside src/pg/"]);
        assert!(unsafe_code(&file("src/pg/a.rs", text)).is_empty());
    }

    #[test]
    fn postgres_is_found_in_pure_rooms() {
        let text = "//! pgrx is not here\nuse pgrx::pg_sys;\n";
        assert_eq!(postgres_in_pure_rooms(&file("src/query/a.rs", text)).len(), 1);
        assert_eq!(postgres_in_pure_rooms(&file("src/value.rs", text)).len(), 1);
        assert!(postgres_in_pure_rooms(&file("src/pg/a.rs", text)).is_empty());
        assert!(postgres_in_pure_rooms(&file("src/lib.rs", text)).is_empty());
    }

    #[test]
    fn a_panic_needs_its_reason_right_above() {
        let text = "a.unwrap();\n// Cannot be empty.\nb.expect(\"c\");\nd.unwrap_or(1);\npanic!();\n#[cfg(test)]\nmod tests { fn e() { f.unwrap() } }\n";
        let found = panics(&file("src/a.rs", text));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("src/a.rs:1:") && found[1].starts_with("src/a.rs:5:"));
    }

    #[test]
    fn size_paths_and_undocumented_options_are_found() {
        assert_eq!(size(&file("a", &"x".repeat(MOST_BYTES + 1))).len(), 1);
        assert_eq!(machine_paths(&file("a", "cd /home/me")).len(), 1);
        let names = option_names(
            "pub const OPTIONS: &[OptionSpec] = &[\n spec(\"one\", Place::Server, url),\n spec(\n\"two\", x)];\nspec(\"no\"",
        );
        assert_eq!(names, ["one", "two"]);
        assert_eq!(undocumented(&names, "| `one` | … |"), ["README.md does not mention the option `two`"]);
    }
}
