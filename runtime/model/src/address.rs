//! Where requests are sent.

use crate::spec::Api;
use crate::{ModelSpec, Provider};

/// Returns the address that a model's requests are sent to.
pub(crate) fn of_model(spec: &ModelSpec, base: &str, stream: bool) -> Result<reqwest::Url, String> {
    let mut url = endpoint(spec.provider, base)?;
    if spec.provider.api() == Api::Gemini {
        // The only API that has model and manner in its address.
        let manner = if stream { "streamGenerateContent" } else { "generateContent" };
        url.set_path(&format!("{}/{}:{manner}", url.path(), spec.model));
        url.set_query(stream.then_some("alt=sse"));
    }
    Ok(url)
}

/// Returns the address of an API.
fn endpoint(provider: Provider, base: &str) -> Result<reqwest::Url, String> {
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
    let (leaf, version_of_api) = match provider.api() {
        Api::Messages => ("/messages", "/v1"),
        Api::Chat => ("/chat/completions", "/v1"),
        Api::Responses => ("/responses", "/v1"),
        Api::Gemini => ("/models", "/v1beta"),
    };
    let anthropic = provider.api() == Api::Messages;
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix(leaf).unwrap_or(path).to_owned();
    // Anthropic's own clients are given the address without the version, OpenAI's with it.
    let version = if path.is_empty() || (anthropic && !path.ends_with("/v1")) { version_of_api } else { "" };
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
    fn geminis_address_has_the_model_in_it() {
        let spec: ModelSpec = "gemini:gemini-3.5-flash".parse().unwrap();
        let of = |base: &str, stream| of_model(&spec, base, stream).unwrap().to_string();
        let models = "https://generativelanguage.googleapis.com/v1beta/models/gemini-3.5-flash";
        let own = spec.provider.default_base_url().unwrap();
        assert_eq!(of(own, false), format!("{models}:generateContent"));
        assert_eq!(of(own, true), format!("{models}:streamGenerateContent?alt=sse"));
        assert_eq!(of("http://h", false), "http://h/v1beta/models/gemini-3.5-flash:generateContent");
        let odd: ModelSpec = "gemini:a?key=b#c/../d".parse().unwrap();
        let url = of_model(&odd, "http://h", false).unwrap();
        assert_eq!((url.host_str(), url.query(), url.fragment()), (Some("h"), None, None), "{url}");
    }

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
