//! What people newly wrote, as the mail clients of many languages leave it.

use mailgrant_mail::{ParsedMail, SegmentKind, parse};

fn plain(body: &str) -> ParsedMail {
    parse(
        format!("From: bob@example.org\nSubject: Re: x\nContent-Type: text/plain; charset=utf-8\n\n{body}")
            .as_bytes(),
    )
}

fn html(body: &str) -> ParsedMail {
    parse(
        format!("From: bob@example.org\nSubject: Re: x\nContent-Type: text/html; charset=utf-8\n\n{body}")
            .as_bytes(),
    )
}

fn squash(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_quote_below_the_answer_is_left_out() {
    let intros = [
        "On Mon, Mar 2, 2026 at 10:00 AM Ada Lovelace <ada@example.org> wrote:",
        "On 2 Mar 2026, at 10:00, Ada Lovelace <ada@example.org> wrote:",
        "On 02/03/2026 10:00, Ada wrote:",
        "On Monday, March 2, 2026 at 10:00:00 AM GMT+1, Ada <ada@example.org> wrote:  ",
        "2026-03-02 10:00 GMT+01:00 Ada <ada@example.org>:",
        "Am 02.03.26 um 10:00 schrieb Ada Lovelace:",
        "Am Mo., 2. März 2026 um 10:00 Uhr schrieb Ada Lovelace <\nada@example.org>:",
        "Am 02.03.2026 um 10:00 schrieb Ada Lovelace <ada@example.org>:",
        "Le 02/03/2026 à 10:00, Ada a écrit :",
        "Le lun. 2 mars 2026 à 10:00, Ada Lovelace <ada@example.org> a écrit :",
        "El lun, 2 mar 2026 a las 10:00, Ada (<ada@example.org>) escribió:",
        "El 02/03/2026 a las 10:00, Ada escribió:",
        "Em seg., 2 de mar. de 2026 às 10:00, Ada <ada@example.org> escreveu:",
        "Às 10:00 de 02/03/2026, Ada escreveu:",
        "Il giorno lun 2 mar 2026 alle ore 10:00 Ada <ada@example.org> ha scritto:",
        "Il 02/03/2026 10:00, Ada ha scritto:",
        "Op ma 2 mrt 2026 om 10:00 schreef Ada <ada@example.org>:",
        "Op 2 mrt. 2026 om 10:00 heeft Ada <ada@example.org> het volgende geschreven:",
        "Den mån 2 mars 2026 kl 10:00 skrev Ada <ada@example.org>:",
        "Den 02.03.2026 kl. 10.00 skrev Ada:",
        "man. 2. mars 2026 kl. 10:00 skrev Ada <ada@example.org>:",
        "pon., 2 mar 2026 o 10:00 Ada <ada@example.org> napisał(a):",
        "W dniu 2.03.2026 o 10:00, Ada pisze:",
        "Dne 02. 03. 26 v 10:00 Ada napsal(a):",
        "po 2. 3. 2026 o 10:00 Ada <ada@example.org> napísal(a):",
        "пн, 2 мар. 2026 г. в 10:00, Ада <ada@example.org>:",
        "02.03.2026 10:00, Ада пишет:",
        "Понедельник, 2 марта 2026, 10:00 +03:00 от Ада <ada@example.org>:",
        "02.03.26 10:00, Ада пише:",
        "Ada kirjoitti 2.3.2026 klo 10.00:",
        "ma 2. maalisk. 2026 klo 10.00 Ada (ada@example.org) kirjoitti:",
        "Ada <ada@example.org>, 2 Mar 2026 Pzt, 10:00 tarihinde şunu yazdı:",
        "2026. 03. 02. 10:00 keltezéssel, Ada írta:",
        "Pe 02.03.2026 10:00, Ada a scris:",
        "Στις 2/3/2026 10:00, ο Ada έγραψε:",
        "2026年3月2日(月) 10:00 Ada <ada@example.org>:",
        "2026/03/02 10:00、Ada <ada@example.org>のメール:",
        "在 2026/3/2 10:00, Ada 写道:",
        "Ada <ada@example.org> 于2026年3月2日周一 10:00写道：",
        "2026년 3월 2일 (월) 오전 10:00, Ada <ada@example.org>님이 작성:",
        "Vào Th 2, 2 thg 3, 2026 vào lúc 10:00 Ada <ada@example.org> đã viết:",
        "Pada tanggal Sen, 2 Mar 2026 pukul 10.00 Ada <ada@example.org> menulis:",
        "---- On Mon, 02 Mar 2026 10:00:00 +0000 Ada <ada@example.org> wrote ----",
        "--- ada@example.org wrote:",
        "(2026/03/02 10:00), Ada wrote:",
        "Am 02.03.26 um 10:00 schrieb Ada",
        "On Mon, Mar 2, 2026 at 10:00 AM, Ada\n\n<ada@example.org> wrote:",
    ];
    for intro in intros {
        let mail = plain(&format!(
            "It works again.\nThank you!\n\n{intro}\n\n> Did you try\n> to restart?\n"
        ));
        assert_eq!(
            squash(&mail.mailgrant.reply.text),
            "It works again. Thank you!",
            "{intro}"
        );
        assert!(
            mail.mailgrant.reply.quoted.expect("a quote").contains("restart"),
            "{intro}"
        );
    }
}

#[test]
fn a_quote_without_marks_is_cut_to_the_end() {
    let blocks = [
        "From: Ada <ada@example.org>\nSent: Monday, 2 March 2026 10:00\nTo: Bob\nSubject: x\n\nOld text",
        "________________________________\nFrom: Ada <ada@example.org>\nSent: Monday\nTo: Bob\nSubject: x\n\nOld text",
        "-----Original Message-----\nFrom: Ada\nSent: Monday\nTo: Bob\nSubject: x\n\nOld text",
        "-------- Original message --------\nFrom: Ada <ada@example.org>\nDate: 02/03/2026 10:00 (GMT+01:00)\nTo: Bob\nSubject: x\n\nOld text",
        "Von: Ada <ada@example.org>\nGesendet: Montag, 2. März 2026 10:00\nAn: Bob\nBetreff: AW: x\n\nOld text",
        "-----Ursprüngliche Nachricht-----\nVon: Ada\nGesendet: Montag\nAn: Bob\nBetreff: x\n\nOld text",
        "De : Ada <ada@example.org>\nEnvoyé : lundi 2 mars 2026 10:00\nÀ : Bob\nObjet : x\n\nOld text",
        "----- Mail original -----\nDe: \"Ada\" <ada@example.org>\nÀ: \"Bob\" <bob@example.org>\nEnvoyé: Lundi 2 Mars 2026 10:00\nObjet: x\n\nOld text",
        "De: Ada\nEnviado: lunes, 2 de marzo de 2026\nPara: Bob\nAsunto: x\n\nOld text",
        "De: Ada\nEnviada em: segunda-feira\nPara: Bob\nAssunto: x\n\nOld text",
        "Da: Ada\nInviato: lunedì\nA: Bob\nOggetto: x\n\nOld text",
        "Van: Ada\nVerzonden: maandag\nAan: Bob\nOnderwerp: x\n\nOld text",
        "Från: Ada\nSkickat: den 2 mars 2026\nTill: Bob\nÄmne: x\n\nOld text",
        "Fra: Ada\nSendt: 2. mars 2026\nTil: Bob\nEmne: x\n\nOld text",
        "Od: Ada\nWysłano: poniedziałek\nDo: Bob\nTemat: x\n\nOld text",
        "От: Ада\nОтправлено: 2 марта 2026\nКому: Bob\nТема: x\n\nOld text",
        "发件人: Ada\n发送时间: 2026年3月2日 10:00\n收件人: Bob\n主题: x\n\nOld text",
        "------------------ 原始邮件 ------------------\n发件人: \"Ada\" <ada@example.org>;\n发送时间: 2026年3月2日\n收件人: \"Bob\";\n主题: x\n\nOld text",
        "差出人: Ada\n送信日時: 2026年3月2日\n宛先: Bob\n件名: x\n\nOld text",
        "보낸 사람: Ada\n보낸 날짜: 2026년 3월 2일\n받는 사람: Bob\n제목: x\n\nOld text",
        "Kimden: Ada\nGönderildi: 2 Mart 2026\nKime: Bob\nKonu: x\n\nOld text",
        "*From:* Ada\n*Sent:* Monday\n*To:* Bob\n*Subject:* x\n\nOld text",
        "-----Ada Lovelace/ACME wrote: -----\nTo: Bob\nFrom: Ada\nDate: 03/02/2026\nSubject: x\n\nOld text",
        "##- Please type your reply above this line -##\n\nOld text",
        "On Mon, Mar 2, 2026 at 10:00 AM Ada <ada@example.org> wrote:\n\nOld text",
    ];
    for block in blocks {
        let mail = plain(&format!("It works again.\n\n{block}\nand more\n\nand more\n"));
        assert_eq!(squash(&mail.mailgrant.reply.text), "It works again.", "{block}");
        assert!(
            mail.mailgrant.reply.quoted.expect("a quote").contains("Old text"),
            "{block}"
        );
    }
}

#[test]
fn answers_between_quotes_stay_with_what_they_answer() {
    let mail = plain(
        "On 2 Mar 2026, Ada <ada@example.org> wrote:\n> Does it print?\n\nYes.\n\n> And scan?\n\nNo.\n\n> Regards\n> Ada\n",
    );
    let reply = &mail.mailgrant.reply;
    assert_eq!(squash(&reply.text), "> Does it print? Yes. > And scan? No.");
    assert_eq!(reply.method, "inline");
    assert!(reply.segments.iter().any(|s| s.kind == SegmentKind::Context));
    assert!(!reply.text.contains("wrote"));
}

#[test]
fn an_answer_below_the_quote_is_found() {
    let mail =
        plain("Le 2 mars 2026 à 10:00, Ada <ada@example.org> a écrit :\n> Ça marche ?\n\nOui, merci.\n");
    assert_eq!(mail.mailgrant.reply.text, "Oui, merci.");
}

#[test]
fn signatures_are_named_and_left_out() {
    for signature in [
        "-- \nBob\nACME Ltd",
        "--\nBob",
        "Sent from my iPhone",
        "Von meinem iPhone gesendet",
        "Get Outlook for iOS",
        "Sendt fra min iPad",
        "iPhoneから送信",
        "Отправлено с iPhone",
        "-- \nSent with Tuta",
        "Sent from my iPhone\n-- \nBob",
    ] {
        let mail = plain(&format!("It works.\n\n{signature}\n"));
        assert_eq!(mail.mailgrant.reply.text, "It works.", "{signature}");
        assert_eq!(
            mail.mailgrant.reply.signature.as_deref().map(squash),
            Some(squash(signature))
        );
    }
    assert_eq!(
        plain("Sent from my iPhone\n").mailgrant.reply.text,
        "Sent from my iPhone",
        "nothing else was written"
    );
}

#[test]
fn a_forward_is_recognised_and_not_cut_away() {
    let forward = "---------- Forwarded message ---------\nFrom: Ada <ada@example.org>\nDate: Mon\nSubject: x\nTo: Bob\n\nThe printer burns.\n";
    let alone = plain(forward);
    assert!(alone.mailgrant.reply.text.contains("The printer burns."));
    let with_note = plain(&format!("Please see below.\n\n{forward}"));
    assert_eq!(with_note.mailgrant.reply.text, "Please see below.");
    assert!(
        with_note
            .mailgrant
            .reply
            .segments
            .iter()
            .any(|s| s.kind == SegmentKind::Forward)
    );
    let outlook = parse(b"From: b@example.org\nSubject: WG: Drucker\n\nFYI\n\nVon: Ada\nGesendet: Montag\nAn: Bob\nBetreff: Drucker\n\nEr brennt.\n");
    assert_eq!(
        outlook.mailgrant.reply.segments.last().map(|s| s.kind),
        Some(SegmentKind::Forward)
    );
}

#[test]
fn what_only_looks_like_a_quote_stays() {
    for body in [
        "Steps:\n\nOn the first page press Start.\n\nThen wait.",
        "Here is the log:\n\n2026-03-02 10:00: error a\n2026-03-02 10:01: error b\n\nCan you help?",
        "I wrote to ada@example.org and she said:\n\ntry again\n\nIt failed.",
        "```\n--\n____\n```\n\ndone",
        "Hello,\n\n- one\n- two\n\nBye",
        "To: be or not to be\nFrom: here to there\n\nis a poem",
    ] {
        assert_eq!(plain(body).mailgrant.reply.text, body);
    }
}

#[test]
fn html_of_known_clients_is_split() {
    let cases = [
        (
            "gmail",
            "<div dir=ltr>It works.</div><br><div class=\"gmail_quote\"><div dir=ltr class=\"gmail_attr\">On Mon, Mar 2, 2026 at 10:00 AM Ada &lt;<a href=\"mailto:ada@example.org\">ada@example.org</a>&gt; wrote:<br></div><blockquote class=\"gmail_quote\" style=\"margin:0\">Old text</blockquote></div>",
        ),
        (
            "outlook web",
            "<div>It works.</div><div id=\"appendonsend\"></div><hr style=\"width:98%\"><div id=\"divRplyFwdMsg\" dir=ltr><font><b>From:</b> Ada<br><b>Sent:</b> Monday<br><b>To:</b> Bob<br><b>Subject:</b> x</font><div>&nbsp;</div></div><div>Old text</div>",
        ),
        (
            "outlook",
            "<div class=WordSection1><p class=MsoNormal>It works.<o:p></o:p></p><div><div style='border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm'><p class=MsoNormal><b>Von:</b> Ada<br><b>Gesendet:</b> Montag<br><b>An:</b> Bob<br><b>Betreff:</b> x<o:p></o:p></p></div></div><p class=MsoNormal>Old text<o:p></o:p></p></div>",
        ),
        (
            "apple",
            "<html><body>It works.<br><div><br><blockquote type=\"cite\"><div>On 2 Mar 2026, at 10:00, Ada &lt;ada@example.org&gt; wrote:</div><br><div>Old text</div></blockquote></div></body></html>",
        ),
        (
            "thunderbird",
            "<p>It works.</p><div class=\"moz-cite-prefix\">Am 02.03.26 um 10:00 schrieb Ada:<br></div><blockquote type=\"cite\" cite=\"mid:x\"><p>Old text</p></blockquote>",
        ),
        (
            "yahoo",
            "<div>It works.</div><div id=\"yahoo_quoted_1\" class=\"yahoo_quoted\"><div>On Monday, March 2, 2026, 10:00:00 AM GMT, Ada &lt;ada@example.org&gt; wrote:</div><div>Old text</div></div>",
        ),
        (
            "protonmail",
            "<div>It works.</div><div class=\"protonmail_quote\">On Monday, March 2nd, 2026 at 10:00 AM, Ada &lt;ada@example.org&gt; wrote:<br><blockquote class=\"protonmail_quote\" type=\"cite\">Old text</blockquote></div>",
        ),
        (
            "zoho",
            "<div>It works.<br></div><div class=\"zmail_extra\" style=\"border:0\"><br>---- On Mon, 02 Mar 2026 10:00:00 +0000 <b>Ada &lt;ada@example.org&gt;</b> wrote ----<br><blockquote>Old text</blockquote></div>",
        ),
        (
            "mail.ru",
            "<p>It works.</p><br>Понедельник, 2 марта 2026, 10:00 +03:00 от Ада &lt;ada@example.org&gt;:<br><blockquote style=\"border-left:1px solid #0857A6\">Old text</blockquote>",
        ),
        (
            "hotmail",
            "<div dir=ltr>It works.<br><br><div><hr id=\"stopSpelling\">Date: Mon, 2 Mar 2026 10:00:00 +0000<br>Subject: x<br>From: ada@example.org<br>To: bob@example.org<br><br>Old text</div></div>",
        ),
    ];
    for (client, body) in cases {
        let reply = html(body).mailgrant.reply;
        assert_eq!(reply.text, "It works.", "{client}");
        assert!(reply.quoted.expect("a quote").contains("Old text"), "{client}");
    }
}

#[test]
fn an_empty_container_hides_nothing() {
    let mail =
        html("<div class=gmail_signature></div><div class=gmail_quote></div><p>Hello</p><div>Ada</div>");
    assert_eq!(squash(&mail.mailgrant.reply.text), "Hello Ada");
}

/// Each of these took half a minute when asking about one introduction looked at all of them.
#[test]
fn tens_of_thousands_of_introductions_are_told_apart_in_one_pass() {
    let patterns = [
        "On Mon, Jan 1, 2026 at 1:00 PM A <a@b> wrote:\r\n",
        "On Mon, Jan 1, 2026 at 1:00 PM A <a@b> wrote:\r\n> q\r\nx\r\n",
        "> q\r\nx\r\n\r\n",
    ];
    for pattern in patterns {
        let mail = format!("Subject: x\r\n\r\n{}", pattern.repeat((2 << 20) / pattern.len()));
        let before = std::time::Instant::now();
        mailgrant_mail::parse(mail.as_bytes());
        let took = before.elapsed();
        // A pass takes well under two seconds without optimisation, on a busy machine a few.
        assert!(took.as_secs() < 12, "{pattern:?} took {took:?}");
    }
}
