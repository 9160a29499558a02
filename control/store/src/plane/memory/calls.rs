//! Each call, over all rows.

use super::*;

impl Store for MemoryStore {
    fn submit(&self, submission: &Submission, now: Timestamp) -> Stored<Submitted> {
        let now = kept(now);
        let mut kept = self.kept();
        if let Some(wanted) = &submission.idempotency {
            let before =
                kept.keys.iter().find(|(key, _)| (&key.scope, &key.key) == (&wanted.scope, &wanted.key));
            if let Some((key, task)) = before {
                let same = key.request == wanted.request;
                return Ok(if same { Submitted::Again(task.clone()) } else { Submitted::Conflict });
            }
        }
        if kept.row(&submission.id).is_some() {
            return Err(StoreError::said("take a task", format!("there is a task {}", submission.id)));
        }
        let superseded: Vec<usize> = (0..kept.tasks.len())
            .filter(|at| {
                let task = &kept.tasks[*at].task;
                is_superseded(&submission.new, &task.asked, task.now.state)
            })
            .collect();
        let waiting = (0..kept.tasks.len())
            .filter(|at| kept.tasks[*at].task.now.state == TaskState::Queued && !superseded.contains(at));
        if waiting.count() >= self.limits.queued as usize {
            return Ok(Submitted::Full);
        }
        let (tries, journals, artifacts) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let task = Task::new(submission, now);
        kept.tasks.push(Row { task, events: 0, tries, journals, artifacts });
        let at = kept.tasks.len() - 1;
        kept.tell(at, now);
        for at in superseded {
            kept.tasks[at].task.supersede(&submission.id, now);
            kept.tell(at, now);
        }
        if let Some(key) = &submission.idempotency {
            kept.keys.push((key.clone(), submission.id.clone()));
        }
        submission.effects.iter().for_each(|effect| kept.ask(Some(&submission.id), effect, now));
        Ok(Submitted::New(submission.id.clone()))
    }

    fn claim(&self, claimant: &Claimant, lease: Duration, now: Timestamp) -> Stored<Option<Claimed>> {
        let now = kept(now);
        let mut kept = self.kept();
        kept.sweep(&self.limits, now);
        let Some(at) = kept.choose(claimant, &self.limits, now) else { return Ok(None) };
        let row = &mut kept.tasks[at];
        let begun = row.task.begin(claimant, lease, now);
        row.tries.push(begun);
        let task = row.task.view();
        kept.tell(at, now);
        Ok(Some(Claimed {
            lease: LeaseKey { task: task.id.clone(), attempt: task.attempt },
            task,
            expires_at: later(now, lease),
        }))
    }

    fn renew(
        &self,
        lease: &LeaseKey,
        token: &str,
        renewal: &Renewal,
        hold: Duration,
        now: Timestamp,
    ) -> Stored<Result<Renewed, Refused>> {
        let now = kept(now);
        self.under(lease, token, now, |row| {
            row.task.renew(renewal, hold, now);
            Ok(Renewed { expires_s: hold.as_secs(), cancel: row.task.now.cancel.is_some() })
        })
    }

    fn holds(&self, lease: &LeaseKey, token: &str, now: Timestamp) -> Stored<bool> {
        let kept_now = kept(now);
        Ok(self.kept().row(&lease.task).is_some_and(|row| row.task.is_held(lease, token, kept_now)))
    }

    fn append(
        &self,
        lease: &LeaseKey,
        token: &str,
        from: u64,
        lines: &[&str],
        now: Timestamp,
    ) -> Stored<Result<u64, Refused>> {
        self.under(lease, token, kept(now), |row| {
            let next = row.latest().next;
            if from > next {
                return Err(Refused::Gap(next));
            }
            let known = usize::try_from(next - from).unwrap_or(usize::MAX);
            let fresh = lines.get(known..).unwrap_or_default();
            let bytes = fresh.iter().map(|line| line.len()).sum();
            if !row.latest().takes(bytes, &self.limits) {
                return Err(Refused::Full);
            }
            let latest = row.latest();
            latest.next += fresh.len() as u64;
            latest.bytes += bytes as u64;
            let (attempt, next) = (latest.attempt, latest.next);
            row.task.hear(fresh);
            row.journals.entry(attempt).or_default().extend(fresh.iter().map(|line| (*line).to_owned()));
            Ok(next)
        })
    }

