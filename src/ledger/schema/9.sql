-- What nobody is told of for a while; healing goes on.
CREATE TABLE IF NOT EXISTS silence (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    class    TEXT NOT NULL,
    subject  TEXT NOT NULL,
    incident TEXT,               -- by which it was asked for
    account  TEXT NOT NULL,
    reason   TEXT NOT NULL,
    at       TEXT NOT NULL,
    until    TEXT NOT NULL
) STRICT;
CREATE TRIGGER silenced AFTER INSERT ON silence WHEN new.incident IS NOT NULL BEGIN
    INSERT INTO event (topic, type, key) VALUES ('incident', 'incident_updated', new.incident);
END;
