-- Events that read like errors though no rule knows them: one row for those that are alike.
CREATE TABLE unclassified (
    source   TEXT NOT NULL,
    shape    TEXT NOT NULL,    -- the event's last words without numbers, quoted words and paths
    text     TEXT NOT NULL,    -- the latest of them, secrets redacted
    count    INTEGER NOT NULL,
    first_at TEXT NOT NULL,
    last_at  TEXT NOT NULL,
    PRIMARY KEY (source, shape)
) STRICT, WITHOUT ROWID;
