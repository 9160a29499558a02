//! The tables. A step that was released is never changed: what is wanted otherwise is one more.

use rusqlite_migration::{M, Migrations};

const STEPS: &[M<'_>] = &[M::up(
    "
    -- A task: where it stands, with what is searched for beside it. Times are microseconds of Unix time.
    CREATE TABLE task (
        seq INTEGER PRIMARY KEY,                        -- age
        id TEXT NOT NULL UNIQUE,
        repo TEXT NOT NULL,                             -- in lower case, as it is compared
        state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'publishing', 'published', 'bowed_out', 'failed',
                                             'quarantined', 'cancelled', 'superseded')),
        priority INTEGER NOT NULL,
        needs TEXT NOT NULL,                            -- JSON array of labels, sorted
        supersede TEXT,
        ready INTEGER NOT NULL CHECK (ready IN (0, 1)), -- whether its time has come, as was last looked
        ready_at INTEGER,
        expires_at INTEGER,                             -- when its lease runs out
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        standing TEXT NOT NULL,                         -- JSON; the columns above say nothing that it does not
        CHECK ((state = 'queued') = (ready_at IS NOT NULL)),
        CHECK ((state = 'running') = (expires_at IS NOT NULL)),
        CHECK (ready = 0 OR state = 'queued')
    ) STRICT;
    CREATE INDEX task_ready ON task (repo, needs, priority DESC, seq) WHERE ready = 1;
    CREATE INDEX task_waits ON task (ready, ready_at) WHERE ready_at IS NOT NULL;
    CREATE INDEX task_leased ON task (expires_at, seq) WHERE expires_at IS NOT NULL;
    CREATE INDEX task_running ON task (repo) WHERE state = 'running';
    CREATE INDEX task_of_key ON task (supersede, repo)
        WHERE supersede IS NOT NULL AND state IN ('queued', 'running', 'publishing');
    CREATE INDEX task_of_time ON task (created_at);
    CREATE INDEX task_of_repo ON task (repo, id);
    CREATE INDEX task_of_state ON task (state, id);

    -- What was asked for, apart: it may be long, and a renewed lease does not write it again.
    CREATE TABLE asked (
        task INTEGER PRIMARY KEY REFERENCES task (seq) ON DELETE CASCADE,
        asked TEXT NOT NULL,                            -- JSON, written once
        text TEXT NOT NULL
    ) STRICT;

    -- Tasks by state, so that a full queue is known without counting it.
    CREATE TABLE tally (state TEXT PRIMARY KEY, tasks INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TRIGGER task_counted AFTER INSERT ON task BEGIN
        INSERT INTO tally VALUES (new.state, 1) ON CONFLICT (state) DO UPDATE SET tasks = tasks + 1;
    END;
    CREATE TRIGGER task_moved AFTER UPDATE OF state ON task WHEN old.state <> new.state BEGIN
        UPDATE tally SET tasks = tasks - 1 WHERE state = old.state;
        INSERT INTO tally VALUES (new.state, 1) ON CONFLICT (state) DO UPDATE SET tasks = tasks + 1;
    END;
    CREATE TRIGGER task_gone AFTER DELETE ON task BEGIN
        UPDATE tally SET tasks = tasks - 1 WHERE state = old.state;
    END;

    CREATE TABLE attempt (
        task INTEGER NOT NULL REFERENCES task (seq) ON DELETE CASCADE,
        number INTEGER NOT NULL CHECK (number > 0),
        token TEXT NOT NULL,
        worker TEXT NOT NULL,
        begun_at INTEGER NOT NULL,
        next INTEGER NOT NULL,                          -- the journal's line that is wanted next
        bytes INTEGER NOT NULL,                         -- of journal and artifacts
        ended TEXT,                                     -- digest of the end that was told
        came_to TEXT,                                   -- the state that the task came to by it
        PRIMARY KEY (task, number)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE event (
        position INTEGER PRIMARY KEY AUTOINCREMENT,     -- never given twice: whoever follows the feed keeps it
        task INTEGER NOT NULL REFERENCES task (seq) ON DELETE CASCADE,
        seq INTEGER NOT NULL,
        at INTEGER NOT NULL,
        kind TEXT NOT NULL,
        UNIQUE (task, seq)
    ) STRICT;

    CREATE TABLE journal (
        task INTEGER NOT NULL REFERENCES task (seq) ON DELETE CASCADE,
        attempt INTEGER NOT NULL,
        line INTEGER NOT NULL,
        text TEXT NOT NULL,
        UNIQUE (task, attempt, line)
    ) STRICT;

    -- What was handed over, by digest; whose it is stands apart.
    CREATE TABLE content (digest TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
    CREATE TABLE artifact (
        task INTEGER NOT NULL REFERENCES task (seq) ON DELETE CASCADE,
        digest TEXT NOT NULL REFERENCES content (digest),
        PRIMARY KEY (task, digest)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX artifact_of ON artifact (digest);

    CREATE TABLE repository (
        repo TEXT PRIMARY KEY,
        weight INTEGER,                                 -- none where it was not set
        running INTEGER,
        pass INTEGER NOT NULL DEFAULT 0                 -- what it had for its weight
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE handed (kind TEXT PRIMARY KEY, pass INTEGER NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;

    CREATE TABLE idempotency (
        scope TEXT NOT NULL,
        key TEXT NOT NULL,
        request TEXT NOT NULL,
        task INTEGER NOT NULL REFERENCES task (seq) ON DELETE CASCADE,
        PRIMARY KEY (scope, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX idempotency_of ON idempotency (task);

    CREATE TABLE effect (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE,
        task TEXT,
        kind TEXT NOT NULL,
        payload TEXT NOT NULL,
        tries INTEGER NOT NULL DEFAULT 0,
        due_at INTEGER NOT NULL,
        held_until INTEGER,
        state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'dead')),
        result TEXT,                                    -- of one that is done
        error TEXT,                                     -- the latest
        ended_at INTEGER,
        CHECK ((state = 'pending') = (ended_at IS NULL)),
        CHECK ((state = 'done') = (result IS NOT NULL))
    ) STRICT;
    CREATE INDEX effect_pending ON effect (task, id) WHERE state = 'pending';
    CREATE INDEX effect_due ON effect (due_at) WHERE state = 'pending';
    CREATE INDEX effect_dead ON effect (id) WHERE state = 'dead';
    CREATE INDEX effect_of ON effect (task, state);

    CREATE TABLE delivery (
        seq INTEGER PRIMARY KEY,
        sender TEXT NOT NULL,
        id TEXT NOT NULL,
        event TEXT NOT NULL,
        body BLOB NOT NULL,                             -- emptied when it is done without an error
        at INTEGER NOT NULL,
        held_until INTEGER,
        done_at INTEGER,
        error TEXT,
        UNIQUE (sender, id)
    ) STRICT;
    CREATE INDEX delivery_waits ON delivery (seq) WHERE done_at IS NULL;

    CREATE TABLE token (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        secret TEXT NOT NULL,                           -- its SHA-256
        token TEXT NOT NULL                             -- JSON
    ) STRICT;

    CREATE TABLE audit (
        seq INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        who TEXT NOT NULL,
        decision TEXT NOT NULL,
        action TEXT NOT NULL,
        subject TEXT NOT NULL,
        detail TEXT NOT NULL,
        prev TEXT NOT NULL,
        hash TEXT NOT NULL
    ) STRICT;
    -- Its last entry, apart: that entries were cut off its end shows.
    CREATE TABLE audit_head (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, hash TEXT NOT NULL) STRICT;

    CREATE TABLE profile (
        repo TEXT PRIMARY KEY,
        key TEXT NOT NULL,
        profile TEXT NOT NULL,
        at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE value (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    ",
), M::up(
    "
    -- What repositories are given of the workers, by name; which one counts is decided where a task is handed out.
    CREATE TABLE share (pattern TEXT PRIMARY KEY, weight INTEGER NOT NULL, running INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO share SELECT repo, weight, running FROM repository WHERE weight IS NOT NULL AND running IS NOT NULL;
    ALTER TABLE repository DROP COLUMN weight;
    ALTER TABLE repository DROP COLUMN running;

    -- The audit log's last entry that was forgotten: the first that is there follows after it.
    CREATE TABLE audit_base (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, hash TEXT NOT NULL) STRICT;
    ",
), M::up(
    "
    -- Which states there are says the program, which refuses others when it reads: a list here would have to be made anew,
    -- with the table, for each new one. The foreign keys are not enforced while this runs, and checked after it.
    CREATE TABLE task_anew (
        seq INTEGER PRIMARY KEY,                        -- age
        id TEXT NOT NULL UNIQUE,
        repo TEXT NOT NULL,                             -- in lower case, as it is compared
        state TEXT NOT NULL,
        priority INTEGER NOT NULL,
        needs TEXT NOT NULL,                            -- JSON array of labels, sorted
        supersede TEXT,
        ready INTEGER NOT NULL CHECK (ready IN (0, 1)), -- whether its time has come, as was last looked
        ready_at INTEGER,
        expires_at INTEGER,                             -- when its lease runs out
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        standing TEXT NOT NULL,                         -- JSON; the columns above say nothing that it does not
        CHECK ((state = 'queued') = (ready_at IS NOT NULL)),
        CHECK ((state = 'running') = (expires_at IS NOT NULL)),
        CHECK (ready = 0 OR state = 'queued')
    ) STRICT;
    INSERT INTO task_anew SELECT seq, id, repo, state, priority, needs, supersede, ready, ready_at, expires_at, created_at,
        updated_at, standing FROM task;
    DROP TABLE task;
    ALTER TABLE task_anew RENAME TO task;
    CREATE INDEX task_ready ON task (repo, needs, priority DESC, seq) WHERE ready = 1;
    CREATE INDEX task_waits ON task (ready, ready_at) WHERE ready_at IS NOT NULL;
    CREATE INDEX task_leased ON task (expires_at, seq) WHERE expires_at IS NOT NULL;
    CREATE INDEX task_running ON task (repo) WHERE state = 'running';
    CREATE INDEX task_of_key ON task (supersede, repo)
        WHERE supersede IS NOT NULL AND state IN ('queued', 'running', 'publishing');
    CREATE INDEX task_of_time ON task (created_at);
    CREATE INDEX task_of_repo ON task (repo, id);
    CREATE INDEX task_of_state ON task (state, id);
    CREATE TRIGGER task_counted AFTER INSERT ON task BEGIN
        INSERT INTO tally VALUES (new.state, 1) ON CONFLICT (state) DO UPDATE SET tasks = tasks + 1;
    END;
    CREATE TRIGGER task_moved AFTER UPDATE OF state ON task WHEN old.state <> new.state BEGIN
        UPDATE tally SET tasks = tasks - 1 WHERE state = old.state;
        INSERT INTO tally VALUES (new.state, 1) ON CONFLICT (state) DO UPDATE SET tasks = tasks + 1;
    END;
    CREATE TRIGGER task_gone AFTER DELETE ON task BEGIN
        UPDATE tally SET tasks = tasks - 1 WHERE state = old.state;
    END;
    ",
).foreign_key_check(), M::up(
    "
    -- Effects are taken by their kind, those that are due for the longest first; deliveries by their sender, those that were
    -- tried after those that were not. Tries begin anew when a dead effect is taken up; that it was tried stays known.
    ALTER TABLE effect ADD COLUMN tried INTEGER NOT NULL DEFAULT 0 CHECK (tried IN (0, 1));
    UPDATE effect SET tried = 1 WHERE tries > 0;
    DROP INDEX effect_due;
    CREATE INDEX effect_due ON effect (kind, due_at, id) WHERE state = 'pending';
    DROP INDEX delivery_waits;
    CREATE INDEX delivery_waits ON delivery (sender, coalesce(held_until, 0), seq) WHERE done_at IS NULL;
    ",
), M::up(
    "
    -- What statistics want to know of what was asked for, beside where a task stands: they read nothing of the texts.
    ALTER TABLE task ADD COLUMN spelt TEXT NOT NULL DEFAULT '';  -- its repository as it was asked for
    ALTER TABLE task ADD COLUMN kind TEXT NOT NULL DEFAULT '';   -- JSON
    UPDATE task SET spelt = coalesce(a.asked ->> '$.new.repo', repo), kind = coalesce(a.asked -> '$.new.kind', '\"change\"')
        FROM asked a WHERE a.task = task.seq;
    ",
), M::up(
    "
    -- What is noted of a task goes with it.
    ALTER TABLE value ADD COLUMN task INTEGER REFERENCES task (seq) ON DELETE CASCADE;
    CREATE INDEX value_of ON value (task) WHERE task IS NOT NULL;
    -- Of those that were noted before, the task is in the name, or of a thread in the value. An id has 22 characters.
    UPDATE value SET task = (SELECT seq FROM task t WHERE t.id = CASE
            WHEN value.name GLOB 'envelope:*' THEN substr(value.name, 10, 22)
            WHEN value.name GLOB 'verdict:*' THEN substr(value.name, 9, 22)
            WHEN value.name GLOB 'slack:shown:*' THEN substr(value.name, 13, 22)
            ELSE value.value END)
        WHERE name GLOB 'envelope:*' OR name GLOB 'verdict:*' OR name GLOB 'slack:shown:*' OR name GLOB 'slack:thread:*';
    DELETE FROM value WHERE task IS NULL AND (name GLOB 'envelope:*' OR name GLOB 'verdict:*' OR name GLOB 'slack:shown:*'
        OR name GLOB 'slack:thread:*');
    ",
)];

pub(super) const MIGRATIONS: Migrations<'_> = Migrations::from_slice(STEPS);

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::MIGRATIONS;
    use crate::sqlite::to_latest;

    #[test]
    fn the_steps_lead_somewhere() {
        MIGRATIONS.validate().unwrap();
    }

    /// Whoever upgrades, or goes back, reads there what a form of the database is.
    #[test]
    fn the_page_for_operators_tells_of_each_step() {
        let page = include_str!("../../../../../docs/operations.md");
        let (_, table) =
            page.split_once("| form of the database | what was added |\n| --- | --- |\n").unwrap();
        let rows = table.lines().take_while(|line| line.starts_with("| "));
        let told: Vec<usize> = rows.map(|row| row.split(' ').nth(1).unwrap().parse().unwrap()).collect();
        assert_eq!(told, (1..=super::STEPS.len()).collect::<Vec<_>>());
    }

    #[test]
    fn a_table_that_is_made_anew_takes_what_was_in_it_along() {
        let mut connection = Connection::open_in_memory().unwrap();
        MIGRATIONS.to_version(&mut connection, 2).unwrap();
        let filled = "
            INSERT INTO task VALUES (7, 't-1', 'acme/api', 'running', 0, '[]', NULL, 0, NULL, 5, 1, 2, '{}');
            INSERT INTO task VALUES (8, 't-2', 'acme/api', 'failed', 0, '[]', 'key', 0, NULL, NULL, 1, 2, '{}');
            INSERT INTO asked VALUES (7, '{}', 'words');
            INSERT INTO attempt VALUES (7, 1, 'token', 'worker', 3, 0, 0, NULL, NULL);
            INSERT INTO event (task, seq, at, kind) VALUES (7, 1, 3, '{}');
            INSERT INTO idempotency VALUES ('scope', 'key', 'request', 8);
            INSERT INTO task VALUES (9, 't-01234567890123456789', 'acme/api', 'failed', 0, '[]', NULL, 0, NULL, NULL, 1, 2, '{}');
            INSERT INTO value VALUES ('envelope:t-01234567890123456789:1', 'd'), ('verdict:t-01234567890123456789:12', 'd'),
                ('slack:shown:t-01234567890123456789', 's'), ('slack:thread:C:1.2', 't-01234567890123456789'),
                ('envelope:t-99999999999999999999:1', 'd'), ('feed', '7');";
        connection.execute_batch(filled).unwrap();
        let count = |connection: &Connection, query: &str| -> i64 {
            connection.query_row(query, [], |row| row.get(0)).unwrap()
        };
        // As a database is opened.
        to_latest(&mut connection, &MIGRATIONS).unwrap();
        for (table, rows) in
            [("task", 3), ("value", 5), ("asked", 1), ("attempt", 1), ("event", 1), ("idempotency", 1)]
        {
            assert_eq!(count(&connection, &format!("SELECT count(*) FROM {table}")), rows, "{table}");
        }
        // It is the table that the others stand on, and that is counted.
        assert!(connection.execute("INSERT INTO asked VALUES (10, '{}', 'of nobody')", []).is_err());
        connection
            .execute("UPDATE task SET state = 'onboarded', expires_at = NULL WHERE seq = 7", [])
            .unwrap();
        connection.execute("DELETE FROM task WHERE seq > 7", []).unwrap();
        assert_eq!(count(&connection, "SELECT count(*) FROM value WHERE name = 'feed'"), 1);
        assert_eq!(
            count(&connection, "SELECT count(*) FROM value"),
            1,
            "what is noted of a task goes with it"
        );
        assert_eq!(count(&connection, "SELECT count(*) FROM idempotency"), 0);
        for (state, tasks) in [("onboarded", 1), ("running", 0), ("failed", 0)] {
            let query = format!("SELECT tasks FROM tally WHERE state = '{state}'");
            assert_eq!(count(&connection, &query), tasks, "{state}");
        }
    }
}
