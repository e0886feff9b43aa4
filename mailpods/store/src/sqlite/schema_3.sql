-- Why a unit is on hold: its sender is suspended (else an operator wants it). And the class of its last failure.
ALTER TABLE unit ADD COLUMN suspended INTEGER NOT NULL DEFAULT 0;
ALTER TABLE unit ADD COLUMN class TEXT;
