//! From the model's request to what goes over the wire.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};
use url::Url;

use super::error::DriveError;
use super::writing::{Whole, Writing};
use crate::model::history::Request;

/// A request that is known to be valid HTTP, and can be sent any number of times.
#[derive(Clone, Debug)]
pub(super) struct Message {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Message {
    /// The request as it is sent to a service at this base URL.
    ///
    /// Host comes from the URL unless the request names one. A length or transfer encoding of the
    /// request's own is left out: the body is at hand, whole, so its length is known.
    pub(super) fn new(request: &Request, base: &Url) -> Result<Message, DriveError> {
        let refused = |why: String| DriveError::Request {
            method: request.method.clone(),
            path: request.path.clone(),
            why,
        };
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| refused("this is no HTTP method".to_owned()))?;
        let uri = Uri::try_from(on_the_line(&below(base, &request.path)))
            .map_err(|error| refused(format!("this is no path: {error}")))?;
        let mut headers = HeaderMap::with_capacity(request.headers.len() + 2);
        if !request
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            let host =
                HeaderValue::try_from(&base[url::Position::BeforeHost..url::Position::AfterPort])
                    .map_err(|error| refused(format!("the URL's host is no header: {error}")))?;
            headers.append(header::HOST, host);
        }
        for (name, value) in &request.headers {
            let known = HeaderName::try_from(name)
                .map_err(|_| refused(format!("{name:?} is no name of a header")))?;
            if known == header::CONTENT_LENGTH || known == header::TRANSFER_ENCODING {
                continue;
            }
            let value = HeaderValue::try_from(value)
                .map_err(|_| refused(format!("{value:?} cannot be the value of header {name}")))?;
            headers.append(known, value);
        }
        // Without it, some servers answer 411 to a method that commonly has a body.
        if request.body.is_empty() && [Method::POST, Method::PUT, Method::PATCH].contains(&method) {
            headers.append(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Ok(Message {
            method,
            uri,
            headers,
            body: Bytes::from(request.body.clone()),
        })
    }

    /// The length of the body in bytes.
    pub(super) fn body(&self) -> usize {
        self.body.len()
    }

    /// Whether it asks the server to close the connection after the answer.
    pub(super) fn closes(&self) -> bool {
        says_close(&self.headers)
    }

    pub(super) fn to_http(&self, writing: &Arc<Writing>) -> http::Request<Whole> {
        let mut request = http::Request::new(Whole::new(self.body.clone(), Arc::clone(writing)));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// Whether the headers announce that the connection is closed.
pub(super) fn says_close(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|option| option.trim().eq_ignore_ascii_case("close"))
}

/// The path (and query) beneath the path that the base URL has.
pub(super) fn below(base: &Url, path: &str) -> String {
    let prefix = base.path().trim_end_matches('/');
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{prefix}{slash}{path}")
}

/// What cannot stand in a request line, such as a space in a drawn value, is percent-encoded, as a
/// browser does. All else goes as it is, dots and double slashes too.
fn on_the_line(path: &str) -> String {
    use std::fmt::Write as _;
    let mut line = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'!' | b'$'..=b';' | b'=' | b'?'..=b'_' | b'a'..=b'z' | b'|' | b'~' => {
                line.push(char::from(byte));
            }
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(line, "%{byte:02X}");
            }
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
        Request {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: String::new(),
        }
    }

    fn base(url: &str) -> Url {
        Url::parse(url).unwrap()
    }

    #[test]
    fn the_path_stands_beneath_the_base_and_keeps_its_query() {
        let message = Message::new(
            &request("GET", "/orders/../a b?q=ü&r=%20#x", &[]),
            &base("http://[::1]:8080/api/"),
        )
        .unwrap();
        assert_eq!(message.uri, "/api/orders/../a%20b?q=%C3%BC&r=%20%23x");
        assert_eq!(message.headers["host"], "[::1]:8080");
    }

    #[test]
    fn host_is_without_default_port_and_user_and_the_requests_own_wins() {
        let url = base("https://me:secret@shop.test:443");
        let message = Message::new(&request("GET", "x", &[]), &url).unwrap();
        assert_eq!(message.uri, "/x");
        assert_eq!(message.headers["host"], "shop.test");
        let own = request("GET", "x", &[("Host", "other.test")]);
        let message = Message::new(&own, &url).unwrap();
        let hosts: Vec<_> = message.headers.get_all("host").iter().collect();
        assert_eq!(hosts, ["other.test"]);
    }

    #[test]
    fn a_length_of_its_own_is_left_out() {
        let url = base("http://shop.test");
        let headers = [
            ("Content-Length", "99"),
            ("Transfer-Encoding", "chunked"),
            ("A", "b"),
        ];
        let post = Message::new(&request("POST", "/", &headers), &url).unwrap();
        assert_eq!(post.headers["content-length"], "0");
        assert!(!post.headers.contains_key("transfer-encoding"));
        assert_eq!(post.headers["a"], "b");
        let get = Message::new(&request("GET", "/", &headers), &url).unwrap();
        assert!(!get.headers.contains_key("content-length"));
    }

    #[test]
    fn what_is_no_http_is_told() {
        let url = base("http://shop.test");
        let told = |request: Request| Message::new(&request, &url).unwrap_err().to_string();
        assert!(told(request("GE T", "/", &[])).contains("no HTTP method"));
        assert!(told(request("GET", "/", &[("a b", "c")])).contains("\"a b\" is no name"));
        let broken = told(request("GET", "/", &[("key", "a\nb")]));
        assert!(
            broken.contains("\"a\\nb\" cannot be the value of header key"),
            "{broken}"
        );
    }

    #[test]
    fn close_is_one_of_the_options() {
        let mut headers = HeaderMap::new();
        headers.append("connection", HeaderValue::from_static("keep-alive"));
        assert!(!says_close(&headers));
        headers.append("connection", HeaderValue::from_static("x, Close"));
        assert!(says_close(&headers));
    }
}
