//! The document and the route table say the same.

use std::collections::BTreeSet;

use super::{Body, document, pretty};
use crate::web::routes;

#[test]
fn every_route_of_the_api_is_described() {
    for route in routes() {
        if !route.guard.is_rest() {
            continue;
        }
        let name = format!("{} {}", route.method, route.path);
        let doc = route.description();
        assert!(doc.is_some(), "{name}: write .doc(|| Doc::new(…)) behind it");
        let Some(doc) = doc else { continue };
        assert!(
            !doc.summary.is_empty() && !doc.summary.ends_with('.'),
            "{name}: summary"
        );
        assert!(!doc.answers.is_empty(), "{name}: what does it answer?");
        assert!(
            route.method != "GET" || matches!(doc.body, Body::None),
            "{name}: a GET takes no body"
        );
    }
}

#[test]
fn operations_have_names_of_their_own() {
    let document = document(&routes());
    let mut seen = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            assert!(seen.insert(id), "{method} {path}");
        }
    }
    assert!(seen.len() > 30);
}

#[test]
fn the_committed_document_is_the_present_one() {
    let present = pretty(&document(&routes()));
    let committed = include_str!("../../../docs/openapi.json");
    if present != committed && std::env::var_os("MAILGRANT_WRITE_OPENAPI").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json"), present).unwrap();
    } else if present != committed {
        let place = std::env::temp_dir().join("mailgrant-openapi.json");
        std::fs::write(&place, present).unwrap();
        panic!(
            "docs/openapi.json is old; run: cargo run -- openapi > docs/openapi.json (or copy {})",
            place.display()
        );
    }
}
