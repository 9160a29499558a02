//! What tokens cost.

use serde::Deserialize;

use crate::{ModelSpec, Provider, Request, Usage, estimate_tokens};

/// The prices of one model, in US dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Price {
    /// Input.
    pub input: f64,
    /// Output, reasoning included.
    pub output: f64,
    /// Input read from the provider's cache.
    pub cache_read: f64,
    /// Input written to it.
    pub cache_write: f64,
}

impl Price {
    /// Returns the price of a model that is told by two numbers: reading its cache costs as much as input,
    /// writing it a quarter more, so that neither is ever counted too low.
    pub fn flat(input: f64, output: f64) -> Self {
        Self { input, output, cache_read: input, cache_write: input * 1.25 }
    }

    /// Returns the price of an answer in US dollars.
    pub fn of(&self, usage: &Usage) -> f64 {
        (usage.input as f64 * self.input
            + usage.output as f64 * self.output
            + usage.cache_read as f64 * self.cache_read
            + usage.cache_write as f64 * self.cache_write)
            / 1e6
    }
}

/// Prices by provider and model; data, so that a price is corrected without a new program.
#[derive(Debug, Clone, PartialEq)]
pub struct PriceTable {
    rows: Vec<Row>,
}

/// One row of a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PriceRow<'a> {
    /// The provider, as specs name it.
    pub provider: &'a str,
    /// The model, or the beginning of names and `*`.
    pub model: &'a str,
    /// What it costs.
    pub price: Price,
    /// Where the price comes from.
    pub source: &'a str,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    provider: String,
    model: String,
    input: f64,
    output: f64,
    cache_read: Option<f64>,
    cache_write: Option<f64>,
    source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: u32,
    /// Where the prices come from whose rows do not say so.
    source: Option<String>,
    #[serde(default)]
    price: Vec<Row>,
}

/// A price table could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PriceError {
    /// It is not TOML of the right form.
    #[error("the price table cannot be read")]
    Parse(#[source] Box<toml::de::Error>),
    /// Its form is of another version.
    #[error("the price table has schema {0}; this version reads 1")]
    Schema(u32),
    /// A row makes no sense.
    #[error("the price of {model:?}: {reason}")]
    Row {
        /// The row's model.
        model: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl PriceTable {
    /// Returns the table that comes with the program (`prices.toml`, with its date).
    pub fn built_in() -> Self {
        Self::parse(include_str!("../prices.toml")).expect("a test reads the built-in table")
    }

    /// Reads a table in the form of `prices.toml`.
    pub fn parse(text: &str) -> Result<Self, PriceError> {
        let mut file: File = toml::from_str(text).map_err(|error| PriceError::Parse(Box::new(error)))?;
        if file.schema != 1 {
            return Err(PriceError::Schema(file.schema));
        }
        for row in &file.price {
            let error = |reason| PriceError::Row { model: row.model.clone(), reason };
            let values = [Some(row.input), Some(row.output), row.cache_read, row.cache_write];
            if values.into_iter().flatten().any(|value| !value.is_finite() || value < 0.0) {
                return Err(error("a price is a number of dollars per million tokens, 0 or more"));
            }
            if !Provider::ALL.iter().any(|provider| provider.as_str() == row.provider) {
                return Err(error("its provider is none that a model can be named with"));
            }
            if row.model.is_empty() {
                return Err(error("the model has no name"));
            }
        }
        for row in &mut file.price {
            row.source = row.source.take().or_else(|| file.source.clone());
        }
        Ok(Self { rows: file.price })
    }

    /// Returns the table of one model.
    pub fn of(spec: &ModelSpec, price: Price, source: &str) -> Self {
        let row = Row {
            provider: spec.provider.as_str().into(),
            model: spec.model.clone(),
            input: price.input,
            output: price.output,
            cache_read: Some(price.cache_read),
            cache_write: Some(price.cache_write),
            source: Some(source.into()),
        };
        Self { rows: vec![row] }
    }

    /// Returns every row, in the order they are looked at.
    pub fn rows(&self) -> impl Iterator<Item = PriceRow<'_>> {
        self.rows.iter().map(Row::told)
    }

    /// Returns this table with `other`'s rows before its own.
    #[must_use]
    pub fn overridden_by(mut self, other: Self) -> Self {
        self.rows.splice(0..0, other.rows);
        self
    }

    /// Returns the price of a model, none when the table does not know it.
    pub fn price(&self, spec: &ModelSpec) -> Option<Price> {
        self.row(spec).map(|row| row.price)
    }

    /// Returns the row that a model's price is in, none when the table does not know it.
    ///
    /// A row is for the model of its very name and for its dated releases (`-2025-08-07`, `-20250929`,
    /// `-latest`). A name ending in `*` is for every model that begins so, and is only looked at when no
    /// row names the model itself. A model that merely resembles a known one has no price: guessing low
    /// would let it spend more than its budget.
    pub fn row(&self, spec: &ModelSpec) -> Option<PriceRow<'_>> {
        let named = |provider: Provider| move |row: &&Row| row.provider == provider.as_str();
        let (own, shared) = (named(spec.provider), named(spec.provider.priced_as()));
        let ours = || self.rows.iter().filter(move |row| own(row) || shared(row));
        let row = ours().find(|row| is_release_of(&row.model, &spec.model)).or_else(|| {
            ours()
                .find(|row| row.model.strip_suffix('*').is_some_and(|prefix| spec.model.starts_with(prefix)))
        })?;
        Some(row.told())
    }
}

