//! Templates of admins, for mails: a small part of Tera's language in which nothing can be done but to print values.
//!
//! What bounds them is what they cannot say, and it is checked before Tera sees them: there are no loops, no functions,
//! no assignments, no includes, macros, components or blocks, and only filters that make a text hardly longer. So the
//! work grows with the length of the template and of what it prints, and both end: [`MAX_SOURCE`], `MAX_TAGS`,
//! [`MAX_OUTPUT`]. Nothing in the language reads the environment, files, the clock or other templates.

use std::io::{self, Write};

use serde_json::Value;
use tera::{Context, Tera};

/// Longest template, bytes.
pub const MAX_SOURCE: usize = 32 * 1024;
/// Most tags and printed values of one.
const MAX_TAGS: usize = 500;
/// Most words and signs within one tag: nothing nests deeper than that, either.
const MAX_TOKENS: usize = 60;
/// Deepest `if` within `if`.
const MAX_DEPTH: usize = 10;
/// Longest text that comes out, bytes.
pub const MAX_OUTPUT: usize = 256 * 1024;

/// Filters that may be used. None of them makes a text more than a few times longer, and none switches escaping off.
const FILTERS: [&str; 10] = [
    "capitalize",
    "default",
    "escape",
    "length",
    "lower",
    "title",
    "trim",
    "truncate",
    "upper",
    "wordcount",
];

/// Words of conditions.
const WORDS: [&str; 5] = ["and", "or", "not", "true", "false"];

/// Why a template is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct TemplateError {
    /// Line of the template, from 1.
    pub line: usize,
    /// What is wrong and what to write instead.
    pub message: String,
}

fn wrong(line: usize, message: impl Into<String>) -> TemplateError {
    TemplateError {
        line,
        message: message.into(),
    }
}

/// Checks a template. `known` are the variables there are, such as `ticket.key`.
///
/// # Errors
/// What cannot be used, with its line.
pub fn check(source: &str, known: &[&str]) -> Result<(), TemplateError> {
    if source.len() > MAX_SOURCE {
        return Err(wrong(
            1,
            format!("A template has at most {} KiB.", MAX_SOURCE / 1024),
        ));
    }
    let mut rest = source;
    let (mut line, mut tags, mut open) = (1, 0, Vec::new());
    while let Some(at) = rest.find('{') {
        line += newlines(rest, at);
        let found = rest.get(at..).unwrap_or_default();
        let (end, kind) = match found.get(..2) {
            Some("{{") => ("}}", '{'),
            Some("{%") => ("%}", '%'),
            Some("{#") => {
                return Err(wrong(
                    line,
                    "Comments are not taken: they would be seen by nobody, and nobody would look for them.",
                ));
            }
            _ => {
                rest = found.get(1..).unwrap_or_default();
                continue;
            }
        };
        tags += 1;
        if tags > MAX_TAGS {
            return Err(wrong(line, format!("A template has at most {MAX_TAGS} tags.")));
        }
        let inner = found.get(2..).unwrap_or_default();
        let Some(length) = inner.find(end) else {
            return Err(wrong(line, format!("A tag does not end; `{end}` is missing.")));
        };
        let tag = inner.get(..length).unwrap_or_default();
        let tag = tag.strip_prefix('-').unwrap_or(tag);
        let tag = tag.strip_suffix('-').unwrap_or(tag);
        let tokens = tokens(tag, line)?;
        if kind == '{' {
            expression(&tokens, line, known)?;
        } else {
            statement(&tokens, line, known, &mut open)?;
        }
        line += newlines(inner, length);
        rest = inner.get(length + 2..).unwrap_or_default();
    }
    if let Some(line) = open.last() {
        return Err(wrong(*line, "This `{% if %}` has no `{% endif %}`."));
    }
    // Tera's own opinion about what is left.
    match render(source, &Value::Null, false) {
        Err(Failure::Template(error)) => Err(error),
        _ => Ok(()),
    }
}

