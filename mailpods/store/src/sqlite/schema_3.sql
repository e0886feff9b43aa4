-- Signatures of bodies, for searches. They stand apart from what is read of each message. A body without one may have any text.
CREATE TABLE body_signature (id INTEGER PRIMARY KEY, bits BLOB NOT NULL);
-- Why a unit is on hold: its sender is suspended (else an operator wants it). And the class of its last failure.
ALTER TABLE unit ADD COLUMN suspended INTEGER NOT NULL DEFAULT 0;
ALTER TABLE unit ADD COLUMN class TEXT;
