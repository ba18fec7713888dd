//! Every template with every sample, and with hostile values in every text of every sample.

use super::*;
use crate::web::admin::views::for_each_view;
use serde_json::Value;

const HOSTILE: &str = "mgx\"><script>alert(1)</script>'&{{ 733*7 }}";

/// One sample of one view, as plain data.
pub(super) struct Sample {
    template: &'static str,
    number: usize,
    data: Value,
}

/// Collects the samples of all views; [`for_each_view`] names every view once.
fn all_samples() -> Vec<Sample> {
    fn collect<V: View>(into: &mut Vec<Sample>) {
        let samples = V::samples();
        assert!(!samples.is_empty(), "{} has no sample", V::TEMPLATE);
        for (number, sample) in samples.iter().enumerate() {
            let data = serde_json::to_value(sample).unwrap();
            into.push(Sample {
                template: V::TEMPLATE,
                number,
                data,
            });
        }
    }
    let mut samples = Vec::new();
    macro_rules! collect_all {
        ($($view:ty),* $(,)?) => { $( collect::<$view>(&mut samples); )* };
    }
    for_each_view!(collect_all);
    samples
}

fn render_data(renderer: &Renderer, template: &str, data: &Value) -> String {
    let context = Context::from_serialize(data).unwrap();
    renderer
        .tera
        .render(template, &context)
        .unwrap_or_else(|error| panic!("{template}: {error}"))
}

/// Paths (JSON pointers) of all texts in `value`.
fn text_paths(value: &Value, at: &str, into: &mut Vec<String>) {
    match value {
        Value::String(_) => into.push(at.to_owned()),
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                text_paths(item, &format!("{at}/{n}"), into);
            }
        }
        Value::Object(fields) => {
            for (name, item) in fields {
                text_paths(item, &format!("{at}/{name}"), into);
            }
        }
        _ => {}
    }
}

fn assert_harmless(html: &str, what: &str) {
    let lower = html.to_ascii_lowercase();
    assert!(!lower.contains("<script>"), "{what}: a script got in");
    assert!(!html.contains("mgx\""), "{what}: a value left its attribute");
    assert!(
        !html.contains("5131"),
        "{what}: a value was evaluated as a template"
    );
}

#[test]
fn every_template_renders_with_every_sample() {
    let renderer = Renderer::new().unwrap();
    for sample in all_samples() {
        let html = render_data(&renderer, sample.template, &sample.data);
        let what = format!("{} sample {}", sample.template, sample.number);
        assert!(html.starts_with("<!doctype html>"), "{what} is no document");
        assert_eq!(html.matches("<h1").count(), 1, "{what}: one h1");
        assert!(html.contains("id=\"main\""), "{what}: the skip link has a target");
        for forbidden in [" style=", " onclick=", "javascript:", "<style", "//cdn"] {
            assert!(
                !html.contains(forbidden),
                "{what}: {forbidden} does not fit the content security policy"
            );
        }
        for script in html.split("<script").skip(1) {
            assert!(
                script.starts_with(" type=\"module\" src=\"/static/"),
                "{what}: inline script"
            );
        }
        for form in html
            .split("<form")
            .skip(1)
            .filter(|form| form.contains("method=\"post\""))
        {
            let form = form.split("</form>").next().unwrap_or_default();
            // What is posted to an application must not carry a token of ours.
            let leaves = form.contains("action=\"https:");
            if leaves {
                assert!(
                    !form.contains("name=\"csrf\""),
                    "{what}: a token leaves the site: {form}"
                );
                continue;
            }
            assert!(
                form.contains("name=\"csrf\""),
                "{what}: a form without its token: {form}"
            );
        }
    }
}

#[test]
fn every_page_template_has_a_view() {
    let viewed: std::collections::BTreeSet<_> = all_samples().iter().map(|s| s.template.to_owned()).collect();
    let on_disk: std::collections::BTreeSet<_> = Templates::iter()
        .map(|name| name.into_owned())
        .filter(|name| name.starts_with("admin/") || name.starts_with("oauth2/"))
        .collect();
    assert_eq!(viewed, on_disk);
}

