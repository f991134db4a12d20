-- Who may do what.
CREATE TABLE account (
    name       TEXT PRIMARY KEY,
    role       TEXT NOT NULL,       -- viewer, operator, admin
    password   TEXT NOT NULL,       -- argon2id, PHC string format
    totp       TEXT,                -- the second factor's key, base32; NULL: none
    totp_new   TEXT,                -- a key that was given out and not yet confirmed by a code
    totp_step  INTEGER NOT NULL DEFAULT 0,   -- the last code's time step: a code is taken once
    generation INTEGER NOT NULL DEFAULT 0,   -- grows when role, password or second factor change: older tokens are void
    created_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A session of an account (a browser, or whoever logged in), or a token that was made for a script.
CREATE TABLE session (
    id         TEXT PRIMARY KEY,
    secret     TEXT NOT NULL UNIQUE,   -- SHA-256 of what the client holds, hex
    account    TEXT NOT NULL,          -- a script's token has 'token:NAME', which no account is called
    role       TEXT,                   -- of a script's token; NULL: the account's
    created_at TEXT NOT NULL,
    seen_at    TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    address    TEXT NOT NULL,
    agent      TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_account ON session (account);

-- Grows with every change that may end or change a live session, whoever makes it: the agent looks at it often.
INSERT INTO meta (name, value) VALUES ('identity', '0');
CREATE TRIGGER account_changed AFTER UPDATE OF role, generation ON account BEGIN
    UPDATE meta SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT) WHERE name = 'identity';
END;
CREATE TRIGGER account_gone AFTER DELETE ON account BEGIN
    DELETE FROM session WHERE account = old.name;
    UPDATE meta SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT) WHERE name = 'identity';
END;
CREATE TRIGGER session_gone AFTER DELETE ON session BEGIN
    UPDATE meta SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT) WHERE name = 'identity';
END;

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
CREATE INDEX audit_outcome ON audit (outcome, ord);
