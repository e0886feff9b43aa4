-- Signatures of bodies, for searches. They stand apart from what is read of each message. A body without one may have any text.
CREATE TABLE body_signature (id INTEGER PRIMARY KEY, bits BLOB NOT NULL);

-- Why a unit is on hold: its sender is suspended (else an operator wants it). And the class of its last failure.
ALTER TABLE unit ADD COLUMN suspended INTEGER NOT NULL DEFAULT 0;
ALTER TABLE unit ADD COLUMN class TEXT;

-- What one process has to itself, and until when; of the clock of this machine.
CREATE TABLE lock (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;

-- POP3's names of messages that came with them; those of all others follow from UIDVALIDITY and UID.
CREATE TABLE pop3_uidl (
    mailbox INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    uidl TEXT NOT NULL,
    PRIMARY KEY (mailbox, uid)
) WITHOUT ROWID;

-- Scripts that people keep over ManageSieve. `revision` grows with every change of them.
CREATE TABLE sieve_owner (account INTEGER PRIMARY KEY, revision INTEGER NOT NULL, active TEXT);
CREATE TABLE sieve_script (
    account INTEGER NOT NULL,
    name TEXT NOT NULL,
    source BLOB NOT NULL,
    PRIMARY KEY (account, name)
) WITHOUT ROWID;

-- What is few among a million is found without reading all of them: leases, units on hold, bodies in files. And the oldest unit of each
-- sender, wherever it goes.
CREATE INDEX unit_leased ON unit (id) WHERE lease <> 0;
CREATE INDEX unit_held ON unit (id) WHERE held = 1;
CREATE INDEX unit_tenant ON unit (tenant, due) WHERE held = 0 AND destination <> 'local';
CREATE INDEX body_file ON body (file) WHERE file IS NOT NULL;

-- When the message came into its mailbox, in seconds; NULL for those from before.
ALTER TABLE mail ADD COLUMN saved INTEGER;

-- Annotations of mailboxes (RFC 5464); those of the account itself have mailbox 0. `entry` is in lower case.
CREATE TABLE annotation (
    account INTEGER NOT NULL,
    mailbox INTEGER NOT NULL,
    entry TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (account, mailbox, entry)
) WITHOUT ROWID;
