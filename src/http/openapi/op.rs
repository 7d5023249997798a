//! One operation of the document, told in a line or two.

use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, ObjectBuilder, Ref, Schema, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, HeaderBuilder, RefOr, Required, Response, ResponseBuilder};

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// Anybody.
    Anyone,
    /// The operator.
    Operator,
    /// A token of the tenant with this scope.
    Scope(&'static str),
    /// A token of the tenant with this scope, or the operator.
    Owner(&'static str),
    /// A builder: a token that may build, or a signature over the body.
    Sender,
    /// A token that reads bundles, or a signed URL.
    Url,
}

/// What a name of the path or the query may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Is {
    /// A text.
    Text,
    /// A number from 0.
    Number,
    /// A number in a range.
    Range(u32, u32),
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// An operation.
pub(super) struct Op {
    pub(super) method: HttpMethod,
    pub(super) path: &'static str,
    pub(super) schemas: Vec<(String, RefOr<Schema>)>,
    word: &'static str,
    by: By,
    summary: &'static str,
    parameters: Vec<Parameter>,
    body: Option<RequestBody>,
    answers: Vec<(u16, Response)>,
    problems: Vec<u16>,
}

/// An operation on a route of `router.rs`.
pub(super) fn op(word: &'static str, path: &'static str, by: By, summary: &'static str) -> Op {
    let method = match word {
        "post" => HttpMethod::Post,
        "put" => HttpMethod::Put,
        "delete" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    };
    let (schemas, parameters, answers) = (Vec::new(), Vec::new(), Vec::new());
    let problems = usual(&method, path, by);
    Op { method, word, path, schemas, by, summary, parameters, body: None, answers, problems }
}

/// The problems that every such operation may end with.
fn usual(method: &HttpMethod, path: &str, by: By) -> Vec<u16> {
    let mut all = vec![500, 503];
    if by != By::Anyone {
        all.push(401);
    }
    if matches!(by, By::Scope(_) | By::Owner(_) | By::Sender | By::Url) {
        // Each tenant may have so much waiting.
        all.extend([403, 429]);
    }
    if path.contains('{') {
        all.push(404);
    }
    if *method != HttpMethod::Get {
        all.extend([409, 507]);
    }
    all
}

impl Op {
    /// Answers with JSON.
    pub(super) fn json<T: ToSchema>(mut self, status: u16) -> Self {
        let content = self.content::<T>();
        let response = ResponseBuilder::new().description(words(status));
        self.answers.push((status, response.content("application/json", content).build()));
        self
    }

    /// Answers with JSON that another document describes.
    pub(super) fn object(mut self, status: u16, about: &str) -> Self {
        let schema = ObjectBuilder::new().schema_type(Type::Object).description(Some(about));
        let content = Content::new(Some(Schema::from(schema.build())));
        let response = ResponseBuilder::new().description(about);
        self.answers.push((status, response.content("application/json", content).build()));
        self
    }

    /// Answers with bytes of a media type.
    pub(super) fn bytes(mut self, status: u16, media: &str) -> Self {
        let response = ResponseBuilder::new().description(words(status));
        let content = Content::new(Some(contents(media)));
        self.answers.push((status, response.content(media, content).build()));
        self
    }

    /// Answers with a JSON list.
    pub(super) fn list<T: ToSchema>(mut self, status: u16) -> Self {
        let item = self.content::<T>().schema.unwrap_or_else(|| text().into());
        let content = Content::new(Some(Schema::Array(ArrayBuilder::new().items(item).build())));
        let response = ResponseBuilder::new().description(words(status));
        self.answers.push((status, response.content("application/json", content).build()));
        self
    }

    /// Answers with one of two forms of JSON.
    pub(super) fn either<A: ToSchema, B: ToSchema>(mut self, status: u16) -> Self {
        let (one, other) = (self.content::<A>().schema, self.content::<B>().schema);
        let items = one.into_iter().chain(other);
        let forms = items.fold(AnyOfBuilder::new(), AnyOfBuilder::item).build();
        let content = Content::new(Some(Schema::AnyOf(forms)));
        let response = ResponseBuilder::new().description(words(status));
        self.answers.push((status, response.content("application/json", content).build()));
        self
    }

    /// Answers with another media type too.
    pub(super) fn also(mut self, status: u16, media: &str) -> Self {
        for (_, answer) in self.answers.iter_mut().filter(|(known, _)| *known == status) {
            answer.content.insert(media.to_owned(), Content::new(Some(contents(media))).into());
        }
        self
    }

    /// Answers without a body.
    pub(super) fn empty(mut self, status: u16) -> Self {
        let response = ResponseBuilder::new().description(words(status)).build();
        self.answers.push((status, response));
        self
    }

    /// Has an entity tag, and 304 for who knows it.
    pub(super) fn cached(self) -> Self {
        self.tagged().empty(304)
    }

    /// Has an entity tag.
    pub(super) fn tagged(mut self) -> Self {
        for (_, answer) in &mut self.answers {
            let header = HeaderBuilder::new().schema(Some(text()));
            let header = header.description(Some("its version"));
            answer.headers.insert("ETag".to_owned(), header.build().into());
        }
        self
    }

    /// Serves ranges.
    pub(super) fn ranged(self, media: &str) -> Self {
        self.bytes(200, media).bytes(206, media).empty(416).cached()
    }

    /// Heeds `If-Match`.
    pub(super) fn conditional(mut self) -> Self {
        self.problems.push(412);
        let about = "the `ETag` of the version that is to be changed";
        self.header("If-Match", about)
    }

    /// Heeds a header.
    pub(super) fn header(mut self, name: &str, about: &str) -> Self {
        self.parameters.push(parameter(name, ParameterIn::Header, Is::Text, about));
        self
    }

    /// Takes a parameter in the query.
    pub(super) fn query(mut self, name: &str, is: Is, about: &str) -> Self {
        self.parameters.push(parameter(name, ParameterIn::Query, is, about));
        self.problem(&[400])
    }

    /// Is a list that comes by the page.
    pub(super) fn paged(self, most: u32) -> Self {
        self.query("limit", Is::Range(1, most), "how many at most").query(
            "cursor",
            Is::Text,
            "`next` of the page before",
        )
    }

    /// Takes a body of JSON.
    pub(super) fn body<T: ToSchema>(mut self, required: bool, example: Value) -> Self {
        let mut content = self.content::<T>();
        content.example = Some(example);
        self.sent("application/json", content, required)
    }

    /// Takes a body that another document describes.
    pub(super) fn free(self, about: &str, required: bool, example: Value) -> Self {
        let schema = ObjectBuilder::new().schema_type(Type::Object).description(Some(about));
        let mut content = Content::new(Some(Schema::from(schema.build())));
        content.example = Some(example);
        self.sent("application/json", content, required)
    }

    /// Takes a body of bytes.
    pub(super) fn takes(self, media: &str) -> Self {
        self.sent(media, Content::new(Some(text())), true)
    }

    fn sent(mut self, media: &str, content: Content, required: bool) -> Self {
        let required = if required { Required::True } else { Required::False };
        let body = RequestBodyBuilder::new().content(media, content).required(Some(required));
        self.body = Some(body.build());
        self.problem(&[400, 408, 413])
    }

    /// May also end with these.
    pub(super) fn problem(mut self, statuses: &[u16]) -> Self {
        self.problems.extend(statuses);
        self
    }

    fn content<T: ToSchema>(&mut self) -> Content {
        let name = T::name().into_owned();
        self.schemas.push((name.clone(), T::schema()));
        T::schemas(&mut self.schemas);
        Content::new(Some(Ref::from_schema_name(name)))
    }

    /// The operation in utoipa's form.
    pub(super) fn build(self, tag: &str) -> Operation {
        let mut problems = self.problems;
        problems.sort_unstable();
        problems.dedup();
        let answered: Vec<u16> = self.answers.iter().map(|(status, _)| *status).collect();
        let mut builder = OperationBuilder::new()
            .tag(tag)
            .summary(Some(self.summary))
            .operation_id(Some(id(self.word, self.path)))
            .description(Some(credential(self.by)))
            .request_body(self.body);
        for parameter in named(self.path).into_iter().chain(self.parameters) {
            builder = builder.parameter(parameter);
        }
        for requirement in securities(self.by) {
            builder = builder.security(requirement);
        }
        for (status, answer) in self.answers {
            builder = builder.response(status.to_string(), answer);
        }
        for status in problems.into_iter().filter(|status| !answered.contains(status)) {
            builder = builder.response(status.to_string(), Ref::from_response_name(name(status)));
        }
        builder.build()
    }
}

/// Every answer that tells of a problem, by its name in the document.
pub(super) fn problems() -> impl Iterator<Item = (String, Response)> {
    let all = [400, 401, 403, 404, 408, 409, 412, 413, 422, 429, 500, 503, 507];
    all.into_iter().map(|status| (name(status), problem(status)))
}

/// Its status in one word.
fn name(status: u16) -> String {
    words(status).replace(' ', "")
}

fn problem(status: u16) -> Response {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    let response = ResponseBuilder::new().description(words(status));
    response.content("application/problem+json", content).build()
}

fn words(status: u16) -> &'static str {
    let status = axum::http::StatusCode::from_u16(status).ok();
    status.and_then(|status| status.canonical_reason()).unwrap_or_default()
}

