//! Answers and forwards of many clients in every language of `languages`.

use crate::build::{HEAD, Transfer, leaf, mail, multipart, word};
use crate::languages::{LANGUAGES, Language};

/// A fixture with what a reader would say was newly written.
pub struct Answer {
    pub name: String,
    pub raw: Vec<u8>,
    /// The reply, white space levelled.
    pub reply: String,
    /// Words that must be among the quoted ones.
    pub quoted: String,
    pub signature: Option<String>,
    pub forward: bool,
}

/// HTML of clients: `@A` answer, `@D` device line, `@I` introduction, `@Q` question, `@F` header block.
const CLIENTS: &[(&str, &str)] = &[
    (
        "gmail-html",
        "<div dir=\"ltr\">@A<br clear=\"all\"><div><br></div><div dir=\"ltr\" class=\"gmail_signature\">@D</div></div><br><div class=\"gmail_quote gmail_quote_container\"><div dir=\"ltr\" class=\"gmail_attr\">@I<br></div><blockquote class=\"gmail_quote\" style=\"margin:0px 0px 0px 0.8ex;border-left:1px solid rgb(204,204,204);padding-left:1ex\"><div dir=\"ltr\">@Q</div></blockquote></div>",
    ),
    (
        "outlook-desktop",
        "<html><body lang=EN-GB><div class=WordSection1><p class=MsoNormal>@A<o:p></o:p></p><p class=MsoNormal><o:p>&nbsp;</o:p></p><p class=MsoNormal>@D<o:p></o:p></p><div><div style='border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm'><p class=MsoNormal>@F<o:p></o:p></p></div></div><p class=MsoNormal><o:p>&nbsp;</o:p></p><p class=MsoNormal>@Q<o:p></o:p></p></div></body></html>",
    ),
    (
        "outlook-web",
        "<html><head><style type=\"text/css\">P {margin:0}</style></head><body dir=\"ltr\"><div class=\"elementToProof\">@A</div><div class=\"elementToProof\"><br></div><div id=\"Signature\"><div>@D</div></div><div id=\"appendonsend\"></div><hr tabindex=\"-1\" style=\"display:inline-block; width:98%\"><div id=\"divRplyFwdMsg\" dir=\"ltr\"><font face=\"Calibri\">@F</font><div>&nbsp;</div></div><div>@Q</div></body></html>",
    ),
    (
        "outlook-mobile",
        "<html><body><div dir=\"ltr\">@A</div><div id=\"ms-outlook-mobile-body-separator-line\"><br></div><div id=\"ms-outlook-mobile-signature\" style=\"\">@D</div><hr style=\"display:inline-block;width:98%\" tabindex=\"-1\"><div id=\"divRplyFwdMsg\" dir=\"ltr\">@F<div>&nbsp;</div></div><div>@Q</div></body></html>",
    ),
    (
        "apple-mail",
        "<html><head></head><body style=\"word-wrap: break-word;\">@A<br><br><div>@D<br></div><div><br><blockquote type=\"cite\"><div>@I</div><br class=\"Apple-interchange-newline\"><div>@Q</div></blockquote></div><br></body></html>",
    ),
    (
        "thunderbird",
        "<!DOCTYPE html><html><body><p>@A</p><div class=\"moz-signature\">@D</div><div class=\"moz-cite-prefix\">@I<br></div><blockquote type=\"cite\" cite=\"mid:q@example.org\"><p>@Q</p></blockquote></body></html>",
    ),
    (
        "yahoo",
        "<html><body><div class=\"ydp1yahoo-style-wrap\"><div dir=\"ltr\">@A</div><div><br></div><div class=\"ydp1signature\">@D</div></div><div id=\"ydp2yahoo_quoted_1\" class=\"ydp2yahoo_quoted\"><div><div>@I</div><div><br></div><div>@Q</div></div></div></body></html>",
    ),
    (
        "protonmail",
        "<div style=\"font-family: Arial;\">@A</div><div class=\"protonmail_signature_block\"><div class=\"protonmail_signature_block-proton\">@D</div></div><div class=\"protonmail_quote\">@I<br><blockquote class=\"protonmail_quote\" type=\"cite\">@Q</blockquote></div>",
    ),
    (
        "zoho",
        "<div style=\"font-family: Verdana;\"><div>@A<br></div><div><br></div><div id=\"Zm-_Id_-Sgn\" class=\"zmail_signature_below\"><div>@D<br></div></div><div class=\"zmail_extra_hr\" style=\"border-top: 1px solid rgb(204, 204, 204);\"><br></div><div class=\"zmail_extra\" data-zbluepencil-ignore=\"true\"><div id=\"Zm-_Id_-Sgn1\">---- @I ----<br></div><div><br></div><blockquote id=\"blockquote_zmail\">@Q</blockquote></div></div>",
    ),
    (
        "mailru",
        "<HTML><BODY><div>@A</div><div>&nbsp;</div><div data-signature-widget=\"container\"><div data-signature-widget=\"content\"><div>@D</div></div></div><div>&nbsp;</div><div>&nbsp;</div><blockquote style=\"border-left:1px solid #0857A6; margin:10px; padding:0 0 0 10px;\">@I<br>&nbsp;<div id=\"\"><div class=\"js-helper js-readmsg-msg\">@Q</div></div></blockquote></BODY></HTML>",
    ),
    (
        "hotmail",
        "<html><head><style><!--\n.hmmessage P{margin:0px}\n--></style></head><body class='hmmessage'><div dir='ltr'>@A<br><br>@D<br><br><div><hr id=\"stopSpelling\">@F<br><br>@Q<br></div></div></body></html>",
    ),
];

