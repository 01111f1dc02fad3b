//! The rules of the house, checked on the source itself.
//!
//! Where `unsafe` may stand, which rooms know Postgres, that the rooms depend on each other one way, that nothing panics without
//! a reason: each rule is a function over text, tested on a bad sample before it is applied to the tree.

mod graph;
mod rules;
mod text;

use std::fs;
use std::path::Path;

/// A file of the project: its path from the root, and what is in it.
pub struct File {
    pub path: String,
    pub text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files under `directory` whose names end in one of `endings` (any, if there are none), in a fixed order.
fn files(directory: &str, endings: &[&str]) -> Vec<File> {
    let mut waiting = vec![root().join(directory)];
    let mut found = Vec::new();
    while let Some(path) = waiting.pop() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if matches!(name.as_str(), "target" | "node_modules" | ".git") {
                continue;
            }
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if endings.is_empty() || endings.iter().any(|ending| name.ends_with(ending)) {
            // What is not text is none of the house's business.
            if let Ok(text) = fs::read_to_string(&path) {
                found.push(File { path: relative(&path), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().into_owned()
}

/// The extension's own source.
fn source() -> Vec<File> {
    let files = files("src", &[".rs"]);
    assert!(files.len() > 10, "src/ was not found");
    files
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn unsafe_stands_in_the_room_of_postgres_only() {
    none(source().iter().flat_map(rules::unsafe_code).collect());
}

#[test]
fn pure_rooms_name_nothing_of_postgres() {
    none(source().iter().flat_map(rules::postgres_in_pure_rooms).collect());
}

#[test]
fn nothing_panics_without_saying_why_it_cannot() {
    none(source().iter().flat_map(rules::panics).collect());
}

#[test]
fn files_import_each_other_one_way() {
    none(graph::circles(&source()));
}

#[test]
fn no_file_is_too_long_to_be_read_at_once() {
    let everything = files("", &[".rs", ".sql", ".md", ".toml", ".js", ".mjs", ".json", "Makefile", ".control"]);
    // What was recorded is for no eyes.
    let read = |file: &&File| !file.path.ends_with("package-lock.json") && !file.path.starts_with("tests/fuzz/");
    none(everything.iter().filter(read).flat_map(rules::size).collect());
}

#[test]
fn nothing_depends_on_the_machine_it_was_written_on() {
    none(
        files("", &[])
            .iter()
            .filter(|file| !file.path.starts_with("tests/house/"))
            .flat_map(rules::machine_paths)
            .collect(),
    );
}

#[test]
fn every_option_is_in_the_readme() {
    let names = rules::option_names(&read("src/options.rs"));
    assert!(names.len() > 20, "the table of options was not understood: {names:?}");
    none(rules::undocumented(&names, &read("README.md")));
}
