//! The document and the route table say the same.

use std::collections::BTreeSet;

use super::document::plain_path;
use super::{Body, document, pretty};
use crate::web::route::Effect;
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

/// What takes no `If-Match`, and why.
const UNTAGGED: [(&str, &str); 3] = [
    (
        "/api/v1/users/{id}/invitations",
        "ends what waits, whatever that is; nothing of it is shown but the person's account",
    ),
    (
        "/api/v1/users/{id}/second-factor",
        "takes it away, whichever it is; nothing of it is shown",
    ),
    (
        "/api/v1/users/{id}/sessions",
        "ends all there are at that moment; each has an address of its own",
    ),
];

#[test]
fn whatever_is_changed_or_removed_can_be_protected_from_changes_meanwhile() {
    let document = document(&routes());
    let (mut tagged, mut exceptions) = (0, BTreeSet::new());
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if !["patch", "put", "delete"].contains(&method.as_str()) {
                continue;
            }
            let takes = operation["parameters"]
                .as_array()
                .unwrap()
                .iter()
                .any(|parameter| parameter["name"] == "If-Match");
            let refuses = operation["responses"]["412"].is_object();
            let shows = operations["get"]["responses"]["200"]["headers"]["ETag"].is_object();
            if UNTAGGED.iter().any(|(known, _)| known == path) {
                assert!(!takes && !refuses, "{method} {path} is no exception any more");
                exceptions.insert(path);
                continue;
            }
            assert!(takes, "{method} {path}: .tagged(), and IfMatch in its handler");
            assert!(refuses, "{method} {path}: 412");
            assert!(shows, "GET {path}: .tagged(), and output::tagged in its handler");
            tagged += 1;
        }
    }
    assert_eq!(exceptions.len(), UNTAGGED.len());
    assert!(tagged > 25, "{tagged}");
}

/// Which `POST` at something that is there takes no `If-Match`, and why.
const UNTAGGED_POSTS: [(&str, &[&str]); 5] = [
    (
        "adds something, whatever else was added",
        &[
            "/projects/{id}/members",
            "/tickets/{id}/notes",
            "/tickets/{id}/replies",
            "/integrations/{id}/authorizations",
            "/users/{id}/invitations",
            "/users/{id}/password-links",
        ],
    ),
    (
        "begins something with what is there at that moment",
        &[
            "/identity-providers/{id}/tests",
            "/integrations/{id}/tests",
            "/mailboxes/{id}/tests",
            "/mailboxes/{id}/poll",
            "/projects/{id}/templates/{kind}/tests",
            "/jobs/{name}/run",
            "/webhooks/{id}/ping",
            "/webhooks/{id}/retry",
            "/webhooks/{id}/deliveries/{delivery}/retry",
        ],
    ),
    (
        "takes events one behind the other, under a lease of its own",
        &["/queues/{id}/lease", "/queues/{id}/ack", "/queues/{id}/nack"],
    ),
    (
        "is refused with 409 once it was decided",
        &["/authorizations/{id}/decision"],
    ),
    (
        "is refused with 409 where the message stands elsewhere, or can be repeated",
        &[
            "/messages/{id}/reprocess",
            "/quarantine/{id}/release",
            "/quarantine/{id}/drop",
            "/quarantine/{id}/fetch",
        ],
    ),
];

#[test]
fn a_post_that_changes_what_is_there_can_be_protected_from_changes_meanwhile() {
    let document = document(&routes());
    let (mut tagged, mut exceptions) = (0, 0);
    for route in routes() {
        let changes = route.method == "POST" && route.effect != Effect::None && route.path.contains('{');
        if !route.guard.is_rest() || !changes {
            continue;
        }
        let path = plain_path(route.path);
        let operation = &document["paths"][&path]["post"];
        let takes = operation["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .any(|parameter| parameter["name"] == "If-Match");
        let refuses = operation["responses"]["412"].is_object();
        let short = path.strip_prefix("/api/v1").unwrap();
        if UNTAGGED_POSTS.iter().any(|(_, paths)| paths.contains(&short)) {
            assert!(!takes && !refuses, "POST {path} is no exception any more");
            exceptions += 1;
            continue;
        }
        assert!(
            takes && refuses,
            "POST {path}: .if_match(), and IfMatch in its handler"
        );
        let (thing, _) = path.rsplit_once('/').unwrap();
        let shows = document["paths"][thing]["get"]["responses"]["200"]["headers"]["ETag"].is_object();
        assert!(shows, "GET {thing}: .tagged(), and output::tagged in its handler");
        tagged += 1;
    }
    let known: usize = UNTAGGED_POSTS.iter().map(|(_, paths)| paths.len()).sum();
    assert_eq!(exceptions, known);
    assert!(tagged > 15, "{tagged}");
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

#[test]
fn each_operation_says_which_scope_an_application_needs() {
    let document = document(&routes());
    let flows = &document["components"]["securitySchemes"]["oauth2"]["flows"];
    assert_eq!(
        flows["authorizationCode"]["authorizationUrl"],
        "/oauth2/authorize"
    );
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let asks = |scheme: &str| {
                let ways = operation["security"].as_array().unwrap();
                ways.iter().find_map(|way| way.get(scheme)).cloned()
            };
            let needed = asks("oauth2").unwrap_or_else(|| panic!("{method} {path}: {operation}"));
            assert_eq!(Some(&needed), asks("token").as_ref(), "{method} {path}");
            for flow in ["authorizationCode", "clientCredentials"] {
                let scope = needed[0].as_str().unwrap();
                assert!(
                    flows[flow]["scopes"][scope].is_string(),
                    "{method} {path}: {scope}"
                );
            }
        }
    }
}
