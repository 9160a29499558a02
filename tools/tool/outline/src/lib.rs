//! The tool `outline`: the contract's types around the crate `outline`.

mod wit {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "outline-tool",
        with: {
            "gloaming:tool/types@0.1.0": bindings::types,
            "gloaming:tool/workspace@0.1.0": bindings::workspace,
            "gloaming:tool/log@0.1.0": bindings::log,
        },
    });
}

use bindings::types::Failure;
use outline::{Args, Kind};
use wit::{OutlineArgs, OutlineOutput, Symbol, SymbolKind};

struct Tool;

impl wit::Guest for Tool {
    fn outline(args: OutlineArgs) -> Result<OutlineOutput, Failure> {
        bindings::begin();
        let args = Args {
            path: args.path,
            globs: args.globs.unwrap_or_default(),
            types: args.types.unwrap_or_default(),
            name: args.name,
            kinds: args.kinds.unwrap_or_default().into_iter().map(Kind::from).collect(),
            depth: args.depth,
            hidden: args.hidden.unwrap_or(false),
            ignored: args.ignored.unwrap_or(false),
            limit: args.limit,
            cursor: args.cursor,
            about: args.about,
            tokens: args.tokens,
        };
        let output = outline::outline(&bindings::Host, &args)?;
        let symbols = output.symbols.into_iter().map(|symbol| Symbol {
            path: symbol.path,
            kind: symbol.kind.into(),
            name: symbol.name,
            signature: symbol.signature,
            first: symbol.first,
            last: symbol.last,
            within: symbol.within,
        });
        Ok(OutlineOutput {
            text: output.text,
            symbols: symbols.collect(),
            files: output.files,
            next: output.next,
        })
    }
}

/// The two kinds are one list; this holds them together.
macro_rules! kinds {
    ($($kind:ident)*) => {
        impl From<SymbolKind> for Kind {
            fn from(kind: SymbolKind) -> Self {
                match kind {
                    $(SymbolKind::$kind => Self::$kind,)*
                }
            }
        }

        impl From<Kind> for SymbolKind {
            fn from(kind: Kind) -> Self {
                match kind {
                    $(Kind::$kind => Self::$kind,)*
                }
            }
        }
    };
}

kinds!(Module Class Interface Type Function Method Variable Macro Field);

wit::export!(Tool with_types_in wit);
