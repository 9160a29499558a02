//! Putting corrections into a profile, with a word of each in it.

use gloaming_api::Profile;
use gloaming_api::profile::{Command, CommandKind, Correction, CorrectionBy, Pin, Rejected, Service, Source};
use gloaming_policies::Diagnostic;

use super::{Changed, ChangedService, Corrections};
use crate::choose::words;
use crate::commands::{Known, recognise};
use crate::shell::Segment;

impl Corrections {
    /// Sets and replaces fields of a profile; the last one that is applied wins.
    ///
    /// # Errors
    /// What corrects something that is not there.
    pub(crate) fn apply(&self, profile: &mut Profile) -> Result<(), Vec<Diagnostic>> {
        let mut faults = Vec::new();
        if let Some((ecosystems, source)) = &self.ecosystems {
            profile.ecosystems.clone_from(ecosystems);
            note(profile, self.by, "ecosystems", source);
        }
        if let Some((paths, source)) = &self.instructions {
            profile.instructions.clone_from(paths);
            note(profile, self.by, "instructions", source);
        }
        for changed in &self.commands {
            if let Err(message) = self.command(profile, changed) {
                faults.push(self.fault(&changed.source, changed.column, message));
            }
        }
        for (tool, version, source) in &self.toolchains {
            profile.toolchains.retain(|pin| pin.tool != *tool);
            profile.toolchains.push(Pin {
                tool: tool.clone(),
                version: version.clone(),
                source: source.clone(),
            });
            note(profile, self.by, &format!("toolchains.{tool}"), source);
        }
        for changed in &self.services {
            if let Err(message) = self.service(profile, changed) {
                faults.push(self.fault(&changed.source, changed.column, message));
            }
        }
        for path in &self.protected {
            profile.protected.retain(|known| known.pattern != path.pattern);
            profile.protected.push(path.clone());
            note(profile, self.by, &format!("protected.{}", path.pattern), &path.source);
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn fault(&self, source: &Source, column: u32, message: String) -> Diagnostic {
        let file = source.file.to_string();
        Diagnostic { file, line: source.line, column, message, hint: Some("set argv too, or drop it".into()) }
    }

    fn command(&self, profile: &mut Profile, changed: &Changed) -> Result<(), String> {
        let kind = changed.kind;
        let field = format!("commands.{}", kind.as_str());
        let place = profile.commands.iter().position(|command| command.kind == kind);
        let before = place.map(|place| profile.commands[place].clone());
        if changed.disable {
            profile.commands.retain(|command| command.kind != kind);
        } else {
            let after = corrected(before.as_ref(), changed)?;
            match place {
                Some(place) => profile.commands[place] = after,
                None => {
                    profile.commands.push(after);
                    let order =
                        |command: &Command| CommandKind::ALL.iter().position(|kind| *kind == command.kind);
                    profile.commands.sort_by_key(order);
                }
            }
        }
        if let Some(before) = before {
            let reason =
                format!("{} of {}:{}", changed.source.because, changed.source.file, changed.source.line);
            let rejected = Rejected { command: words(&before), source: before.source, reason, proof: None };
            profile.rejected.insert(0, rejected);
        }
        // That nothing was found is no lack any more; what else was said of it no longer holds.
        let lack = format!("no {} command was found", kind.as_str());
        profile.gaps.retain(|gap| !gap.starts_with(&lack));
        if kind == CommandKind::Test {
            profile.gaps.retain(|gap| !gap.contains("are not run: there is one test command"));
        }
        note(profile, self.by, &field, &changed.source);
        Ok(())
    }

    fn service(&self, profile: &mut Profile, changed: &ChangedService) -> Result<(), String> {
        let mention = format!("tests may need the service {} (", changed.name);
        let known = profile.services.iter().position(|service| service.name == changed.name);
        if changed.disable {
            if known.is_none() {
                return Err(format!("the service {:?} to disable is not known", changed.name));
            }
            profile.services.retain(|service| service.name != changed.name);
            profile.gaps.retain(|gap| !gap.starts_with(&mention));
        } else {
            let mut service = known.map_or_else(
                || Service {
                    name: changed.name.clone(),
                    image: None,
                    ports: Vec::new(),
                    source: changed.source.clone(),
                },
                |known| profile.services.remove(known),
            );
            service.image = changed.image.clone().or(service.image);
            service.ports = changed.ports.clone().unwrap_or(service.ports);
            service.source = changed.source.clone();
            profile.gaps.retain(|gap| !gap.starts_with(&mention));
            let image = service.image.as_deref().unwrap_or("an image that is not named");
            profile.gaps.push(format!("{mention}{image}): jobs have none"));
            profile.services.push(service);
        }
        note(profile, self.by, &format!("services.{}", changed.name), &changed.source);
        Ok(())
    }
}

/// Returns the command as it is after a correction. Where it sets another program, nothing is left of the old one.
fn corrected(before: Option<&Command>, changed: &Changed) -> Result<Command, String> {
    let kind = changed.kind;
    let (argv, before) = match (&changed.argv, before) {
        (Some(argv), _) => (argv.clone(), None),
        (None, Some(before)) => (before.argv.clone(), Some(before)),
        (None, None) => {
            return Err(format!("no {} command was found that this could correct", kind.as_str()));
        }
    };
    let cwd = changed.cwd.clone().or_else(|| before.map(|before| before.cwd.clone()));
    let env = changed.env.clone().or_else(|| before.map(|before| before.env.clone()));
    let (cwd, env) = (cwd.unwrap_or_else(gloaming_api::RelPath::root), env.unwrap_or_default());
    let runner = changed.runner.unwrap_or_else(|| match before {
        Some(before) => before.runner,
        None if kind == CommandKind::Test => {
            // A command we know tells how its results are read.
            let segment = Segment { env: env.clone(), words: argv.clone(), glob: false, cwd: cwd.clone() };
            match recognise(&segment) {
                Known::Tool(tool) => tool.runner,
                _ => None,
            }
        }
        None => None,
    });
    Ok(Command { kind, argv, cwd, env, runner, source: changed.source.clone(), proof: None })
}

fn note(profile: &mut Profile, by: CorrectionBy, field: &str, source: &Source) {
    profile.corrections.retain(|known| known.field != field);
    profile.corrections.push(Correction { field: field.to_owned(), by, source: source.clone() });
}