    fn put_artifact(
        &self,
        lease: &LeaseKey,
        token: &str,
        digest: &Digest,
        content: &[u8],
        now: Timestamp,
    ) -> Stored<Result<(), Refused>> {
        self.under(lease, token, kept(now), |row| {
            if row.artifacts.contains_key(digest) {
                return Ok(());
            }
            if !row.latest().takes(content.len(), &self.limits) {
                return Err(Refused::Full);
            }
            row.latest().bytes += content.len() as u64;
            row.artifacts.insert(digest.clone(), content.to_owned());
            Ok(())
        })
    }

    fn keep_artifact(&self, task: &TaskId, digest: &Digest, content: &[u8]) -> Stored<bool> {
        let mut kept = self.kept();
        let found = kept.tasks.iter_mut().find(|row| row.task.asked.id == *task);
        let Some(row) = found else { return Ok(false) };
        row.artifacts.entry(digest.clone()).or_insert_with(|| content.to_owned());
        Ok(true)
    }

    fn finish(
        &self,
        lease: &LeaseKey,
        token: &str,
        end: &AttemptEnd,
        effects: &[NewEffect],
        now: Timestamp,
    ) -> Stored<Result<TaskState, Refused>> {
        let now = kept(now);
        let digest = Digest::of_json(end);
        let done = self.with(&lease.task, now, effects, |row| {
            if !row.task.is_held(lease, token, now) {
                let attempt = row.tries.iter().find(|attempt| attempt.attempt == lease.attempt.0);
                return (attempt.map_or(Err(Refused::Lost), |one| one.ended(token, &digest)), false);
            }
            let wanted = row.task.finish(end, &self.limits, now);
            let state = row.task.now.state;
            row.latest().end = Some((digest, state));
            (Ok(state), wanted)
        });
        Ok(done.unwrap_or(Err(Refused::Lost)))
    }

    fn release(&self, lease: &LeaseKey, token: &str, now: Timestamp) -> Stored<Result<Cost, Refused>> {
        let now = kept(now);
        self.under(lease, token, now, |row| {
            let took = row.task.release(now);
            Ok(took)
        })
    }

    fn sweep(&self, now: Timestamp) -> Stored<Vec<(TaskId, Cost)>> {
        Ok(self.kept().sweep(&self.limits, kept(now)))
    }

    fn grace(&self, hold: Duration, now: Timestamp) -> Stored<u64> {
        let now = kept(now);
        let mut kept = self.kept();
        let due = kept.tasks.iter_mut().filter(|row| row.task.is_overdue(now));
        Ok(due.map(|row| row.task.hold_on(hold, now)).count() as u64)
    }

    fn let_go(&self, now: Timestamp) -> Stored<u64> {
        let now = kept(now);
        let kept = &mut *self.kept();
        let soon = later(now, UNDER_WAY);
        let effects = kept.effects.iter_mut().filter(|asked| asked.end.is_none());
        let effects = effects.filter_map(|asked| asked.held_until.as_mut()).filter(|until| **until > soon);
        let deliveries = kept.deliveries.iter_mut().filter(|received| received.done_at.is_none());
        let deliveries = deliveries.filter_map(|received| received.held_until.take_if(|until| *until > now));
        Ok((effects.map(|until| *until = soon).count() + deliveries.count()) as u64)
    }

    fn cancel(
        &self,
        task: &TaskId,
        by: &str,
        effects: &[NewEffect],
        now: Timestamp,
    ) -> Stored<Option<TaskState>> {
        let now = kept(now);
        Ok(self.with(task, now, effects, |row| {
            let ended = row.task.ask_for_end(by, now);
            (row.task.now.state, ended)
        }))
    }

    fn retry(&self, task: &TaskId, by: &str, now: Timestamp) -> Stored<Option<Result<(), TaskState>>> {
        let now = kept(now);
        Ok(self.with(task, now, &[], |row| (row.task.retry(by, now), false)))
    }

    fn follow_up(
        &self,
        task: &TaskId,
        text: &str,
        by: &str,
        most: u32,
        now: Timestamp,
    ) -> Stored<Option<bool>> {
        let now = kept(now);
        Ok(self.with(task, now, &[], |row| (row.task.follow_up(text, by, most, now), false)))
    }

