//! What a route of the API is: written beside its handler, published in the OpenAPI document, and enforced before the
//! handler is called.

use actix_web::http::Method;

use super::schema::{self, Schema};

/// One parameter of the query.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Its shape.
    pub schema: Schema,
    /// A sentence about it.
    pub about: &'static str,
    /// Whether it may come several times.
    pub repeated: bool,
}

/// What is sent with a request.
#[derive(Clone, Debug)]
pub enum Body {
    /// Nothing that matters.
    None,
    /// A JSON object.
    Json(Schema),
    /// Bytes of one of these content types.
    Bytes(&'static [&'static str]),
}

/// What is answered when all goes well.
#[derive(Clone, Debug)]
pub enum Content {
    /// No body.
    Nothing,
    /// JSON.
    Json(Schema),
    /// A file or a stream of this content type.
    Bytes(&'static str),
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// A sentence about it.
    pub about: &'static str,
    /// Its body.
    pub content: Content,
}

/// What a route does, takes and answers.
#[derive(Clone, Debug)]
pub struct Doc {
    /// A few words, imperative: `List mailboxes`.
    pub summary: &'static str,
    /// Sentences about what the summary does not say.
    pub about: &'static str,
    /// Parameters of the query.
    pub query: Vec<Parameter>,
    /// What is sent.
    pub body: Body,
    /// What is answered when all goes well.
    pub answers: Vec<Answer>,
    /// Refusals beside those every route has: status and when.
    pub failures: Vec<(u16, &'static str)>,
    /// Whether its resource has a revision: answers carry an `ETag`, changes take `If-Match`.
    pub tagged: bool,
    /// Whether a `POST` takes the `ETag` of what it changes as `If-Match`; the other methods do by being `tagged`.
    pub if_match: bool,
    /// Whether `limit` and `after` belong to its query.
    pub paged: bool,
    /// The largest body, bytes, where the usual 256 KiB are not enough.
    pub max_body: Option<usize>,
}

impl Doc {
    /// A description that begins with its summary.
    pub fn new(summary: &'static str) -> Self {
        Self {
            summary,
            about: "",
            query: Vec::new(),
            body: Body::None,
            answers: Vec::new(),
            failures: Vec::new(),
            tagged: false,
            if_match: false,
            paged: false,
            max_body: None,
        }
    }

    /// What the summary does not say.
    #[must_use]
    pub fn about(mut self, text: &'static str) -> Self {
        self.about = text;
        self
    }

    /// Takes a parameter of the query.
    #[must_use]
    pub fn query(mut self, name: &'static str, schema: Schema, about: &'static str) -> Self {
        self.query.push(Parameter {
            name,
            schema,
            about,
            repeated: false,
        });
        self
    }

    /// Takes a JSON object, made with [`schema::input`].
    #[must_use]
    pub fn takes(mut self, schema: Schema) -> Self {
        self.body = Body::Json(schema);
        self
    }

    /// Takes bytes of one of these content types.
    #[must_use]
    pub fn takes_bytes(mut self, types: &'static [&'static str]) -> Self {
        self.body = Body::Bytes(types);
        self
    }

    /// Takes more than the usual 256 KiB.
    #[must_use]
    pub fn up_to(mut self, bytes: usize) -> Self {
        self.max_body = Some(bytes);
        self
    }

    /// Answers with JSON.
    #[must_use]
    pub fn answers(mut self, status: u16, about: &'static str, schema: Schema) -> Self {
        self.answers.push(Answer {
            status,
            about,
            content: Content::Json(schema),
        });
        self
    }

    /// Answers with a list of such items, in parts.
    #[must_use]
    pub fn lists(mut self, item: Schema) -> Self {
        self.paged = true;
        let part = schema::object([
            ("items", schema::list_of(item)),
            (
                "next",
                schema::text()
                    .about("Address of the next part; null if this is the last")
                    .or_null(),
            ),
        ]);
        self.answers(200, "A part of the list", part)
    }

    /// Takes `limit` and `after`, where the answer is more than a list.
    #[must_use]
    pub fn paged(mut self) -> Self {
        self.paged = true;
        self
    }

    /// Answers without a body.
    #[must_use]
    pub fn answers_nothing(mut self, status: u16, about: &'static str) -> Self {
        self.answers.push(Answer {
            status,
            about,
            content: Content::Nothing,
        });
        self
    }

    /// Answers with a file or a stream.
    #[must_use]
    pub fn answers_bytes(mut self, about: &'static str, content_type: &'static str) -> Self {
        self.answers.push(Answer {
            status: 200,
            about,
            content: Content::Bytes(content_type),
        });
        self
    }

    /// Answers 202 with the id of what was begun.
    #[must_use]
    pub fn begins(self, about: &'static str) -> Self {
        self.answers(
            202,
            about,
            schema::object([("id", schema::text())]).named("Begun"),
        )
    }

    /// Refuses in a way that not every route does.
    #[must_use]
    pub fn fails(mut self, status: u16, when: &'static str) -> Self {
        self.failures.push((status, when));
        self
    }

    /// The resource has a revision: `ETag` in answers, `If-Match` for changes.
    #[must_use]
    pub fn tagged(mut self) -> Self {
        self.tagged = true;
        self
    }

    /// A `POST` changes what its path names, and takes the `ETag` of that as `If-Match`.
    #[must_use]
    pub fn if_match(mut self) -> Self {
        self.if_match = true;
        self
    }

    /// Whether it takes `If-Match` when it is asked by this method.
    pub fn takes_if_match(&self, method: &Method) -> bool {
        self.if_match || self.tagged && matches!(*method, Method::PATCH | Method::PUT | Method::DELETE)
    }
}
