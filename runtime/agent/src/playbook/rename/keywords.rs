//! Reserved words: what no identifier can be called.

/// Every language the playbook changes files of, as [`super::FileIdentifiers::language`] names it.
const LANGUAGES: &[&str] = &["rust", "python", "javascript", "typescript", "tsx", "go"];

/// Whether a word is reserved in a language; never for a language without a table.
pub(crate) fn is_reserved(language: &str, word: &str) -> bool {
    table(language).split_ascii_whitespace().any(|reserved| reserved == word)
}

/// Returns a language in which a word is reserved when it is so in most, and so never meant as a name.
pub(crate) fn reserved_mostly(word: &str) -> Option<&'static str> {
    let reserved: Vec<_> = LANGUAGES.iter().filter(|language| is_reserved(language, word)).collect();
    if reserved.len() * 2 > LANGUAGES.len() { reserved.first().map(|language| **language) } else { None }
}

fn table(language: &str) -> &'static str {
    match language {
        "rust" => {
            "Self abstract as async await become box break const continue crate do dyn else enum extern \
            false final fn for gen if impl in let loop macro match mod move mut override priv pub ref \
            return self static struct super trait true try type typeof unsafe unsized use virtual where \
            while yield"
        }
        "python" => {
            "False None True and as assert async await break class continue def del elif else except \
            finally for from global if import in is lambda nonlocal not or pass raise return self try \
            while with yield"
        }
        "javascript" | "typescript" | "tsx" => {
            "arguments await break case catch class const continue debugger default delete do else enum \
            eval export extends false finally for function if implements import in instanceof interface \
            let new null package private protected public return static super switch this throw true try \
            typeof var void while with yield"
        }
        "go" => {
            "break case chan const continue default defer else fallthrough for func go goto if import \
            interface map package range return select struct switch type var"
        }
        _ => "",
    }
}
