-- What is remembered of an incident is longer than a quarter of a page: beside an index such a row costs extra pages, and every
-- commit writes them.
CREATE TABLE row_by_number (
    kind TEXT NOT NULL,           -- incident, job, engine
    id   TEXT NOT NULL,
    json TEXT NOT NULL,
    UNIQUE (kind, id)
) STRICT;
INSERT INTO row_by_number (kind, id, json) SELECT kind, id, json FROM row;
DROP TABLE row;
ALTER TABLE row_by_number RENAME TO row;
