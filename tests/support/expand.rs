//! What cannot stand in the text of a case.

/// Replaces what cannot stand in a case's text itself: `<<U+202E>>` by the character, `<<12*text>>` by the text so
/// many times over, and `<<secret:ghp_:36>>` by that head and so many letters and digits: no file of a suite
/// holds the shape of a secret.
pub(crate) fn expand(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<<") {
        let Some((inside, behind)) = after.split_once(">>") else { break };
        let made = if let Some(code) = inside.strip_prefix("U+") {
            let code = u32::from_str_radix(code, 16).ok().and_then(char::from_u32);
            Some(code.ok_or_else(|| format!("<<{inside}>> is no character"))?.to_string())
        } else if let Some((head, length)) =
            inside.strip_prefix("secret:").and_then(|secret| secret.split_once(':'))
        {
            let length = length.parse().map_err(|_| format!("<<{inside}>> has no length"))?;
            Some(format!("{head}{}", "A1b2C3d4E5".repeat(12).chars().take(length).collect::<String>()))
        } else {
            inside
                .split_once('*')
                .and_then(|(times, text)| Some(text.replace("\\n", "\n").repeat(times.parse().ok()?)))
        };
        out.push_str(before);
        match made {
            Some(made) => out.push_str(&made),
            // A shift to the left is one.
            None => {
                out.push_str("<<");
                rest = after;
                continue;
            }
        }
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}
