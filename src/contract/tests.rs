//! What a user's files say, and what answers break of it.

use std::path::Path;

use tempfile::TempDir;

use super::*;

const SERVICE: &str = "[service]\nstart = 'x'\n[database]\nengines = ['sqlite']\n";

/// A target with these files beside it.
fn folder(target: &str, files: &[(&str, &str)]) -> (TempDir, Target) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let text = format!("{SERVICE}{target}");
    let target = Target::parse(Path::new("deadheat.toml"), folder.path(), text).unwrap();
    (folder, target)
}

fn open(target: &str, files: &[(&str, &str)]) -> Contract {
    let (_folder, target) = folder(target, files);
    Contract::open(&target).unwrap_or_else(|error| panic!("{error}"))
}

/// What is wrong with a user's files, as it is drawn.
fn wrong(target: &str, files: &[(&str, &str)]) -> String {
    let (_folder, target) = folder(target, files);
    Contract::open(&target).unwrap_err().to_string()
}

fn request(line: &str, body: &str) -> Request {
    let (method, path) = line.split_once(' ').unwrap();
    Request {
        method: method.to_owned(),
        path: path.to_owned(),
        headers: Vec::new(),
        body: body.to_owned(),
    }
}

fn answer(status: u16, body: &str) -> Answer {
    Answer {
        status,
        headers: Vec::new(),
        body: body.to_owned(),
    }
}

fn breaches(contract: &Contract, line: &str, status: u16, body: &str) -> Vec<String> {
    let found = contract.breaches("op", &request(line, ""), &answer(status, body));
    let told = found.iter();
    told.map(|breach| format!("{}: {} ({})", breach.place, breach.kind, breach.source))
        .collect()
}

const DOCUMENT: &str = r##"
openapi: 3.0.3
servers: [{url: "https://{host}/{version}", variables: {host: {default: x.org}, version: {default: v1}}}]
paths:
  /orders/{id}:
    get:
      responses:
        200:
          content:
            application/json; charset=utf-8:
              schema: {$ref: "#/components/schemas/Order"}
            text/csv: {}
        4XX: {$ref: "#/components/responses/Error"}
    delete:
      responses:
        "204": {description: gone}
        default: {$ref: "#/components/responses/Error"}
  /orders/all:
    get:
      responses:
        200:
          content:
            application/json:
              schema: {type: array, items: {$ref: "#/components/schemas/Order"}}
  /orders:
    post:
      requestBody:
        required: true
        content:
          application/json:
            schema:
              type: object
              required: [id, quantity]
              properties:
                id: {type: integer, readOnly: true}
                quantity: {type: integer, minimum: 0, exclusiveMinimum: true}
                note: {type: string, nullable: true}
      responses: {201: {description: made}}
  /hooks:
    post:
      requestBody: {content: {application/json: {schema: {type: object}}, text/plain: {}}}
      responses: {default: {description: anything}}
components:
  responses:
    Error:
      content:
        application/problem+json:
          schema: {type: object, required: [error], properties: {error: {type: string}}}
  schemas:
    Customer: {type: object, required: [name], properties: {name: {type: string}}}
    Order:
      type: object
      required: [id, total_cents, status, customer, secret]
      properties:
        id: {type: integer}
        total_cents: {type: integer}
        secret: {type: string, writeOnly: true}
        status: {type: string, enum: [open, paid], nullable: true}
        customer: {nullable: true, allOf: [{$ref: "#/components/schemas/Customer"}]}
        parent: {$ref: "#/components/schemas/Order"}
"##;

fn documented(request: &str) -> Contract {
    let target = format!(
        "[contract]\nopenapi = 'a.yaml'\n[operations.op]\nrequest = '{request}'\nvalues = {{ order = {{ range = [1, 9] }}, full = {{ choice = [1] }} }}\n"
    );
    open(&target, &[("a.yaml", DOCUMENT)])
}

const RIGHT: &str = r#"{"id": 1, "total_cents": 5, "status": null, "customer": null}"#;

