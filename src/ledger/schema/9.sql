-- An incident of which nobody is told any more is shown so at once.
CREATE TRIGGER silenced AFTER INSERT ON silence WHEN new.incident IS NOT NULL BEGIN
    INSERT INTO event (topic, type, key) VALUES ('incident', 'incident_updated', new.incident);
END;