    fn published(
        &self,
        task: &TaskId,
        request: &PullRequest,
        effects: &[NewEffect],
        now: Timestamp,
    ) -> Stored<bool> {
        let now = kept(now);
        let done = self.with(task, now, effects, |row| {
            let done = row.task.published(request, now);
            (done, done)
        });
        Ok(done.unwrap_or(false))
    }

    fn unpublished(
        &self,
        task: &TaskId,
        end: &AttemptEnd,
        effects: &[NewEffect],
        now: Timestamp,
    ) -> Stored<bool> {
        let now = kept(now);
        let done = self.with(task, now, effects, |row| {
            let done = row.task.unpublished(end, now);
            (done.is_some(), done == Some(true))
        });
        Ok(done.unwrap_or(false))
    }

    fn publish_again(
        &self,
        task: &TaskId,
        attempt: Attempt,
        effect: i64,
        by: &str,
        now: Timestamp,
    ) -> Stored<bool> {
        let now = kept(now);
        let done = self.with(task, now, &[], |row| {
            let last = row.tries.iter().find(|one| one.attempt == attempt.0).cloned();
            (last.is_some_and(|last| row.task.publish_again(&last, by, now)), false)
        });
        let done = done.unwrap_or(false);
        if done {
            self.revive_effect(effect, now)?;
        }
        Ok(done)
    }

    fn outcome(&self, task: &TaskId, outcome: PullRequestOutcome, now: Timestamp) -> Stored<bool> {
        let now = kept(now);
        Ok(self.with(task, now, &[], |row| (row.task.outcome(outcome, now), false)).unwrap_or(false))
    }

    fn task(&self, task: &TaskId) -> Stored<Option<TaskRecord>> {
        Ok(self.kept().row(task).map(|row| row.task.record()))
    }

    fn tasks(&self, filter: &TaskFilter) -> Stored<Vec<TaskView>> {
        let kept = self.kept();
        let of =
            |patterns: &[RepoPattern], repo: &RepoId| patterns.iter().any(|pattern| pattern.matches(repo));
        let mut found: Vec<&Task> = kept
            .tasks
            .iter()
            .map(|row| &row.task)
            .filter(|task| {
                let repo = &task.asked.new.repo;
                filter.repos.as_deref().is_none_or(|patterns| of(patterns, repo))
                    && filter.repo.as_ref().is_none_or(|wanted| repo_key(wanted) == repo_key(repo))
                    && filter.state.is_none_or(|state| task.now.state == state)
                    && filter.before.as_ref().is_none_or(|before| task.asked.id < *before)
            })
            .collect();
        found.sort_by(|a, b| b.asked.id.cmp(&a.asked.id));
        Ok(found.into_iter().take(filter.limit as usize).map(Task::view).collect())
    }

    fn events(&self, task: &TaskId, after: u64, limit: u32) -> Stored<Vec<TaskEvent>> {
        let kept = self.kept();
        let of = kept.feed.iter().filter(|told| told.task == *task && told.event.seq > after);
        Ok(of.take(limit as usize).map(|told| told.event.clone()).collect())
    }

    fn feed(&self, after: u64, limit: u32) -> Stored<Vec<Told>> {
        let kept = self.kept();
        Ok(kept.feed.iter().filter(|told| told.position > after).take(limit as usize).cloned().collect())
    }

    fn journal(&self, task: &TaskId, attempt: Attempt, from: u64, limit: u32) -> Stored<Vec<String>> {
        let kept = self.kept();
        let lines = kept.row(task).and_then(|row| row.journals.get(&attempt.0));
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        Ok(lines.into_iter().flatten().skip(from).take(limit as usize).cloned().collect())
    }

    fn artifact(&self, task: &TaskId, digest: &Digest) -> Stored<Option<Vec<u8>>> {
        let kept = self.kept();
        Ok(kept.row(task).and_then(|row| row.artifacts.get(digest)).cloned())
    }

    fn set_shares(&self, shares: &[(RepoPattern, Share)], _now: Timestamp) -> Stored<()> {
        let by_name: BTreeMap<RepoPattern, Share> =
            shares.iter().map(|(pattern, share)| (pattern.to_lowercase(), *share)).collect();
        self.kept().shares = by_name.into_iter().collect();
        Ok(())
    }

