//! Where requests are sent.

use crate::Provider;
use crate::spec::Api;

/// Returns the address requests are sent to.
pub(crate) fn endpoint(provider: Provider, base: &str) -> Result<reqwest::Url, String> {
    let mut url = reqwest::Url::parse(base.trim()).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("it is neither http nor https".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it holds a user name or password".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it holds a query or a fragment".into());
    }
    let (leaf, anthropic) = match provider.api() {
        Api::Messages => ("/messages", true),
        Api::Chat => ("/chat/completions", false),
        Api::Responses => ("/responses", false),
    };
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix(leaf).unwrap_or(path).to_owned();
    // Anthropic's own clients are given the address without the version, OpenAI's with it.
    let version = if path.is_empty() || (anthropic && !path.ends_with("/v1")) { "/v1" } else { "" };
    url.set_path(&format!("{path}{version}{leaf}"));
    Ok(url)
}

/// Returns a server as `scheme://host:port`.
pub(crate) fn origin(url: &reqwest::Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}://{}:{port}", url.scheme(), url.host_str().unwrap_or_default())
}

pub(crate) fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or("").trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_leads_to_the_right_endpoint() {
        for (provider, base, url) in [
            (Provider::OpenAi, "https://api.openai.com/v1", "https://api.openai.com/v1/chat/completions"),
            (Provider::OpenAi, "https://h/openai/v1/", "https://h/openai/v1/chat/completions"),
            (Provider::OpenAi, "https://h/api/paas/v4", "https://h/api/paas/v4/chat/completions"),
            (Provider::OpenAi, "http://127.0.0.1:9", "http://127.0.0.1:9/v1/chat/completions"),
            (Provider::OpenAi, "http://h/v1/chat/completions", "http://h/v1/chat/completions"),
            (Provider::OpenAiResponses, "https://api.openai.com/v1", "https://api.openai.com/v1/responses"),
            (Provider::OpenAiResponses, "http://h/v1/responses/", "http://h/v1/responses"),
            (Provider::Anthropic, "https://api.anthropic.com", "https://api.anthropic.com/v1/messages"),
            (Provider::Anthropic, "http://127.0.0.1:9/v1/", "http://127.0.0.1:9/v1/messages"),
            (Provider::Anthropic, "https://gw/anthropic", "https://gw/anthropic/v1/messages"),
        ] {
            assert_eq!(endpoint(provider, base).unwrap().as_str(), url);
        }
        for bad in ["", "api.openai.com/v1", "ftp://h/", "https://u:p@h/", "https://h/v1?key=1", "file:///x"]
        {
            assert!(endpoint(Provider::OpenAi, bad).is_err(), "{bad}");
        }
    }
}
