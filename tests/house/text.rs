//! Rust source as the rules see it: what is code, what is a test.

/// The source with comments, strings and characters blanked out, line for line.
pub fn code(source: &str) -> String {
    let letters: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < letters.len() {
        let end = skip(&letters, at);
        if end == at {
            out.push(letters[at]);
            at += 1;
        } else {
            out.extend(letters[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment or literal that begins here ends; `at` itself if none begins here.
fn skip(letters: &[char], at: usize) -> usize {
    let next = |ahead: usize| letters.get(at + ahead).copied().unwrap_or(' ');
    let inside_a_word = at > 0 && (letters[at - 1].is_alphanumeric() || letters[at - 1] == '_');
    match letters[at] {
        '/' if next(1) == '/' => find(letters, at, '\n'),
        '/' if next(1) == '*' => block_comment(letters, at),
        '"' => string(letters, at),
        'r' if !inside_a_word && matches!(next(1), '"' | '#') => raw_string(letters, at + 1).unwrap_or(at),
        'b' | 'c' if !inside_a_word && next(1) == 'r' => raw_string(letters, at + 2).unwrap_or(at),
        'b' | 'c' if !inside_a_word && next(1) == '"' => string(letters, at + 1),
        '\'' if next(1) == '\\' => find(letters, at + 3, '\'') + 1,
        '\'' if next(2) == '\'' => at + 3,
        _ => at,
    }
}

fn find(letters: &[char], from: usize, what: char) -> usize {
    (from..letters.len()).find(|at| letters[*at] == what).unwrap_or(letters.len())
}

fn block_comment(letters: &[char], from: usize) -> usize {
    let (mut depth, mut at) = (0, from);
    while at < letters.len() {
        match (letters[at], letters.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn string(letters: &[char], quote: usize) -> usize {
    let mut at = quote + 1;
    while at < letters.len() && letters[at] != '"' {
        at += if letters[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(letters.len())
}

/// `hashes` is where the `#`s or the quote after `r` stand. `None` for a raw identifier.
fn raw_string(letters: &[char], hashes: usize) -> Option<usize> {
    let count = letters[hashes..].iter().take_while(|c| **c == '#').count();
    let mut at = hashes + count;
    (letters.get(at) == Some(&'"')).then_some(())?;
    loop {
        at = find(letters, at + 1, '"');
        if at >= letters.len() || letters[at + 1..].iter().take_while(|c| **c == '#').count() >= count {
            return Some((at + 1 + count).min(letters.len()));
        }
    }
}

/// The code with the items under `#[cfg(test)]` blanked out, line for line. Takes what [`code`] returns.
pub fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(start) = out.find("#[cfg(test)]") {
        let bytes = out.as_bytes();
        // An item ends with the brace that closes its first one, or with a semicolon before any.
        let (mut depth, mut end) = (0_i32, start);
        for (at, byte) in bytes.iter().enumerate().skip(start) {
            end = at + 1;
            match byte {
                b'{' => depth += 1,
                b'}' => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                b';' if depth == 0 => break,
                _ => {}
            }
        }
        let blank: String = out[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(start..end, &blank);
    }
    out
}

/// Words and single signs, `::` as one.
pub fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}

#[test]
fn comments_and_literals_are_no_code() {
    let source = r###"a /* b /* c */ d */ e // f
        "g \" h" r#"i " j"# b"k" 'l' '\'' '"' m<'n>(o: &'p str) r#type "q
r" s"###;
    let words: Vec<_> =
        tokens(&code(source)).into_iter().filter(|t| t.chars().all(char::is_alphabetic)).map(str::to_owned).collect();
    assert_eq!(words, ["a", "e", "m", "n", "o", "p", "str", "r", "type", "s"]);
    assert_eq!(code(source).lines().count(), source.lines().count());
}

#[test]
fn tests_are_left_out_and_lines_stay_in_place() {
    let source = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { c() }\n}\nfn d() {}\n#[cfg(test)]\nuse e;\nfn f() {}";
    let left = without_tests(&code(source));
    assert_eq!(
        tokens(&left).into_iter().filter(|t| t.len() == 1 && t.chars().all(char::is_alphabetic)).collect::<String>(),
        "adf"
    );
    assert_eq!(left.lines().count(), source.lines().count());
}