    fn shares(&self) -> Stored<Vec<(RepoPattern, Share)>> {
        Ok(self.kept().shares.clone())
    }

    fn share(&self, repo: &RepoId) -> Stored<Share> {
        Ok(share_of(&self.kept().shares, repo, &self.limits))
    }

    fn add_effect(&self, task: Option<&TaskId>, effect: &NewEffect, now: Timestamp) -> Stored<()> {
        self.kept().ask(task, effect, kept(now));
        Ok(())
    }

    fn effects(&self, kinds: Kinds<'_>, limit: u32, hold: Duration, now: Timestamp) -> Stored<Vec<Effect>> {
        let now = kept(now);
        let mut kept = self.kept();
        let mut waited_for = BTreeSet::new();
        let pending = kept.effects.iter_mut().filter(|asked| asked.end.is_none());
        let mut due: Vec<&mut Wanted> = pending
            .filter(|asked| {
                let first = asked.effect.task.clone().is_none_or(|task| waited_for.insert(task));
                let free = asked.due_at <= now && asked.held_until.is_none_or(|until| until <= now);
                first && free && kinds.take(&asked.effect.what.kind)
            })
            .collect();
        due.sort_by_key(|asked| (asked.due_at, asked.effect.id));
        let taken = due.into_iter().take(limit as usize).map(|asked| {
            let taken = asked.effect.clone();
            asked.effect.tries += 1;
            asked.effect.tried = true;
            asked.held_until = Some(later(now, hold));
            taken
        });
        Ok(taken.collect())
    }

    fn effect_ended(&self, id: i64, end: &EffectEnd, now: Timestamp) -> Stored<()> {
        let now = kept(now);
        let mut kept = self.kept();
        let pending = kept.effects.iter_mut().find(|asked| asked.effect.id == id && asked.end.is_none());
        if let Some(asked) = pending {
            asked.held_until = None;
            match end {
                EffectEnd::Done(value) => asked.end = Some(Ok((value.clone(), now))),
                EffectEnd::Dead { error } => asked.end = Some(Err((error.clone(), now))),
                EffectEnd::Later { at, .. } => asked.due_at = machine::kept(*at),
            }
        }
        Ok(())
    }

    fn dead_effects(&self, limit: u32) -> Stored<Vec<(Effect, String)>> {
        let kept = self.kept();
        let dead = kept.effects.iter().rev().filter_map(|asked| match &asked.end {
            Some(Err((error, _))) => Some((asked.effect.clone(), error.clone())),
            _ => None,
        });
        Ok(dead.take(limit as usize).collect())
    }

    fn dead_effect(&self, id: i64) -> Stored<Option<Effect>> {
        let dead = self.dead_effects(u32::MAX)?.into_iter().map(|(effect, _)| effect);
        Ok(dead.into_iter().find(|effect| effect.id == id))
    }

    fn revive_effect(&self, id: i64, now: Timestamp) -> Stored<bool> {
        let now = kept(now);
        let mut kept = self.kept();
        let dead =
            kept.effects.iter_mut().find(|asked| asked.effect.id == id && matches!(asked.end, Some(Err(_))));
        let Some(asked) = dead else { return Ok(false) };
        asked.end = None;
        asked.due_at = now;
        asked.effect.tries = 0;
        Ok(true)
    }

    fn effect_done(&self, key: &str) -> Stored<Option<Value>> {
        let kept = self.kept();
        let found = kept.effects.iter().find(|asked| asked.effect.what.key == key);
        Ok(found.and_then(|asked| match &asked.end {
            Some(Ok((value, _))) => Some(value.clone()),
            _ => None,
        }))
    }

    fn deliver(&self, delivery: &Delivery, _now: Timestamp) -> Stored<bool> {
        let mut kept = self.kept();
        if kept.delivery(&delivery.sender, &delivery.id).is_some() {
            return Ok(false);
        }
        kept.deliveries.push(Received { delivery: delivery.clone(), held_until: None, done_at: None });
        Ok(true)
    }

