-- Whose a unit is, as a number, so that senders take turns where a destination has more than is leased at once. Units from before are
-- one sender's.
ALTER TABLE unit ADD COLUMN tenant INTEGER NOT NULL DEFAULT 0;
CREATE INDEX unit_turn ON unit (destination, tenant, due) WHERE held = 0 AND destination <> 'local';
