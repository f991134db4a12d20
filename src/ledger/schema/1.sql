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

-- The error records; the JSON Lines file is written from here; its last line says how far.
CREATE TABLE record (
    seq  INTEGER PRIMARY KEY,
    incident TEXT NOT NULL,
    json TEXT NOT NULL
) STRICT;
CREATE INDEX record_incident ON record (incident);

-- What people should be told; `key` is the incident or `agent:…`. Made by the engine in its own transaction.
CREATE TABLE notice (
    ord      INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of delivery; never used again
    key      TEXT NOT NULL UNIQUE,
    revision INTEGER NOT NULL,
    json     TEXT NOT NULL,
    at       TEXT NOT NULL,
    loud     INTEGER NOT NULL,            -- highest severity of all revisions, 0 (info) to 3 (critical)
    ended    INTEGER NOT NULL,            -- 1: no further revision is expected
    rings    INTEGER NOT NULL,            -- 1: a person must see it, a silent edit is not enough
    done     INTEGER NOT NULL DEFAULT 0   -- 1: this revision was told to everyone who can be reached
) STRICT;
CREATE INDEX notice_undone ON notice (done) WHERE done = 0;

-- What was told where: one row per notice and channel, and one per digest message (`key` = `digest:N`).
CREATE TABLE delivery (
    key        TEXT NOT NULL,
    channel    TEXT NOT NULL,                 -- telegram:CHAT
    state      TEXT NOT NULL,                 -- owed, sending (committed before the call), sent, dead
    revision   INTEGER NOT NULL DEFAULT -1,   -- the revision last told
    digest     TEXT,                          -- the digest message that tells it instead of its own
    message_id INTEGER,
    reply_to   INTEGER,                       -- the message this one answers
    attempts   INTEGER NOT NULL DEFAULT 0,    -- in vain, since the last success
    unsure     INTEGER NOT NULL DEFAULT 0,    -- 1: an earlier attempt may have arrived
    plain      INTEGER NOT NULL DEFAULT 0,    -- 1: the formatted text was refused
    folded     INTEGER NOT NULL DEFAULT 0,    -- how many dropped notices this digest tells about
    shown      INTEGER NOT NULL DEFAULT 0,    -- fingerprint of the text shown, to edit only on change
    first_sent INTEGER,                       -- Unix milliseconds
    last_sent  INTEGER,
    error      TEXT,
    PRIMARY KEY (key, channel)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_digest ON delivery (channel, digest) WHERE digest IS NOT NULL;

-- One row per Telegram chat that is or was an admin.
CREATE TABLE telegram_chat (
    id         INTEGER PRIMARY KEY,           -- as configured
    target     INTEGER NOT NULL,              -- where it is now: groups become supergroups with another number
    since      INTEGER NOT NULL,              -- notices up to this `ord` are older than the chat
    active     INTEGER NOT NULL,              -- 0: no longer configured
    folded     INTEGER NOT NULL DEFAULT 0,    -- dropped notices it has been told about
    not_before INTEGER NOT NULL DEFAULT 0,    -- Unix milliseconds: 429, or the next look at a dead chat
    dead       TEXT                           -- why nothing can be sent to it
) STRICT;

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
