-- What nobody is told of for a while; healing goes on.
CREATE TABLE silence (
    class        TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    subject      TEXT NOT NULL,
    incident     TEXT NOT NULL,   -- by which it was asked for
    account      TEXT NOT NULL,   -- who
    reason       TEXT NOT NULL,
    at           TEXT NOT NULL,
    until        TEXT NOT NULL,
    PRIMARY KEY (class, subject_kind, subject)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER silenced AFTER INSERT ON silence BEGIN
    INSERT INTO event (topic, type, key) VALUES ('incident', 'incident_updated', new.incident);
END;
