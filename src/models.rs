//! `gloaming models`: whether a model does what a run needs, and what models cost.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gloaming_api::bowout::shorten;
use gloaming_api::path::escape_name;
use gloaming_model::{
    Block, Message, Model, ModelError, ModelSpec, PriceRow, Request, Response, Role, Settings, ToolDef,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::{ModelsArgs, ModelsCommand, ModelsTestArgs};
use crate::context::Home;
use crate::failure::exit;
use crate::model;
use crate::told::print_json;

/// Tokens an answer may have: room for a model that thinks first.
const MAX_TOKENS: u32 = 2048;

pub(crate) async fn main(args: ModelsArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        ModelsCommand::Test(args) => test(&args).await,
        ModelsCommand::List { json } => list(json),
    }
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Result {
    Works,
    /// It answered, and not as a run needs it.
    Fails,
    /// It gave no answer.
    Unreachable,
    /// What comes before it gave no answer to go on with.
    NotAsked,
}

#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    result: Result,
    detail: String,
}

/// What was found of one model.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    checks: Vec<Check>,
    /// None when the price is not known.
    cost_usd: Option<f64>,
}

async fn test(args: &ModelsTestArgs) -> anyhow::Result<ExitCode> {
    let home = Home::open()?;
    let mut reports = Vec::new();
    for (spec, settings) in
        model::reached(&home, &args.model, &args.reach, args.reach.model_price.as_deref())?
    {
        reports.push(report(&spec, &settings).await?);
    }
    let all = || reports.iter().flat_map(|report| &report.checks).map(|check| check.result);
    let code = match () {
        () if all().any(|result| result == Result::Unreachable) => exit::INFRASTRUCTURE,
        () if all().any(|result| result != Result::Works) => exit::BLOCK,
        () => exit::OK,
    };
    if args.json {
        print_json(&json!({"works": code == exit::OK, "models": reports}));
        return Ok(ExitCode::from(code));
    }
    for report in &reports {
        println!("{}", report.model);
        for check in &report.checks {
            let word = match check.result {
                Result::Works => "works",
                Result::Fails => "FAILS",
                Result::Unreachable => "NO ANSWER",
                Result::NotAsked => "not asked",
            };
            println!("  {:<16} {word:<10} {}", check.check, check.detail);
        }
        if let Some(cost) = report.cost_usd {
            println!("  asking cost ${cost:.4}");
        }
    }
    Ok(ExitCode::from(code))
}

/// Asks a model for everything a run needs, one after the other.
async fn report(spec: &ModelSpec, settings: &Settings) -> anyhow::Result<Report> {
    let open = |stream| {
        // Somebody waits: what passes is tried again once, and nothing takes longer than a run would allow it to.
        let (tries, total) = (2, Duration::from_secs(5 * 60));
        model::open(spec, Settings { stream, tries, total, ..settings.clone() })
    };
    let (whole, streamed) = (open(false)?, open(true)?);
    let mut asked = Asked::default();
    let words = request("Reply with the one word: ready.", &[]);
    let plain = asked.ask("whole answer", &whole, &words, said).await;
    let flowing = asked.ask("streamed answer", &streamed, &words, said).await;
    // A run goes by what its options say; a call is tried by the way that works.
    let preferred = if settings.stream { &streamed } else { &whole };
    let model = match (plain.is_some(), flowing.is_some()) {
        (true, true) => Some(preferred),
        (true, false) => Some(&whole),
        (false, true) => Some(&streamed),
        (false, false) => None,
    };
    let tools = [ToolDef {
        name: "add".into(),
        description: "Adds two whole numbers.".into(),
        input_schema: json!({
            "type": "object", "required": ["a", "b"], "additionalProperties": false,
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        }),
    }];
    let mut question =
        request("Call the tool `add` with a = 19 and b = 23. Do not compute it yourself.", &tools);
    let called = match model {
        Some(model) => asked.ask("tool call", model, &question, called).await,
        None => asked.skip("tool call"),
    };
    match (model, called.as_ref().and_then(|answer| call_of(answer).map(|(id, _)| (answer, id)))) {
        (Some(model), Some((answer, id))) => {
            let content = "42".to_owned();
            let result = Block::ToolResult { id: id.to_owned(), content, is_error: false };
            question.messages.push(Message { role: Role::Assistant, blocks: answer.blocks.clone() });
            question.messages.push(Message { role: Role::User, blocks: vec![result] });
            asked.ask("tool result", model, &question, said).await;
        }
        _ => drop(asked.skip("tool result")),
    }
    let price = settings.prices.as_ref().and_then(|prices| prices.row(spec));
    asked.count_usage();
    asked.checks.push(match &price {
        Some(row) => Check { check: "price", result: Result::Works, detail: in_words(row) },
        None => Check {
            check: "price",
            result: Result::Fails,
            detail: "not known: a run needs --model-price IN,OUT".into(),
        },
    });
    let cost_usd = price.map(|_| asked.cost_usd);
    Ok(Report { model: spec.to_string(), checks: asked.checks, cost_usd })
}

/// What was asked so far.
#[derive(Default)]
struct Asked {
    checks: Vec<Check>,
    answers: u32,
    /// Answers whose usage the provider did not name.
    uncounted: u32,
    cost_usd: f64,
}

