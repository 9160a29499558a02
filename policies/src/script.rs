//! The commands within a script that is handed to a shell, for denials: what is found too often only gives a denial more
//! to look at, and what is not found would be a way round it.
//!
//! Two readings, of which either may find it: with quotes, as a shell has them, and without any, since a quote in a
//! comment, a heredoc or a substitution would hide what follows, and what is quoted may be a script again. What no reading
//! sees: names that the shell makes of a pattern (`carg?`), of a variable that holds several words in the midst of a
//! command, and what a started program starts.

/// A word of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    /// Whether a shell puts something in its place that cannot be seen here.
    pub(crate) varies: bool,
}

impl Word {
    pub(crate) fn plain(text: &str) -> Self {
        Self { text: text.to_owned(), varies: false }
    }
}

/// The words of a command that may be scripts: of a shell every word behind it, of another program each that no program
/// takes for a name (`env -S 'a b'`, `su -c'a b'`), with and without the option it is written to.
pub(crate) fn scripts(argv: &[String]) -> impl Iterator<Item = &str> {
    const SHELLS: &[&str] = &[
        "sh",
        "bash",
        "dash",
        "zsh",
        "ksh",
        "mksh",
        "ash",
        "csh",
        "tcsh",
        "busybox",
        "fish",
        "cmd",
        "powershell",
        "pwsh",
        "eval",
    ];
    let shell = argv.iter().any(|word| SHELLS.contains(&word.rsplit('/').next().unwrap_or_default()));
    let script =
        move |word: &&str| shell || word.contains(|c: char| c.is_whitespace() || ";&|`(".contains(c));
    let whole = argv.iter().skip(1).map(String::as_str);
    let attached = argv.iter().skip(1).filter(|word| word.starts_with('-')).flat_map(|word| {
        let value = word.split_once('=').map(|(_, value)| value);
        word.get(2..).into_iter().chain(value)
    });
    whole.chain(attached).filter(script)
}

/// The simple commands of a script, by both readings.
pub(crate) fn commands(script: &str) -> Vec<Vec<Word>> {
    let mut commands = read(script, true);
    commands.extend(read(script, false));
    commands
}

/// What has been read of a script.
#[derive(Default)]
struct Reading {
    commands: Vec<Vec<Word>>,
    command: Vec<Word>,
    word: Option<Word>,
    /// Whether the next word says where to or from, and is none of the command.
    redirected: bool,
}

impl Reading {
    fn word(&mut self) -> &mut Word {
        self.word.get_or_insert_default()
    }

    fn end_word(&mut self) {
        if let Some(word) = self.word.take()
            && !std::mem::take(&mut self.redirected)
        {
            self.command.push(word);
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        self.redirected = false;
        self.commands.push(std::mem::take(&mut self.command));
    }
}

fn read(script: &str, quotes: bool) -> Vec<Vec<Word>> {
    let mut reading = Reading::default();
    let mut quote: Option<char> = None;
    let mut chars = script.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), _) if q == c => quote = None,
            (Some('\''), _) => reading.word().text.push(c),
            (_, '\\') => match chars.next() {
                // The line goes on.
                Some('\n') | None => {}
                Some(c) => reading.word().text.push(c),
            },
            (_, '$') => match chars.peek() {
                Some('{') => {
                    let name: String = chars.by_ref().take_while(|c| *c != '}').collect();
                    // What stands between words.
                    if name == "{IFS" {
                        reading.end_word();
                    } else {
                        let word = reading.word();
                        word.varies = true;
                        word.text.push_str(&name);
                    }
                }
                // Of a substitution the command within is one of its own.
                _ => reading.word().varies = true,
            },
            (None, '\'' | '"') if quotes => {
                quote = Some(c);
                reading.word();
            }
            (None, '\'' | '"') => {}
            (_, '(' | ')' | '`') => {
                reading.end_command();
                // What a substitution prints may be the program of what follows it. That nothing follows is dropped
                // where the command ends.
                if c != '(' {
                    reading.word().varies = true;
                }
            }
            (None, ';' | '&' | '|' | '\n') => reading.end_command(),
            (None, '{' | '}' | ',') => {
                // `{a,b}` is the words a and b; a group in braces begins a command.
                reading.end_word();
                // A variable of braces may be a command by itself.
                if c == '}' && reading.command.len() == 1 {
                    reading.commands.push(reading.command.clone());
                }
            }
            (None, '<' | '>') => {
                // Where to is no word of the command: neither the number before it nor the name behind.
                if reading.word.as_ref().is_some_and(|word| word.text.bytes().all(|b| b.is_ascii_digit())) {
                    reading.word = None;
                }
                reading.end_word();
                while chars.next_if(|c| matches!(c, '<' | '>' | '&' | '|' | '-')).is_some() {}
                reading.redirected = true;
            }
            (None, c) if c.is_whitespace() => reading.end_word(),
            (_, c) => reading.word().text.push(c),
        }
    }
    reading.end_command();
    // Nothing follows a substitution or a group; a variable has a name.
    let nothing = |words: &[Word]| match words {
        [] => true,
        [word] => word.text.is_empty(),
        _ => false,
    };
    reading.commands.retain(|words| !nothing(words));
    reading.commands
}
