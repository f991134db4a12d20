-- The notification centre: one entry for each thing that people are told of, as it stands now.
CREATE TABLE notification (
    ord      INTEGER PRIMARY KEY AUTOINCREMENT,
    id       TEXT NOT NULL UNIQUE,      -- the notice's key
    at       TEXT NOT NULL,
    level    TEXT NOT NULL,             -- info, success, warning, error
    kind     TEXT NOT NULL,             -- incident, bot, agent, probe, operation, custom
    class    TEXT,                      -- of an incident
    json     TEXT NOT NULL,             -- the notice
    read_at  TEXT
) STRICT;
CREATE INDEX notification_unread ON notification (ord) WHERE read_at IS NULL;

-- Every notice that is owed to anybody is in the centre, in the same transaction. A newer revision is unread again when it
-- is louder than before, or when it says how the matter ended.
CREATE TRIGGER notified AFTER INSERT ON notice BEGIN
    INSERT INTO notification (id, at, level, kind, class, json) VALUES (new.key, new.at,
        CASE WHEN new.json ->> '$.story.stage.result' IN ('healed', 'recovered') THEN 'success'
             WHEN new.json ->> '$.severity' IN ('error', 'critical') THEN 'error'
             WHEN new.json ->> '$.severity' = 'warning' THEN 'warning' ELSE 'info' END,
        new.json ->> '$.story.story', new.json ->> '$.story.class', new.json)
    ON CONFLICT (id) DO UPDATE SET at = excluded.at, level = excluded.level, json = excluded.json, read_at = NULL;
END;
CREATE TRIGGER notified_again AFTER UPDATE OF revision ON notice WHEN new.revision > old.revision BEGIN
    UPDATE notification SET at = new.at, json = new.json,
        level = CASE WHEN new.json ->> '$.story.stage.result' IN ('healed', 'recovered') THEN 'success'
                     WHEN new.json ->> '$.severity' IN ('error', 'critical') THEN 'error'
                     WHEN new.json ->> '$.severity' = 'warning' THEN 'warning' ELSE 'info' END,
        read_at = CASE WHEN new.ended AND NOT old.ended OR new.loud > old.loud THEN NULL ELSE read_at END
    WHERE id = new.key;
END;
CREATE TRIGGER notification_new AFTER INSERT ON notification BEGIN
    INSERT INTO event (topic, type, key) VALUES ('notification', 'notification', new.id);
END;
CREATE TRIGGER notification_changed AFTER UPDATE ON notification BEGIN
    INSERT INTO event (topic, type, key) VALUES ('notification',
        CASE WHEN new.read_at IS NOT NULL AND old.read_at IS NULL THEN 'notification_read' ELSE 'notification' END, new.id);
END;
