-- The library: every file under the roots, what it is, whether it is whole, how it looks. Times are Unix milliseconds, stat's own
-- are nanoseconds. Unsigned numbers of the system (device, inode) are kept by their bits.
CREATE TABLE media (
    ord          INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT NOT NULL UNIQUE,      -- stays when the file is moved within the roots
    root         TEXT NOT NULL,
    dir          BLOB NOT NULL,             -- below the root, as the system has it; empty: the root itself
    file         BLOB NOT NULL,             -- its name there
    path         TEXT NOT NULL,             -- root/dir/file, escaped for people; this is searched
    name         TEXT NOT NULL,             -- the file's name, escaped for people
    model        TEXT NOT NULL,             -- the first directory below the root, escaped; empty without one
    kind         TEXT NOT NULL,             -- video, audio, image, document, archive, other
    format       TEXT NOT NULL,             -- mp4, mkv, jpeg …, unknown
    size         INTEGER NOT NULL,
    duration_ms  INTEGER,
    width        INTEGER,
    height       INTEGER,
    video_codec  TEXT,
    audio_codec  TEXT,
    -- Who the file is: as long as all five (with size) are the same, nobody wrote to it.
    dev          INTEGER NOT NULL,
    ino          INTEGER NOT NULL,
    mtime_ns     INTEGER NOT NULL,
    ctime_ns     INTEGER NOT NULL,
    blake3       TEXT,                      -- of the content when it was recorded, in hexadecimal; null: could not be read
    first_seen   INTEGER NOT NULL,
    gone_at      INTEGER,                   -- not there any more since
    job          TEXT,                      -- the download that brought it
    integrity    TEXT NOT NULL DEFAULT 'unknown',  -- sound, short, broken, changed, unknown
    integrity_reason TEXT,                  -- one sentence
    integrity_level  TEXT,                  -- how thoroughly it was looked at
    checked_at   INTEGER,
    thumbnail    TEXT,                      -- hash of the picture; null: there is none
    thumbnail_reason TEXT,                  -- why not; null with no thumbnail: not tried yet
    thumbnail_of TEXT                       -- blake3 of the content it was tried with
) STRICT;
CREATE UNIQUE INDEX media_place ON media (root, dir, file);
CREATE INDEX media_inode ON media (ino, dev);
-- Lists are of what is there; each order is read from its index.
CREATE INDEX media_by_name ON media (name, ord) WHERE gone_at IS NULL;
CREATE INDEX media_by_size ON media (size, ord) WHERE gone_at IS NULL;
CREATE INDEX media_by_duration ON media (coalesce(duration_ms, -1), ord) WHERE gone_at IS NULL;
CREATE INDEX media_by_date ON media (mtime_ns, ord) WHERE gone_at IS NULL;
-- The figures above the list come from here alone.
CREATE INDEX media_figures ON media (root, model, kind, integrity, size) WHERE gone_at IS NULL;
-- What has no picture yet.
CREATE INDEX media_unpictured ON media (ord) WHERE gone_at IS NULL AND thumbnail IS NULL AND thumbnail_reason IS NULL;
-- Checks of integrity: how far each operation is, and what it found that is not sound.
CREATE TABLE integrity_run (
    operation TEXT PRIMARY KEY,
    after     INTEGER NOT NULL,             -- files up to here in the order of `media` are checked
    json      TEXT NOT NULL                 -- what was counted
) STRICT;
CREATE TABLE integrity_finding (
    operation  TEXT NOT NULL REFERENCES integrity_run (operation) ON DELETE CASCADE,
    ord        INTEGER NOT NULL,            -- of the file in `media`
    media      TEXT NOT NULL,
    path       TEXT NOT NULL,               -- escaped for people
    size       INTEGER NOT NULL,
    verdict    TEXT NOT NULL,               -- short, broken, changed, unknown
    level      TEXT NOT NULL,               -- structure, checksum, decode
    reason     TEXT NOT NULL,
    checked_at INTEGER NOT NULL,            -- Unix milliseconds
    incident   TEXT,
    PRIMARY KEY (operation, ord)
) STRICT, WITHOUT ROWID;
CREATE INDEX integrity_told ON integrity_finding (media) WHERE incident IS NOT NULL;