fn newlines(text: &str, end: usize) -> usize {
    text.get(..end).unwrap_or_default().matches('\n').count()
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A variable, a filter or a word: `ticket.key`.
    Name(String),
    /// A text or a number.
    Literal,
    /// A sign.
    Sign(&'static str),
}

const SIGNS: [&str; 11] = ["==", "!=", "<=", ">=", "<", ">", "|", "(", ")", ",", "="];

/// The words and signs of a tag; whatever is none of ours is refused, so that Tera reads the same tags as this does.
fn tokens(tag: &str, line: usize) -> Result<Vec<Token>, TemplateError> {
    let mut all = Vec::new();
    let mut rest = tag.trim_start();
    while let Some(first) = rest.chars().next() {
        if all.len() >= MAX_TOKENS {
            return Err(wrong(
                line,
                format!("A tag has at most {MAX_TOKENS} words and signs."),
            ));
        }
        let (token, length) = if first.is_ascii_alphabetic() || first == '_' {
            let length = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'))
                .unwrap_or(rest.len());
            (
                Token::Name(rest.get(..length).unwrap_or_default().to_owned()),
                length,
            )
        } else if first.is_ascii_digit() {
            let length = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            if length > 9 {
                return Err(wrong(line, "A number has at most nine digits."));
            }
            (Token::Literal, length)
        } else if first == '"' {
            let inner = rest.get(1..).unwrap_or_default();
            let length = inner
                .find('"')
                .ok_or_else(|| wrong(line, "A text in quotes does not end."))?;
            let text = inner.get(..length).unwrap_or_default();
            if text.contains(['{', '}', '%', '#', '\\', '\n']) {
                return Err(wrong(
                    line,
                    "A text in quotes holds no `{`, `}`, `%`, `#`, backslash or line break.",
                ));
            }
            (Token::Literal, length + 2)
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (Token::Sign(sign), sign.len())
        } else {
            return Err(wrong(line, format!("`{first}` has no meaning here.")));
        };
        all.push(token);
        rest = rest.get(length..).unwrap_or_default().trim_start();
    }
    Ok(all)
}

fn statement(
    tokens: &[Token],
    line: usize,
    known: &[&str],
    open: &mut Vec<usize>,
) -> Result<(), TemplateError> {
    let word = match tokens.first() {
        Some(Token::Name(word)) => word.as_str(),
        _ => "",
    };
    let condition = tokens.get(1..).unwrap_or_default();
    match word {
        "if" => {
            open.push(line);
            if open.len() > MAX_DEPTH {
                return Err(wrong(line, format!("`if` nests at most {MAX_DEPTH} deep.")));
            }
            expression(condition, line, known)
        }
        "elif" if !open.is_empty() => expression(condition, line, known),
        "else" if !open.is_empty() && condition.is_empty() => Ok(()),
        "endif" if condition.is_empty() && open.pop().is_some() => Ok(()),
        _ => Err(wrong(
            line,
            "Only `{% if … %}`, `{% elif … %}`, `{% else %}` and `{% endif %}` may stand here.",
        )),
    }
}

/// Values, words and signs of a condition; parentheses only for what a filter is told.
fn expression(tokens: &[Token], line: usize, known: &[&str]) -> Result<(), TemplateError> {
    if tokens.is_empty() {
        return Err(wrong(
            line,
            "A tag is empty; name a value, for example `{{ ticket.key }}`.",
        ));
    }
    let mut position = 0;
    while let Some(token) = tokens.get(position) {
        position += 1;
        match token {
            Token::Sign("|") => position = filter(tokens, position, line)?,
            Token::Sign("(" | ")" | "," | "=") => {
                return Err(wrong(
                    line,
                    "Nothing can be called here; only filters take something in parentheses.",
                ));
            }
            Token::Sign(_) | Token::Literal => {}
            Token::Name(name) if WORDS.contains(&name.as_str()) || known.contains(&name.as_str()) => {}
            Token::Name(name) => {
                return Err(wrong(
                    line,
                    format!("There is no `{name}`. There are: {}.", known.join(", ")),
                ));
            }
        }
    }
    Ok(())
}

/// A filter, and what it is told: `default(value="nobody")`. Returns the position behind it.
fn filter(tokens: &[Token], position: usize, line: usize) -> Result<usize, TemplateError> {
    match tokens.get(position) {
        Some(Token::Name(name)) if FILTERS.contains(&name.as_str()) => {}
        _ => {
            return Err(wrong(
                line,
                format!("There are these filters: {}.", FILTERS.join(", ")),
            ));
        }
    }
    let mut at = position + 1;
    if tokens.get(at) != Some(&Token::Sign("(")) {
        return Ok(at);
    }
    loop {
        let told = (
            tokens.get(at + 1),
            tokens.get(at + 2),
            tokens.get(at + 3),
            tokens.get(at + 4),
        );
        match told {
            (Some(Token::Name(_)), Some(Token::Sign("=")), Some(Token::Literal), Some(Token::Sign(")"))) => {
                return Ok(at + 5);
            }
            (Some(Token::Name(_)), Some(Token::Sign("=")), Some(Token::Literal), Some(Token::Sign(","))) => {
                at += 4;
            }
            _ => return Err(wrong(line, "A filter is told something like `(length=80)`.")),
        }
    }
}

/// Why nothing came out.
#[derive(Debug)]
enum Failure {
    /// Tera does not take the template.
    Template(TemplateError),
    /// It does, but with these values it came to no good end.
    Values(TemplateError),
}

/// Renders a template that was checked. With `escape`, every value is escaped for HTML.
///
/// # Errors
/// When it was not checked, or more comes out than [`MAX_OUTPUT`].
pub fn render_checked(
    source: &str,
    known: &[&str],
    values: &Value,
    escape: bool,
) -> Result<String, TemplateError> {
    check(source, known)?;
    render(source, values, escape).map_err(|failure| match failure {
        Failure::Template(error) | Failure::Values(error) => error,
    })
}

fn render(source: &str, values: &Value, escape: bool) -> Result<String, Failure> {
    let mut tera = Tera::default();
    tera.add_raw_template("mail", source)
        .map_err(|error| Failure::Template(told(&error)))?;
    tera.autoescape_on(if escape { vec![""] } else { vec![] });
    let context = match values {
        Value::Object(_) => Context::from_serialize(values).map_err(|error| Failure::Values(told(&error)))?,
        _ => Context::new(),
    };
    let mut out = Bounded(Vec::new());
    tera.render_to("mail", &context, &mut out)
        .map_err(|error| Failure::Values(told(&error)))?;
    String::from_utf8(out.0).map_err(|_| Failure::Values(wrong(1, "What came out is no text.")))
}

/// Tera's words, cut: they repeat lines of the template.
fn told(error: &tera::Error) -> TemplateError {
    let text: String = error
        .to_string()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(300)
        .collect();
    wrong(1, format!("It cannot be used: {text}"))
}

/// Takes bytes up to a limit; what would go beyond it ends the rendering.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT {
            return Err(io::Error::other("more comes out of it than a mail may hold"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KNOWN: &[&str] = &["ticket.key", "ticket.subject", "message.text"];

    fn values() -> Value {
        json!({
            "ticket": { "key": "HELP-1", "subject": "<b>Ünd & so</b>" },
            "message": { "text": "It burns." },
        })
    }

    #[test]
    fn values_are_printed_and_conditions_decide() {
        let source = "[{{ ticket.key }}]{% if ticket.subject == \"x\" or not ticket.key %} no\
                      {%- else %} {{ message.text | upper | truncate(length=4, end=\"…\") }}{% endif %} { % } {a}";
        let out = render_checked(source, KNOWN, &values(), false).unwrap();
        assert_eq!(out, "[HELP-1] IT B… { % } {a}");
    }

    #[test]
    fn html_is_escaped_and_text_is_not() {
        let source = "{{ ticket.subject }}";
        assert_eq!(
            render_checked(source, KNOWN, &values(), false).unwrap(),
            "<b>Ünd & so</b>"
        );
        let html = render_checked(source, KNOWN, &values(), true).unwrap();
        assert!(!html.contains('<') && html.contains("&lt;b"), "{html}");
    }

    #[test]
    fn what_a_value_holds_is_never_read_as_a_template() {
        let values = json!({ "ticket": { "key": "{{ message.text }}{% if x %}", "subject": "" }, "message": { "text": "secret" } });
        let out = render_checked("{{ ticket.key }}", KNOWN, &values, false).unwrap();
        assert_eq!(out, "{{ message.text }}{% if x %}");
    }

    #[test]
    fn bombs_and_ways_out_are_refused_before_they_are_run() {
        let deep = "{% if ticket.key %}".repeat(50);
        let nots = format!("{{{{ {} ticket.key }}}}", "not ".repeat(5_000));
        let tags = "{{ ticket.key }}".repeat(1_000);
        let pipes = format!("{{{{ ticket.key {} }}}}", "| upper ".repeat(10_000));
        let long = "x".repeat(MAX_SOURCE + 1);
        let parens = format!("{{{{ {}1{} }}}}", "(".repeat(10_000), ")".repeat(10_000));
        let bombs = [
            "{% for i in range(end=1000000000) %}x{% endfor %}",
            "{% for a in range(end=10000) %}{% for b in range(end=10000) %}x{% endfor %}{% endfor %}",
            "{{ range(end=1000000000) }}",
            "{{ range(end=1000000000) | length }}",
            "{{ throw(message=\"x\") }}",
            "{{ get_env(name=\"PATH\") }}",
            "{{ now() }}",
            "{% include \"admin/settings.html\" %}",
            "{% import \"components/ui.html\" as ui %}",
            "{% extends \"layouts/app.html\" %}",
            "{% block content %}{% endblock %}",
            "{% macro a() %}{{ self::a() }}{% endmacro %}{{ self::a() }}",
            "{% component a() %}{{ <a /> }}{% endcomponent a %}{{ <a /> }}",
            "{{ <logo /> }}",
            "{% set x = ticket.key %}",
            "{% set_global x = 1 %}",
            "{% filter upper %}x{% endfilter %}",
            "{% raw %}{{ x }}{% endraw %}",
            "{{ ticket.key | safe }}",
            "{{ ticket.key|safe }}",
            "{{ ticket.key | replace(from=\"\", to=\"xxxxxxxxxxxxxxxxxxxx\") }}",
            "{{ ticket.key | indent(width=1000000) }}",
            "{{ ticket.key | split(pat=\"\") | join(sep=\"xxxxxxxx\") }}",
            "{{ [1, 2, 3] }}",
            "{{ {\"a\": 1} }}",
            "{{ ticket[\"key\"] }}",
            "{{ ticket.key ~ ticket.key }}",
            "{{ 9 * 9 }}",
            "{{ 99999999999999999999 }}",
            "{{ __tera_context }}",
            "{{ settings.smtp_password }}",
            "{{ ticket }}",
            "{{ \"%}{% raw %}\" }}",
            "{{ 'x' }}",
            "{{ `x` }}",
            "{{ \"a\\\"b\" }}",
            "{# {{ ticket.key }} #}",
            "{{ ticket.key",
            "{% if ticket.key %}",
            "{% endif %}",
            "{% else %}",
            "{{ }}",
            "{{ ticket.key if ticket.key else 1 }}",
            "{{ ticket.key | default(value=ticket.subject) }}",
            "{{ ticket.key | default(value=range(end=9)) }}",
            "{{ ticket.key is containing(pat=\"x\") }}",
            "{{ \u{0}ticket.key }}",
            "{{ tíckét }}",
            &deep,
            &nots,
            &tags,
            &pipes,
            &long,
            &parens,
        ];
        assert!(bombs.len() >= 30);
        for bomb in bombs {
            let refused = check(bomb, KNOWN);
            assert!(refused.is_err(), "{bomb:.80} was taken");
            assert!(
                render_checked(bomb, KNOWN, &values(), true).is_err(),
                "{bomb:.80}"
            );
        }
    }

    #[test]
    fn more_than_a_mail_holds_does_not_come_out() {
        let values =
            json!({ "ticket": { "key": "", "subject": "" }, "message": { "text": "x".repeat(20_000) } });
        let source = "{{ message.text }}".repeat(20);
        assert!(render_checked(&source, KNOWN, &values, false).is_err());
        assert!(render_checked("{{ message.text }}", KNOWN, &values, false).is_ok());
    }

    #[test]
    fn a_mistake_names_its_line() {
        let error = check("Hello\n\n{{ ticket.kei }}", KNOWN).unwrap_err();
        assert_eq!(error.line, 3);
        assert!(error.message.contains("ticket.key"), "{error}");
    }
}
