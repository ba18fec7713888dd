//! Authentication-Results (RFC 8601), believed only from servers that the mailbox trusts. Anyone can write this header.

use crate::header::{self, Headers};
use crate::model::Authentication;

/// The verdicts of the first trusted header from the top; `unknown` when there is none.
pub(crate) fn verdict(headers: &Headers<'_>, trusted: &[String]) -> Authentication {
    let mut out = Authentication::default();
    if trusted.is_empty() {
        return out;
    }
    for raw in headers.all("Authentication-Results").take(50) {
        let value = strip_comments(&String::from_utf8_lossy(&header::unfold(raw)));
        let mut clauses = value.split(';');
        let head = clauses.next().unwrap_or_default();
        let server = head.split_whitespace().next().unwrap_or_default();
        if !trusted.iter().any(|t| t.eq_ignore_ascii_case(server)) {
            continue;
        }
        out.trusted_server = Some(server.to_ascii_lowercase());
        for clause in clauses {
            take(&mut out, clause);
        }
        // Headers lower down belong to an earlier hop or to the sender's imagination.
        break;
    }
    out
}

fn take(out: &mut Authentication, clause: &str) {
    let Some((method, rest)) = clause.trim().split_once('=') else {
        return;
    };
    let method = method
        .split('/')
        .next()
        .unwrap_or(method)
        .trim()
        .to_ascii_lowercase();
    let result = rest
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    const KNOWN: [&str; 8] = [
        "pass",
        "fail",
        "softfail",
        "neutral",
        "none",
        "temperror",
        "permerror",
        "policy",
    ];
    if !KNOWN.contains(&result.as_str()) {
        return;
    }
    let field = match method.as_str() {
        "spf" => &mut out.spf,
        "dkim" => &mut out.dkim,
        "dmarc" => &mut out.dmarc,
        _ => return,
    };
    // Several signatures: one good one is enough.
    if field == "unknown" || result == "pass" {
        *field = result;
    }
}

fn strip_comments(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for c in value.chars() {
        if escaped {
            escaped = false;
            continue;
        }
        match c {
            '\\' if quoted || depth > 0 => escaped = true,
            '"' if depth == 0 => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted && depth > 0 => depth -= 1,
            // What is quoted can hold separators; none of the results that count is ever quoted.
            c if depth == 0 && !quoted => out.push(c),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::verdict;
    use crate::header;

    fn of(raw: &str, trusted: &[&str]) -> (String, String, String) {
        let (headers, _) = header::read(raw.as_bytes(), 0..raw.len());
        let trusted: Vec<String> = trusted.iter().map(|t| (*t).to_owned()).collect();
        let a = verdict(&headers, &trusted);
        (a.spf, a.dkim, a.dmarc)
    }

    const GOOD: &str = "Authentication-Results: mx.desk.example; spf=pass (who; knows) smtp.mailfrom=x;\r\n\
        \tdkim=fail header.d=a.example; dkim=pass header.d=b.example; dmarc=none\r\n";

    #[test]
    fn a_trusted_server_is_believed() {
        assert_eq!(
            of(GOOD, &["MX.desk.example"]),
            ("pass".into(), "pass".into(), "none".into())
        );
    }

    #[test]
    fn nobody_else_is() {
        let unknown = ("unknown".into(), "unknown".into(), "unknown".into());
        assert_eq!(of(GOOD, &[]), unknown);
        assert_eq!(of(GOOD, &["desk.example"]), unknown);
        assert_eq!(
            of(
                "Authentication-Results: \"mx.desk.example\" x; spf=pass\n",
                &["mx.desk.example"]
            ),
            unknown
        );
    }

    #[test]
    fn only_the_header_on_top_counts() {
        let forged = "Authentication-Results: mx.desk.example; spf=fail\nAuthentication-Results: mx.desk.example; spf=pass; dmarc=pass\n";
        assert_eq!(
            of(forged, &["mx.desk.example"]),
            ("fail".into(), "unknown".into(), "unknown".into())
        );
    }
}
