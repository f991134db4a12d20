-- What is looked at regularly, and how it was.
CREATE TABLE probe (
    ord   INTEGER PRIMARY KEY AUTOINCREMENT,
    name  TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,           -- unknown, up, down
    json  TEXT NOT NULL            -- what it looks at, since when, what the look showed that changed it
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

-- Deliveries counted for ever, whatever is pruned: by the kind of channel and how they ended.
CREATE TABLE tally (
    channel TEXT NOT NULL,         -- telegram, webhook, email …
    result  TEXT NOT NULL,         -- sent, failed, dead
    count   INTEGER NOT NULL,
    PRIMARY KEY (channel, result)
) STRICT, WITHOUT ROWID;
-- A call begins with `sending`; whatever follows is how it ended.
CREATE TRIGGER delivery_counted AFTER UPDATE OF state ON delivery WHEN old.state = 'sending' AND new.state <> 'sending' BEGIN
    INSERT INTO tally (channel, result, count)
    VALUES (iif(instr(new.channel, ':') > 1, substr(new.channel, 1, instr(new.channel, ':') - 1), new.channel),
            iif(new.state = 'owed', 'failed', new.state), 1)
    ON CONFLICT DO UPDATE SET count = count + 1;
END;