fn text() -> Schema {
    ObjectBuilder::new().schema_type(Type::String).build().into()
}

/// What is in a file of this type, as far as it is told.
fn contents(media: &str) -> Schema {
    if media.ends_with("json") && !media.ends_with("ndjson") {
        return ObjectBuilder::new().schema_type(Type::Object).build().into();
    }
    if media == "text/event-stream" {
        return event();
    }
    text()
}

/// One event of a stream: before OpenAPI 3.2 that is what its schema tells.
fn event() -> Schema {
    let object = ObjectBuilder::new().schema_type(Type::Object);
    let object =
        ["event", "id", "data"].into_iter().fold(object, |all, name| all.property(name, text()));
    object.required("event").required("data").build().into()
}

fn schema(is: Is) -> Schema {
    let object = ObjectBuilder::new();
    match is {
        Is::Text => return text(),
        Is::Number => object.schema_type(Type::Integer).minimum(Some(0)),
        Is::Range(least, most) => {
            object.schema_type(Type::Integer).minimum(Some(least)).maximum(Some(most))
        }
        Is::Flag => object.schema_type(Type::Boolean),
        Is::Word(words) => {
            object.schema_type(Type::String).enum_values(Some(words.iter().copied()))
        }
    }
    .build()
    .into()
}

fn parameter(name: &str, place: ParameterIn, is: Is, about: &str) -> Parameter {
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(about))
        .schema(Some(schema(is)))
        .build()
}

