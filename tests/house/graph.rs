//! Which file uses which, and whether that leads in a circle.
//!
//! Every path that starts at `crate`, `super`, `self` or a child module counts, in `use` and in the middle of code alike. That a
//! parent declares its child with `mod` does not.

use std::collections::{BTreeMap, BTreeSet};

use crate::File;
use crate::text::{code, tokens, without_tests};

/// `["query", "ask"]` for `src/query/ask.rs`.
type Module = Vec<String>;

/// One line for each circle of files.
pub fn circles(files: &[File]) -> Vec<String> {
    let modules: BTreeMap<Module, &str> = files.iter().map(|file| (module(&file.path), file.path.as_str())).collect();
    let edges: BTreeMap<&str, BTreeSet<&str>> =
        files.iter().map(|file| (file.path.as_str(), uses(file, &modules))).collect();
    let mut found = Vec::new();
    let mut done = BTreeSet::new();
    for file in edges.keys() {
        walk(file, &edges, &mut Vec::new(), &mut done, &mut found);
    }
    found
}

fn walk<'a>(
    file: &'a str,
    edges: &BTreeMap<&'a str, BTreeSet<&'a str>>,
    path: &mut Vec<&'a str>,
    done: &mut BTreeSet<&'a str>,
    found: &mut Vec<String>,
) {
    if let Some(start) = path.iter().position(|before| *before == file) {
        found.push(format!("a circle: {} → {file}", path[start..].join(" → ")));
        return;
    }
    if done.contains(file) {
        return;
    }
    path.push(file);
    for next in edges.get(file).into_iter().flatten() {
        walk(next, edges, path, done, found);
    }
    path.pop();
    done.insert(file);
}

fn module(path: &str) -> Module {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    let name = inside.strip_suffix(".rs").unwrap_or(inside);
    let name = name
        .strip_suffix("mod")
        .map_or(name, |parent| if parent.is_empty() || parent.ends_with('/') { parent } else { name });
    let name = if name == "lib" { "" } else { name };
    name.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// The files that this one uses.
fn uses<'a>(file: &File, modules: &BTreeMap<Module, &'a str>) -> BTreeSet<&'a str> {
    let own = module(&file.path);
    let code = without_tests(&code(&file.text));
    let tokens = tokens(&code);
    let children: BTreeSet<&str> = modules
        .keys()
        .filter(|module| module.len() == own.len() + 1 && module.starts_with(&own))
        .map(|module| module[own.len()].as_str())
        .collect();
    let mut used = BTreeSet::new();
    // The modules written inside this file that are open here, with the depth of braces they began at.
    let (mut inline, mut depth): (Vec<(String, usize)>, usize) = (Vec::new(), 0);
    for at in 0..tokens.len() {
        match tokens[at] {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                inline.retain(|(_, began)| *began < depth);
            }
            "mod" if tokens.get(at + 2) == Some(&"{") => inline.push((tokens[at + 1].to_owned(), depth)),
            _ => {}
        }
        let starts_here = at == 0 || tokens[at - 1] != "::";
        let leads_on = tokens.get(at + 1) == Some(&"::");
        if !starts_here || !leads_on {
            continue;
        }
        let here = || own.iter().cloned().chain(inline.iter().map(|(name, _)| name.clone())).collect::<Module>();
        let (base, rest) = match tokens[at] {
            "crate" => (Module::new(), at + 2),
            "self" => (here(), at + 2),
            "super" => {
                let (mut base, mut rest) = (here(), at);
                while tokens.get(rest) == Some(&"super") && tokens.get(rest + 1) == Some(&"::") {
                    base.pop();
                    rest += 2;
                }
                (base, rest)
            }
            child if children.contains(child) && inline.is_empty() => (own.clone(), at),
            _ => continue,
        };
        paths(&tokens, rest, base, &mut |path| {
            if let Some(target) = (0..=path.len()).rev().find_map(|length| modules.get(&path[..length]))
                && *target != file.path
            {
                used.insert(*target);
            }
        });
    }
    used
}

/// Follows one path, which may fork into groups, and reports each of its ends. Returns where it stops.
fn paths(tokens: &[&str], mut at: usize, mut base: Module, report: &mut impl FnMut(&[String])) -> usize {
    loop {
        match tokens.get(at) {
            Some(&"{") => {
                at += 1;
                while let Some(token) = tokens.get(at) {
                    match *token {
                        "}" => return at + 1,
                        "," => at += 1,
                        _ => at = paths(tokens, at, base.clone(), report).max(at + 1),
                    }
                }
                return at;
            }
            Some(word) if word.starts_with(|c: char| c.is_alphabetic() || c == '_') => {
                if *word != "self" {
                    base.push((*word).to_owned());
                }
                if tokens.get(at + 1) == Some(&"::") {
                    at += 2;
                    continue;
                }
                report(&base);
                let renamed = tokens.get(at + 1) == Some(&"as");
                return at + if renamed { 3 } else { 1 };
            }
            // A glob, or the `<` of type arguments.
            _ => {
                report(&base);
                return at + 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<_> =
            files.iter().map(|(path, text)| File { path: (*path).to_owned(), text: (*text).to_owned() }).collect();
        circles(&files)
    }

    #[test]
    fn one_way_is_no_circle() {
        let none = found(&[
            ("src/lib.rs", "mod a; mod b; fn f() { a::g() }"),
            ("src/a.rs", "use crate::b::{self, c::D}; // use crate::lib\nfn g() {}"),
            ("src/b/mod.rs", "pub mod c; use c::D; const S: &str = \"crate::a::g\";"),
            ("src/b/c.rs", "use std::fmt; pub struct D; #[cfg(test)] mod tests { use super::super::E; }"),
        ]);
        assert_eq!(none, [] as [&str; 0]);
    }

    #[test]
    fn a_circle_through_a_group_is_found() {
        let circle = found(&[
            ("src/a.rs", "use crate::{x::Y, b::{C, d::E as F}};"),
            ("src/b/mod.rs", ""),
            ("src/b/d.rs", "use crate::a::G;"),
        ]);
        assert_eq!(circle, ["a circle: src/a.rs → src/b/d.rs → src/a.rs"]);
    }

    #[test]
    fn a_circle_between_parent_and_child_is_found() {
        let circle =
            found(&[("src/a/mod.rs", "mod b; pub struct X; fn f() { b::g() }"), ("src/a/b.rs", "use super::X;")]);
        assert_eq!(circle, ["a circle: src/a/b.rs → src/a/mod.rs → src/a/b.rs"]);
    }

    #[test]
    fn a_circle_through_a_path_in_code_is_found() {
        let circle = found(&[
            ("src/a.rs", "fn f() -> u8 { crate::b::g::<u8>() }"),
            ("src/b.rs", "mod inner { use super::super::a::f; }"),
        ]);
        assert_eq!(circle.len(), 1, "{circle:?}");
    }
}
