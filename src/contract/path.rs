//! Paths of a document, such as `/orders/{id}`, and the requests that they stand for.

use regex::Regex;

/// Stands in a target file's path for what a template makes.
const HOLE: &str = "\u{0}";

/// A path of a document.
#[derive(Clone, Debug)]
pub(super) struct Path {
    segments: Vec<Segment>,
}

#[derive(Clone, Debug)]
struct Segment {
    matches: Regex,
    is_parameter: bool,
}

impl Path {
    /// Reads a path.
    pub(super) fn new(path: &str) -> Result<Path, regex::Error> {
        let segment = |text: &str| {
            let mut pattern = String::from("^");
            let mut rest = text;
            let mut is_parameter = false;
            while let Some((before, (_, after))) = rest
                .split_once('{')
                .and_then(|(before, inner)| Some((before, inner.split_once('}')?)))
            {
                is_parameter = true;
                pattern += &regex::escape(before);
                pattern += ".+";
                rest = after;
            }
            pattern += &regex::escape(rest);
            let matches = Regex::new(&(pattern + "$"))?;
            Ok(Segment {
                matches,
                is_parameter,
            })
        };
        let segments = split(path).map(segment).collect::<Result<_, _>>()?;
        Ok(Path { segments })
    }

    /// Sorts what is said of one path in particular before what is said of many.
    pub(super) fn generality(&self) -> Vec<bool> {
        let each = self.segments.iter();
        each.map(|segment| segment.is_parameter).collect()
    }

    /// Whether a request's path is one of these.
    pub(super) fn fits(&self, path: &str) -> bool {
        self.fits_if(path, |_| false)
    }

    /// Whether some path that a template of the target file makes is one of these.
    pub(super) fn may_fit(&self, template: &str) -> bool {
        // What begins with a value may be of any length.
        template.starts_with(HOLE) || self.fits_if(template, |part| part.contains(HOLE))
    }

    fn fits_if(&self, path: &str, or: impl Fn(&str) -> bool) -> bool {
        let parts: Vec<&str> = split(path).collect();
        let mut both = self.segments.iter().zip(&parts);
        self.segments.len() == parts.len()
            && both.all(|(segment, part)| or(part) || segment.matches.is_match(part))
    }
}

fn split(path: &str) -> std::str::Split<'_, char> {
    path.trim_start_matches('/')
        .trim_end_matches('/')
        .split('/')
}

/// A path of the target file without its query, a hole for each value.
pub(super) fn with_holes(template: &str) -> String {
    let mut path = String::new();
    let mut rest = template;
    while let Some(begin) = rest.find("{{").into_iter().chain(rest.find("{%")).min() {
        let end = ["}}", "%}"]
            .iter()
            .filter_map(|end| rest[begin..].find(end));
        let Some(end) = end.min() else { break };
        path += &rest[..begin];
        path += HOLE;
        rest = &rest[begin + end + 2..];
    }
    path += rest;
    without_query(&path).to_owned()
}

/// A path without its query.
pub(super) fn without_query(path: &str) -> &str {
    path.split('?').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_of_both_kinds_meet() {
        let order = Path::new("/orders/{id}").unwrap();
        assert!(order.fits("/orders/17") && order.fits("/orders/17/"));
        assert!(
            !order.fits("/orders") && !order.fits("/orders/17/items") && !order.fits("/orders/")
        );
        let file = Path::new("/files/{name}.{kind}").unwrap();
        assert!(file.fits("/files/a.b.csv") && !file.fits("/files/a"));
        let holes = with_holes("/orders/{{ order.id }}?page={{ page }}");
        assert!(order.may_fit(&holes) && !file.may_fit(&holes));
        assert!(order.may_fit(&with_holes("{{ base }}/orders")));
        let all = Path::new("/orders/all").unwrap();
        assert!(all.may_fit(&holes) && all.generality() < order.generality());
        assert!(order.may_fit(&with_holes("/orders/{% if new %}1{% endif %}")));
    }
}
