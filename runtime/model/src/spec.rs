//! The name a model goes by, and opening it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::http::Client;
use crate::{Model, ModelError, Settings};

/// Whose API a model speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// OpenAI's chat completions.
    OpenAi,
    /// OpenAI's responses, or somebody else's server of them.
    OpenAiResponses,
    /// Somebody else's server of the chat completions; its base URL has to be given.
    OpenAiCompatible,
    /// Anthropic's messages.
    Anthropic,
    /// Google's Gemini.
    Gemini,
}

impl Provider {
    /// Every provider, in the order of the docs.
    pub const ALL: &[Self] =
        &[Self::Anthropic, Self::OpenAi, Self::OpenAiResponses, Self::Gemini, Self::OpenAiCompatible];

    /// Returns the name before the colon of a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::OpenAiResponses => "openai-responses",
            Self::OpenAiCompatible => "openai-compatible",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
        }
    }

    /// Returns the environment variable a key is conventionally in. This crate does not read it.
    pub fn key_variable(self) -> &'static str {
        match self {
            Self::OpenAi | Self::OpenAiResponses | Self::OpenAiCompatible => "OPENAI_API_KEY",
            Self::Anthropic => "ANTHROPIC_API_KEY",
            Self::Gemini => "GEMINI_API_KEY",
        }
    }

    /// Returns the environment variable a base URL is conventionally in. This crate does not read it.
    pub fn base_url_variable(self) -> &'static str {
        match self {
            Self::OpenAi | Self::OpenAiResponses | Self::OpenAiCompatible => "OPENAI_BASE_URL",
            Self::Anthropic => "ANTHROPIC_BASE_URL",
            Self::Gemini => "GOOGLE_GEMINI_BASE_URL",
        }
    }

    /// Returns the API's own address; none where it has to be given.
    pub fn default_base_url(self) -> Option<&'static str> {
        match self {
            Self::OpenAi | Self::OpenAiResponses => Some("https://api.openai.com/v1"),
            Self::OpenAiCompatible => None,
            Self::Anthropic => Some("https://api.anthropic.com/v1"),
            Self::Gemini => Some("https://generativelanguage.googleapis.com/v1beta"),
        }
    }

    /// Returns the provider whose prices count where the table has none of its own: a model costs the same
    /// whichever of its provider's APIs it is asked by.
    pub(crate) fn priced_as(self) -> Self {
        match self {
            Self::OpenAiResponses => Self::OpenAi,
            other => other,
        }
    }

    pub(crate) fn api(self) -> Api {
        match self {
            Self::OpenAi | Self::OpenAiCompatible => Api::Chat,
            Self::OpenAiResponses => Api::Responses,
            Self::Anthropic => Api::Messages,
            Self::Gemini => Api::Gemini,
        }
    }
}

/// A form of requests and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    Chat,
    Responses,
    Messages,
    Gemini,
}

/// Names a model: `openai:gpt-5`, `anthropic:claude-sonnet-4-5`, `openai-compatible:qwen3`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelSpec {
    /// Whose API it speaks.
    pub provider: Provider,
    /// The provider's name for it.
    pub model: String,
}

impl ModelSpec {
    /// Returns the environment variable its key is conventionally in. This crate does not read it.
    pub fn key_variable(&self) -> &'static str {
        self.provider.key_variable()
    }
}

impl fmt::Display for ModelSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.provider.as_str(), self.model)
    }
}

/// A model's spec was malformed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "model {spec:?} is not PROVIDER:MODEL with a provider of anthropic, openai, openai-responses, gemini \
     or openai-compatible, like anthropic:claude-sonnet-4-5"
)]
pub struct SpecError {
    spec: String,
}

impl FromStr for ModelSpec {
    type Err = SpecError;
    fn from_str(spec: &str) -> Result<Self, SpecError> {
        let error = || SpecError { spec: spec.chars().take(200).collect() };
        let (name, model) = spec.trim().split_once(':').ok_or_else(error)?;
        let provider = *Provider::ALL.iter().find(|provider| provider.as_str() == name).ok_or_else(error)?;
        // A comma stands between the specs of a chain.
        let foreign = |c: char| c.is_control() || c.is_whitespace() || c == ',';
        if model.is_empty() || model.len() > 200 || model.chars().any(foreign) {
            return Err(error());
        }
        Ok(Self { provider, model: model.to_owned() })
    }
}

impl Serialize for ModelSpec {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ModelSpec {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Opens a model. Nothing is sent yet.
///
/// # Errors
/// [`ModelError::Setup`] when the base URL is no plain `http` or `https` URL, when it is missing, or when
/// a key is missing where the provider's own API is meant.
pub fn open(spec: &ModelSpec, settings: Settings) -> Result<Arc<dyn Model>, ModelError> {
    Ok(Arc::new(Client::new(spec, settings)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_parse_what_they_print_and_nothing_else() {
        for good in [
            "openai:gpt-5",
            "openai-responses:gpt-5",
            "anthropic:claude-sonnet-4-5",
            "openai-compatible:qwen/qwen3:30b",
        ] {
            assert_eq!(good.parse::<ModelSpec>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "gpt-5",
            "openai:",
            ":x",
            "OpenAI:gpt-5",
            "mistral:x",
            "openai:a b",
            "openai:a,openai:b",
            "openai:a\nb",
        ] {
            assert!(bad.parse::<ModelSpec>().is_err(), "{bad:?}");
        }
    }
}
