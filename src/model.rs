//! Opens models: by specs, options, the environment and the operator's files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use gloaming_model::{
    Limits, Model, ModelSpec, Price, PriceTable, Provider, Rates, SecretString, Settings, ToolCalls,
};
use serde::Deserialize;

use crate::cli::{ReachArgs, ToolsBy};
use crate::context::{self, Home};
use crate::failure::Failure;

/// Every model of the process asks a server at one rate, and waits when one of them is asked to.
static LIMITS: LazyLock<Limits> = LazyLock::new(Limits::default);

/// The operator's `models.toml`: how providers are reached where neither options nor the environment say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Operator {
    schema: u32,
    #[serde(default)]
    provider: BTreeMap<String, Reach>,
}

/// How one provider is reached.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reach {
    url: Option<String>,
    key_file: Option<PathBuf>,
    requests_per_minute: Option<u32>,
    tokens_per_minute: Option<u32>,
    tools: Option<ToolsBy>,
}

impl Operator {
    fn open(home: &Home) -> anyhow::Result<Self> {
        let file = home.data.join("models.toml");
        if !file.exists() {
            return Ok(Self::default());
        }
        let wrong = |what: String| {
            Failure::usage(format!("{}: {what}", file.display())).hint("docs/models.md shows one")
        };
        let text = context::read_text(&file, "the providers' file", context::FILE_CAP)?;
        let operator: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if operator.schema != 1 {
            return Err(wrong(format!("it has schema {}; this version reads 1", operator.schema)).into());
        }
        for (name, reach) in &operator.provider {
            if !Provider::ALL.iter().any(|provider| provider.as_str() == name) {
                let all: Vec<&str> = Provider::ALL.iter().map(|provider| provider.as_str()).collect();
                return Err(wrong(format!("{name:?} is none of the providers {}", all.join(", "))).into());
            }
            if [reach.requests_per_minute, reach.tokens_per_minute].contains(&Some(0)) {
                return Err(wrong(format!("the rate of {name} is 0: it would never be asked")).into());
            }
        }
        Ok(operator)
    }
}

/// Opens a model by its spec, or a chain of several by theirs with commas between, with the key and price that the
/// options name. `price` stands before every table.
pub(crate) fn open_model(
    home: &Home,
    spec: &str,
    args: &ReachArgs,
    price: Option<&str>,
) -> anyhow::Result<Arc<dyn Model>> {
    let mut models = Vec::new();
    for (spec, settings) in reached(home, spec, args, price)? {
        if settings.prices.as_ref().is_none_or(|prices| prices.price(&spec).is_none()) {
            // Found before any work is done: a budget that cannot be read means stop.
            return Err(Failure::usage(format!(
                "the price of {spec} is not known, so no budget could be held"
            ))
            .hint("--model-price IN,OUT in US dollars per million tokens; 0,0 for a model of your own")
            .into());
        }
        models.push(open(&spec, settings)?);
    }
    Ok(gloaming_model::chain(models))
}

/// Returns each model of a spec and how it is reached; its price may be unknown. The options are for the first and for
/// others of its provider: no key is sent to somebody else's server.
pub(crate) fn reached(
    home: &Home,
    specs: &str,
    args: &ReachArgs,
    price: Option<&str>,
) -> anyhow::Result<Vec<(ModelSpec, Settings)>> {
    let operator = Operator::open(home)?;
    let mut reached: Vec<(ModelSpec, Settings)> = Vec::new();
    for spec in specs.split(',') {
        let spec: ModelSpec = spec.parse().map_err(|error| {
            let hint = "like openai:gpt-5 or anthropic:claude-sonnet-4-5";
            Failure::usage(format!("--model: {error}")).hint(hint)
        })?;
        if reached.iter().any(|(before, _)| *before == spec) {
            return Err(Failure::usage(format!("--model names {spec} twice")).into());
        }
        let theirs = reached.first().is_none_or(|(first, _)| first.provider == spec.provider);
        let own = operator.provider.get(spec.provider.as_str()).cloned().unwrap_or_default();
        let mut settings = settings(home, &spec, theirs.then_some((args, price)), own)?;
        settings.stream = !args.no_stream;
        reached.push((spec, settings));
    }
    Ok(reached)
}

