//! Properties that hold for every input: nothing panics, segments cover the text, cleaning is final.

use mailgrant_mail::{fuzzing, sanitize_html};
use proptest::prelude::*;

/// Pieces that a parser trips over, joined at random.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let fixed = [
        "From: Ada <ada@example.org>\r\n",
        "To: (x (y) <a@b>, \"q\\\" <c@d>;\r\n",
        "Subject: =?utf-8?B?w6Q=?= =?x?Q?=C3?=\n",
        "Content-Type: multipart/mixed; boundary=\"b\"\r\n",
        "Content-Type: multipart/alternative; boundary*0=b; boundary*1=c\n",
        "Content-Type: text/html; charset=gb2312\r\n",
        "Content-Type: message/rfc822\n",
        "Content-Type: message/delivery-status\n",
        "Content-Transfer-Encoding: base64\r\n",
        "Content-Transfer-Encoding: quoted-printable\n",
        "Content-Disposition: attachment; filename*=utf-8''%e2%82\n",
        "\r\n",
        "\n",
        "--b\r\n",
        "--b--\n",
        "--bc\n",
        " folded\n",
        "> quoted ä\n",
        ">> more\n",
        "On 2 Mar 2026 Ada <ada@example.org> wrote:\n",
        "-- \n",
        "Sent from my iPhone\n",
        "<div><blockquote type=cite>x</div>",
        "<p style=\"display:none\">",
        "&amp;&#x1F600;&bogus",
        "<!-- ",
        "-->",
        "Final-Recipient: rfc822; a@b\nAction: failed\n",
        "<a@b>: 550 5.1.1 no\n",
        "=E4=\r\n=zz",
        "w6Q=\n",
        "\u{1b}$B!!\u{1b}(B",
        "写道：",
        "begin 644 a.txt\n#0V%T\n`\nend\n",
        "Content-Type: application/ms-tnef; name=winmail.dat\n",
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20260302T100000Z\nEND:VEVENT\n",
        "From: x\nSent: y\nTo: z\nSubject: w\n",
    ];
    prop_oneof![
        8 => proptest::sample::select(fixed.to_vec()).prop_map(|s| s.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => "\\PC{0,30}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_become_a_mail(raw in proptest::collection::vec(any::<u8>(), 0..400)) {
        fuzzing::mail(&raw);
    }

    #[test]
    fn any_mixture_of_mail_pieces_becomes_a_mail(pieces in proptest::collection::vec(piece(), 0..40)) {
        fuzzing::mail(&pieces.concat());
    }

    #[test]
    fn any_text_is_split_without_loss(body in "(\\PC|\n|> |On 2 Mar 2026, a@b wrote:\n|-- \n){0,60}") {
        let raw = format!("From: a@example.org\nContent-Type: text/plain; charset=utf-8\n\n{body}");
        let mail = fuzzing::mail(raw.as_bytes());
        prop_assert_eq!(mail.mailgrant.text, body.replace('\r', "\n"));
    }

    #[test]
    fn cleaned_html_stays_clean(html in "(<|>|/|div|b|p|table|td|style|svg|math|a href=x| |\"|'|&|;|[a-z]|<!--|-->|<p>|</p>|<b>|<table>|<a>|<img src=cid:x>){0,60}") {
        if let Some(once) = sanitize_html(&html) {
            prop_assert_eq!(sanitize_html(&once), Some(once.clone()));
        }
    }
}
