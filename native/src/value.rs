//! Attribute values, and their JSON form in the table (`spanward.store.values` is the twin and says what it means).

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub type Text<'a> = Cow<'a, str>;
pub type Pairs<'a> = Vec<(Text<'a>, Value<'a>)>;

/// An OTLP AnyValue.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Str(Text<'a>),
    Bytes(Cow<'a, [u8]>),
    List(Vec<Value<'a>>),
    Map(Pairs<'a>),
}

/// Puts a pair where its key stands already, else at the end: of duplicate keys the last wins.
pub fn put<'a>(pairs: &mut Pairs<'a>, key: Text<'a>, value: Value<'a>) {
    match pairs.iter_mut().find(|pair| pair.0 == key) {
        Some(pair) => pair.1 = value,
        None => pairs.push((key, value)),
    }
}

/// One value as compact JSON.
pub fn write_json(out: &mut String, value: &Value<'_>) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => write_int(out, *value),
        Value::Double(value) => write_double(out, *value),
        Value::Str(text) => write_string(out, text),
        Value::Bytes(bytes) => {
            out.push_str("{\"@bytes\":\"");
            STANDARD.encode_string(bytes, out);
            out.push_str("\"}");
        }
        Value::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_json(out, item);
            }
            out.push(']');
        }
        Value::Map(pairs) => write_map(out, pairs),
    }
}

/// A map inside a value: a key that starts with `@` gets one more.
fn write_map(out: &mut String, pairs: &Pairs<'_>) {
    out.push('{');
    for (index, (key, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        if key.starts_with('@') {
            write_string(out, &format!("@{key}"));
        } else {
            write_string(out, key);
        }
        out.push(':');
        write_json(out, value);
    }
    out.push('}');
}

/// Attributes as a JSON object; their own keys are never escaped.
pub fn write_object<'v, 'a: 'v>(out: &mut String, pairs: impl Iterator<Item = (&'v str, &'v Value<'a>)>) {
    out.push('{');
    for (index, (key, value)) in pairs.enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_string(out, key);
        out.push(':');
        write_json(out, value);
    }
    out.push('}');
}

/// A JSON string, escaped as Python's encoder does with `ensure_ascii=False`.
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut copied = 0;
    for (index, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[copied..index]);
        copied = index + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            _ => {
                let _ = write!(out, "\\u{byte:04x}");
            }
        }
    }
    out.push_str(&text[copied..]);
    out.push('"');
}

fn write_int(out: &mut String, value: i64) {
    let _ = write!(out, "{value}");
}

fn write_double(out: &mut String, value: f64) {
    if value.is_finite() {
        out.push_str(&python_repr(value));
    } else if value.is_nan() {
        out.push_str("{\"@double\":\"NaN\"}");
    } else if value > 0.0 {
        out.push_str("{\"@double\":\"Infinity\"}");
    } else {
        out.push_str("{\"@double\":\"-Infinity\"}");
    }
}

/// `repr(value)` of a Python float: the shortest digits that read back the same, with a point or an exponent.
pub fn python_repr(value: f64) -> String {
    if !value.is_finite() {
        let word = if value.is_nan() {
            "nan"
        } else if value > 0.0 {
            "inf"
        } else {
            "-inf"
        };
        return word.to_owned();
    }
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let fixed = format!("{value}");
        return if fixed.contains('.') { fixed } else { fixed + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::python_repr;

    #[test]
    fn floats_are_written_as_python_writes_them() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (1.5e300, "1.5e+300"),
            (5e-324, "5e-324"),
            (0.1 + 0.2, "0.30000000000000004"),
        ];
        for (value, text) in cases {
            assert_eq!(python_repr(value), text);
        }
    }
}