impl Row {
    fn told(&self) -> PriceRow<'_> {
        let price = Price {
            input: self.input,
            output: self.output,
            cache_read: self.cache_read.unwrap_or(self.input),
            cache_write: self.cache_write.unwrap_or(self.input),
        };
        let source = self.source.as_deref().unwrap_or("not said");
        PriceRow { provider: &self.provider, model: &self.model, price, source }
    }
}

fn is_release_of(known: &str, model: &str) -> bool {
    match model.strip_prefix(known) {
        Some("" | "-latest") => true,
        Some(rest) => {
            let digits = rest.bytes().filter(u8::is_ascii_digit).count();
            rest.starts_with('-') && digits == 8 && rest.bytes().all(|b| b.is_ascii_digit() || b == b'-')
        }
        None => false,
    }
}

/// Returns an upper bound of one answer's price: every byte of the request at two bytes a token and the
/// dearest input price, and all of `max_tokens`.
pub(crate) fn worst_case(price: &Price, request: &Request) -> f64 {
    let input = estimate_tokens(request_bytes(request)) as f64;
    (input * price.input.max(price.cache_write).max(price.cache_read)
        + f64::from(request.max_tokens) * price.output)
        / 1e6
}

/// Returns an upper bound of the tokens of a question and its answer: every byte of the request at two bytes a token, and
/// all of `max_tokens`.
pub fn most_tokens(request: &Request) -> u64 {
    estimate_tokens(request_bytes(request)).saturating_add(u64::from(request.max_tokens))
}

