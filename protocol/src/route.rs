//! The route that Envoy chose for a request, in keys and questions.

/// The cluster and name of a route, as one text that fits a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route(String);

impl Route {
    /// Creates a route of this name (most have none) to this cluster.
    pub fn new(cluster: &[u8], name: &[u8]) -> Self {
        let mut text = String::with_capacity(cluster.len().saturating_add(name.len()).saturating_add(1));
        escape(&mut text, cluster);
        if !name.is_empty() {
            // Spaces within the parts are escaped, so that no two routes have the same text.
            text.push(' ');
            escape(&mut text, name);
        }
        Self(text)
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Appends a name, which may have any bytes, and percent-encodes what is not visible ASCII.
fn escape(text: &mut String, part: &[u8]) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |value: u8| DIGITS.get(usize::from(value & 15)).copied().unwrap_or('0');
    for b in part {
        if b.is_ascii_graphic() && *b != b'%' {
            text.push(char::from(*b));
        } else {
            text.extend(['%', digit(b >> 4), digit(*b)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_routes_are_one_text_and_each_fits_into_a_header() {
        let parts: [&[u8]; 7] = [b"a", b"b", b"a b", b"a%20b", b" ", b"", b"outbound|80||\xff\r\n"];
        let all: Vec<Route> =
            parts.iter().flat_map(|cluster| parts.iter().map(|name| Route::new(cluster, name))).collect();
        for (i, a) in all.iter().enumerate() {
            assert!(all.iter().skip(i + 1).all(|b| a != b), "{a:?}");
            assert!(a.as_str().bytes().all(|b| b.is_ascii_graphic() || b == b' '), "{a:?}");
        }
        assert_eq!(
            Route::new(b"outbound|9000|v1|config.platform", b"default").as_str(),
            "outbound|9000|v1|config.platform default"
        );
        assert_eq!(Route::new(b"service", b"").as_str(), "service");
    }
}
