//! Pictures as they are shown, and every address that is refused.

use sea_orm::ConnectionTrait;

use super::*;

use crate::message::{NewRaw, Stored, insert_raws};
use crate::web::tests::{Site, site};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nrest";

/// A mail whose parts are these: declared type, Content-ID, bytes.
fn mail(parts: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let mut raw =
        b"From: a@b.test\r\nSubject: Pictures\r\nContent-Type: multipart/related; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/html\r\n\r\n"
            .to_vec();
    for (_, id, _) in parts {
        raw.extend_from_slice(format!("<img src=\"cid:{id}\">\r\n").as_bytes());
    }
    for (kind, id, bytes) in parts {
        let head = format!(
            "\r\n--b\r\nContent-Type: {kind}\r\nContent-ID: <{id}>\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        );
        raw.extend_from_slice(head.as_bytes());
        raw.extend_from_slice(base64::engine::general_purpose::STANDARD.encode(bytes).as_bytes());
    }
    raw.extend_from_slice(b"\r\n--b--\r\n");
    raw
}

/// Stores a mail and returns its id and the addresses of the pictures in its HTML.
async fn store(site: &Site, raw: &[u8]) -> (String, Vec<String>) {
    let ctx = site.ctx();
    ctx.db
        .write()
        .execute_unprepared("PRAGMA foreign_keys = OFF")
        .await
        .unwrap();
    let new = NewRaw {
        mailbox_id: "mbx_1",
        project_id: "prj_1",
        folder: "INBOX",
        uid_validity: 1,
        uid: 1,
        internal_date: None,
        bytes: raw,
        is_partial: false,
        size: raw.len() as u64,
    };
    let stored = insert_raws(ctx.db.write(), &ctx.clock, &[new]).await.unwrap();
    let [Stored::New(id)] = &stored[..] else {
        panic!("the same mail twice");
    };
    let parsed = mailgrant_mail::parse(raw);
    let html = parsed.mailgrant.html.clone().unwrap();
    let shown = shown(ctx, id, &parsed, &html);
    let addresses = shown.split("src=\"").skip(1).map(|rest| {
        let (address, _) = rest.split_once('"').unwrap();
        address.replace("&amp;", "&")
    });
    let addresses = addresses.collect();
    (id.clone(), addresses)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_shown_without_a_cookie_and_as_nothing_but_a_picture() {
    let site = site().await;
    let parts: [(&str, &str, &[u8]); 4] = [
        ("image/png", "a@x", PNG),
        ("IMAGE/JPG", "b@x", b"\xff\xd8\xff\xe0"),
        ("image/gif", "c@x", b"GIF89a"),
        ("image/webp", "d@x", b"RIFF\0\0\0\0WEBPVP8 "),
    ];
    let (_, addresses) = store(&site, &mail(&parts)).await;
    assert_eq!(addresses.len(), 4);
    for (address, (kind, _, bytes)) in addresses.iter().zip(parts) {
        let answer = site.get(address).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{address}");
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), kind.to_lowercase().replace("jpg", "jpeg"));
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(
            header("content-security-policy"),
            "default-src 'none'; sandbox; frame-ancestors 'none'"
        );
        assert_eq!(header("cross-origin-resource-policy"), "cross-origin");
        assert_eq!(answer.bytes().await.unwrap(), bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_picture_of_pixels_has_no_address_or_is_not_there() {
    let site = site().await;
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>";
    let parts: [(&str, &str, &[u8]); 8] = [
        ("image/svg+xml", "svg@x", svg),
        ("text/html", "html@x", b"<script>x()</script>"),
        ("application/octet-stream", "bytes@x", PNG),
        ("image/bmp", "bmp@x", b"BM"),
        // These have one, and the bytes are not what was said.
        ("image/png", "lie@x", svg),
        ("image/png", "other@x", b"GIF89a"),
        ("image/gif", "short@x", b"GIF"),
        ("image/webp", "riff@x", b"RIFF\0\0\0\0WAVE"),
    ];
    let (_, addresses) = store(&site, &mail(&parts)).await;
    assert_eq!(addresses.len(), 4, "{addresses:?}");
    for address in addresses {
        let answer = site.get(&address).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{address}");
        let kind = answer.headers()["content-type"].to_str().unwrap();
        assert!(!kind.starts_with("image/"), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_was_changed_or_whose_time_is_over_is_refused() {
    let site = site().await;
    let (id, addresses) = store(
        &site,
        &mail(&[("image/png", "a@x", PNG), ("image/png", "b@x", PNG)]),
    )
    .await;
    let (other, _) = store(&site, &mail(&[("image/png", "c@x", PNG)])).await;
    let good = &addresses[0];
    let part = |of: &str| {
        of.split('?')
            .next()
            .unwrap()
            .rsplit('/')
            .next()
            .unwrap()
            .to_owned()
    };
    let (path, query) = good.split_once('?').unwrap();
    let until: i64 = query
        .split("until=")
        .nth(1)
        .unwrap()
        .split('&')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let signature = query.split("signature=").nth(1).unwrap();
    let mut altered = signature.to_owned();
    altered.replace_range(..1, if signature.starts_with('A') { "B" } else { "A" });
    for (what, address) in [
        ("no query", path.to_owned()),
        ("no signature", good.replace(signature, "")),
        ("another signature", good.replace(signature, &altered)),
        ("half a signature", good.replace(signature, &signature[..20])),
        ("another message", good.replace(&id, &other)),
        (
            "another part",
            good.replace(path, &path.replace(&part(good), &part(&addresses[1]))),
        ),
        ("another type", good.replace("image/png", "image/gif")),
        ("a type that runs", good.replace("image/png", "image/svg%2Bxml")),
        ("no type", good.replace("image/png", "")),
        (
            "a later end",
            good.replace(&until.to_string(), &(until + 1).to_string()),
        ),
        ("no end", good.replace(&until.to_string(), &i64::MAX.to_string())),
        ("a link to a blob", good.replace("/pictures/", "/blobs/")),
    ] {
        let answer = site.get(&address).send().await.unwrap();
        assert!(
            matches!(answer.status().as_u16(), 400 | 403 | 404),
            "{what}: {}",
            answer.status()
        );
        assert_ne!(answer.status(), 200, "{what}: {address}");
    }
    assert_eq!(site.get(good).send().await.unwrap().status(), 200, "untouched");

    // Signed by us, and over.
    let ctx = site.ctx();
    let now = ctx.clock.now_ms() / 1_000;
    for (until, status) in [(now - 1, 403), (now, 403), (now + 60, 200)] {
        let signature = &signatures(ctx, &id, &part(good), Raster::Png, until)[0];
        let address = format!("{path}?type=image/png&until={until}&signature={signature}");
        assert_eq!(
            site.get(&address).send().await.unwrap().status(),
            status,
            "{}",
            until - now
        );
    }

    // The same words signed for another purpose are no signature here.
    let keys = ctx.keys.derived("blob link v1");
    let mut mac = Hmac::<Sha256>::new_from_slice(&keys[0][..]).unwrap();
    mac.update(format!("{until}\nimage/png\n{id}\n{}", part(good)).as_bytes());
    let foreign = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    assert_eq!(
        site.get(&good.replace(signature, &foreign))
            .send()
            .await
            .unwrap()
            .status(),
        403
    );
}
