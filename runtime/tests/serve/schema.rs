//! As much of JSON Schema as the OpenAPI document uses; any further word in it is an error.

use serde_json::Value;

/// Where `value` does not fit `schema`; empty when it does.
pub fn misfits(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = vec![];
    let mut no = |what: String| found.push(format!("{at}: {what}"));
    for (word, rule) in schema.as_object().unwrap_or_else(|| panic!("{at}: no schema: {schema}")) {
        match word.as_str() {
            "$ref" | "properties" | "items" | "description" | "contentEncoding" | "contentMediaType" | "default" => {}
            "const" if rule != value => no(format!("{value} is not {rule}")),
            "enum" if !rule.as_array().unwrap().contains(value) => no(format!("{value} is none of {rule}")),
            "type" => {
                let types = rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()]);
                if !types.iter().any(|t| is(t.as_str().unwrap(), value)) {
                    no(format!("{value} is no {rule}"));
                }
            }
            "required" => {
                for name in rule.as_array().unwrap() {
                    if value.get(name.as_str().unwrap()).is_none() {
                        no(format!("{name} is missing"));
                    }
                }
            }
            "minimum" if value.as_f64().is_some_and(|v| v < rule.as_f64().unwrap()) => no(format!("{value} < {rule}")),
            "maximum" if value.as_f64().is_some_and(|v| v > rule.as_f64().unwrap()) => no(format!("{value} > {rule}")),
            "pattern" => {
                assert_eq!(rule, "^[0-9a-f]{64}$");
                let text = value.as_str().unwrap_or("");
                if text.len() != 64 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                    no(format!("{value} is no SHA-256"));
                }
            }
            "format" => {
                assert_eq!(rule, "date-time");
                if value.as_str().is_some_and(|text| text.len() < 20 || !text.ends_with('Z')) {
                    no(format!("{value} is no time"));
                }
            }
            "const" | "enum" | "minimum" | "maximum" => {}
            _ => panic!("{at}: the word {word} is not known here"),
        }
    }
    if let Some(name) = schema["$ref"].as_str() {
        found.extend(misfits(document, resolve(document, name), value, at));
    }
    if let (Some(properties), Some(object)) = (schema["properties"].as_object(), value.as_object()) {
        for (name, value) in object {
            match properties.get(name) {
                Some(schema) => found.extend(misfits(document, schema, value, &format!("{at}.{name}"))),
                None => found.push(format!("{at}: {name} is not documented")),
            }
        }
    }
    if let (Some(items), Some(array)) = (schema.get("items"), value.as_array()) {
        for (i, value) in array.iter().enumerate() {
            found.extend(misfits(document, items, value, &format!("{at}[{i}]")));
        }
    }
    found
}

/// What `#/a/b` points to.
pub fn resolve<'a>(document: &'a Value, reference: &str) -> &'a Value {
    let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} is outside"));
    document.pointer(pointer).unwrap_or_else(|| panic!("{reference} points to nothing"))
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => panic!("{kind} is no type"),
    }
}