#[test]
fn hostile_text_in_any_field_comes_out_escaped() {
    let renderer = Renderer::new().unwrap();
    for sample in all_samples() {
        let mut paths = Vec::new();
        text_paths(&sample.data, "", &mut paths);
        // One at a time, so that a value which selects a branch still selects it while another is hostile.
        for path in &paths {
            let mut data = sample.data.clone();
            *data.pointer_mut(path).unwrap() = Value::String(HOSTILE.to_owned());
            let html = render_data(&renderer, sample.template, &data);
            assert_harmless(
                &html,
                &format!("{} sample {} at {path}", sample.template, sample.number),
            );
        }
        let mut data = sample.data.clone();
        for path in &paths {
            *data.pointer_mut(path).unwrap() = Value::String(HOSTILE.to_owned());
        }
        assert_harmless(&render_data(&renderer, sample.template, &data), sample.template);
    }
}

#[test]
fn templates_never_switch_escaping_off_and_quote_every_attribute() {
    assert!(switches_escaping_off("{{ x |safe }}") && switches_escaping_off("{{ x | upper |  safe}}"));
    assert!(!switches_escaping_off("{{ x | safely }} safe"));
    for name in Templates::iter() {
        let text = String::from_utf8(Templates::get(&name).unwrap().data.into_owned()).unwrap();
        assert!(!switches_escaping_off(&text), "{name} uses `safe`");
        // In an attribute without quotes a space is enough to leave the value.
        for (before, _) in text.match_indices("={{").map(|(at, _)| text.split_at(at)) {
            let word = before.rsplit(char::is_whitespace).next().unwrap_or_default();
            let attribute = word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
            assert!(!attribute, "{name} has the attribute {word} without quotes");
        }
        assert!(!text.contains("style=\""), "{name} has an inline style");
    }
}

/// Writes all samples as files when `MAILGRANT_RENDER_DIR` names a directory: the way to look at the pages
/// without a running service. Without it, this checks that the asset links point to files that exist.
#[test]
fn pages_link_only_static_files_that_exist() {
    let renderer = Renderer::new().unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "a switch of this test only, never read by the service"
    )]
    let directory = std::env::var("MAILGRANT_RENDER_DIR")
        .ok()
        .filter(|path| !path.is_empty());
    for sample in all_samples() {
        let file = directory.as_ref().map(|directory| {
            let stem = sample.template.replace('/', "-").replace(".html", "");
            std::path::Path::new(directory).join(format!("{stem}-{}", sample.number))
        });
        if let Some(file) = &file {
            let json = serde_json::json!({ "template": sample.template, "data": sample.data });
            std::fs::write(file.with_extension("json"), json.to_string()).unwrap();
        }
        let html = render_data(&renderer, sample.template, &sample.data);
        if let Some(file) = &file {
            std::fs::write(file.with_extension("html"), &html).unwrap();
        }
        for link in html.split("\"/static/").skip(1) {
            let path = link.split(['?', '"']).next().unwrap_or_default();
            assert!(
                static_asset(path).is_some(),
                "{} links /static/{path}",
                sample.template
            );
        }
    }
}

/// A folder with one file.
fn folder_with(name: &str, text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), text).unwrap();
    folder
}

#[test]
fn an_operators_page_takes_the_place_of_ours_and_a_broken_one_is_named_with_its_line() {
    let good = folder_with("consent.html", "<h1>{{ client.name }} at ACME</h1>");
    let renderer = Renderer::new().unwrap().replacing(good.path()).unwrap();
    for view in crate::web::admin::views::oauth2::ConsentPage::samples() {
        assert_eq!(
            renderer.render(&view).unwrap(),
            "<h1>Helpdesk mobile at ACME</h1>"
        );
    }
    for (name, text, told) in [
        ("consent.html", "<h1>\n{{ client.name </h1>", "2"),
        ("consent.html", "{{ client.name | safe }}", "safe"),
        ("sign_in.html", "<h1>", "no page is called so"),
    ] {
        let folder = folder_with(name, text);
        let error = Renderer::new()
            .unwrap()
            .replacing(folder.path())
            .unwrap_err()
            .to_string();
        assert!(error.contains(name) && error.contains(told), "{error}");
    }
    assert!(
        Renderer::new()
            .unwrap()
            .replacing(std::path::Path::new("/nowhere/at/all"))
            .is_err()
    );
}