#[test]
fn answers_are_held_to_a_document() {
    let contract = documented("GET /v1/orders/{{ order.id }}?full={{ full }}");
    assert!(contract.covers("op") && !contract.covers("other"));
    let read = |status, body| breaches(&contract, "GET /v1/orders/7?full=1", status, body);
    assert_eq!(read(200, RIGHT), [""; 0]);
    assert_eq!(
        read(
            200,
            r#"{"id": 1, "total": 5, "status": "settled", "customer": {}, "parent": {"id": null}}"#
        ),
        [
            "/customer/name: the field `name` is missing (a.yaml)",
            "/parent/customer: the field `customer` is missing (a.yaml)",
            "/parent/id: `id` is null, and must not be (a.yaml)",
            "/parent/status: the field `status` is missing (a.yaml)",
            "/parent/total_cents: the field `total_cents` is missing (a.yaml)",
            "/status: `status` is `settled`, none of open, paid (a.yaml)",
            "/total_cents: the field `total_cents` is missing (a.yaml)",
        ]
    );
    assert_eq!(read(200, "<html>"), [": the body is no JSON (a.yaml)"]);
    assert_eq!(read(200, ""), [": the body is empty, and no JSON (a.yaml)"]);
    assert_eq!(
        read(404, r#"{"message": "no"}"#),
        ["/error: the field `error` is missing (a.yaml)"]
    );
    assert_eq!(
        read(201, RIGHT),
        [": a status that the document does not have (a.yaml)"]
    );
    // Errors of the server are told as what they are.
    assert_eq!(read(500, "oops"), [""; 0]);
    let mut csv = answer(200, "id,total");
    csv.headers = vec![(
        "Content-Type".to_owned(),
        "text/csv; header=present".to_owned(),
    )];
    let request = request("GET /v1/orders/7", "");
    assert_eq!(contract.breaches("op", &request, &csv), []);
}

#[test]
fn a_default_speaks_for_every_other_status_and_no_content_of_no_body() {
    let contract = documented("DELETE /orders/{{ order }}");
    let delete = |status, body| breaches(&contract, "DELETE /orders/7", status, body);
    assert_eq!(delete(204, ""), [""; 0]);
    assert_eq!(delete(418, r#"{"error": "teapot"}"#), [""; 0]);
    assert_eq!(
        delete(500, "{}"),
        ["/error: the field `error` is missing (a.yaml)"]
    );
}

#[test]
fn the_particular_path_speaks_and_what_is_lacking_is_no_breach() {
    let contract = documented("GET /orders/all");
    let list = breaches(&contract, "GET /orders/all", 200, r#"[{"id": "x"}]"#);
    let wrong = "/*/id: `id` is a text, and not a whole number (a.yaml)";
    assert!(list.iter().any(|told| told == wrong), "{list:?}");
    let contract = documented("GET /v2/orders/{{ order }}");
    assert!(!contract.covers("op"));
    assert_eq!(breaches(&contract, "GET /v2/orders/7", 418, "x"), [""; 0]);
    let contract = documented("PUT /orders/{{ order }}");
    assert!(!contract.covers("op"));
}

#[test]
fn request_bodies_are_judged_where_something_is_said_of_them() {
    let contract = documented("POST /orders");
    let takes = |body: &str| contract.takes("op", &request("POST /orders", body));
    assert_eq!(takes(r#"{"quantity": 1, "note": null}"#), Some(true));
    assert_eq!(takes(r#"{"quantity": 0}"#), Some(false));
    assert_eq!(takes(r#"{"quantity": "1"}"#), Some(false));
    assert_eq!(takes(""), Some(false));
    assert_eq!(takes("quantity=1"), None);
    let contract = documented("POST /hooks");
    let takes = |body: &str| contract.takes("op", &request("POST /hooks", body));
    assert_eq!(takes("{}"), None, "an object is next to nothing");
    assert_eq!(takes("[]"), Some(false));
    assert_eq!(
        documented("DELETE /orders/1").takes("op", &request("DELETE /orders/1", "{}")),
        None
    );
}

#[test]
fn the_files_own_schemas_come_first_and_the_error_last() {
    let target = r#"
        [contract]
        openapi = "a.json"
        error = { type = "object", required = ["error"] }
        [operations.op]
        request = "GET /x"
        [operations.op.schemas]
        201 = "mine.json"
        404 = { type = "object", required = ["code"] }
        [operations.other]
        request = "GET /y"
    "#;
    let document = r##"{"openapi": "3.1.0", "paths": {"/x": {"get": {"responses": {
        "201": {"content": {"application/json": {"schema": {"type": "array"}}}},
        "400": {"description": "wrong"},
        "422": {"content": {"text/plain": {}}},
        "203": {"content": {"*/*": {"schema": {"type": "object"}}}},
        "200": {"content": {"application/json": {"schema": {
            "type": ["object", "null"], "$defs": {"n": {"exclusiveMinimum": 5}}, "properties": {"n": {"$ref": "#/paths/~1x/get/responses/200/content/application~1json/schema/$defs/n"}}
        }}}}
    }}}}}"##;
    let mine = r##"{"$ref": "#/$defs/thing", "$defs": {"thing": {"required": ["mine"]}}}"##;
    let contract = open(target, &[("a.json", document), ("mine.json", mine)]);
    let x = |status, body| breaches(&contract, "GET /x", status, body);
    assert_eq!(
        x(201, "{}"),
        ["/mine: the field `mine` is missing (mine.json)"]
    );
    assert_eq!(
        x(404, "{}"),
        ["/code: the field `code` is missing (deadheat.toml)"]
    );
    assert_eq!(x(200, "null"), [""; 0]);
    assert!(x(200, r#"{"n": 5}"#)[0].starts_with("/n: `n` is not as agreed: "));
    assert_eq!(
        x(503, "{}"),
        ["/error: the field `error` is missing (deadheat.toml)"]
    );
    assert_eq!(
        x(202, "{}"),
        [": a status that the document does not have (a.json)"]
    );
    // A status without a word on its body, and one whose body is no JSON.
    assert_eq!(x(400, "{}"), x(503, "{}"));
    assert_eq!(x(422, "oops"), [""; 0]);
    // Anything, and JSON if nothing else is said.
    let mut anything = answer(203, "oops");
    assert_eq!(x(203, "oops"), [": the body is no JSON (a.json)"]);
    anything.headers = vec![("content-type".to_owned(), "text/html".to_owned())];
    assert_eq!(
        contract.breaches("op", &request("GET /x", ""), &anything),
        []
    );
    assert!(!contract.covers("other"));
}

#[test]
fn a_head_has_no_body() {
    let contract = open(
        "[operations.op]\nrequest = 'HEAD /x'\n[operations.op.schemas]\n200 = { type = 'object' }\n",
        &[],
    );
    assert_eq!(breaches(&contract, "HEAD /x", 200, ""), [""; 0]);
    assert_eq!(breaches(&contract, "GET /x", 200, "").len(), 1);
}

#[test]
fn mistakes_in_the_files_are_drawn() {
    let op = "[operations.op]\nrequest = 'GET /x'\n";
    let openapi = format!("[contract]\nopenapi = 'a.yaml'\n{op}");
    let of = |text: &str| wrong(&openapi, &[("a.yaml", text)]);
    let says = |told: &str, all: &[&str]| {
        for text in all {
            assert!(told.contains(text), "no {text:?} in {told}");
        }
    };
    says(
        &wrong(&openapi, &[]),
        &["deadheat.toml:6:11", "`a.yaml` cannot be read"],
    );
    says(&of("a: [1"), &["`a.yaml` is no YAML"]);
    says(&of("openapi: 3.0.0"), &["`a.yaml` has no `paths`"]);
    says(
        &of("swagger: '2.0'\npaths: {}"),
        &["version 2.0", "OpenAPI 3"],
    );
    says(&of("paths: {}"), &["no OpenAPI document"]);
    let response = |inner: &str| {
        of(&format!(
            "openapi: 3.0.0\npaths: {{/x: {{get: {{responses: {inner}}}}}}}"
        ))
    };
    says(
        &response("{2000: {description: x}}"),
        &[
            "/paths/~1x/get/responses/2000",
            "`2000` is no status",
            "4XX",
        ],
    );
    let schema = |inner: &str| {
        response(&format!(
            "{{200: {{content: {{application/json: {{schema: {inner}}}}}}}}}"
        ))
    };
    says(
        &schema("{properties: {a: {type: strin}}}"),
        &["/paths/~1x/get/responses/200/content/application~1json/schema/properties/a/type"],
    );
    says(
        &schema("{$ref: '#/components/schemas/X'}"),
        &["`/components/schemas/X`", "nothing is there"],
    );
    says(
        &schema("{$ref: 'other.yaml#/X'}"),
        &["other.yaml#/X", "bundle"],
    );
    // What the target does not call is not looked at.
    let other = "openapi: 3.0.0\npaths: {/y: {get: {responses: {2000: {}}}}}";
    assert!(!open(&openapi, &[("a.yaml", other)]).covers("op"));
    let own = format!("{op}[operations.op.schemas]\n2000 = 'a.json'\n200 = 'a.json'\n");
    says(
        &wrong(&own, &[("a.json", r#"{"type": 5}"#)]),
        &[
            "8:1",
            "`2000` is no status",
            "9:7",
            "no JSON Schema",
            "/type",
        ],
    );
    says(&wrong(&own, &[]), &["`a.json` cannot be read"]);
    says(
        &wrong(
            &format!("[contract]\nerror = {{ type = 'strin' }}\n{op}"),
            &[],
        ),
        &["6:9", "no JSON Schema"],
    );
    let baseline = |text: &str| wrong(op, &[("contract.json", text)]);
    says(&baseline("{"), &["`contract.json` is no JSON"]);
    says(
        &baseline(r#"{"format": 2}"#),
        &["format 2", "--record-contract"],
    );
    says(
        &baseline(r#"{"format": 1}"#),
        &["no recorded contract", "operations"],
    );
    says(
        &baseline(r#"{"format": 1, "operations": {"op": {"200": {"type": "x"}, "2": {}}}}"#),
        &["/operations/op/200", "/operations/op/2`: `2` is no status"],
    );
}

#[test]
fn what_was_recorded_is_what_later_answers_are_held_to() {
    let (folder, target) = folder("[operations.op]\nrequest = 'GET /x'\n", &[]);
    let mut recording = Contract::recording(&target).unwrap();
    assert_eq!(recording.write().unwrap(), None, "nothing was heard");
    for n in 0..120 {
        let status = if n % 2 == 0 { "open" } else { "paid" };
        let body = format!(
            r#"{{"id": {n}, "status": "{status}", "note": "x", "items": [{{"price": 1}}], "late": []}}"#
        );
        recording.hear("op", &answer(200, &body));
        assert_eq!(breaches(&recording, "GET /x", 200, "[]"), [""; 0]);
    }
    let recorded = recording.write().unwrap().unwrap();
    assert_eq!(recorded.operations, 1);
    assert_eq!(
        recorded.path,
        folder.path().canonicalize().unwrap().join("contract.json")
    );
    let written = std::fs::read_to_string(&recorded.path).unwrap();
    recording.write().unwrap().unwrap();
    assert_eq!(written, std::fs::read_to_string(&recorded.path).unwrap());
    assert!(written.starts_with("{\n  \"format\": 1,\n"), "{written}");

    let contract = Contract::open(&target).unwrap();
    assert!(contract.covers("op"));
    let now = |status, body| breaches(&contract, "GET /x", status, body);
    let same =
        r#"{"id": 1, "status": "paid", "note": "y", "items": [], "late": [{"a": 1}], "new": 5}"#;
    assert_eq!(now(200, same), [""; 0]);
    assert_eq!(now(404, "whatever"), [""; 0]);
    assert_eq!(
        contract.breaches("new", &request("GET /y", ""), &answer(200, "x")),
        []
    );
    let clients = "clients of the recorded contract";
    assert_eq!(
        now(
            200,
            r#"{"id": "1", "status": "settled", "note": null, "items": [{}, {}], "late": []}"#
        ),
        [
            format!("/id: {clients} expect a number in `id`, and not a text (contract.json)"),
            format!("/items/*/price: {clients} read `price`, which is gone (contract.json)"),
            format!("/note: {clients} do not expect null in `note` (contract.json)"),
            format!("/status: {clients} know no value `settled` of `status` (contract.json)"),
        ]
    );
    assert_eq!(
        now(200, ""),
        [format!(
            ": {clients} read JSON, and the body is none (contract.json)"
        )]
    );
}
