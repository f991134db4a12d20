-- Everything that takes time.
CREATE TABLE operation (
    ord        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    kind       TEXT NOT NULL,      -- repair, custom, test …
    state      TEXT NOT NULL,      -- pending, running, paused, completed, failed, cancelled
    priority   TEXT NOT NULL,      -- low, normal, high, critical
    created_at TEXT NOT NULL,
    ended_at   TEXT,
    json       TEXT NOT NULL       -- the whole operation
) STRICT;
CREATE INDEX operation_open ON operation (state) WHERE ended_at IS NULL;

CREATE TRIGGER operation_created AFTER INSERT ON operation BEGIN
    INSERT INTO event (topic, type, key) VALUES ('operation', 'operation_created', new.id);
END;
CREATE TRIGGER operation_changed AFTER UPDATE ON operation WHEN new.json <> old.json OR new.state <> old.state BEGIN
    INSERT INTO event (topic, type, key) VALUES ('operation',
        CASE WHEN new.state = old.state THEN 'operation_progress'
             WHEN new.state = 'paused' THEN 'operation_paused'
             WHEN new.state = 'completed' THEN 'operation_complete'
             WHEN new.state = 'failed' THEN 'operation_failed'
             WHEN new.state = 'cancelled' THEN 'operation_cancelled'
             -- Resumed, it may have to wait for a slot first.
             WHEN old.state = 'paused' THEN 'operation_resumed'
             ELSE 'operation_progress' END, new.id);
END;
