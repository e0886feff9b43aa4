-- When the message came into its mailbox, in seconds; NULL for those from before.
ALTER TABLE mail ADD COLUMN saved INTEGER;
