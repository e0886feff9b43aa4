-- When the message came into its mailbox, in seconds by the database's clock; NULL for those from before, and for those that a program of
-- the version before puts in.
ALTER TABLE mail ADD COLUMN saved bigint;