impl Asked {
    /// Asks once, and judges the answer: in words what is good of it, or what is missing.
    async fn ask(
        &mut self,
        check: &'static str,
        model: &Arc<dyn Model>,
        request: &Request,
        judge: fn(&Response) -> std::result::Result<String, String>,
    ) -> Option<Response> {
        let since = Instant::now();
        let (result, detail, answer) = match model.complete(request).await {
            Ok(answer) => {
                self.answers += 1;
                self.uncounted += u32::from(answer.usage.estimated);
                self.cost_usd += answer.cost_usd.unwrap_or(0.0);
                let (result, words) = match judge(&answer) {
                    Ok(words) => (Result::Works, words),
                    Err(words) => (Result::Fails, words),
                };
                let took = since.elapsed().as_secs_f64();
                let by =
                    if answer.model.is_empty() { String::new() } else { format!(" by {}", answer.model) };
                (result, format!("{words}{by}, {took:.1} s"), Some(answer))
            }
            Err(error) => {
                self.cost_usd += ModelError::spent_usd(&error).unwrap_or(0.0);
                (Result::Unreachable, error.in_words(), None)
            }
        };
        // What a server says is a stranger's.
        let detail = escape_name(shorten(&detail, 500).as_bytes());
        self.checks.push(Check { check, result, detail });
        answer
    }

    fn skip(&mut self, check: &'static str) -> Option<Response> {
        let detail = "for want of an answer before".into();
        self.checks.push(Check { check, result: Result::NotAsked, detail });
        None
    }

    fn count_usage(&mut self) {
        let (result, detail) = match (self.answers, self.uncounted) {
            (0, _) => (Result::NotAsked, "for want of an answer".into()),
            (_, 0) => (Result::Works, "named with every answer".into()),
            (all, some) => (
                Result::Fails,
                format!("not named with {some} of {all} answers: cost is counted from their sizes, too high"),
            ),
        };
        self.checks.push(Check { check: "usage", result, detail });
    }
}

fn request(words: &str, tools: &[ToolDef]) -> Request {
    let blocks = vec![Block::Text { text: words.into() }];
    Request {
        system: "You are being checked for whether you answer and call tools. Do exactly what you are asked."
            .into(),
        messages: vec![Message { role: Role::User, blocks }],
        tools: tools.to_vec(),
        max_tokens: MAX_TOKENS,
    }
}

/// Any words will do: which ones, is the model's business.
fn said(answer: &Response) -> std::result::Result<String, String> {
    let text: String = answer
        .blocks
        .iter()
        .filter_map(|block| match block {
            Block::Text { text } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    match text.trim() {
        "" => Err(format!("it said nothing (it stopped for {:?})", answer.stop)),
        text => Ok(format!("{:?}", shorten(text, 40))),
    }
}

fn call_of(answer: &Response) -> Option<(&str, &Value)> {
    answer.blocks.iter().find_map(|block| match block {
        Block::ToolUse { id, name, input } if name == "add" => Some((id.as_str(), input)),
        _ => None,
    })
}

/// A call of the tool with both of its arguments. Other numbers than were asked for are told, and no failure of the
/// wire.
fn called(answer: &Response) -> std::result::Result<String, String> {
    let Some((_, input)) = call_of(answer) else {
        let words = said(answer).unwrap_or_else(|why| why);
        return Err(format!("it did not call the tool: {words}"));
    };
    match (input["a"].as_i64(), input["b"].as_i64()) {
        (Some(19), Some(23)) => Ok("add(a = 19, b = 23)".into()),
        (Some(a), Some(b)) => Ok(format!("add(a = {a}, b = {b}), where 19 and 23 were asked for")),
        _ => Err(format!("its arguments are not of the tool's schema: {input}")),
    }
}

fn in_words(row: &PriceRow<'_>) -> String {
    let price = row.price;
    format!("${} in, ${} out, by million tokens: {}", price.input, price.output, row.source)
}

fn list(json: bool) -> anyhow::Result<ExitCode> {
    let home = Home::open()?;
    let table = model::prices(&home)?;
    let mut rows: Vec<PriceRow<'_>> = Vec::new();
    for row in table.rows() {
        // What stands before it in the table counts in its stead.
        if !rows.iter().any(|before| (before.provider, before.model) == (row.provider, row.model)) {
            rows.push(row);
        }
    }
    if json {
        let told = |row: &PriceRow<'_>| {
            json!({
                "provider": row.provider, "model": row.model, "source": row.source,
                "usd_per_million": {
                    "input": row.price.input, "output": row.price.output,
                    "cache_read": row.price.cache_read, "cache_write": row.price.cache_write,
                },
            })
        };
        print_json(&json!({"models": rows.iter().map(told).collect::<Vec<_>>()}));
        return Ok(ExitCode::SUCCESS);
    }
    println!("US dollars per million tokens; {} goes first", model::prices_file(&home).display());
    println!("{:<34} {:>8} {:>8} {:>8} {:>8}  from", "model", "in", "out", "read", "write");
    for row in rows {
        let name = format!("{}:{}", row.provider, row.model);
        let price = row.price;
        println!(
            "{name:<34} {:>8} {:>8} {:>8} {:>8}  {}",
            price.input, price.output, price.cache_read, price.cache_write, row.source
        );
    }
    Ok(ExitCode::SUCCESS)
}
