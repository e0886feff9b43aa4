-- Access control lists (RFC 4314). `identifier` is an address or `anyone`, `domain` that of the mailbox's owner.
CREATE TABLE acl (
    mailbox INTEGER NOT NULL,
    identifier TEXT NOT NULL,
    negative INTEGER NOT NULL,
    rights INTEGER NOT NULL,
    domain TEXT NOT NULL,
    PRIMARY KEY (mailbox, identifier, negative)
) WITHOUT ROWID;
CREATE INDEX acl_identifier ON acl (identifier, domain);

-- \Seen of those who read a mailbox of another account, for the messages where they have ever changed it; `modseq` is that of the change.
CREATE TABLE reader_seen (
    mailbox INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    reader INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    PRIMARY KEY (mailbox, uid, reader)
) WITHOUT ROWID;
CREATE INDEX reader_seen_reader ON reader_seen (reader, mailbox, seen, modseq);
-- What the owners of accounts were told of how full they are: the percentage of the last warning.
CREATE TABLE quota_told (account INTEGER PRIMARY KEY, percent INTEGER NOT NULL);
-- Accounts by domain, the text after the last @.
CREATE INDEX account_domain ON account (replace(address, rtrim(address, replace(address, '@', '')), ''));
-- Messages of which it is not known when they came into their mailbox count from now on, or from their date if that is later.
CREATE TABLE expiry_start (one INTEGER PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL);
INSERT INTO expiry_start VALUES (1, unixepoch());
-- Folders of other servers or files that mail was brought from. `keeps` tells what becomes of their UIDs (common/migration.rs).
CREATE TABLE origin (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL,
    name TEXT NOT NULL,
    mailbox INTEGER NOT NULL,
    uid_validity INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    keeps INTEGER NOT NULL,
    UNIQUE (account, name)
);
CREATE INDEX origin_mailbox ON origin (mailbox);

-- The messages that were brought. `uid` may have gone from the mailbox: then it is not brought again.
CREATE TABLE brought (
    origin INTEGER NOT NULL,
    source INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    PRIMARY KEY (origin, source)
) WITHOUT ROWID;

-- UIDVALIDITY that mailboxes of a name took over: never twice.
CREATE TABLE kept_validity (
    account INTEGER NOT NULL,
    name TEXT NOT NULL,
    uid_validity INTEGER NOT NULL,
    PRIMARY KEY (account, name, uid_validity)
) WITHOUT ROWID;
-- Leased units are in an index of their own, by the end of their lease: a lease takes a unit out of the others and puts it nowhere else in them.
DROP INDEX unit_due;
DROP INDEX unit_turn;
DROP INDEX unit_tenant;
DROP INDEX unit_leased;
CREATE INDEX unit_due ON unit (destination, due) WHERE held = 0 AND lease = 0;
CREATE INDEX unit_turn ON unit (destination, tenant, due) WHERE held = 0 AND lease = 0 AND destination <> 'local';
CREATE INDEX unit_tenant ON unit (tenant, due) WHERE held = 0 AND lease = 0 AND destination <> 'local';
CREATE INDEX unit_leased ON unit (destination, due) WHERE lease <> 0;
-- All units of a sender.
CREATE INDEX unit_owner ON unit (tenant);