/// Opens a model as it is to be reached.
pub(crate) fn open(spec: &ModelSpec, settings: Settings) -> anyhow::Result<Arc<dyn Model>> {
    gloaming_model::open(spec, settings).map_err(|error| Failure::usage(format!("--model: {error}")).into())
}

/// Returns how a model is reached: as options say, else the environment, else the operator's file.
fn settings(
    home: &Home,
    spec: &ModelSpec,
    options: Option<(&ReachArgs, Option<&str>)>,
    own: Reach,
) -> anyhow::Result<Settings> {
    let args = options.map(|(args, _)| args);
    let read = |file: &PathBuf| -> anyhow::Result<String> {
        Ok(context::read_text(file, "the key file", context::FILE_CAP)?.trim().to_owned())
    };
    let key = match (args.and_then(|args| args.model_key_file.as_ref()), &own.key_file) {
        (Some(file), _) => Some(read(file)?),
        (None, file) => match (context::variable(spec.provider.key_variable()), file) {
            (Some(key), _) => Some(key),
            // Beside the file that names it, wherever the program is called from.
            (None, Some(file)) => Some(read(&home.data.join(file))?),
            (None, None) => None,
        },
    };
    let mut prices = prices(home)?;
    if let Some(given) = options.and_then(|(_, price)| price) {
        prices = prices.overridden_by(PriceTable::of(spec, parse_price(given)?, "--model-price"));
    }
    let base_url = args.and_then(|args| args.model_url.clone());
    let base_url = base_url.or_else(|| context::variable(spec.provider.base_url_variable())).or(own.url);
    let rates = Rates {
        requests: args.and_then(|args| args.model_rpm).or(own.requests_per_minute),
        tokens: args.and_then(|args| args.model_tpm).or(own.tokens_per_minute),
    };
    let tools = match args.and_then(|args| args.model_tools).or(own.tools) {
        Some(ToolsBy::Schema) => ToolCalls::Schema,
        Some(ToolsBy::Native) | None => ToolCalls::Native,
    };
    Ok(Settings {
        base_url,
        tools,
        api_key: key.map(SecretString::from),
        prices: Some(prices),
        rates,
        limits: LIMITS.clone(),
        ..Settings::default()
    })
}

/// Returns where the operator's own prices are.
pub(crate) fn prices_file(home: &Home) -> PathBuf {
    home.data.join("prices.toml")
}

/// Returns the built-in prices, the operator's own before them.
pub(crate) fn prices(home: &Home) -> anyhow::Result<PriceTable> {
    let (file, built_in) = (prices_file(home), PriceTable::built_in());
    if !file.exists() {
        return Ok(built_in);
    }
    let text = context::read_text(&file, "the price table", context::FILE_CAP)?;
    let own = PriceTable::parse(&text).map_err(|error| {
        let cause = std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
        Failure::usage(format!("{}: {error}{cause}", file.display()))
            .hint("docs/models.md shows one; `gloaming models list` shows what counts")
    })?;
    Ok(built_in.overridden_by(own))
}

/// Reads `IN,OUT`, US dollars per million tokens.
fn parse_price(given: &str) -> anyhow::Result<Price> {
    let wrong = || {
        Failure::usage(format!("--model-price {given:?} is not a price"))
            .hint("two numbers, US dollars per million tokens in and out, like 1.25,10")
    };
    let (input, output) = given.split_once(',').ok_or_else(wrong)?;
    let number =
        |text: &str| text.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0).ok_or_else(wrong);
    Ok(Price::flat(number(input)?, number(output)?))
}
