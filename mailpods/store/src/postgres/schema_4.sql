-- Why a unit is on hold: its sender is suspended (else an operator wants it). And the class of its last failure.
ALTER TABLE unit ADD COLUMN suspended boolean NOT NULL DEFAULT false, ADD COLUMN class text;
