-- The notification centre: one entry for each thing that people are told of, as it stands now. Every notice that is owed to
-- anybody is in it, in the same transaction, and stays when the notice itself is long forgotten.
CREATE TABLE notification (
    ord             INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT NOT NULL UNIQUE,          -- the notice's key
    at              TEXT NOT NULL,                 -- of the newest revision
    json            TEXT NOT NULL,                 -- the notice
    revision        INTEGER NOT NULL,
    changed         INTEGER NOT NULL,              -- counts up with every revision of any entry: how far a channel has looked
    loud            INTEGER NOT NULL,              -- as in `notice`
    ended           INTEGER NOT NULL,
    rings           INTEGER NOT NULL,
    silent          INTEGER NOT NULL DEFAULT 0,    -- 1: made while its subject was silenced, nobody is told
    read_at         TEXT,
    acknowledged_at TEXT,
    acknowledged_by TEXT,
    kind            TEXT AS (json ->> '$.story.story') STORED,   -- incident, bot, agent, probe, operation, custom
    class           TEXT AS (json ->> '$.story.class') STORED,   -- of an incident
    level           TEXT AS (CASE                                -- info, success, warning, error; as `Notice::level`
        WHEN json ->> '$.story.level' IS NOT NULL THEN json ->> '$.story.level'
        WHEN json ->> '$.story.stage.result' IN ('healed', 'recovered') THEN 'success'
        WHEN json ->> '$.story.story' = 'probe' AND json ->> '$.story.what' = 'up' THEN 'success'
        WHEN json ->> '$.story.story' = 'operation' AND json ->> '$.story.state' = 'completed' THEN 'success'
        WHEN json ->> '$.severity' IN ('error', 'critical') THEN 'error'
        WHEN json ->> '$.severity' = 'warning' THEN 'warning' ELSE 'info' END) STORED,
    words           TEXT AS (coalesce(json ->> '$.story.subject.value', '') || ' ' || coalesce(json ->> '$.story.source', '')
        || ' ' || coalesce(json ->> '$.story.name', '') || ' ' || coalesce(json ->> '$.story.title', '')
        || ' ' || coalesce(json ->> '$.story.text', '') || ' ' || coalesce(json ->> '$.story.detail', '')
        || ' ' || coalesce(json ->> '$.story.what', '') || ' ' || coalesce(json ->> '$.story.class', '')
        || ' ' || coalesce(json ->> '$.story.stage.detail', '')) VIRTUAL
) STRICT;
CREATE INDEX notification_unread ON notification (ord) WHERE read_at IS NULL;
CREATE INDEX notification_changed ON notification (changed);
INSERT INTO meta (name, value) VALUES ('notification.changed', '0');

-- Nobody is told of this class and subject for a while.
CREATE TABLE silence (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    class    TEXT NOT NULL,
    subject  TEXT NOT NULL,
    incident TEXT,               -- the one it was said of
    account  TEXT NOT NULL,
    reason   TEXT NOT NULL,
    at       TEXT NOT NULL,
    until    TEXT NOT NULL
) STRICT;
CREATE INDEX silence_of ON silence (class, subject, until);
ALTER TABLE notice ADD COLUMN silent INTEGER NOT NULL DEFAULT 0;

-- A newer revision is unread again when it is louder than before, or when it says how the matter ended.
CREATE TRIGGER notified AFTER INSERT ON notice BEGIN
    UPDATE meta SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT) WHERE name = 'notification.changed';
    UPDATE notice SET silent = 1 WHERE key = new.key AND EXISTS (SELECT 1 FROM silence s
        WHERE s.class = new.json ->> '$.story.class' AND s.subject = new.json ->> '$.story.subject.value' AND s.until > new.at);
    INSERT INTO notification (id, at, json, revision, changed, loud, ended, rings, silent)
        SELECT key, at, json, revision, (SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'notification.changed'),
            loud, ended, rings, silent FROM notice WHERE key = new.key
        ON CONFLICT (id) DO UPDATE SET at = excluded.at, json = excluded.json, revision = excluded.revision,
            changed = excluded.changed, loud = max(loud, excluded.loud), ended = excluded.ended, rings = excluded.rings,
            silent = excluded.silent, read_at = NULL;
END;
CREATE TRIGGER notified_again AFTER UPDATE OF revision ON notice WHEN new.revision > old.revision BEGIN
    UPDATE meta SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT) WHERE name = 'notification.changed';
    UPDATE notice SET silent = EXISTS (SELECT 1 FROM silence s
        WHERE s.class = new.json ->> '$.story.class' AND s.subject = new.json ->> '$.story.subject.value' AND s.until > new.at)
        WHERE key = new.key;
    UPDATE notification SET at = new.at, json = new.json, revision = new.revision, loud = new.loud, ended = new.ended,
        rings = new.rings, silent = (SELECT silent FROM notice WHERE key = new.key),
        changed = (SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'notification.changed'),
        read_at = CASE WHEN new.ended AND NOT old.ended OR new.loud > old.loud THEN NULL ELSE read_at END
    WHERE id = new.key;
END;
-- The newest 10,000 are kept (`KEPT` in notifications.rs says the same).
CREATE TRIGGER notification_new AFTER INSERT ON notification BEGIN
    DELETE FROM notification WHERE ord <= new.ord - 10000;
    INSERT INTO event (topic, type, key) VALUES ('notification', 'notification', new.id);