/// The parameters in a path.
fn named(path: &str) -> Vec<Parameter> {
    let names = path.split('{').skip(1).filter_map(|part| part.split_once('}'));
    let names = names.map(|(name, _)| name.trim_start_matches('*'));
    names.map(|name| parameter(name, ParameterIn::Path, Is::Text, about(name))).collect()
}

fn about(name: &str) -> &'static str {
    match name {
        "slug" => "the tenant",
        "flow" => "the flow's id",
        "id" => "its id",
        "to" => "the later build",
        "digest" => "BLAKE3, 64 hex digits",
        "tree" => "BLAKE3 of a bundle's tree",
        "pair" => "two trees with `..` between them",
        "sha256" => "SHA-256 of a bundle's zip",
        "document" => "`provenance.json` or `sbom.json`; below `bundles/` also `location.json`",
        "path" => "the file's path on the branch",
        "generation" => "the secret's number",
        "nonce" => "64 hex digits",
        "repo" => "`{slug}.git`, or `{slug}+all.git` with every tag",
        _ => "the file's name",
    }
}

/// A name for generated clients: the method and the words of the path.
fn id(method: &str, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words = words.filter(|word| *word != "v1");
    std::iter::once(method).chain(words).collect::<Vec<_>>().join("_")
}

fn credential(by: By) -> String {
    match by {
        By::Anyone => "Needs no credential.".to_owned(),
        By::Operator => "For the operator.".to_owned(),
        By::Scope(scope) => format!("For tokens of the tenant with the scope `{scope}`."),
        By::Owner(scope) => {
            format!("For tokens of the tenant with the scope `{scope}`, and for the operator.")
        }
        By::Sender => "For tokens with the scope `build`, or a signature over the body.".to_owned(),
        By::Url => "For tokens with the scope `edge`, or a signed URL.".to_owned(),
    }
}

/// Each is enough.
fn securities(by: By) -> Vec<SecurityRequirement> {
    let require = |name: &str| SecurityRequirement::new(name, [""; 0]);
    match by {
        By::Anyone => Vec::new(),
        By::Operator => vec![require("operator")],
        By::Scope(_) => vec![require("token")],
        By::Owner(_) => vec![require("token"), require("operator")],
        By::Sender => vec![require("token"), require("signature")],
        By::Url => vec![require("token"), SecurityRequirement::default()],
    }
}
