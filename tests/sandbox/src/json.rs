//! JSON as every API of the sandbox needs it: strings straight into a buffer, and switches set by name.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

/// Writes a JSON string.
pub fn quote(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[from..at]);
        from = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b => out.extend_from_slice(format!("\\u{b:04x}").as_bytes()),
        }
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

/// `old` with the keys of `new` in place of its own; an unknown key or a wrong type is an error.
pub fn merged<T: Serialize + DeserializeOwned>(old: &T, new: Map<String, Json>) -> Result<T, String> {
    let mut all = serde_json::to_value(old).map_err(|e| e.to_string())?;
    if let Json::Object(all) = &mut all {
        all.extend(new);
    }
    serde_json::from_value(all).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_json_wants_it() {
        let text = "a\"b\\c\nd\u{1}é😀";
        let mut out = Vec::new();
        quote(text, &mut out);
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
    }
}
