-- What changed, in order: told by the hub as it happens, and once more to whoever was away. Triggers write it, whoever makes
-- the change, so that nobody can forget to. What a thing is like now is read where it is kept.
CREATE TABLE event (
    seq   INTEGER PRIMARY KEY AUTOINCREMENT,   -- never used again, also after a crash
    at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    topic TEXT NOT NULL,                       -- incident, job, operation, notification, system
    type  TEXT NOT NULL,                       -- as in docs/asyncapi.yaml
    key   TEXT NOT NULL                        -- which thing
) STRICT;

-- Changes when the numbers of `event` begin anew: whoever was away then has to load everything.
INSERT INTO meta (name, value) VALUES ('epoch', lower(hex(randomblob(8))));

CREATE TRIGGER incident_opened AFTER INSERT ON row WHEN new.kind = 'incident' BEGIN
    INSERT INTO event (topic, type, key) VALUES ('incident', 'incident_opened', new.id);
END;
CREATE TRIGGER incident_changed AFTER UPDATE ON row WHEN new.kind = 'incident' AND new.json <> old.json BEGIN
    INSERT INTO event (topic, type, key) VALUES ('incident',
        CASE WHEN new.json ->> '$.ended_at' IS NOT NULL AND old.json ->> '$.ended_at' IS NULL
             THEN 'incident_closed' ELSE 'incident_updated' END, new.id);
END;
CREATE TRIGGER job_registered AFTER INSERT ON row WHEN new.kind = 'job' BEGIN
    INSERT INTO event (topic, type, key) VALUES ('job', 'job_registered', new.id);
END;
CREATE TRIGGER job_changed AFTER UPDATE ON row WHEN new.kind = 'job' AND new.json <> old.json BEGIN
    INSERT INTO event (topic, type, key) VALUES ('job',
        CASE WHEN new.json ->> '$.state' = old.json ->> '$.state' THEN 'job_updated'
             WHEN new.json ->> '$.state' = 'completed' THEN 'job_completed'
             WHEN new.json ->> '$.state' = 'failed' THEN 'job_failed'
             ELSE 'job_updated' END, new.id);
END;
