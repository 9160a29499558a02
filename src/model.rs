//! Opens models: by specs, options, the environment and the operator's files.

use std::path::PathBuf;
use std::sync::Arc;

use gloaming_model::{Model, ModelSpec, Price, PriceTable, SecretString, Settings};

use crate::cli::ReachArgs;
use crate::context::{self, Home};
use crate::failure::Failure;

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
        let settings = settings(home, &spec, theirs.then_some((args, price)), !args.no_stream)?;
        reached.push((spec, settings));
    }
    Ok(reached)
}

/// Opens a model as it is to be reached.
pub(crate) fn open(spec: &ModelSpec, settings: Settings) -> anyhow::Result<Arc<dyn Model>> {
    gloaming_model::open(spec, settings).map_err(|error| Failure::usage(format!("--model: {error}")).into())
}

fn settings(
    home: &Home,
    spec: &ModelSpec,
    options: Option<(&ReachArgs, Option<&str>)>,
    stream: bool,
) -> anyhow::Result<Settings> {
    let key = match options.and_then(|(args, _)| args.model_key_file.as_ref()) {
        Some(file) => Some(context::read_text(file, "the key file", context::FILE_CAP)?.trim().to_owned()),
        None => context::variable(spec.provider.key_variable()),
    };
    let mut prices = prices(home)?;
    if let Some(given) = options.and_then(|(_, price)| price) {
        prices = prices.overridden_by(PriceTable::of(spec, parse_price(given)?, "--model-price"));
    }
    let base_url = options.and_then(|(args, _)| args.model_url.clone());
    Ok(Settings {
        base_url: base_url.or_else(|| context::variable(spec.provider.base_url_variable())),
        api_key: key.map(SecretString::from),
        stream,
        prices: Some(prices),
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
