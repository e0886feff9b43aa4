-- Signatures of form 1 are of more text: HTML as it is read, accents composed. Programs of the version before go on writing those of form 0,
-- which say nothing: such messages are searched without one until `mailpods mailbox reindex`.
ALTER TABLE body_signature ADD COLUMN form smallint NOT NULL DEFAULT 0;
