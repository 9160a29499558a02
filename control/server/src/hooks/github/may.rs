//! Who may have us work: by the code host's word on the repository, and by the operator's policies. Both are written down.

use gloaming_api::task::TaskKind;
use gloaming_api::{Digest, RepoId, TaskId};
use gloaming_forge::host::{Check, CheckState, Permission};
use gloaming_forge::text::inline;
use gloaming_policies::Decision;
use gloaming_store::NewEffect;
use jiff::Timestamp;

use super::payload::Somebody;
use super::{HookError, Hooks, SENDER, asker};
use crate::publish::{CHECK, Mark, Say};

impl Hooks {
    /// Whether somebody may have us work on a repository: a person who may write to it, by their own name, or a program that
    /// may. The answer is written down.
    pub(super) async fn may(
        &self,
        repo: &RepoId,
        by: &Somebody,
        me: &str,
        now: Timestamp,
    ) -> Result<bool, HookError> {
        if by.login.eq_ignore_ascii_case(me) {
            return Ok(false);
        }
        let permission = self.host.permission(repo, &by.login).await?;
        let may = permission >= Permission::Write;
        let who = asker(by);
        let (subject, detail) =
            (repo.to_string(), format!("{permission:?} on the repository; write is needed"));
        let decision = if may { "allow" } else { "deny" };
        self.ask(move |store| store.audit(&who, decision, SENDER, &subject, &detail, now)).await?;
        Ok(may)
    }

    /// Whether the operator's policies let somebody, by a task's name of them, ask for a change of a repository. Written down
    /// with the grant's digest. The inner error is why not, in words.
    pub(super) async fn policy_lets(
        &self,
        repo: &RepoId,
        who: &str,
        now: Timestamp,
    ) -> Result<Result<(), String>, HookError> {
        let (grants, repo, who) = (self.grants.clone(), repo.clone(), who.to_owned());
        self.ask(move |store| {
            let decided = match grants(&repo) {
                Ok(grant) => match grant.decide_submit(&who, TaskKind::Change.asked_as()) {
                    Decision::Allow(_) => Ok(format!("grant {}", grant.digest())),
                    Decision::Deny(denial) => {
                        Err((denial.to_string(), format!("; grant {}", grant.digest())))
                    }
                },
                // No policy is for it: nobody would be handed its tasks.
                Err(why) => Err((why, String::new())),
            };
            let (decision, detail) = match &decided {
                Ok(grant) => ("allow", grant.clone()),
                Err((why, grant)) => ("deny", format!("{why}{grant}")),
            };
            store.audit(&who, decision, SENDER, repo.as_str(), &detail, now)?;
            Ok(decided.map(|_| ()).map_err(|(why, _)| why))
        })
        .await
    }

    /// Has it said why a policy keeps somebody from what they asked for: under the issue or pull request where they did so by
    /// their own name, by a neutral check and no comment where a program did. To one asker in one place the same is said once.
    pub(super) async fn refuse(
        &self,
        refused: Refused<'_>,
        task: Option<TaskId>,
        now: Timestamp,
    ) -> Result<(), HookError> {
        let effect = refused.effect(now);
        self.ask(move |store| store.add_effect(task.as_ref(), &effect, now)).await
    }
}

/// What a policy does not let somebody ask for.
pub(super) struct Refused<'a> {
    pub(super) repo: &'a RepoId,
    /// The issue or pull request.
    pub(super) number: u64,
    /// Who asked.
    pub(super) who: &'a str,
    /// Whether by their own name.
    pub(super) by_name: bool,
    /// Why not.
    pub(super) why: &'a str,
}

impl Refused<'_> {
    fn effect(&self, now: Timestamp) -> NewEffect {
        let Self { repo, number, who, by_name, why } = self;
        let about = Digest::of_json(&(repo.as_str().to_ascii_lowercase(), number, who, why));
        let about = format!("refused:{}", &about.hex()[..16]);
        let told = format!(
            "{}\n\nWho may ask for what is in the policies of this Gloaming; whoever runs it can change them.",
            inline(why, 500)
        );
        if *by_name {
            let marker = format!("<!-- gloaming {about} -->");
            let body = format!("**Not begun**: {told}\n\n{marker}");
            let (repo, number) = ((*repo).clone(), *number);
            return Say { repo, number, body, marker, since: Some(now) }.effect_of(&about);
        }
        let check = Check {
            name: CHECK.to_owned(),
            key: about.clone(),
            state: CheckState::Neutral,
            title: format!("Not begun: #{number}"),
            summary: told,
        };
        Mark { repo: (*repo).clone(), commit: None, check }.effect_of(&about)
    }
}
