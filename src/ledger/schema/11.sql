-- What was said around an incident, and figures over time.

-- The first event of an incident and the latest, each with the lines around it; they go when the incident goes.
CREATE TABLE context (
    incident TEXT NOT NULL,
    which    TEXT NOT NULL,          -- first, latest
    source   TEXT NOT NULL,
    file     TEXT NOT NULL,          -- as configured; empty: not from a file
    place    INTEGER NOT NULL,       -- byte of the event's first line
    at       TEXT NOT NULL,
    json     TEXT NOT NULL,
    PRIMARY KEY (incident, which)
) STRICT, WITHOUT ROWID;
CREATE INDEX context_place ON context (source, file, place);
CREATE TRIGGER context_gone AFTER DELETE ON row WHEN old.kind = 'incident' BEGIN
    DELETE FROM context WHERE incident = old.id;
END;

-- How often each rule recognised an event, for ever, and when last. `count` of the records in sum. A figure must never hold up a record:
-- one that is no JSON, or lacks something, is not counted.
CREATE TABLE rule_hit (
    rule    TEXT PRIMARY KEY,
    count   INTEGER NOT NULL,
    last_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO rule_hit (rule, count, last_at)
    SELECT json ->> '$.rule', sum(json ->> '$.count'), max(json ->> '$.at') FROM record
    WHERE json_valid(json) AND json ->> '$.kind' = 'error' AND json ->> '$.rule' IS NOT NULL AND json ->> '$.at' IS NOT NULL
    GROUP BY 1 HAVING sum(json ->> '$.count') IS NOT NULL;
CREATE TRIGGER rule_hit AFTER INSERT ON record
WHEN json_valid(new.json) AND new.json ->> '$.kind' = 'error' AND new.json ->> '$.rule' IS NOT NULL
    AND new.json ->> '$.at' IS NOT NULL AND new.json ->> '$.count' IS NOT NULL BEGIN
    INSERT INTO rule_hit (rule, count, last_at) VALUES (new.json ->> '$.rule', new.json ->> '$.count', new.json ->> '$.at')
    ON CONFLICT DO UPDATE SET count = count + excluded.count, last_at = max(last_at, excluded.last_at);
END;

-- Free bytes over time.
CREATE TABLE disk_sample (
    name  TEXT NOT NULL,             -- a root, or state
    at    INTEGER NOT NULL,          -- Unix seconds
    free  INTEGER NOT NULL,
    total INTEGER NOT NULL,
    PRIMARY KEY (name, at)
) STRICT, WITHOUT ROWID;
