//! Regular expressions that say what a glob can say: text, `.*`, and alternatives of them.
//!
//! Most that people write are of this kind. The rest is refused: a pattern that is nearly the same is a hole.

/// A part of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    /// Any characters, or none.
    Any,
}

/// The most alternatives that are spelled out.
const MOST: usize = 32;
/// The longest expression, in bytes.
const LONGEST: usize = 1024;

/// The alternatives of an expression, each as parts; none where it says more than that.
pub(super) fn alternatives(expression: &str) -> Option<Vec<Vec<Part>>> {
    if expression.len() > LONGEST {
        return None;
    }
    let mut reader = Reader { chars: expression.chars().peekable(), depth: 0 };
    let all = reader.either()?;
    reader.chars.next().is_none().then_some(all).filter(|all| !all.is_empty())
}

struct Reader<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    depth: usize,
}

impl Reader<'_> {
    fn either(&mut self) -> Option<Vec<Vec<Part>>> {
        let mut all = self.sequence()?;
        while self.chars.next_if_eq(&'|').is_some() {
            all.extend(self.sequence()?);
            if all.len() > MOST {
                return None;
            }
        }
        Some(all)
    }

    fn sequence(&mut self) -> Option<Vec<Vec<Part>>> {
        let mut all: Vec<Vec<Part>> = vec![Vec::new()];
        while let Some(c) = self.chars.next_if(|c| !matches!(c, '|' | ')')) {
            let step = match c {
                '(' => self.group()?,
                '.' => {
                    // A lone `.` is one character; a name with any one there is near enough for neither kind.
                    self.chars.next_if_eq(&'*')?;
                    vec![vec![Part::Any]]
                }
                '[' => {
                    // `[^"]*`: anything within a JSON string.
                    for want in ['^', '"', ']', '*'] {
                        self.chars.next_if_eq(&want)?;
                    }
                    vec![vec![Part::Any]]
                }
                '\\' => match self.chars.next()? {
                    's' => {
                        self.chars.next_if(|c| matches!(c, '+'))?;
                        vec![vec![Part::Text(" ".into())]]
                    }
                    c if c.is_ascii_alphanumeric() => return None,
                    c => vec![vec![Part::Text(c.to_string())]],
                },
                '*' | '+' | '?' | '{' | '}' | '^' | '$' | ']' => return None,
                c => vec![vec![Part::Text(c.to_string())]],
            };
            if self.chars.peek().is_some_and(|c| matches!(c, '*' | '+' | '?' | '{')) {
                return None;
            }
            all = product(&all, &step)?;
        }
        Some(all)
    }

    fn group(&mut self) -> Option<Vec<Vec<Part>>> {
        self.depth += 1;
        if self.depth > 8 {
            return None;
        }
        if self.chars.next_if_eq(&'?').is_some() {
            self.chars.next_if_eq(&':')?;
        }
        let all = self.either()?;
        self.chars.next_if_eq(&')')?;
        self.depth -= 1;
        Some(all)
    }
}

fn product(left: &[Vec<Part>], right: &[Vec<Part>]) -> Option<Vec<Vec<Part>>> {
    if left.len() * right.len() > MOST {
        return None;
    }
    let joined = |left: &Vec<Part>, right: &Vec<Part>| {
        let mut out = left.clone();
        for part in right {
            match (out.last_mut(), part) {
                (Some(Part::Text(text)), Part::Text(more)) => text.push_str(more),
                (Some(Part::Any), Part::Any) => {}
                _ => out.push(part.clone()),
            }
        }
        out
    };
    Some(left.iter().flat_map(|l| right.iter().map(move |r| joined(l, r))).collect())
}
