//! Habits of less common programs, and texts that only look like them.

use mailgrant_mail::{ParsedMail, parse};

fn plain(body: &str) -> ParsedMail {
    parse(
        format!("From: bob@example.org\nSubject: Re: x\nContent-Type: text/plain; charset=utf-8\n\n{body}")
            .as_bytes(),
    )
}

fn squash(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn reply(body: &str) -> String {
    squash(&plain(body).mailgrant.reply.text)
}

#[test]
fn introductions_of_many_programs_are_left_out_with_their_quote() {
    let mut wrong = Vec::new();
    for intro in [
        // Roundcube
        "On 2026-03-02 10:00, Ada Lovelace wrote:",
        "Am 2026-03-02 10:00, schrieb Ada Lovelace:",
        "Am 02.03.2026 10:00, schrieb Ada:",
        "Le 2026-03-02 10:00, Ada a écrit :",
        "Il 02-03-2026 10:00 Ada ha scritto:",
        "El 2026-03-02 10:00, Ada escribió:",
        "W dniu 2026-03-02 10:00, Ada napisał(a):",
        "Ada schreef op 2026-03-02 10:00:",
        "Em 2026-03-02 10:00, Ada escreveu:",
        "Ada писал 2026-03-02 10:00:",
        "2026-03-02 10:00 időpontban Ada ezt írta:",
        "2026-03-02 10:00 tarihinde, Ada yazdı",
        "Ada je 2. 3. 2026 v 10:00 napisal(a):",
        // Horde
        "Quoting Ada Lovelace <ada@example.org>:",
        "Zitat von Ada Lovelace <ada@example.org>:",
        "Ada Lovelace <ada@example.org> a écrit :",
        "Citando Ada Lovelace <ada@example.org>:",
        "Citeren Ada Lovelace <ada@example.org>:",
        "Citace Ada Lovelace <ada@example.org>:",
        // Evolution, KMail, mutt, Claws, Gnus, SquirrelMail
        "On Mon, 2026-03-02 at 10:00 +0100, Ada Lovelace wrote:",
        "Am Montag, dem 02.03.2026 um 10:00 +0100 schrieb Ada Lovelace:",
        "Le lundi 02 mars 2026 à 10:00 +0100, Ada Lovelace a écrit :",
        "On Monday, 2 March 2026 10:00:00 CET Ada Lovelace wrote:",
        "Am Montag, 2. März 2026, 10:00:00 CET schrieb Ada Lovelace:",
        "On Mon, Mar 02, 2026 at 10:00:00AM +0100, Ada Lovelace wrote:",
        "* Ada Lovelace <ada@example.org> [2026-03-02 10:00]:",
        "On Mon, 2 Mar 2026 10:00:00 +0100\nAda Lovelace <ada@example.org> wrote:",
        "Ada Lovelace <ada@example.org> writes:",
        "Ada Lovelace wrote:",
        "Ada Lovelace schrieb:",
        "Ada Lovelace a écrit :",
        "Ada Lovelace napsal(a):",
        // Yahoo, AOL, web.de, Yandex, 163.com, QQ
        "--- On Mon, 3/2/26, Ada Lovelace <ada@example.org> wrote:",
        "Am Montag, 2. März 2026 um 10:00:00 MEZ hat Ada Lovelace <ada@example.org> Folgendes geschrieben:",
        "Em segunda-feira, 2 de março de 2026 10:00:00 BRT, Ada <ada@example.org> escreveu:",
        "In a message dated 3/2/2026 10:00:00 A.M. Eastern Standard Time,\nada@example.org writes:",
        "In a message dated 3/2/2026 10:00:00 A.M. Eastern Standard Time, ada@example.org writes:",
        "02.03.2026, 10:00, \"Ada Lovelace\" <ada@example.org>:",
        "2 марта 2026, 10:00 +03:00, от Ada <ada@example.org>:",
        "At 2026-03-02 10:00:00, \"Ada\" <ada@example.org> wrote:",
        "在 2026-03-02 10:00:00，\"Ada\" <ada@example.org> 写道：",
        "At 10:00 02/03/2026, you wrote:",
        "At 10:00 AM 3/2/2026 +0100, Ada Lovelace wrote:",
        // Open-Xchange
        "Ada Lovelace <ada@example.org> hat am 02.03.2026 10:00 CET geschrieben:",
        "Ada Lovelace <ada@example.org> hat am 2. März 2026 um 10:00 geschrieben:",
        // Telephones
        "Am 2. März 2026 10:00:00 MEZ schrieb Ada Lovelace <ada@example.org>:",
        "On March 2, 2026 10:00:00 AM GMT+01:00, Ada Lovelace <ada@example.org> wrote:",
        "On 2 Mar 2026, 10:00 +0100, Ada Lovelace <ada@example.org>, wrote:",
        "On Mar 2, 2026 10:00 AM, \"Ada Lovelace\" <ada@example.org> wrote:",
        "On Mar 2, 2026 10:00 AM, Ada Lovelace <ada@example.org> wrote:",
        "Den 2. mar. 2026 10.00 skrev \"Ada Lovelace\" <ada@example.org>:",
        "El 2 mar. 2026 10:00 a.m., \"Ada Lovelace\" <ada@example.org> escribió:",
        "2026. márc. 2. dátummal, 10:00 időpontban Ada Lovelace <ada@example.org> írta:",
        "Wiadomość napisana przez Ada Lovelace <ada@example.org> w dniu 2 mar 2026, o godz. 10:00:",
        "2 марта 2026 г., в 10:00, Ada Lovelace <ada@example.org> написал(а):",
        "Ada Lovelace <ada@example.org> şunları yazdı (2 Mar 2026 10:00):",
        "Ada Lovelace <ada@example.org> escreveu (segunda, 2/03/2026 à(s) 10:00):",
        "Missatge de Ada Lovelace <ada@example.org> del dia dl., 2 de març 2026 a les 10:00:",
        "Kuupäev E, 2. märts 2026 kell 10:00 kirjutas kasutaja Ada Lovelace <\nada@example.org>:",
        "pirmd., 2026. g. 2. marts, plkst. 10:00 — lietotājs Ada Lovelace (<ada@example.org>)\nrakstīja:",
        "V pon., 2. mar. 2026 ob 10:00 je oseba Ada Lovelace <ada@example.org> napisala:",
        "пон, 2. мар 2026. у 10:00 Ada Lovelace <ada@example.org> је написао/ла:",
        "2026-03-02 오전 10:00에 Ada Lovelace 이(가) 쓴 글:",
        "2026/3/2 Ada Lovelace <ada@example.org>",
        "2026/3/2, Ada Lovelace <ada@example.org>:",
        "On Mon, Mar 2, 2026 at 10:00 AM, Ada Lovelace <\nsome.very.long.address.of.ada@subdomain.of.a.long.example.org\n> wrote:",
        "Op ma 2 mrt 2026 om 10:00 schreef Ada Lovelace via Portal <\nada@example.org>:",
        "On 03/02/2026 10:00 AM, Ada Lovelace via RT wrote:",
        "<ada@example.org> wrote in message news:abc@example.org...",
        "[ada@example.org] wrote on 2026-03-02:",
        "Den 02-03-2026 kl. 10:00 skrev Ada Lovelace:",
        "Mandag den 2. marts 2026 kl. 10.00 skrev Ada <ada@example.org>:",
        "On Mon Mar 02 10:00:00 2026, ada@example.org wrote:",
        "Thus spake Ada Lovelace <ada@example.org>:",
    ] {
        for quote in [
            "\n> Did you try\n> to restart?\n",
            "\n\n> Did you try\n>\n> to restart?\n\n",
        ] {
            let body = format!("It works again.\nThank you!\n\n{intro}{quote}");
            if reply(&body) != "It works again. Thank you!" {
                wrong.push(format!("{intro:?}: {:?}", reply(&body)));
                break;
            }
        }
        let marked: String = intro.lines().map(|l| format!("> {l}\n")).collect();
        let body = format!("It works again.\n\n{marked}> \n> Did you try\n> to restart?\n");
        if reply(&body) != "It works again." {
            wrong.push(format!("marked {intro:?}: {:?}", reply(&body)));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn blocks_of_many_programs_are_left_out_with_what_follows() {
    let mut wrong = Vec::new();
    for block in [
        "Gesendet: Montag, 02. März 2026 um 10:00 Uhr\nVon: \"Ada Lovelace\" <ada@example.org>\nAn: bob@example.org\nBetreff: Drucker",
        "*Gesendet:* Montag, 02. März 2026 um 10:00 Uhr\n*Von:* Ada <ada@example.org>\n*An:* bob@example.org\n*Betreff:* Drucker",
        "From:\tAda Lovelace/ACME\nTo:\tBob/ACME@ACME\nDate:\t02.03.2026 10:00\nSubject:\tprinter",
        "-----Ada Lovelace/ACME schrieb: -----\nAn: Bob\nVon: Ada\nDatum: 02.03.2026\nBetreff: Drucker",
        "------ Original Message ------\nFrom \"Ada\" <ada@example.org>\nTo bob@example.org\nDate 3/2/2026 10:00:00 AM\nSubject printer",
        "------- Original Message -------\nOn Monday, March 2nd, 2026 at 10:00 AM, Ada <ada@example.org> wrote:",
        "\u{2010}\u{2010}\u{2010}\u{2010}\u{2010}\u{2010}\u{2010} Original Message \u{2010}\u{2010}\u{2010}\u{2010}\u{2010}\u{2010}\u{2010}\nOn Monday, 2 March 2026 10:00, Ada <ada@example.org> wrote:",
        "-------- Original Message --------\nOn 2 Mar 2026, 10:00, Ada < ada@example.org> wrote:",
        "----- Reply message -----\nFrom: \"Ada\" <ada@example.org>\nTo: <bob@example.org>\nSubject: printer\nDate: Mon, Mar 2, 2026 10:00",
        "________________________________\n From: Ada Lovelace <ada@example.org>\nTo: bob@example.org \nSent: Monday, March 2, 2026 10:00 AM\nSubject: printer",
        "From: Ada <ada@example.org>\nDate: Monday, 2 March 2026 at 10:00\nTo: Bob <bob@example.org>\nSubject: printer",
        "From: Ada<mailto:ada@example.org>\nSent: 02/03/2026 10:00\nTo: Bob<mailto:bob@example.org>\nSubject: printer",
        "Von: Ada [mailto:ada@example.org] \nGesendet: Montag, 2. März 2026 10:00\nAn: Bob\nCc: Carl\nBetreff: Drucker",
        "From: Ada [mailto:ada@example.org] \nSent: Monday, March 2, 2026 10:00 AM\nTo: Bob; Carl; Dora; Emil; Fritz; Gustav; Hans; Ida; Jule; Karl; Lena;\nMax; Nora; Otto\nSubject: printer",
        "---------- Původní e-mail ----------\nOd: Ada <ada@example.org>\nKomu: bob@example.org\nDatum: 2. 3. 2026 10:00:00\nPředmět: x",
        "-----Original Message-----\nFrom: Ada <ada@example.org>\nTo: bob <bob@example.org>\nSent: Mon, Mar 2, 2026 10:00 am\nSubject: Re: printer",
        "-----Oprindelig meddelelse-----\nFra: Ada\nSendt: 2. marts 2026\nTil: Bob\nEmne: x",
        "-----Opprinnelig melding-----\nFra: Ada\nSendt: 2. mars 2026\nTil: Bob\nEmne: x",
        "-----Ursprungligt meddelande-----\nFrån: Ada\nSkickat: den 2 mars 2026\nTill: Bob\nÄmne: x",
        "-----Alkuperäinen viesti-----\nLähettäjä: Ada\nLähetetty: 2. maaliskuuta 2026\nVastaanottaja: Bob\nAihe: x",
        "-----Eredeti üzenet-----\nFeladó: Ada\nElküldve: 2026. március 2.\nCímzett: Bob\nTárgy: x",
        "-----Mensaje original-----\nDe: Ada\nEnviado el: lunes\nPara: Bob\nAsunto: x",
        "-----Mensagem original-----\nDe: Ada\nEnviada em: segunda-feira\nPara: Bob\nAssunto: x",
        "-----Messaggio originale-----\nDa: Ada\nInviato: lunedì\nA: Bob\nOggetto: x",
        "-----Oorspronkelijk bericht-----\nVan: Ada\nVerzonden: maandag\nAan: Bob\nOnderwerp: x",
        "-----Исходное сообщение-----\nОт: Ada\nОтправлено: 2 марта\nКому: Bob\nТема: x",
        "-----邮件原件-----\n发件人: Ada\n发送时间: 2026年3月2日\n收件人: Bob\n主题: x",
        "-----Original Message-----",
        "----Original message----\nFrom: ada@example.org\nDate: 02/03/2026 10:00\nTo: <bob@example.org>\nSubj: printer",
        "===== Original Message =====\nFrom: Ada\nTo: Bob",
        "Reply above this line.",
        "=-=-= Reply above this line =-=-=",
        "--- Please reply above this line ---",
        "## Bitte antworten Sie oberhalb dieser Zeile ##",
        "From: Ada\nReply-To: Ada\nDate: Monday\nTo: Bob",
        "Date: Mon, 2 Mar 2026 10:00:00 +0000\nFrom: ada@example.org\nTo: bob@example.org\nSubject: printer",
        "Subject: printer\nTo: bob@example.org\nFrom: ada@example.org\nDate: Mon, 2 Mar 2026 10:00:00 +0000",
        "| From: Ada <ada@example.org>\n| Sent: Monday\n| To: Bob\n| Subject: printer",
    ] {
        let body = format!("It works again.\nThank you!\n\n{block}\n\nOld text\n\nMore old text\n");
        if reply(&body) != "It works again. Thank you!" {
            wrong.push(format!("{block:?}: {:?}", reply(&body)));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn signatures_and_footers_of_many_habits_are_left_out() {
    let mut wrong = Vec::new();
    for signature in [
        "Sent from my Samsung Galaxy smartphone.",
        "Sent from my Verizon, Samsung Galaxy smartphone",
        "Sent from my BlackBerry® wireless handheld",
        "Sent from my Android phone with K-9 Mail. Please excuse my brevity.",
        "Sent from my mobile device",
        "sent from my phone",
        "Sent from Mail for Windows 10",
        "Sent from Mail<https://go.microsoft.com/fwlink/?LinkId=550986> for Windows 10",
        "Sent from Outlook for Android",
        "Sent from Yahoo Mail for iPhone",
        "Sent via the Samsung Galaxy S10, an AT&T 5G Evolution capable smartphone",
        "Sent with Proton Mail secure email.",
        "Sent from Proton Mail for iOS",
        "Sent using Zoho Mail",
        "Sent from Gmail Mobile",
        "Get Outlook for Android<https://aka.ms/ghei36>",
        "Get Outlook for iOS",
        "Outlook für Android herunterladen",
        "Télécharger Outlook pour iOS",
        "Obtener Outlook para Android",
        "Ottieni Outlook per iOS",
        "Enviado desde Yahoo Mail con Android",
        "Enviado do Yahoo Mail no Android",
        "Inviato da Yahoo Mail su Android",
        "Envoyé à partir de Outlook pour Android",
        "Gesendet mit der GMX Mail App",
        "Diese Nachricht wurde von meinem Android-Mobiltelefon mit K-9 Mail gesendet.",
        "Von meinem Samsung Galaxy Smartphone gesendet.",
        "Gesendet von Outlook für Android",
        "Gesendet von Mail für Windows",
        "Verzonden vanuit Mail voor Windows",
        "Skickat från E-post för Windows",
        "Sendt fra Outlook til Android",
        "Wysłane z aplikacji Poczta systemu Windows",
        "Wysłane z telefonu Samsung Galaxy",
        "Отправлено из мобильной Почты Mail.ru",
        "Отправлено из мобильного приложения Яндекс.Почты",
        "Отправлено с устройства Samsung",
        "Отправлено с iPad",
        "发自我的 iPhone",
        "发自我的小米手机",
        "从我的华为手机发送",
        "iPadから送信",
        "Galaxyから送信",
        "내 Galaxy에서 보냈습니다.",
        "나의 iPhone에서 보냄",
        "-- \nBob Babbage\nAnalytical Engines Ltd\n+44 20 7946 0000",
        "--\nBob",
        "--  \nBob",
        "__\nBob Babbage",
        "_______________________________________________\nprinters mailing list\nprinters@example.org\nhttps://lists.example.org/printers",
    ] {
        for tail in [
            "",
            "\n\nOn Mon, 2 Mar 2026 at 10:00, Ada <ada@example.org> wrote:\n> Did it work?\n",
        ] {
            let body = format!("It works again.\nThank you!\n\n{signature}\n{tail}");
            if reply(&body) != "It works again. Thank you!" {
                wrong.push(format!("{signature:?} {}: {:?}", tail.len(), reply(&body)));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

/// What programs make of "wrote" in smaller languages, and in ones that nobody thought of.
#[test]
fn a_date_above_a_quote_introduces_it_in_any_language() {
    let mut wrong = Vec::new();
    for intro in [
        "O 2026-03-02 10:05, Ada Lovelace escribiu:",
        "Den 2026-03-02 10:05 skreiv Ada Lovelace:",
        "Op Ma., 2026-03-02 om 10:05 +0100 skryf Ada Lovelace:",
        "Je lu, 2026-03-02 je 10:05 +0100, Ada Lovelace skribis:",
        "Ar Llun, 2026-03-02 am 10:05 +0100, ysgrifennodd Ada Lovelace:",
        "Më 2026-03-02 10:05, Ada Lovelace shkroi:",
        "2026-03-02 10:05-ში, Ada Lovelace დაწერა:",
        "02.03.26 10:05 уақытында, Ada Lovelace жазған:",
        "2026-03-02 10:05-ին, Ada Lovelace-ը գրեց.",
        "កាលពីថ្ងៃ 2026-03-02 10:05, Ada Lovelace បានសរសេរ៖",
        "ma, 2 maalis 2026 10:05:00 +0100\nAda Lovelace <ada@example.org> kirjoitti:",
        "Pzt, 2 Mar 2026 10:05:00 +0100 tarihinde\nAda Lovelace <ada@example.org> yazdı:",
        // No language at all.
        "Qo 2/3/2026 10:05 vel, Ada Lovelace ghitlh:",
        "Ada Lovelace ghitlhta' 2026-03-02 10:05:",
        // The verb before the name, and both genders at once.
        "skrev Ada Lovelace:",
        "كتب Ada Lovelace:",
        "Ysgrifennodd Ada Lovelace:",
        "Ada Lovelace napísal/a:",
        "Ada Lovelace je napisao/la:",
    ] {
        for quote in ["> Did you try?\n> Ada\n", "\n> Did you try?\n>\n> Ada\n"] {
            let body = format!("It works again.\n\n{intro}\n{quote}");
            if reply(&body) != "It works again." {
                wrong.push(format!("{intro:?}: {:?}", reply(&body)));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_shape_of_a_header_tells_it_where_its_words_do_not() {
    let mut wrong = Vec::new();
    for block in [
        // A heading between dashes, or a rule, above fields in no known language.
        "-------- bom QIn --------\nmIw: printer\njaj: Mon, 02 Mar 2026 10:05:00 +0100\nvo': Ada <ada@example.org>\nDaq: Bob <bob@example.com>",
        "________________________________\nvo': Ada <ada@example.org>\njaj: 2026-03-02 10:05\nDaq: Bob\nmIw: printer",
        "━━━bom QIn━━━\nmIw: printer\njaj: Mon, 02 Mar 2026 10:05:00 +0100\nvo': Ada <ada@example.org>",
        // Line ends that were lost.
        "From: Ada Lovelace Sent: Monday, March 2, 2026 10:00 AM To: Bob Subject: printer",
        "Von: Ada Lovelace Gesendet: Montag, 2. März 2026 10:00 An: Bob Betreff: Drucker",
        "De: Ada Enviado el: lunes 2 de marzo de 2026 10:00 Para: Bob Asunto: impresora",
        "-------- Original message --------From: Ada <ada@example.org> Date: 3/2/26  10:00 AM  (GMT-05:00) To: Bob <bob@example.com> Subject: printer ",
        // Rows of a table: Notes has the names above the values, NetEase bars around both.
        "Ada Lovelace <ada@example.org> \n03/02/2026 10:00 AM\n\nTo\nBob Babbage <bob@example.com>\ncc\n\nSubject\nRe: printer\n",
        "Ada Lovelace/ACME\n02.03.2026 10:00\n\nAn\nBob Babbage/ACME\nKopie\n\nThema\n\nBetreff\nDrucker\n",
        "---- 回复的原邮件 ----\n| 发件人 | Ada<ada@example.org> |\n| 日期 | 2026年03月02日 10:00 |\n| 收件人 | Bob<bob@example.com> |\n| 主题 | printer |",
        // Yandex puts recipient and subject between a rule and the introduction.
        "----------------\nКому: Bob (bob@example.com);\nТема: x;\n02.03.2026, 10:00, \"Ada\" <ada@example.org>:",
        "Beginn der weitergeleiteten Nachricht:\n\nDatum: Mon, 2 Mar 2026 10:05:00 +0100\nVon: Ada <ada@example.org>\nAn: bob@example.com\nBetreff: Drucker",
        "開始轉寄郵件：\n\n日期： Mon, 2 Mar 2026 10:05:00 +0100\n寄件者： Ada <ada@example.org>\n收件者： bob@example.com\n主旨： printer",
    ] {
        let body = format!("It works again.\n\n{block}\n\nOld text\n\nMore old text\n");
        if reply(&body) != "It works again." {
            wrong.push(format!("{block:?}: {:?}", reply(&body)));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn ordinary_writing_is_kept_whole() {
    let mut wrong = Vec::new();
    for body in [
        "Hello,\n\nthe steps were:\n\n1. On Monday I called 555-1234.\n2. On Tuesday Ada wrote: please wait.\n\nNothing happened.",
        "Please send the invoice to:\n\nada@example.org\n\nThanks",
        "Here is what I see:\n\nFrom: warehouse\nTo: shop\n\nIs that right?",
        "I get this error:\n\n2026-03-02 10:00:01 ERROR wrote: 0 bytes\n2026-03-02 10:00:02 ERROR gave up\n\nWhat now?",
        "My address is bob@example.com:\nplease use it.",
        "Best regards\nBob",
        "Date: 2 March\nTime: 10:00\nPlace: here\n\nSee you",
        "The customer wrote:\n\nnothing works.\n\nWhat shall we do?",
        "Dear team,\n\nSent from the warehouse on Monday, the parcel never arrived.\n\nBob",
        "I sent from my account 3 mails.\n\nNone arrived.",
        "a > b and b > c\n\nso a > c",
        "Use `git log -- path` or\n\n  --\n\nfor nothing.\n\nBye",
        "Subject: the new printer\n\nIt is loud.",
        "Ada said:\nI will come.\n\nShe did not.",
        "Hi,\n\nI forwarded the message to bob@example.org on 2 March 2026.\n\nHe wrote back at once.",
        "Order 2026-03-02:\n- 1 printer\n- 2 cables",
        "In 2026 we wrote:\n\n    some code here\n\nand it ran.",
        "Name: Bob\nEmail: bob@example.com\nSubject: help\nMessage: It is broken",
        "Von: Hamburg\nNach: Berlin\nWann: 2. März",
        "De: Paris\nPour: Lyon",
        // Headings and forms that have the shape of a header, all but one sign of it.
        "Options:\n\n--- Option A ---\nName: Ada\nDate: 2026-03-02 10:00\n\n--- Option B ---\nName: Bob\nDate: 2026-03-03 10:00",
        "--- Contact form ---\nName: Ada Lovelace\nEmail: ada@example.org\nDate: 2026-03-02 10:00\nMessage: call me",
        "------------------------------\nName: Ada\nPhone: 12345\nDate: 2026-03-02 10:00",
        "Title: The printer\nAuthor: Ada\nDate: 2 March 2026\n\nis the book I mean.",
        "From: Hamburg To: Berlin\n\nis the route.",
        "The meeting is on 2026-03-02 10:00:\n\nbring cake.",
        "2026-03-02 10:05 the lamp went red:\n\nis that bad?",
        "It happened on 2026-03-02 at 10:05:\nfirst a noise,\nthen smoke.",
        "Send it to\nada@example.org\n2 March 2026\n\nTo\nsave time, call.",
        "Wrote Ada a letter:\nno answer.",
        "On 2026-03-02 10:05 we saw this. Then at 10:06:\n\nnothing.",
        "| Name | Ada |\n| Date | today |\n| From | here |\n\nis the table.",
    ] {
        if reply(body) != squash(body) {
            wrong.push(format!("{body:?}: {:?}", reply(body)));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn answers_around_quotes_are_kept() {
    for (body, want) in [
        (
            "On 2 Mar 2026, Ada <ada@example.org> wrote:\n>\n> Test\nIt works.",
            "It works.",
        ),
        (
            "It works.\n\nOn 2 Mar 2026, Ada <ada@example.org> wrote:\n\n>\n> Test\n\nRegards, Bob",
            "It works. Regards, Bob",
        ),
        (
            "It works.\nOn 2 Mar 2026, Ada <ada@example.org> wrote:\n\n>Test test\n>On 1 Mar 2026, Bob <bob@example.org> wrote:\n>\n>>\n>> Test.\n>>\n>> Bob\n\nRegards, Bob",
            "It works. Regards, Bob",
        ),
        (
            "> Does it print?\n\nYes.\n\n> And scan?\n\nNo.",
            "> Does it print? Yes. > And scan? No.",
        ),
        (
            "Hello Ada,\n\nanswers below.\n\nOn 2 Mar 2026, Ada <ada@example.org> wrote:\n> Does it print?\n\nYes.\n\n> And scan?\n\nNo.\n\n> Regards\n> Ada",
            "Hello Ada, answers below. > Does it print? Yes. > And scan? No.",
        ),
    ] {
        assert_eq!(reply(body), want, "{body:?}");
    }
}

#[test]
fn header_blocks_and_headings_of_rarer_languages_end_the_answer() {
    let mut wrong = Vec::new();
    for block in [
        "از: Ada <ada@example.org>\nتاریخ: 2 مارس 2026\nبه: Bob\nموضوع: RE: x",
        "Шаље: Ada <ada@example.org>\nПослато: 2. март 2026. 10:00\nПрима: Bob\nТема: RE: x",
        "Frá: Ada <ada@example.org>\nSent: 2. mars 2026 10:00\nTil: Bob\nEfni: RE: x",
        "Nork: Ada <ada@example.org>\nBidaltze-data: 2026ko martxoaren 2a\nNori: Bob\nGaia: RE: x",
        "प्रेषक: Ada <ada@example.org>\nभेजा गया: 2 मार्च 2026\nप्रति: Bob\nविषय: RE: x",
        "-----Özgün İleti-----",
        "-----Ursprungsmeddelande-----",
        "-----Lähtökirje-----",
        "Original Message:\nFrom: Ada\nSent: Monday\nTo: Bob\nSubject: x",
        ">>> Ada Lovelace <ada@example.org> 3/2/2026 10:00 AM >>>",
        "## Please do not write below this line ##",
        "##- Bitte geben Sie Ihre Antwort über dieser Zeile ein -##",
        ">-----Original Message-----\nFrom: Ada\nSent: Monday\nTo: Bob\nSubject: x",
    ] {
        for rule in ["", "________________________________\n"] {
            let body =
                format!("It works again.\nThank you!\n\n{rule}{block}\n\nDid you try to restart?\n\nAda\n");
            if reply(&body) != "It works again. Thank you!" {
                wrong.push(format!("{block}: {:?}", reply(&body)));
            }
        }
    }
    for line in [
        "發自我的 iPhone",
        "Poslano iz mojega iPhona",
        "Sent from the all new AOL app for iOS",
        "Sent from eM Client",
    ] {
        let body = format!("It works again.\nThank you!\n\n{line}\n");
        if reply(&body) != "It works again. Thank you!" {
            wrong.push(format!("{line}: {:?}", reply(&body)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // A heading above something else is the writer's own.
    assert_eq!(
        reply("See below.\n\nOriginal message:\nIt burns."),
        "See below. Original message: It burns."
    );
}

#[test]
fn containers_of_quotes_without_any_header_end_the_answer() {
    for container in [
        "<div id=\"sub-body-container\" name=\"quote\">",
        "<div class=\"missive_quote\">",
        "<div class=\"freshdesk_quote\">",
    ] {
        let html = format!("<div>It works again.</div>{container}<div>Did you try to restart?</div></div>");
        let raw = format!("From: bob@example.org\nSubject: Re: x\nContent-Type: text/html\n\n{html}");
        assert_eq!(
            squash(&parse(raw.as_bytes()).mailgrant.reply.text),
            "It works again.",
            "{container}"
        );
    }
}
