-- Who may do what.
CREATE TABLE account (
    name       TEXT PRIMARY KEY,
    role       TEXT NOT NULL,       -- viewer, operator, admin
    password   TEXT NOT NULL,       -- argon2id, PHC string format
    totp       TEXT,                -- the second factor's key, base32; NULL: none
    totp_step  INTEGER NOT NULL DEFAULT 0,   -- the last code's time step: a code is taken once
    created_at TEXT NOT NULL,
    changed_at TEXT NOT NULL        -- tokens made before it are void
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
    id         TEXT PRIMARY KEY,
    secret     TEXT NOT NULL UNIQUE,   -- SHA-256 of what the client holds, hex
    account    TEXT NOT NULL,
    created_at TEXT NOT NULL,
    seen_at    TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    address    TEXT NOT NULL,
    agent      TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_account ON session (account);

-- Who did what, when, from where.
CREATE TABLE audit (
    ord     INTEGER PRIMARY KEY AUTOINCREMENT,
    at      TEXT NOT NULL,
    account TEXT NOT NULL,
    address TEXT NOT NULL,
    action  TEXT NOT NULL,
    target  TEXT NOT NULL,
    outcome TEXT NOT NULL        -- done, refused, failed
) STRICT;
