//! A browser's part in Mailgrant's pages without a browser: it keeps cookies, fills in forms by their names, and does
//! not follow redirects by itself.

use std::collections::BTreeMap;
use std::sync::Mutex;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use secrecy::SecretString;

use super::process::{Mailgrant, http};

/// Somebody at the pages.
pub struct Visitor {
    client: reqwest::Client,
    base_url: String,
    cookies: Mutex<BTreeMap<String, String>>,
}

/// A page or a redirect.
#[derive(Clone, Debug)]
pub struct Seen {
    pub status: u16,
    pub location: String,
    pub headers: reqwest::header::HeaderMap,
    pub body: String,
}

impl Visitor {
    /// With no cookies yet.
    pub fn new(mailgrant: &Mailgrant) -> Self {
        Self::at(&mailgrant.base_url)
    }

    /// The same, at a service that was started in another way.
    pub fn at(base_url: &str) -> Self {
        Self {
            client: http(),
            base_url: base_url.to_owned(),
            cookies: Mutex::default(),
        }
    }

    /// An address of Mailgrant, or a whole URL.
    pub async fn get(&self, path: &str) -> Seen {
        self.send(self.client.get(self.url(path))).await
    }

    /// The value of a cookie.
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.lock().unwrap().get(name).cloned()
    }

    /// A form with exactly these fields.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Seen {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let request = self
            .client
            .post(self.url(path))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        self.send(request).await
    }

    /// Fills in the form of a page: its hidden fields, and these.
    pub async fn submit(&self, page: &Seen, path: &str, fields: &[(&str, &str)]) -> Seen {
        let csrf = page.hidden("csrf");
        let mut all = vec![("csrf", csrf.as_str())];
        all.extend(fields);
        self.post(path, &all).await
    }

    /// Fills in a form that takes files: its `csrf` and `once`, these fields, and files by field, name and bytes.
    pub async fn upload(
        &self,
        page: &Seen,
        path: &str,
        fields: &[(&str, &str)],
        files: &[(&str, &str, &[u8])],
    ) -> Seen {
        const BOUNDARY: &str = "----------------------------974767299852498929531610575";
        let (csrf, once) = (page.hidden("csrf"), page.hidden("once"));
        let mut body = Vec::new();
        let own = [("csrf", csrf.as_str()), ("once", once.as_str())];
        for (name, value) in own.iter().chain(fields) {
            let part =
                format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
            body.extend(part.into_bytes());
        }
        for (field, name, bytes) in files {
            let head = format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n\
                 Content-Type: text/plain\r\n\r\n"
            );
            body.extend(head.into_bytes());
            body.extend_from_slice(bytes);
            body.extend(b"\r\n");
        }
        body.extend(format!("--{BOUNDARY}--\r\n").into_bytes());
        let request = self
            .client
            .post(self.url(path))
            .header(
                "content-type",
                format!("multipart/form-data; boundary={BOUNDARY}"),
            )
            .body(body);
        self.send(request).await
    }

    /// Signs in on the page that asks for it, and returns where it leads.
    pub async fn sign_in(&self, page: &Seen, email: &str, password: &SecretString) -> Seen {
        use secrecy::ExposeSecret;
        let next = page.hidden("next");
        let fields = [
            ("email", email),
            ("password", password.expose_secret()),
            ("next", &next),
        ];
        self.submit(page, "/sign-in", &fields).await
    }

    fn url(&self, path: &str) -> String {
        match path.starts_with("http") {
            true => path.to_owned(),
            false => format!("{}{path}", self.base_url),
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Seen {
        let jar = {
            let cookies = self.cookies.lock().unwrap();
            let pairs: Vec<String> = cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            pairs.join("; ")
        };
        let answer = request.header(COOKIE, jar).send().await.expect("an answer");
        for set in answer.headers().get_all(SET_COOKIE) {
            let text = set.to_str().unwrap_or_default();
            let pair = text.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies
                    .lock()
                    .unwrap()
                    .insert(name.to_owned(), value.to_owned());
            }
        }
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        Seen {
            status: answer.status().as_u16(),
            location: header(LOCATION).unwrap_or_default().to_owned(),
            headers: answer.headers().clone(),
            body: answer.text().await.unwrap_or_default(),
        }
    }
}

impl Seen {
    /// The value of a hidden field.
    pub fn hidden(&self, name: &str) -> String {
        let marker = format!("name=\"{name}\" value=\"");
        let Some((_, rest)) = self.body.split_once(&marker) else {
            return String::new();
        };
        let value = rest.split('"').next().unwrap_or_default();
        value
            .replace("&#x2F;", "/")
            .replace("&amp;", "&")
            .replace("&#x3D;", "=")
    }

    /// A parameter of the address it leads to, by a redirect or by a page that goes on by itself.
    pub fn param(&self, name: &str) -> Option<String> {
        let onward = match self.location.as_str() {
            "" => self.refresh(),
            location => location.to_owned(),
        };
        let url = url::Url::parse(&onward).ok()?;
        url.query_pairs()
            .find(|(have, _)| have == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The address a page goes on to by itself.
    pub fn refresh(&self) -> String {
        let Some((_, rest)) = self.body.split_once("content=\"0;url=") else {
            return String::new();
        };
        let value = rest.split('"').next().unwrap_or_default();
        value
            .replace("&#x2F;", "/")
            .replace("&amp;", "&")
            .replace("&#x3D;", "=")
    }
}
