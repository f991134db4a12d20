-- Backups, and small things beside.

-- Since when a channel works or does not, for people who ask. Times are Unix milliseconds.
ALTER TABLE channel ADD COLUMN last_sent INTEGER;              -- something arrived last
ALTER TABLE telegram_chat ADD COLUMN last_sent INTEGER;
ALTER TABLE telegram_chat ADD COLUMN failing_since INTEGER;    -- nothing arrived since
ALTER TABLE telegram_chat ADD COLUMN error TEXT;               -- the latest
CREATE TRIGGER channel_told AFTER UPDATE OF last_sent ON post WHEN new.last_sent IS NOT NULL BEGIN
    UPDATE channel SET last_sent = new.last_sent WHERE name = new.channel;
END;
CREATE TRIGGER chat_told AFTER UPDATE OF last_sent ON delivery WHEN new.last_sent IS NOT NULL BEGIN
    UPDATE telegram_chat SET last_sent = new.last_sent, failing_since = NULL, error = NULL
    WHERE 'telegram:' || id = new.channel;
END;
CREATE TRIGGER chat_failed AFTER UPDATE OF error ON delivery WHEN old.state = 'sending' AND new.error IS NOT NULL BEGIN
    UPDATE telegram_chat SET error = new.error,
        failing_since = coalesce(failing_since, CAST(unixepoch('subsec') * 1000 AS INTEGER))
    WHERE 'telegram:' || id = new.channel;
END;

-- Every channel's deliveries are counted for ever, not only those of Telegram.
CREATE TRIGGER post_counted AFTER UPDATE OF state ON post WHEN old.state = 'sending' AND new.state <> 'sending' BEGIN
    INSERT INTO tally (channel, result, count)
    VALUES (substr(new.channel, 1, instr(new.channel || ':', ':') - 1),
            CASE WHEN new.state = 'dead' THEN 'dead' WHEN new.attempts > 0 THEN 'failed' ELSE 'sent' END, 1)
    ON CONFLICT DO UPDATE SET count = count + 1;
END;