    fn deliveries(&self, sender: &str, limit: u32, hold: Duration, now: Timestamp) -> Stored<Vec<Delivery>> {
        let now = kept(now);
        let mut kept = self.kept();
        let waits = |received: &&mut Received| {
            received.delivery.sender == sender
                && received.done_at.is_none()
                && received.held_until.is_none_or(|until| until <= now)
        };
        let mut waiting: Vec<&mut Received> = kept.deliveries.iter_mut().filter(waits).collect();
        // Those that nobody took before all others; each in the order in which they came.
        waiting.sort_by_key(|received| received.held_until);
        let taken = waiting.into_iter().take(limit as usize).map(|received| {
            received.held_until = Some(later(now, hold));
            received.delivery.clone()
        });
        Ok(taken.collect())
    }

    fn delivered(&self, sender: &str, id: &str, _error: Option<&str>, now: Timestamp) -> Stored<()> {
        let now = kept(now);
        let mut kept = self.kept();
        if let Some(received) = kept.delivery(sender, id).filter(|received| received.done_at.is_none()) {
            received.done_at = Some(now);
        }
        Ok(())
    }

    fn add_token(&self, id: &str, secret: &Digest, token: &NewToken, now: Timestamp) -> Stored<()> {
        let mut kept = self.kept();
        if kept.tokens.iter().any(|(view, _)| view.id == id) {
            return Err(StoreError::said("keep a token", format!("there is a token {id}")));
        }
        kept.tokens.push((token_view(id, token, now), secret.clone()));
        Ok(())
    }

    fn token(&self, id: &str) -> Stored<Option<(TokenView, Digest)>> {
        Ok(self.kept().tokens.iter().find(|(view, _)| view.id == id).cloned())
    }

    fn tokens(&self) -> Stored<Vec<TokenView>> {
        Ok(self.kept().tokens.iter().rev().map(|(view, _)| view.clone()).collect())
    }

    fn token_used(&self, id: &str, now: Timestamp) -> Stored<()> {
        if let Some((view, _)) = self.kept().tokens.iter_mut().find(|(view, _)| view.id == id) {
            view.last_used_at = Some(minute(now));
        }
        Ok(())
    }

    fn revoke_token(&self, id: &str, now: Timestamp) -> Stored<bool> {
        let mut kept = self.kept();
        let found = kept.tokens.iter_mut().find(|(view, _)| view.id == id && view.revoked_at.is_none());
        let Some((view, _)) = found else { return Ok(false) };
        view.revoked_at = Some(machine::kept(now));
        Ok(true)
    }

    fn audit(
        &self,
        who: &str,
        decision: &str,
        action: &str,
        subject: &str,
        detail: &str,
        now: Timestamp,
    ) -> Stored<()> {
        self.kept().note(&Decided { who, decision, action, subject, detail }, machine::kept(now));
        Ok(())
    }

    fn audit_log(&self, after: u64, limit: u32) -> Stored<Vec<AuditEntry>> {
        let kept = self.kept();
        Ok(kept.audit.iter().filter(|entry| entry.seq > after).take(limit as usize).cloned().collect())
    }

    fn put_profile(&self, repo: &RepoId, key: &Digest, profile: &Value, _now: Timestamp) -> Stored<()> {
        self.kept().profiles.insert(repo_key(repo), (key.clone(), profile.clone()));
        Ok(())
    }

    fn profile(&self, repo: &RepoId) -> Stored<Option<(Digest, Value)>> {
        Ok(self.kept().profiles.get(&repo_key(repo)).cloned())
    }

    fn profile_key(&self, repo: &RepoId) -> Stored<Option<Digest>> {
        Ok(self.kept().profiles.get(&repo_key(repo)).map(|(key, _)| key.clone()))
    }

    fn set_value(&self, name: &str, value: &str) -> Stored<()> {
        self.kept().values.entry(name.to_owned()).or_default().0 = value.to_owned();
        Ok(())
    }

    fn set_value_of(&self, task: &TaskId, name: &str, value: &str) -> Stored<()> {
        let mut kept = self.kept();
        if kept.row(task).is_some() {
            kept.values.insert(name.to_owned(), (value.to_owned(), Some(task.clone())));
        }
        Ok(())
    }

    fn value(&self, name: &str) -> Stored<Option<String>> {
        Ok(self.kept().values.get(name).map(|(value, _)| value.clone()))
    }

