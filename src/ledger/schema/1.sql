-- State of the engine: one row per thing it must remember, as JSON.
CREATE TABLE row (
    kind TEXT NOT NULL,           -- incident, job, engine
    id   TEXT NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;

-- How far each log stream has been read.
CREATE TABLE checkpoint (
    source TEXT NOT NULL,
    stream TEXT NOT NULL,
    json   TEXT NOT NULL,
    PRIMARY KEY (source, stream)
) STRICT, WITHOUT ROWID;

-- The error records; the JSON Lines file is written from here with a cursor of its own.
CREATE TABLE record (
    seq  INTEGER PRIMARY KEY,
    incident TEXT NOT NULL,
    json TEXT NOT NULL
) STRICT;
CREATE INDEX record_incident ON record (incident);

-- Repairs that were begun; a row that is still here at start was cut off in the middle.
CREATE TABLE intent (
    id   TEXT PRIMARY KEY,
    json TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What is owed to people. `key` is the incident (or `digest`, `agent`): one live message per key and chat.
CREATE TABLE notice (
    key      TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    json     TEXT NOT NULL,
    at       TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE delivery (
    key        TEXT NOT NULL,
    channel    TEXT NOT NULL,     -- telegram:CHAT
    state      TEXT NOT NULL,     -- owed, sending, sent, dead
    revision   INTEGER NOT NULL,  -- the revision last delivered
    message_id INTEGER,
    attempts   INTEGER NOT NULL DEFAULT 0,
    not_before TEXT,
    error      TEXT,
    PRIMARY KEY (key, channel)
) STRICT, WITHOUT ROWID;

-- Files moved aside.
CREATE TABLE quarantine (
    id       TEXT PRIMARY KEY,
    root     TEXT NOT NULL,
    original TEXT NOT NULL,
    stored   TEXT NOT NULL,
    size     INTEGER NOT NULL,
    why      TEXT NOT NULL,
    at       TEXT NOT NULL,
    restored TEXT
) STRICT, WITHOUT ROWID;

-- Small cursors and facts.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
