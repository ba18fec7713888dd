//! Mail that is no ordinary answer: reports, automatic answers, parts with a meaning, old charsets, defects.

use crate::build::{HEAD, base64, encode, typed, word};

/// Name and bytes.
pub type Fixture = (&'static str, Vec<u8>);

const DAEMON: &str = "Return-Path: <>\nFrom: Mail Delivery System <MAILER-DAEMON@mx.example.net>\nTo: help@desk.example\n\
    Date: Mon, 02 Mar 2026 11:00:00 +0100\nMessage-ID: <report@mx.example.net>\n";
const RETURNED: &str = "Return-Path: <help@desk.example>\nFrom: Help <help@desk.example>\nTo: ada@example.org\n\
    Subject: Re: printer\nMessage-ID: <answer-7@desk.example>\n\nPlease try again.\n";

pub fn fixtures() -> Vec<Fixture> {
    [
        bounces(),
        structured_reports(),
        auto_replies(),
        special_parts(),
        charsets(),
        defects(),
    ]
    .concat()
}

fn report(subject: &str, body: &str) -> Vec<u8> {
    typed(&format!(
        "{DAEMON}Subject: {subject}\nContent-Type: text/plain; charset=utf-8\n\n{body}"
    ))
}

/// Reports in free text, as mail systems of the last decades write them.
fn bounces() -> Vec<Fixture> {
    vec![
        (
            "bounce-qmail",
            report(
                "failure notice",
                &format!(
                    "Hi. This is the qmail-send program at mx.example.net.\nI'm afraid I wasn't able to deliver your message to the following addresses.\nThis is a permanent error; I've given up. Sorry it didn't work out.\n\n<ada@example.org>:\n192.0.2.7 does not like recipient.\nRemote host said: 550 5.1.1 No such user here\nGiving up on 192.0.2.7.\n\n--- Below this line is a copy of the message.\n\n{RETURNED}"
                ),
            ),
        ),
        (
            "bounce-exim",
            typed(&format!(
                "X-Failed-Recipients: ada@example.org\nAuto-Submitted: auto-replied\n{DAEMON}Subject: Mail delivery failed: returning message to sender\n\nThis message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered to one or more of its\nrecipients. This is a permanent error. The following address(es) failed:\n\n  ada@example.org\n    host mx.example.org [192.0.2.7]\n    SMTP error from remote mail server after RCPT TO:<ada@example.org>:\n    550 5.1.1 <ada@example.org>: Recipient address rejected\n\n------ This is a copy of the message, including all the headers. ------\n\n{RETURNED}"
            )),
        ),
        (
            "bounce-exim-delay",
            report(
                "Warning: message 1abcDE-000123-4F delayed 24 hours",
                &format!(
                    "This message was created automatically by mail delivery software.\nA message that you sent has not yet been delivered to one or more of its\nrecipients after more than 24 hours on the queue on mx.example.net.\n\nThe address to which the message has not yet been delivered is:\n\n  ada@example.org\n    Delay reason: Connection timed out\n\nNo action is required on your part. Delivery attempts will continue for\nsome time.\n\n--- This is a copy of the message\n\n{RETURNED}"
                ),
            ),
        ),
        (
            "bounce-postfix-text",
            report(
                "Undelivered Mail Returned to Sender",
                &format!(
                    "This is the mail system at host mx.example.net.\n\nI'm sorry to have to inform you that your message could not\nbe delivered to one or more recipients. It's attached below.\n\n                   The mail system\n\n<ada@example.org>: host mx.example.org[192.0.2.7] said: 552 5.2.2 Mailbox full\n    (in reply to RCPT TO command)\n\n--- Original message ---\n{RETURNED}"
                ),
            ),
        ),
        (
            "bounce-sendmail",
            report(
                "Returned mail: see transcript for details",
                &format!(
                    "The original message was received at Mon, 2 Mar 2026 11:00:00 +0100\nfrom localhost [127.0.0.1]\n\n   ----- The following addresses had permanent fatal errors -----\n<ada@example.org>\n    (reason: 550 5.1.1 <ada@example.org>... User unknown)\n\n   ----- Transcript of session follows -----\n... while talking to mx.example.org.:\n>>> DATA\n<<< 550 5.1.1 <ada@example.org>... User unknown\n550 5.1.1 <ada@example.org>... User unknown\n\n   ----- Original message follows -----\n\n{RETURNED}"
                ),
            ),
        ),
        (
            "bounce-exchange-2003",
            typed(
                "From: System Administrator <postmaster@corp.example>\nTo: help@desk.example\nSubject: Undeliverable: Re: printer\nMessage-ID: <x1@corp.example>\n\nYour message\n\n  To:      ada@example.org\n  Subject: Re: printer\n  Sent:    Mon, 2 Mar 2026 11:00:00 +0100\n\ndid not reach the following recipient(s):\n\nada@example.org on Mon, 2 Mar 2026 11:00:05 +0100\n    The e-mail account does not exist at the organization this message was\n    sent to.  Check the e-mail address, or contact the recipient directly.\n    <corp.example #5.1.1>\n",
            ),
        ),
        (
            "bounce-office365-html",
            typed(
                "From: Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@corp.example>\nTo: help@desk.example\nSubject: Undeliverable: Re: printer\nMessage-ID: <x2@corp.example>\nContent-Type: text/html; charset=utf-8\n\n<html><body><p>Your message to ada@example.org couldn't be delivered.</p><p>ada wasn't found at example.org.</p><p>Error Details</p><p>Reported error: <i>550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient ada@example.org not found by SMTP address lookup</i></p></body></html>\n",
            ),
        ),
        (
            "bounce-gmail-text",
            report(
                "Delivery Status Notification (Failure)",
                &format!(
                    "Delivery to the following recipient failed permanently:\n\n     ada@example.org\n\nTechnical details of permanent failure: \nGoogle tried to deliver your message, but it was rejected by the server for the recipient domain example.org by mx.example.org. [192.0.2.7].\n\nThe error that the other server returned was:\n550 5.1.1 The email account that you tried to reach does not exist.\n\n----- Original message -----\n\n{RETURNED}"
                ),
            ),
        ),
        (
            "bounce-yahoo",
            typed(&format!(
                "From: MAILER-DAEMON@yahoo.example\nTo: help@desk.example\nSubject: Failure Notice\nX-YahooFilteredBulk: 192.0.2.1\n\nSorry, we were unable to deliver your message to the following address.\n\n<ada@example.org>:\nRemote host said: 554 delivery error: dd This user doesn't have a example.org account (ada@example.org) [0] - mta1.example.org\n\n--- Below this line is a copy of the message.\n\n{RETURNED}"
            )),
        ),
        (
            "bounce-aol-style",
            report(
                "Returned mail: User unknown",
                &format!(
                    "The original message was received at Mon, 2 Mar 2026 11:00:00 GMT\n\n*** ATTENTION ***\n\nYour e-mail is being returned to you because there was a problem with its delivery.\n\n   ----- The following addresses had delivery problems -----\n<ada@example.org>  (unrecoverable error)\n\n   ----- Transcript of session follows -----\n550 ada IS NOT ACCEPTING MAIL FROM THIS SENDER\n\n--- Original message follows\n{RETURNED}"
                ),
            ),
        ),
        (
            "bounce-courier",
            report(
                "NOTICE: mail delivery status.",
                &format!(
                    "This is a delivery status notification from mx.example.net,\nrunning the Courier mail server.\n\nThe original message was received on Mon, 2 Mar 2026 11:00:00 +0100\n\n---------------------------------------------------------------------------\n\n                           UNDELIVERABLE MAIL\n\nYour message to the following recipients cannot be delivered:\n\n<ada@example.org>:\n    mx.example.org [192.0.2.7]:\n<<< 550 User unknown.\n\n---------------------------------------------------------------------------\n\nIf your message was also sent to additional recipients, their delivery\nstatus is not included in this report.\n\nThe original message follows as a separate attachment.\n{RETURNED}"
                ),
            ),
        ),
        (
            "bounce-groupwise",
            typed(
                "From: Mailer-Daemon@corp.example\nTo: help@desk.example\nSubject: Message status - undeliverable\n\nThe message that you sent was undeliverable to the following:\n\tada@example.org (user not found)\n\nPossibly truncated original message follows:\n\nPlease try again.\n",
            ),
        ),
        (
            "bounce-notes",
            typed(
                "From: Postmaster <postmaster@corp.example>\nTo: help@desk.example\nSubject: DELIVERY FAILURE: User ada (ada@example.org) not listed in Domino Directory\n\nYour message\n\n  Subject: Re: printer\n\nwas not delivered to:\n\n  ada@example.org\n\nbecause:\n\n  User ada (ada@example.org) not listed in Domino Directory\n",
            ),
        ),
        (
            "bounce-german",
            report(
                "Unzustellbar: Re: Drucker",
                "Fehler bei der Nachrichtenzustellung an folgende Empfänger oder Verteilerlisten:\n\nada@example.org\nDie eingegebene E-Mail-Adresse konnte nicht gefunden werden.\n#550 5.1.1 RESOLVER.ADR.RecipNotFound; not found ##\n",
            ),
        ),
        (
            "bounce-french",
            report(
                "Échec de la remise du message",
                "Votre message n'a pas pu être remis au destinataire suivant :\n\nada@example.org\n\n550 5.2.2 La boîte aux lettres est pleine\n",
            ),
        ),
        (
            "bounce-spanish",
            report(
                "No se pudo entregar: impresora",
                "No se pudo entregar el mensaje a estos destinatarios:\n\nada@example.org\n\n550 5.1.1 usuario desconocido\n",
            ),
        ),
        (
            "bounce-mailru",
            report(
                "Mail failure.",
                "Это письмо создано автоматически почтовым сервером.\n\nК сожалению, Ваше письмо не может быть доставлено одному или нескольким получателям:\n\n  ada@example.org\n    SMTP error from remote mail server after RCPT TO:<ada@example.org>:\n    host mx.example.org [192.0.2.7]: 550 5.1.1 User Unknown\n",
            ),
        ),
        (
            "bounce-japanese",
            report(
                "配信不能通知",
                "次の宛先にメールを配信できませんでした。\n\n<ada@example.org>: 550 5.1.1 宛先不明\n",
            ),
        ),
        (
            "bounce-chinese",
            report(
                "系统退信",
                "很抱歉，您发送的邮件被退回，以下是该邮件的相关信息：\n\n收件人: ada@example.org\n退信原因: 550 5.1.1 User not found\n",
            ),
        ),
        (
            "bounce-facts-above-the-reason",
            report(
                "系统退信",
                "抱歉，您的邮件未能送达。\n\n原邮件信息：\n时间  2026-03-02 10:00\n主题  打印机\n收件人  ada@example.org\n\n退信原因： 收件人不存在。\n",
            ),
        ),
        (
            "bounce-swedish",
            report(
                "Går inte att leverera: skrivare",
                "Leverans till följande mottagare eller grupper misslyckades:\n\nada@example.org\nAdressen hittades inte.\n",
            ),
        ),
        (
            "bounce-forwarded-by-person",
            typed(
                "From: Bob <bob@example.com>\nTo: help@desk.example\nSubject: Fwd: Undelivered Mail Returned to Sender\n\nWhat shall I do?\n\n---------- Forwarded message ---------\nFrom: Mail Delivery System <MAILER-DAEMON@mx.example.net>\nSubject: Undelivered Mail Returned to Sender\n\nYour message could not be delivered:\n\n<ada@example.org>: 550 5.1.1 User unknown\n",
            ),
        ),
        (
            "bounce-list-manager",
            typed(
                "From: printers-admin@lists.example\nTo: help@desk.example\nSubject: You help@desk.example are not member (printers ML)\nX-MLServer: fml 4\n\nYou are not a member of this mailing list <printers@lists.example>.\n",
            ),
        ),
        (
            "bounce-quoted-by-person",
            typed(
                "From: Bob <bob@example.com>\nTo: help@desk.example\nSubject: Re: strange mail\nIn-Reply-To: <a@b>\n\nWhat does this mean?\n\n> This is the mail system at host mx.example.net.\n> I'm sorry to have to inform you that your message could not be delivered.\n> <ada@example.org>: 550 5.1.1 User unknown\n",
            ),
        ),
        (
            "postmaster-who-writes",
            typed(
                "From: Carl <postmaster@example.com>\nTo: help@desk.example\nSubject: Re: the new printer\nIn-Reply-To: <a@b>\n\nHello,\n\nI was unable to find the manual. Can you send it to me?\n\nCarl\n",
            ),
        ),
    ]
}

fn dsn(head: &str, status: &str, copy: &str) -> Vec<u8> {
    typed(&format!(
        "{head}MIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary=\"rr\"\n\n--rr\nContent-Type: text/plain\n\nThis is a report.\n\n--rr\nContent-Type: message/delivery-status\n\n{status}\n--rr\nContent-Type: {copy}\n\n{RETURNED}\n--rr--\n"
    ))
}

/// Reports in the forms of RFC 3464, RFC 5965 and RFC 8098.
fn structured_reports() -> Vec<Fixture> {
    let failed = "Reporting-MTA: dns; mx.example.net\nArrival-Date: Mon, 2 Mar 2026 11:00:00 +0100\n\nOriginal-Recipient: rfc822;ada@example.org\nFinal-Recipient: rfc822; ada.l@mail.example.org\nAction: failed\nStatus: 5.1.1\nRemote-MTA: dns; mx.example.org\nDiagnostic-Code: smtp; 550 5.1.1 <ada.l@mail.example.org>:\n    Recipient address rejected\n";
    let two = format!(
        "{failed}\nFinal-Recipient: rfc822; carl@example.org\nAction: delayed\nStatus: 4.4.7\nDiagnostic-Code: X-Postfix; connect timed out\n\nFinal-Recipient: rfc822; dora@example.org\nAction: delivered\nStatus: 2.0.0\n"
    );
    let head = format!("{DAEMON}Subject: Undelivered Mail Returned to Sender\n");
    vec![
        ("dsn-postfix", dsn(&head, failed, "message/rfc822")),
        ("dsn-several-recipients", dsn(&head, &two, "text/rfc822-headers")),
        (
            "dsn-ses",
            dsn(
                "From: MAILER-DAEMON@amazonses.example\nTo: help@desk.example\nSubject: Delivery Status Notification (Failure)\n",
                "Reporting-MTA: dns; a1.amazonses.example\n\nAction: failed\nFinal-Recipient: rfc822; ada@example.org\nDiagnostic-Code: smtp; 550 5.1.1 user unknown\nStatus: 5.1.1\n",
                "message/rfc822",
            ),
        ),
        (
            "dsn-delivered",
            dsn(
                &head,
                "Reporting-MTA: dns; mx.example.net\n\nFinal-Recipient: rfc822; ada@example.org\nAction: delivered\nStatus: 2.0.0\n",
                "text/rfc822-headers",
            ),
        ),
        (
            "report-abuse",
            typed(
                "From: feedback@isp.example\nTo: help@desk.example\nSubject: complaint\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=feedback-report; boundary=\"rr\"\n\n--rr\nContent-Type: text/plain\n\nAn abuse report.\n\n--rr\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nUser-Agent: x/1\nVersion: 1\n\n--rr\nContent-Type: message/rfc822\n\nSubject: offer\n\nbuy\n--rr--\n",
            ),
        ),
        (
            "receipt",
            typed(&format!(
                "{HEAD}Subject: Read: printer\nContent-Type: multipart/report; report-type=disposition-notification; boundary=\"rr\"\n\n--rr\nContent-Type: text/plain\n\nYour message was displayed.\n\n--rr\nContent-Type: message/disposition-notification\n\nFinal-Recipient: rfc822;bob@example.com\nDisposition: manual-action/MDN-sent-manually; displayed\n\n--rr--\n"
            )),
        ),
        (
            "newsletter",
            typed(
                "From: News <news@shop.example>\nTo: help@desk.example\nSubject: Offers of the week\nList-Unsubscribe: <https://shop.example/u>\nPrecedence: bulk\n\nBuy now.\n",
            ),
        ),
        (
            "mailing-list",
            typed(
                "From: Carl <carl@example.com>\nTo: printers@lists.example\nSubject: [printers] toner\nList-Id: <printers.lists.example>\nPrecedence: list\n\nWhich toner do you use?\n\n_______________________________________________\nprinters mailing list\nprinters@lists.example\n",
            ),
        ),
        (
            "notification",
            typed(
                "From: Shop <no-reply@shop.example>\nTo: help@desk.example\nSubject: Your order\nAuto-Submitted: auto-generated\n\nIt was sent.\n",
            ),
        ),
    ]
}

fn absence(fields: &str, subject: &str, body: &str) -> Vec<u8> {
    typed(&format!(
        "{HEAD}{fields}Subject: {}\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{body}\n",
        word(subject, "utf-8")
    ))
}

/// Automatic answers with the headers of RFC 3834, with older ones, and with none.
fn auto_replies() -> Vec<Fixture> {
    vec![
        (
            "absence-rfc3834",
            absence(
                "Auto-Submitted: auto-replied (vacation)\n",
                "Re: printer",
                "I am on holiday until Monday.",
            ),
        ),
        (
            "absence-exchange",
            absence(
                "X-Auto-Response-Suppress: All\n",
                "Automatic reply: printer",
                "I am out of the office.",
            ),
        ),
        (
            "absence-precedence",
            absence("Precedence: auto_reply\n", "Away", "I am away."),
        ),
        (
            "absence-dutch-plain",
            absence("", "Afwezig: printer", "Ik ben afwezig tot maandag 9 maart."),
        ),
        (
            "absence-word-of-a-person",
            absence(
                "",
                "Urlaub: Antrag",
                "Bitte genehmigen Sie die Woche ab dem 9. März.",
            ),
        ),
        (
            "absence-german",
            absence(
                "",
                "Abwesenheitsnotiz: Drucker",
                "Ich bin bis Montag nicht im Haus.",
            ),
        ),
        (
            "absence-french",
            absence(
                "",
                "Réponse automatique : imprimante",
                "Je suis absent jusqu'à lundi.",
            ),
        ),
        (
            "absence-spanish",
            absence(
                "",
                "Respuesta automática: impresora",
                "Estoy fuera hasta el lunes.",
            ),
        ),
        (
            "absence-portuguese",
            absence("", "Resposta automática: impressora", "Estou fora até segunda."),
        ),
        (
            "absence-italian",
            absence(
                "",
                "Risposta automatica: stampante",
                "Sono assente fino a lunedì.",
            ),
        ),
        (
            "absence-dutch",
            absence("", "Automatisch antwoord: printer", "Ik ben tot maandag afwezig."),
        ),
        (
            "absence-polish",
            absence(
                "",
                "Odpowiedź automatyczna: drukarka",
                "Nie ma mnie do poniedziałku.",
            ),
        ),
        (
            "absence-russian",
            absence(
                "",
                "Автоматический ответ: принтер",
                "Я в отпуске до понедельника.",
            ),
        ),
        (
            "absence-japanese",
            absence("", "自動応答: プリンター", "月曜日まで不在です。"),
        ),
        (
            "absence-chinese",
            absence("", "自动答复: 打印机", "我周一之前不在办公室。"),
        ),
        (
            "answer-to-absence",
            absence("", "Re: Automatic reply: printer", "Enjoy your holiday!"),
        ),
    ]
}

fn tnef() -> Vec<u8> {
    let attribute = |level: u8, id: u32, data: &[u8]| {
        let sum = data.iter().fold(0u16, |s, &b| s.wrapping_add(u16::from(b)));
        [
            &[level][..],
            &id.to_le_bytes(),
            &(data.len() as u32).to_le_bytes(),
            data,
            &sum.to_le_bytes(),
        ]
        .concat()
    };
    [
        0x223E_9F78u32.to_le_bytes().to_vec(),
        1u16.to_le_bytes().to_vec(),
        attribute(2, 0x0006_9002, &[0; 14]),
        attribute(2, 0x0001_8010, b"report.txt\0"),
        attribute(2, 0x0006_800F, b"toner: low\n"),
    ]
    .concat()
}

/// Calendars, seals, containers, enclosed mails.
fn special_parts() -> Vec<Fixture> {
    let calendar = "BEGIN:VCALENDAR\nMETHOD:REQUEST\nBEGIN:VEVENT\nUID:1\nORGANIZER;CN=Ada:mailto:ada@example.org\nDTSTART:20260310T090000Z\nDTEND:20260310T100000Z\nSUMMARY:Printer\\, new\nEND:VEVENT\nEND:VCALENDAR\n";
    vec![
        (
            "invitation",
            typed(&format!(
                "{HEAD}Subject: Invitation\nContent-Type: multipart/alternative; boundary=\"b1\"\n\n--b1\nContent-Type: text/plain\n\nPlease come.\n\n--b1\nContent-Type: text/calendar; method=REQUEST; charset=utf-8\n\n{calendar}\n--b1--\n"
            )),
        ),
        (
            "smime-signed",
            typed(&format!(
                "{HEAD}Subject: signed\nContent-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; micalg=sha-256; boundary=\"b1\"\n\n--b1\nContent-Type: text/plain\n\nI sign this.\n\n--b1\nContent-Type: application/pkcs7-signature; name=\"smime.p7s\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"smime.p7s\"\n\nMIAGCSqGSIb3\n--b1--\n"
            )),
        ),
        (
            "smime-encrypted",
            typed(&format!(
                "{HEAD}Subject: sealed\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data; name=\"smime.p7m\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"smime.p7m\"\n\nMIAGCSqGSIb3\n"
            )),
        ),
        (
            "pgp-encrypted",
            typed(&format!(
                "{HEAD}Subject: ...\nContent-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=\"b1\"\n\n--b1\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n\n--b1\nContent-Type: application/octet-stream; name=\"encrypted.asc\"\n\n-----BEGIN PGP MESSAGE-----\n\nabc\n-----END PGP MESSAGE-----\n--b1--\n"
            )),
        ),
        (
            "pgp-inline",
            typed(&format!(
                "{HEAD}Subject: old habits\n\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nI sign this.\n-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n"
            )),
        ),
        (
            "winmail",
            typed(&format!(
                "{HEAD}Subject: from Outlook\nContent-Type: multipart/mixed; boundary=\"b1\"\n\n--b1\nContent-Type: text/plain\n\nSee the file.\n\n--b1\nContent-Type: application/ms-tnef; name=\"winmail.dat\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"winmail.dat\"\n\n{}\n--b1--\n",
                base64(&tnef())
            )),
        ),
        (
            "enclosed-mail",
            typed(&format!(
                "{HEAD}Subject: FW\nContent-Type: multipart/mixed; boundary=\"b1\"\n\n--b1\nContent-Type: text/plain\n\nSee the mail.\n\n--b1\nContent-Type: message/rfc822\nContent-Disposition: attachment; filename=\"printer.eml\"\n\nFrom: ada@example.org\nSubject: inner\n\nIt burns.\n--b1--\n"
            )),
        ),
        (
            "pictures",
            typed(&format!(
                "{HEAD}Subject: look\nContent-Type: multipart/related; boundary=\"b1\"\n\n--b1\nContent-Type: text/html; charset=utf-8\n\n<p>Look: <img src=\"cid:p1@x\" onerror=\"x()\"><img src=\"https://track.example/p.gif\"></p><script>x()</script>\n\n--b1\nContent-Type: image/png; name=\"p.png\"\nContent-ID: <p1@x>\nContent-Disposition: inline; filename=\"p.png\"\nContent-Transfer-Encoding: base64\n\naGVsbG8=\n--b1--\n"
            )),
        ),
        (
            "file-names",
            typed(&format!(
                "{HEAD}Subject: files\nContent-Type: multipart/mixed; boundary=\"b1\"\n\n--b1\n\nFiles.\n--b1\nContent-Type: application/pdf\nContent-Disposition: attachment; filename*0*=utf-8''%E2%82%AC%20; filename*1=\"rates\"; filename*2*=%20%C3%BC.pdf\n\nx\n--b1\nContent-Type: application/pdf; name=\"{}\"\nContent-Disposition: attachment\n\nxy\n--b1\nContent-Type: application/octet-stream; name=\"../../etc/passwd\"\n\nxyz\n--b1--\n",
                word("Größe.pdf", "iso-8859-1")
            )),
        ),
    ]
}

fn raw_header(label: &str, text: &str) -> Vec<u8> {
    let bytes = encode(text, label);
    [
        b"From: ".to_vec(),
        // A comma would end the name.
        encode(&text.replace(", ", " "), label),
        b" <ada@example.org>\r\nTo: help@desk.example\r\nSubject: ".to_vec(),
        bytes.clone(),
        b"\r\n\r\n".to_vec(),
        bytes,
        b"\r\n".to_vec(),
    ]
    .concat()
}

fn labelled(label: &str, bytes: &[u8]) -> Vec<u8> {
    [typed(&format!("{HEAD}Subject: charset\nContent-Type: text/plain; charset={label}\nContent-Transfer-Encoding: 8bit\n\n")), bytes.to_vec(), b"\r\n".to_vec()].concat()
}

/// Charsets declared, missing, wrong and refused.
fn charsets() -> Vec<Fixture> {
    let long = "打印机坏了，请帮忙看一下，谢谢";
    let utf8_word = base64("Größe".as_bytes());
    let (one, two) = utf8_word.split_at(4);
    vec![
        ("raw-gbk", raw_header("gbk", long)),
        (
            "raw-shift-jis",
            raw_header("shift_jis", "プリンターが動きません。助けてください。"),
        ),
        (
            "raw-latin1",
            raw_header(
                "windows-1252",
                "Größe prüfen: die Tür schließt nicht, bitte öffnen",
            ),
        ),
        ("raw-utf-8", raw_header("utf-8", "Größe prüfen – bitte")),
        (
            "raw-koi8-r",
            raw_header("koi8-r", "Принтер не работает, помогите пожалуйста"),
        ),
        ("label-gb2312-on-utf-8", labelled("gb2312", long.as_bytes())),
        (
            "label-ascii-on-latin1",
            labelled(
                "us-ascii",
                &encode("Die Tür schließt nicht, bitte schnell öffnen", "windows-1252"),
            ),
        ),
        (
            "label-latin1-on-utf-8",
            labelled("iso-8859-1", "Größe – prüfen".as_bytes()),
        ),
        ("label-unknown", labelled("x-nobody-knows", "Größe".as_bytes())),
        (
            "utf-7",
            labelled("utf-7", b"+ADw-script+AD4-alert+ADw-/script+AD4-"),
        ),
        (
            "words-broken",
            typed(&format!(
                "From: =?utf-8?B?{one}?= =?utf-8?B?{two}?= <ada@example.org>\nSubject: =?utf-8?Q?Gr=C3?= =?utf-8?Q?=B6=C3=9Fe?=\n =?ISO-8859-1?Q?_pr=FCfen?= =?x-unknown?Q?abc?=\n\nx\n"
            )),
        ),
        (
            "word-iso-2022-jp",
            typed(&format!(
                "From: {} <ada@example.org>\nSubject: {}\n\nx\n",
                word("エイダ", "iso-2022-jp"),
                word("印刷できません", "iso-2022-jp")
            )),
        ),
    ]
}

fn nested(levels: usize) -> Vec<u8> {
    let mut out = HEAD.to_owned();
    for i in 0..levels {
        out.push_str(&format!(
            "Content-Type: multipart/mixed; boundary=b{i}\n\n--b{i}\n"
        ));
    }
    typed(&format!("{out}\ninnermost\n"))
}

/// What senders, gateways and broken disks make of mail.
fn defects() -> Vec<Fixture> {
    vec![
        ("empty", Vec::new()),
        ("no-header", typed("There is no header here\nat all.\n")),
        ("header-only", typed(&format!("{HEAD}Subject: nothing below\n"))),
        (
            "from-comment",
            typed(
                "From: ada@example.org (Ada Lovelace)\nTo: Help (help@desk.example), undisclosed-recipients:;\nSubject: x\n\nx\n",
            ),
        ),
        (
            "from-empty",
            typed(
                "Return-Path: <bounce@example.org>\nFrom:\nReply-To: Ada <ada@example.org>\nSubject: x\n\nx\n",
            ),
        ),
        (
            "from-missing",
            typed("Sender: list@example.org\nSubject: x\n\nx\n"),
        ),
        ("from-nobody", typed("Subject: x\n\nx\n")),
        (
            "from-several",
            typed(
                "From: Ada <ada@example.org>, \"Babbage, Bob\" <bob@example.com>\nSender: ada@example.org\nSubject: x\n\nx\n",
            ),
        ),
        (
            "date-invalid",
            typed("From: ada@example.org\nDate: the day before yesterday\nSubject: x\n\nx\n"),
        ),
        (
            "boundary-missing",
            typed(&format!(
                "{HEAD}Subject: x\nContent-Type: multipart/mixed\n\n--x\nContent-Type: text/plain\n\nhello\n--x--\n"
            )),
        ),
        (
            "boundary-wrong",
            typed(&format!(
                "{HEAD}Subject: x\nContent-Type: multipart/mixed; boundary=y\n\n--x\nContent-Type: text/plain\n\nhello\n--x--\n"
            )),
        ),
        (
            "truncated",
            typed(&format!(
                "{HEAD}Subject: x\nContent-Type: multipart/mixed; boundary=b1\n\n--b1\nContent-Type: text/plain\n\nhello\n--b1\nContent-Type: image/png; name=p.png\nContent-Transfer-Encoding: base64\n\naGVsbG8"
            )),
        ),
        (
            "base64-damaged",
            typed(&format!(
                "{HEAD}Subject: x\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n\naGVs*bG8gd29y!bGQ=\n"
            )),
        ),
        (
            "quoted-printable-damaged",
            typed(&format!(
                "{HEAD}Subject: x\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\ncaf=C3=A9 costs =5 and =\n\nmore\n"
            )),
        ),
        (
            "header-malformed",
            typed("From: ada@example.org\nSubject: x\nthis is no header\n\nhello\n"),
        ),
        (
            "mbox-separator",
            typed(
                "From ada@example.org Mon Mar  2 11:00:00 2026\nFrom: ada@example.org\nSubject: x\n\nhello\n",
            ),
        ),
        (
            "carriage-returns",
            b"From: ada@example.org\rSubject: x\r\rhello\rworld\r".to_vec(),
        ),
        (
            "nul-bytes",
            b"From: ada@example.org\r\nSubject: a\0b\r\n\r\nhe\0llo\r\n".to_vec(),
        ),
        ("nested-too-deep", nested(40)),
        (
            "html-too-deep",
            typed(&format!(
                "{HEAD}Subject: x\nContent-Type: text/html\n\n{}deep\n",
                "<div>".repeat(300)
            )),
        ),
        (
            "only-an-attachment",
            typed(&format!(
                "{HEAD}Subject: x\nContent-Type: application/pdf; name=\"a.pdf\"\nContent-Disposition: attachment\n\nx\n"
            )),
        ),
    ]
}
