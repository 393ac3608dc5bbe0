//! The OpenAPI document is sound, and answers are as it says. tests/reference/check_openapi.py holds it to the
//! OpenAPI 3.1 schema.

use serde_json::Value;

use crate::house::{demo, ordinary, within};
use crate::http::{Reply, get, post, request};
use crate::schema::{misfits, resolve};

fn document(address: std::net::SocketAddr) -> Value {
    let reply = get(address, "/openapi.json");
    assert_eq!(reply.status, 200);
    reply.json()
}

/// The reply fits what is documented for its operation and status.
fn check(document: &Value, path: &str, method: &str, reply: &Reply) {
    let response = &document["paths"][path][method]["responses"][reply.status.to_string()];
    assert!(response.is_object(), "{method} {path} {} is not documented", reply.status);
    let (kind, content) = response["content"].as_object().unwrap().iter().next().unwrap();
    assert!(reply.header("content-type").unwrap().starts_with(kind.as_str()), "{path}");
    if kind == "application/json" && path != "/openapi.json" {
        let wrong = misfits(document, &content["schema"], &reply.json(), path);
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
    for name in response["headers"].as_object().into_iter().flat_map(|headers| headers.keys()) {
        assert!(reply.header(&name.to_ascii_lowercase()).is_some(), "{path} {}: {name}", reply.status);
    }
}

#[test]
fn answers_are_as_documented() {
    let entry = rad_dino_edge::service::http::Entry {
        name: "1.2.3".into(),
        state: "failed".into(),
        received: "2026-01-01T00:00:00.000Z".into(),
        finished: None,
        attempts: 3,
        error: Some("the model was refused".into()),
    };
    let worklist = move |_: usize| Ok(vec![entry.clone()]);
    let address = within(|settings| settings.limits.max_side = 2000, Some(Box::new(worklist)));
    let document = document(address);
    let demo = demo();
    let all = post(address, "/v1/infer?heatmap=true&masks=true&report=true&maps=true&display=true", &demo);
    assert_eq!(all.status, 200);
    check(&document, "/v1/infer", "post", &all);
    for (target, body) in [
        ("/v1/infer", &demo[..]),
        ("/v1/infer?colour=blue", &demo),
        ("/v1/infer", b"GIF89a"),
        ("/v1/infer", &demo[..9000]),
    ] {
        check(&document, "/v1/infer", "post", &post(address, target, body));
    }
    check(&document, "/v1/infer", "post", &request(address, "POST", "/v1/infer", &[("Host", "evil.example")], &demo));
    check(&document, "/v1/worklist", "get", &get(address, "/v1/worklist"));
    check(&document, "/v1/worklist", "get", &get(address, "/v1/worklist?limit=x"));
    for (path, operations) in document["paths"].as_object().unwrap() {
        if operations.get("get").is_some() {
            let reply = get(address, path);
            assert_eq!(reply.status, 200, "{path}");
            check(&document, path, "get", &reply);
        }
    }
    let token = |settings: &mut rad_dino_edge::service::http::Settings| {
        settings.token = rad_dino_edge::service::http::Token::new("0123456789abcdef").ok();
    };
    check(&document, "/v1/infer", "post", &post(within(token, None), "/v1/infer", &demo));
}

#[test]
fn the_document_is_sound() {
    let document = document(ordinary());
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    let mut identifiers = vec![];
    for (path, operations) in document["paths"].as_object().unwrap() {
        assert!(path.starts_with('/'));
        for (method, operation) in operations.as_object().unwrap() {
            assert!(["get", "post"].contains(&method.as_str()));
            identifiers.push(operation["operationId"].as_str().unwrap().to_string());
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!((200..600).contains(&status.parse::<u16>().unwrap()), "{status}");
                assert!(response["description"].is_string(), "{path} {status}");
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(parameter["name"].is_string() && parameter["in"] == "query" && parameter["schema"].is_object());
            }
        }
    }
    let count = identifiers.len();
    identifiers.sort();
    identifiers.dedup();
    assert_eq!(identifiers.len(), count, "every operation has its own name");
    let mut used = vec![];
    references(&document, &mut used);
    for reference in &used {
        resolve(&document, reference);
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(used.iter().any(|reference| reference.ends_with(&format!("/{name}"))), "{name} is never used");
    }
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str).map(String::from));
            object.values().for_each(|value| references(value, found));
        }
        Value::Array(array) => array.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}
