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

-- What one process has to itself, and until when, by the database's clock.
CREATE TABLE lock (
    name text COLLATE "C" PRIMARY KEY,
    holder text COLLATE "C" NOT NULL,
    until bigint NOT NULL
) WITH (fillfactor = 50);

-- POP3's names of messages that came with them; those of all others follow from UIDVALIDITY and UID. Programs of the version before
-- leave the names of messages that they expunge; no UID comes again.
CREATE TABLE pop3_uidl (
    account bigint NOT NULL,
    mailbox bigint NOT NULL,
    uid bigint NOT NULL,
    uidl text COLLATE "C" NOT NULL,
    PRIMARY KEY (account, mailbox, uid)
);

-- Scripts that people keep over ManageSieve. `revision` grows with every change of them.
CREATE TABLE sieve_owner (account bigint PRIMARY KEY, revision bigint NOT NULL, active text COLLATE "C");
CREATE TABLE sieve_script (
    account bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    source bytea NOT NULL,
    PRIMARY KEY (account, name)
);

-- The oldest unit of each sender, wherever it goes.
CREATE INDEX unit_tenant ON unit (tenant, due) WHERE NOT held AND destination <> 'local';

-- When the message came into its mailbox, in seconds by the database's clock; NULL for those from before, and for those that a program of
-- the version before puts in.
ALTER TABLE mail ADD COLUMN saved bigint;

-- Annotations of mailboxes (RFC 5464); those of the account itself have mailbox 0. `entry` is in lower case.
CREATE TABLE annotation (
    account bigint NOT NULL,
    mailbox bigint NOT NULL,
    entry text COLLATE "C" NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (account, mailbox, entry)
);