/// Returns the size of a request as it is sent, nearly: its JSON.
pub(crate) fn request_bytes(request: &Request) -> usize {
    serde_json::to_string(request).map_or(usize::MAX >> 8, |text| text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(spec: &str) -> Option<Price> {
        PriceTable::built_in().price(&spec.parse().unwrap())
    }

    #[test]
    fn dated_releases_have_their_models_price_and_namesakes_have_none() {
        let known = price("openai:gpt-5").unwrap();
        assert_eq!(price("openai:gpt-5-2025-08-07"), Some(known));
        assert!(price("openai:gpt-5-mini").unwrap().input < known.input);
        for unknown in ["openai:gpt-5-ultra", "openai:gpt-55", "openai:gpt-5-1", "openai-compatible:gpt-5"] {
            assert_eq!(price(unknown), None, "{unknown}");
        }
        assert_eq!(price("openai-responses:gpt-5"), Some(known), "the same model by another API");
        assert_eq!(price("anthropic:claude-sonnet-4-5-20250929"), price("anthropic:claude-sonnet-4-5"));
    }

    #[test]
    fn cached_tokens_have_their_own_price() {
        let price = Price { input: 3.0, output: 15.0, cache_read: 0.3, cache_write: 3.75 };
        let usage = Usage {
            input: 1_000_000,
            output: 100_000,
            cache_read: 2_000_000,
            cache_write: 1_000_000,
            estimated: false,
        };
        assert!((price.of(&usage) - (3.0 + 1.5 + 0.6 + 3.75)).abs() < 1e-9);
    }

    #[test]
    fn an_override_wins_and_may_name_many() {
        let table = PriceTable::parse(
            "schema = 1\n[[price]]\nprovider = \"openai-compatible\"\nmodel = \"*\"\ninput = 0\noutput = 0\n\
             [[price]]\nprovider = \"openai\"\nmodel = \"gpt-5\"\ninput = 1\noutput = 2\n",
        )
        .unwrap();
        let table = PriceTable::built_in().overridden_by(table);
        assert_eq!(table.price(&"openai-compatible:qwen".parse().unwrap()).unwrap().output, 0.0);
        assert_eq!(table.price(&"openai:gpt-5".parse().unwrap()).unwrap().input, 1.0);
    }

    #[test]
    fn every_row_says_where_its_price_comes_from() {
        let table = PriceTable::parse(
            "schema = 1\nsource = \"a list\"\n[[price]]\nprovider = \"openai\"\nmodel = \"a\"\ninput = 1\noutput = 2\n\
             [[price]]\nprovider = \"openai\"\nmodel = \"b\"\ninput = 1\noutput = 2\nsource = \"a contract\"\n",
        )
        .unwrap();
        let spec: ModelSpec = "openai:c".parse().unwrap();
        let table = table.overridden_by(PriceTable::of(&spec, Price::flat(4.0, 2.0), "an option"));
        let told: Vec<_> = table.rows().map(|row| (row.model, row.source)).collect();
        assert_eq!(told, [("c", "an option"), ("a", "a list"), ("b", "a contract")]);
        assert_eq!(table.price(&spec).unwrap().cache_write, 5.0, "written to a cache it costs no less");
        assert!(PriceTable::built_in().rows().all(|row| row.source != "not said"));
    }

    #[test]
    fn bad_tables_say_what_is_wrong() {
        assert!(matches!(PriceTable::parse("schema = 2"), Err(PriceError::Schema(2))));
        assert!(matches!(PriceTable::parse("price = 1"), Err(PriceError::Parse(_))));
        for row in [
            "provider = \"openai\"\nmodel = \"m\"\ninput = -1\noutput = 1",
            "provider = \"openai\"\nmodel = \"m\"\ninput = nan\noutput = 1",
            "provider = \"nobody\"\nmodel = \"m\"\ninput = 1\noutput = 1",
            "provider = \"openai\"\nmodel = \"\"\ninput = 1\noutput = 1",
        ] {
            let text = format!("schema = 1\n[[price]]\n{row}\n");
            assert!(matches!(PriceTable::parse(&text), Err(PriceError::Row { .. })), "{row}");
        }
    }

    #[test]
    fn the_worst_case_is_never_less_than_what_an_answer_can_cost() {
        let request = Request { system: "x".repeat(4000), messages: vec![], tools: vec![], max_tokens: 1000 };
        let price = Price { input: 3.0, output: 15.0, cache_read: 0.3, cache_write: 3.75 };
        let real = Usage { cache_write: 1500, output: 1000, ..Usage::default() };
        assert!(worst_case(&price, &request) >= price.of(&real));
    }
}