/// All of them.
pub fn answers() -> Vec<Answer> {
    let mut out = Vec::new();
    for (i, language) in LANGUAGES.iter().enumerate() {
        out.push(marked(language, i));
        out.push(block(language));
        out.push(html(language, i));
        out.push(alternative(language, i));
        out.push(forward(language));
    }
    out
}

fn head(l: &Language) -> String {
    format!(
        "{HEAD}Subject: Re: {}\r\nIn-Reply-To: <question@example.org>\r\n",
        word(l.question, "utf-8")
    )
}

fn fields(l: &Language, end: &str) -> String {
    let [from, sent, to, subject] = l.fields;
    let name = if l.charset == "us-ascii" {
        "Ada Lovelace"
    } else {
        "Ada"
    };
    format!(
        "{from}{name} <ada@example.org>{end}{sent}2026-03-02 10:00{end}{to}Bob Babbage <bob@example.com>{end}{subject}{}",
        l.question
    )
}

fn answer(l: &Language, kind: &str, raw: Vec<u8>) -> Answer {
    Answer {
        name: format!("{}-{kind}", l.code),
        raw,
        reply: l.answer.to_owned(),
        quoted: l.question.to_owned(),
        signature: None,
        forward: false,
    }
}

/// Plain text, the quote marked with `>`.
fn marked(l: &Language, i: usize) -> Answer {
    let body = format!("{}\n\n{}\n\n> {}\n>\n> Ada\n", l.answer, l.gmail, l.question);
    let transfer = if i.is_multiple_of(2) {
        Transfer::Base64
    } else {
        Transfer::Quoted
    };
    answer(
        l,
        "gmail",
        mail(&head(l), leaf("text/plain", "utf-8", transfer, &body)),
    )
}

/// Plain text, a header block above an unmarked quote, in the old charset of the language.
fn block(l: &Language) -> Answer {
    let rule = if l.code == "en" {
        "-----Original Message-----\n"
    } else {
        "________________________________\n"
    };
    let body = format!(
        "{}\n\n{rule}{}\n\n{}\n\nAda\n",
        l.answer,
        fields(l, "\n"),
        l.question
    );
    let charset = if matches!(l.code, "ro" | "vi") {
        "utf-8"
    } else {
        l.charset
    };
    let transfer = if charset == "iso-2022-jp" {
        Transfer::EightBit
    } else {
        Transfer::Quoted
    };
    answer(
        l,
        "outlook",
        mail(&head(l), leaf("text/plain", charset, transfer, &body)),
    )
}

/// HTML of one client, with a signature.
fn html(l: &Language, i: usize) -> Answer {
    let (client, template) = CLIENTS[i % CLIENTS.len()];
    let escaped = |s: &str| s.replace('<', "&lt;").replace('>', "&gt;").replace('\n', "<br>");
    let body = template
        .replace("@A", &escaped(l.answer))
        .replace("@D", l.device)
        .replace("@I", &escaped(l.gmail))
        .replace(
            "@F",
            &fields(l, "\n")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('\n', "<br>"),
        )
        .replace("@Q", l.question);
    Answer {
        signature: Some(l.device.to_owned()),
        ..answer(
            l,
            client,
            mail(&head(l), leaf("text/html", "utf-8", Transfer::Quoted, &body)),
        )
    }
}

/// Text and HTML, the telephone's line above the quote.
fn alternative(l: &Language, i: usize) -> Answer {
    let plain = format!(
        "{}\n\n{}\n\n{}\n\n> {}\n",
        l.answer, l.device, l.other, l.question
    );
    let rich = format!(
        "<p>{}</p><p>{}</p><blockquote type=cite>{}</blockquote>",
        l.answer, l.device, l.question
    );
    let transfer = if i.is_multiple_of(2) {
        Transfer::Quoted
    } else {
        Transfer::EightBit
    };
    let parts = [
        leaf("text/plain", "utf-8", transfer, &plain),
        leaf("text/html", "utf-8", Transfer::Base64, &rich),
    ];
    Answer {
        signature: Some(l.device.to_owned()),
        ..answer(l, "phone", mail(&head(l), multipart("alternative", "b1", &parts)))
    }
}

/// A forward with a note above it.
fn forward(l: &Language) -> Answer {
    let body = format!(
        "{}\n\n{}\n{}\n\n{}\n",
        l.answer,
        l.forwarded,
        fields(l, "\n"),
        l.question
    );
    let head = format!("{HEAD}Subject: Fwd: {}\r\n", word(l.question, "utf-8"));
    Answer {
        forward: true,
        ..answer(
            l,
            "forward",
            mail(&head, leaf("text/plain", "utf-8", Transfer::Quoted, &body)),
        )
    }
}
