-- Signatures of bodies, for searches. They stand apart from what is read of each message. A body without one may have any text. Programs
-- of the version before leave those of bodies that they remove: their ids are never used again.
CREATE TABLE body_signature (
    shard smallint NOT NULL,
    id bigint NOT NULL,
    bits bytea NOT NULL,
    PRIMARY KEY (shard, id)
);
ALTER TABLE body_signature ALTER COLUMN bits SET STORAGE EXTERNAL;
ALTER TABLE body_signature SET (toast_tuple_target = 8160);
-- Why a unit is on hold: its sender is suspended (else an operator wants it). And the class of its last failure.
ALTER TABLE unit ADD COLUMN suspended boolean NOT NULL DEFAULT false, ADD COLUMN class text;
