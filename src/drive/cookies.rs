//! Cookies: what a browser would remember of a service's answers, and send along.

use cookie_store::{CookieStore, RawCookie};
use url::Url;

use super::request::below;
use crate::model::history::{Answer, Request};

/// The cookies of one actor.
///
/// As browsers do, it takes a service on the loopback interface for a secure one, so `Secure`
/// cookies work over plain http there; and it does not tell ports apart, so a session holds on all
/// replicas of a host.
#[derive(Clone, Debug, Default)]
pub struct Jar {
    store: CookieStore,
}

impl Jar {
    /// Adds the cookies that a browser would send with this request to the service at this base
    /// URL. A cookie that the request sets itself stays as it is.
    pub fn add_to(&self, request: &mut Request, url: &Url) {
        let target = url
            .join(&below(url, &request.path))
            .unwrap_or_else(|_| url.clone());
        let mut matching = self.store.matches(&target);
        // The longest path first, as RFC 6265 asks for; by name then, so that a request is the same
        // in every run.
        matching.sort_by(|a, b| {
            let longest = b.path.len().cmp(&a.path.len());
            longest.then_with(|| a.name().cmp(b.name()))
        });
        let own = request
            .headers
            .iter_mut()
            .find(|(name, _)| name.eq_ignore_ascii_case("cookie"));
        let set: Vec<&str> = own
            .iter()
            .flat_map(|(_, value)| value.split(';'))
            .map(|pair| pair.split('=').next().unwrap_or(pair).trim())
            .collect();
        let pairs: Vec<String> = matching
            .iter()
            .filter(|cookie| !set.contains(&cookie.name()))
            .map(|cookie| format!("{}={}", cookie.name(), cookie.value()))
            .collect();
        if pairs.is_empty() {
            return;
        }
        let pairs = pairs.join("; ");
        match own {
            Some((_, value)) => {
                value.push_str("; ");
                value.push_str(&pairs);
            }
            None => request.headers.push(("cookie".to_owned(), pairs)),
        }
    }

    /// Remembers what the answer sets, and forgets what it expires. `url` is the service's base
    /// URL, or the request's own. What is no cookie is passed over, as browsers do.
    pub fn take_from(&mut self, answer: &Answer, url: &Url) {
        let cookies = answer
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
            .filter_map(|(_, value)| RawCookie::parse(value.clone()).ok());
        self.store.store_response_cookies(cookies, url);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(set: &[&str]) -> Answer {
        Answer {
            status: 200,
            headers: set
                .iter()
                .map(|value| ("set-cookie".to_owned(), (*value).to_owned()))
                .collect(),
            body: String::new(),
        }
    }

    fn sent(jar: &Jar, url: &str, path: &str, own: &[(&str, &str)]) -> Vec<String> {
        let mut request = Request {
            method: "GET".to_owned(),
            path: path.to_owned(),
            headers: own
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: String::new(),
        };
        jar.add_to(&mut request, &Url::parse(url).unwrap());
        let cookies = request.headers.iter();
        cookies
            .map(|(name, value)| format!("{name}: {value}"))
            .collect()
    }

    fn jar(url: &str, set: &[&str]) -> Jar {
        let mut jar = Jar::default();
        jar.take_from(&answer(set), &Url::parse(url).unwrap());
        jar
    }

    #[test]
    fn what_was_set_is_sent_to_every_replica_of_the_host() {
        let jar = jar(
            "http://127.0.0.1:8001",
            &["b=2; HttpOnly; Secure; SameSite=Lax", "a=1"],
        );
        assert_eq!(
            sent(&jar, "http://127.0.0.1:8002/", "/x", &[]),
            ["cookie: a=1; b=2"]
        );
        assert!(sent(&jar, "http://other.test/", "/x", &[]).is_empty());
    }

    #[test]
    fn a_cookies_path_is_kept_to() {
        let jar = jar(
            "http://shop.test/api/",
            &["deep=1; Path=/api/cart", "all=2; Path=/"],
        );
        let base = "http://shop.test/api/";
        assert_eq!(
            sent(&jar, base, "/cart?of=me", &[]),
            ["cookie: deep=1; all=2"]
        );
        assert_eq!(sent(&jar, base, "/orders", &[]), ["cookie: all=2"]);
    }

    #[test]
    fn later_answers_replace_and_expire() {
        let mut jar = jar("http://shop.test/", &["a=1", "b=1"]);
        let expired = answer(&["a=2", "b=; Max-Age=0", "no cookie at all"]);
        jar.take_from(&expired, &Url::parse("http://shop.test/").unwrap());
        assert_eq!(sent(&jar, "http://shop.test/", "/", &[]), ["cookie: a=2"]);
    }

    #[test]
    fn a_cookie_of_the_requests_own_wins() {
        let jar = jar("http://shop.test/", &["a=1", "b=1"]);
        assert_eq!(
            sent(&jar, "http://shop.test/", "/", &[("Cookie", "a=mine; c=3")]),
            ["Cookie: a=mine; c=3; b=1"]
        );
    }

    #[test]
    fn a_secure_cookie_stays_off_plain_http() {
        let jar = jar("https://shop.test/", &["a=1; Secure"]);
        assert!(sent(&jar, "http://shop.test/", "/", &[]).is_empty());
        assert_eq!(sent(&jar, "https://shop.test/", "/", &[]), ["cookie: a=1"]);
    }
}
