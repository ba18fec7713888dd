//! Templates and static files: the one door to Tera and to what is embedded in the binary.
//!
//! A page is a [`View`]: one struct per template that holds only values ready for display. Nothing here knows
//! HTTP, and nothing here decides what a page says. Everything a template prints is escaped, whatever the
//! template is called; the `safe` filter is refused when the templates are loaded.

mod assets;
pub mod sandbox;

pub use assets::{Asset, asset_version, static_asset};

use std::path::Path;

use rust_embed::RustEmbed;
use serde::Serialize;
use tera::{Context, Kwargs, State, Tera, TeraResult};

/// The templates, compiled into the binary.
#[derive(RustEmbed)]
#[folder = "templates/"]
struct Templates;

/// What one template is given, and examples of it.
pub trait View: Serialize {
    /// The template's path below `templates/`, for example `admin/dashboard.html`.
    const TEMPLATE: &'static str;

    /// Examples that tests render: at least an empty state and a full one.
    fn samples() -> Vec<Self>
    where
        Self: Sized;
}

/// Why a page could not be made. Both are mistakes in this program, never in what a user typed.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The embedded templates do not fit together.
    #[error("load the embedded templates")]
    Load(#[source] Box<tera::Error>),
    /// A template uses a filter that would switch escaping off.
    #[error("template {template} uses the filter `safe`; print the value escaped instead")]
    Unescaped {
        /// The template's name.
        template: String,
    },
    /// An embedded template is not UTF-8.
    #[error("template {template} is not UTF-8")]
    NotUtf8 {
        /// The template's name.
        template: String,
    },
    /// A file in the operator's folder is not the name of a template that may be replaced.
    #[error("{file}: no page is called so; what can be replaced: {}", REPLACEABLE.join(", "))]
    NotReplaceable {
        /// The file.
        file: String,
    },
    /// A template of the operator's cannot be read.
    #[error("{file}: {source}")]
    Unreadable {
        /// The file or folder.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A template of the operator's does not work.
    #[error("{file}: {}", told(source))]
    Broken {
        /// The file.
        file: String,
        /// What Tera says, with line and column.
        #[source]
        source: Box<tera::Error>,
    },
    /// A template asked for something its view does not hold.
    #[error("render {template}")]
    Render {
        /// The template's name.
        template: &'static str,
        /// What Tera says, with line and column.
        #[source]
        source: Box<tera::Error>,
    },
}

/// Pages that an operator may replace, by their names in the operator's folder.
pub const REPLACEABLE: [&str; 3] = ["consent.html", "device.html", "device_done.html"];

/// An error of Tera with its causes: the line stands in one of them.
fn told(error: &tera::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// All templates, parsed once. Cheap to share behind an `Arc`.
#[derive(Debug)]
pub struct Renderer {
    tera: Tera,
}

impl Renderer {
    /// Loads the templates that are embedded in the binary.
    ///
    /// # Errors
    /// [`RenderError::Load`], [`RenderError::Unescaped`] or [`RenderError::NotUtf8`]: a broken build.
    pub fn new() -> Result<Self, RenderError> {
        Self::offering(|_, _, _| true)
    }

    /// The same where `is_offered` says, of a method, an address and a role, whether a link or button is drawn. Templates
    /// call it `offered`.
    ///
    /// # Errors
    /// As [`Renderer::new`].
    pub fn offering(
        is_offered: impl Fn(&str, &str, &str) -> bool + Send + Sync + 'static,
    ) -> Result<Self, RenderError> {
        let mut sources = Vec::new();
        for name in Templates::iter() {
            let Some(file) = Templates::get(&name) else {
                continue;
            };
            let template = name.into_owned();
            let Ok(text) = String::from_utf8(file.data.into_owned()) else {
                return Err(RenderError::NotUtf8 { template });
            };
            if switches_escaping_off(&text) {
                return Err(RenderError::Unescaped { template });
            }
            sources.push((template, text));
        }
        let mut tera = Tera::default();
        // Every name ends in the empty suffix, so every template is escaped, also one called `.txt`.
        tera.autoescape_on([""]);
        let offered = move |arguments: Kwargs, _: &State| -> TeraResult<bool> {
            let method = arguments.get::<&str>("method")?.unwrap_or("GET");
            let to = arguments.must_get::<&str>("to")?;
            let role = arguments.must_get::<&str>("role")?;
            Ok(is_offered(method, to, role))
        };
        tera.register_function("offered", offered);
        tera.add_raw_templates(sources.iter().map(|(name, text)| (name.as_str(), text.as_str())))
            .map_err(|error| RenderError::Load(Box::new(error)))?;
        Ok(Self { tera })
    }

    /// The same with pages of the operator's in the place of some.
    ///
    /// # Errors
    /// The first file that is not one of [`REPLACEABLE`], cannot be read, switches escaping off, or is no template.
    pub fn replacing(mut self, folder: &Path) -> Result<Self, RenderError> {
        let unreadable = |file: &Path| {
            let file = file.display().to_string();
            move |source| RenderError::Unreadable { file, source }
        };
        for entry in std::fs::read_dir(folder).map_err(unreadable(folder))? {
            let path = entry.map_err(unreadable(folder))?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let file = path.display().to_string();
            if !REPLACEABLE.contains(&name.as_str()) {
                return Err(RenderError::NotReplaceable { file });
            }
            let text = std::fs::read_to_string(&path).map_err(unreadable(&path))?;
            if switches_escaping_off(&text) {
                return Err(RenderError::Unescaped { template: file });
            }
            self.tera
                .add_raw_template(&format!("oauth2/{name}"), &text)
                .map_err(|error| RenderError::Broken {
                    file,
                    source: Box::new(error),
                })?;
        }
        Ok(self)
    }

    /// Renders a view with its template.
    ///
    /// # Errors
    /// [`RenderError::Render`] when the template asks for a value that the view does not hold.
    pub fn render<V: View>(&self, view: &V) -> Result<String, RenderError> {
        let failed = |source| RenderError::Render {
            template: V::TEMPLATE,
            source: Box::new(source),
        };
        let context = Context::from_serialize(view).map_err(failed)?;
        self.tera.render(V::TEMPLATE, &context).map_err(failed)
    }
}

/// Whether a template pipes a value through `safe`, with any spacing.
fn switches_escaping_off(template: &str) -> bool {
    template.split('|').skip(1).any(|rest| {
        let word: String = rest
            .trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        word == "safe"
    })
}

#[cfg(test)]
mod tests;
