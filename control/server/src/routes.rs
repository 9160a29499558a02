//! Paths and methods, from the table alone.

use gloaming_api::endpoints::{ENDPOINTS, Endpoint};
use http::Method;

/// What a request is for.
pub(crate) enum Routed {
    /// An endpoint, with the parameters of its path.
    Found { endpoint: &'static Endpoint, params: Vec<(String, String)> },
    /// The path is one, and these methods are its.
    Other { allow: String },
    /// Nothing.
    Missing,
}

/// The table, made ready to be asked.
pub(crate) struct Routes(matchit::Router<Vec<&'static Endpoint>>);

impl Routes {
    pub(crate) fn new() -> Self {
        let mut paths: Vec<(&str, Vec<&'static Endpoint>)> = Vec::new();
        for endpoint in ENDPOINTS {
            match paths.iter_mut().find(|(path, _)| *path == endpoint.path) {
                Some((_, all)) => all.push(endpoint),
                None => paths.push((endpoint.path, vec![endpoint])),
            }
        }
        let mut router = matchit::Router::new();
        for (path, endpoints) in paths {
            router.insert(path, endpoints).expect("the table's paths do not overlap; a test holds that");
        }
        Self(router)
    }

    /// Returns what a method and a path, as it was sent, are for. Nothing is decoded or resolved: no parameter of any path
    /// holds what would have to be.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Routed {
        let Ok(found) = self.0.at(path) else { return Routed::Missing };
        // An answer to HEAD is one to GET without its body.
        let wanted = if method == Method::HEAD { "GET" } else { method.as_str() };
        let Some(endpoint) = found.value.iter().find(|one| one.method.as_str() == wanted) else {
            let mut allow: Vec<&str> = found.value.iter().map(|one| one.method.as_str()).collect();
            if allow.contains(&"GET") {
                allow.push("HEAD");
            }
            allow.push("OPTIONS");
            return Routed::Other { allow: allow.join(", ") };
        };
        let params = found.params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Routed::Found { endpoint, params }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_found_and_tricks_are_not() {
        let routes = Routes::new();
        for endpoint in ENDPOINTS {
            let method = Method::from_bytes(endpoint.method.as_str().as_bytes()).unwrap();
            let path = endpoint.path.replace(['{', '}'], "");
            match routes.find(&method, &path) {
                Routed::Found { endpoint: found, .. } => assert_eq!(found.name, endpoint.name),
                _ => panic!("{path}"),
            }
        }
        for path in ["", "*", "/v1", "/v1/tasks/", "//v1/tasks", "/v1//tasks", "/v1/../metrics", "/V1/tasks"]
        {
            assert!(matches!(routes.find(&Method::GET, path), Routed::Missing), "{path}");
        }
        let Routed::Other { allow } = routes.find(&Method::PATCH, "/v1/tasks") else {
            panic!("it is a path")
        };
        assert_eq!(allow, "POST, GET, HEAD, OPTIONS");
    }
}
