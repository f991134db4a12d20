-- What is looked at regularly, and how it was.
CREATE TABLE probe (
    ord   INTEGER PRIMARY KEY AUTOINCREMENT,
    name  TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,           -- unknown, up, down
    json  TEXT NOT NULL
) STRICT;
CREATE TRIGGER probe_added AFTER INSERT ON probe BEGIN
    INSERT INTO event (topic, type, key) VALUES ('system', 'probe_changed', new.name);
END;
CREATE TRIGGER probe_changed AFTER UPDATE ON probe WHEN new.state <> old.state BEGIN
    INSERT INTO event (topic, type, key) VALUES ('system', 'probe_changed', new.name);
END;
CREATE TRIGGER probe_removed AFTER DELETE ON probe BEGIN
    INSERT INTO event (topic, type, key) VALUES ('system', 'probe_changed', old.name);
END;

-- Settings that were changed while logmedic runs: they win over the configuration files.
CREATE TABLE setting (
    key     TEXT PRIMARY KEY,      -- as in the configuration: `retry.attempts`
    json    TEXT NOT NULL,
    at      TEXT NOT NULL,
    account TEXT NOT NULL
) STRICT, WITHOUT ROWID;
