-- Orders are shown to whoever was told of the incident.

-- What is worked on again ends again, and that is news to whoever was told that it had ended.
CREATE TRIGGER notification_reopened AFTER UPDATE OF ended ON notification WHEN old.ended AND NOT new.ended BEGIN
    UPDATE post SET ended = 0, rings = 0 WHERE id = new.id;
END;