    fn figures(&self, since: Timestamp) -> Stored<Vec<Figure>> {
        let since = kept(since);
        let kept = self.kept();
        let wanted = kept.tasks.iter().filter(|row| row.task.asked.created_at >= since);
        Ok(wanted.map(|row| row.task.figure()).collect())
    }

    fn load(&self, now: Timestamp) -> Stored<Load> {
        let now = kept(now);
        let kept = self.kept();
        let mut load = Load::default();
        for row in &kept.tasks {
            *load.tasks.entry(row.task.now.state).or_default() += 1;
            if row.task.is_ready(now) {
                load.ready += 1;
                load.ready_since = load.ready_since.into_iter().chain(row.task.now.ready_at).min();
            }
        }
        for asked in &kept.effects {
            match asked.end {
                None => load.effects += 1,
                Some(Err(_)) => load.dead_effects += 1,
                Some(Ok(_)) => {}
            }
        }
        load.deliveries = kept.deliveries.iter().filter(|one| one.done_at.is_none()).count() as u64;
        Ok(load)
    }

    fn forget(&self, before: Timestamp, now: Timestamp) -> Stored<Gone> {
        let before = kept(before);
        let kept = &mut *self.kept();
        let open: BTreeSet<TaskId> = kept
            .effects
            .iter()
            .filter(|asked| match asked.end {
                None => true,
                Some(Err(_)) => asked.effect.what.kind != CHECK,
                Some(Ok(_)) => false,
            })
            .filter_map(|asked| asked.effect.task.clone())
            .collect();
        let mut old: Vec<(Timestamp, TaskId, u64)> = kept
            .tasks
            .iter()
            .filter(|row| {
                let task = &row.task;
                task.now.state.is_end() && task.now.updated_at < before && !open.contains(&task.asked.id)
            })
            .map(|row| {
                let bytes = row.tries.iter().map(|attempt| attempt.bytes).sum();
                (row.task.now.updated_at, row.task.asked.id.clone(), bytes)
            })
            .collect();
        old.sort();
        let there = old.len();
        old.truncate(at_once(old.iter().map(|(_, _, bytes)| *bytes)));
        let more = old.len() < there;
        let names: Vec<&str> = old.iter().map(|(_, task, _)| task.as_str()).collect();
        if let Some(said) = of_tasks(&names, before) {
            kept.note(&forgetting(&said), machine::kept(now));
        }
        let gone: BTreeSet<TaskId> = old.into_iter().map(|(_, task, _)| task).collect();
        kept.tasks.retain(|row| !gone.contains(&row.task.asked.id));
        kept.feed.retain(|told| !gone.contains(&told.task));
        kept.keys.retain(|(_, task)| !gone.contains(task));
        kept.values.retain(|_, (_, task)| task.as_ref().is_none_or(|task| !gone.contains(task)));
        let there: BTreeSet<&str> = kept.tasks.iter().map(|row| row.task.asked.id.as_str()).collect();
        let posted = |key: &str| {
            let task = key.strip_prefix("chat:").and_then(|rest| rest.strip_suffix(":post"));
            task.is_some_and(|task| there.contains(task))
        };
        kept.effects.retain(|asked| match (&asked.effect.task, &asked.end) {
            (Some(task), _) => !gone.contains(task),
            (None, Some(Ok((_, at)) | Err((_, at)))) => *at >= before || posted(&asked.effect.what.key),
            (None, _) => true,
        });
        kept.deliveries.retain(|received| received.done_at.is_none_or(|at| at >= before));
        kept.handed.retain(|_, (_, at)| *at >= before);
        Ok(Gone { tasks: gone.len() as u64, more })
    }

    fn forget_audit(&self, before: Timestamp, now: Timestamp) -> Stored<u64> {
        let (before, now) = (kept(before), kept(now));
        let mut kept = self.kept();
        let most = kept.audit.len().saturating_sub(1).min(AUDIT_FORGOTTEN_AT_ONCE as usize);
        let gone = kept.audit[..most].iter().take_while(|entry| entry.at < before).count();
        if let Some(last) = gone.checked_sub(1) {
            let last = &kept.audit[last];
            let said = of_entries(gone as u64, (last.seq, &last.hash), before);
            kept.note(&forgetting(&said), now);
            kept.audit.drain(..gone);
        }
        Ok(gone as u64)
    }
}