END;
-- That something was read or cleared is written by the functions that do it: for all at once it is one event, not thousands.
CREATE TRIGGER notification_news AFTER UPDATE OF json, acknowledged_at ON notification BEGIN
    INSERT INTO event (topic, type, key) VALUES ('notification', 'notification', new.id);
END;

-- Where notifications go besides Telegram, and how that place is.
CREATE TABLE channel (
    name          TEXT PRIMARY KEY,             -- webhook:NAME, email:NAME, push:HASH
    active        INTEGER NOT NULL,             -- 0: no longer configured
    planned       INTEGER NOT NULL,             -- entries with `changed` up to this were looked at
    not_before    INTEGER NOT NULL DEFAULT 0,   -- Unix milliseconds: it asked to wait
    failing_since INTEGER,                      -- Unix milliseconds: nothing arrived since
    error         TEXT                          -- the latest
) STRICT, WITHOUT ROWID;

-- What a channel is owed or was told of one entry. Times are Unix milliseconds.
CREATE TABLE post (
    channel    TEXT NOT NULL,
    id         TEXT NOT NULL,
    state      TEXT NOT NULL,                  -- owed, sending (committed before the call), sent, dead, handed (to another)
    since      INTEGER NOT NULL,               -- owed since
    forced     INTEGER NOT NULL DEFAULT 0,     -- 1: taken over from another channel, the rules of this one are not asked
    revision   INTEGER NOT NULL DEFAULT -1,    -- the revision last told
    loud       INTEGER NOT NULL DEFAULT -1,    -- … and how it was
    ended      INTEGER NOT NULL DEFAULT 0,
    rings      INTEGER NOT NULL DEFAULT 0,
    repeats    INTEGER NOT NULL DEFAULT 0,     -- how often it was told again because nobody acknowledged it
    repeat_at  INTEGER,                        -- when it is told again
    attempts   INTEGER NOT NULL DEFAULT 0,     -- in vain, since the last success
    unsure     INTEGER NOT NULL DEFAULT 0,     -- 1: an earlier attempt may have arrived
    error      TEXT,
    last_sent  INTEGER,
    PRIMARY KEY (channel, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX post_open ON post (channel) WHERE state IN ('owed', 'sending') OR repeat_at IS NOT NULL;
CREATE INDEX post_of ON post (id);
-- Who took it over is not reminded any more.
CREATE TRIGGER notification_acknowledged AFTER UPDATE OF acknowledged_at ON notification
WHEN new.acknowledged_at IS NOT NULL BEGIN
    UPDATE post SET repeat_at = NULL WHERE id = new.id;
END;
-- What waits to be told of a silenced subject is not told either.
CREATE TRIGGER silence_begins AFTER INSERT ON silence WHEN new.until > new.at BEGIN
    UPDATE notice SET silent = 1
        WHERE json ->> '$.story.class' = new.class AND json ->> '$.story.subject.value' = new.subject;
    UPDATE notification SET silent = 1 WHERE class = new.class AND json ->> '$.story.subject.value' = new.subject;
    UPDATE post SET repeat_at = NULL WHERE id IN
        (SELECT id FROM notification WHERE class = new.class AND json ->> '$.story.subject.value' = new.subject);
END;
CREATE TRIGGER notification_gone AFTER DELETE ON notification BEGIN
    DELETE FROM post WHERE id = old.id;
END;

-- How deliveries went, by the hour; `telegram:CHAT` is counted here as well.
CREATE TABLE delivered (
    hour    TEXT NOT NULL,       -- 2026-11-22T01
    channel TEXT NOT NULL,
    result  TEXT NOT NULL,       -- sent, failed (tried again), dead
    count   INTEGER NOT NULL,
    PRIMARY KEY (hour, channel, result)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER post_done AFTER UPDATE OF state ON post WHEN old.state = 'sending' AND new.state <> 'sending' BEGIN
    INSERT INTO delivered (hour, channel, result, count) VALUES (strftime('%Y-%m-%dT%H', 'now'), new.channel,
        CASE WHEN new.state = 'dead' THEN 'dead' WHEN new.attempts > 0 THEN 'failed' ELSE 'sent' END, 1)
        ON CONFLICT DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER delivery_done AFTER UPDATE OF state ON delivery WHEN old.state = 'sending' AND
    (new.state IN ('owed', 'dead') OR new.state = 'sent' AND new.last_sent IS NOT old.last_sent) BEGIN
    INSERT INTO delivered (hour, channel, result, count) VALUES (strftime('%Y-%m-%dT%H', 'now'), new.channel,
        CASE new.state WHEN 'sent' THEN 'sent' WHEN 'owed' THEN 'failed' ELSE 'dead' END, 1)
        ON CONFLICT DO UPDATE SET count = count + 1;
END;

-- Browsers that want to be told. The endpoint is a secret: who knows it can send to it.
CREATE TABLE push_subscription (
    hash     TEXT PRIMARY KEY,     -- of the endpoint; names the channel
    endpoint TEXT NOT NULL,
    p256dh   TEXT NOT NULL,
    auth     TEXT NOT NULL,
    account  TEXT NOT NULL,
    language TEXT,
    at       TEXT NOT NULL
) STRICT, WITHOUT ROWID;
