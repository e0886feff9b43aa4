-- Access control lists (RFC 4314). `identifier` is an address or `anyone`, `domain` that of the mailbox's owner. Programs of the version
-- before leave the lists of mailboxes that they delete; no mailbox has the id again.
CREATE TABLE acl (
    account bigint NOT NULL,
    mailbox bigint NOT NULL,
    identifier text COLLATE "C" NOT NULL,
    negative boolean NOT NULL,
    rights smallint NOT NULL,
    domain text COLLATE "C" NOT NULL,
    PRIMARY KEY (account, mailbox, identifier, negative)
);
CREATE INDEX acl_identifier ON acl (identifier, domain);

-- \Seen of those who read a mailbox of another account, for the messages where they have ever changed it; `modseq` is that of the change.
CREATE TABLE reader_seen (
    account bigint NOT NULL,
    mailbox bigint NOT NULL,
    uid bigint NOT NULL,
    reader bigint NOT NULL,
    modseq bigint NOT NULL,
    seen boolean NOT NULL,
    PRIMARY KEY (account, mailbox, uid, reader)
);
CREATE INDEX reader_seen_reader ON reader_seen (reader, mailbox, seen, modseq) INCLUDE (uid);
-- What the owners of accounts were told of how full they are: the percentage of the last warning. Programs of the version before leave
-- those of accounts that they delete: no id comes again.
CREATE TABLE quota_told (account bigint PRIMARY KEY, percent smallint NOT NULL);
-- Accounts by domain, the text after the last @.
CREATE INDEX account_domain ON account (("substring"(address, '[^@]*$')));
-- Messages of which it is not known when they came into their mailbox count from now on, or from their date if that is later.
CREATE TABLE expiry_start (one boolean PRIMARY KEY CHECK (one), at bigint NOT NULL);
INSERT INTO expiry_start VALUES (true, extract(epoch FROM clock_timestamp())::bigint);
-- Folders of other servers or files that mail was brought from. `keeps` tells what becomes of their UIDs (common/migration.rs). Programs
-- of the version before leave the rows of mailboxes and accounts that they delete: their ids are never used again.
CREATE TABLE origin (
    account bigint NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    name text COLLATE "C" NOT NULL,
    mailbox bigint NOT NULL,
    uid_validity bigint NOT NULL,
    modseq bigint NOT NULL,
    keeps bigint NOT NULL,
    PRIMARY KEY (account, id),
    UNIQUE (account, name)
);
CREATE INDEX origin_mailbox ON origin (account, mailbox);

-- The messages that were brought. `uid` may have gone from the mailbox: then it is not brought again.
CREATE TABLE brought (
    account bigint NOT NULL,
    origin bigint NOT NULL,
    source bigint NOT NULL,
    uid bigint NOT NULL,
    flags bigint NOT NULL,
    PRIMARY KEY (account, origin, source)
);

-- UIDVALIDITY that mailboxes of a name took over: never twice.
CREATE TABLE kept_validity (
    account bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    uid_validity bigint NOT NULL,
    PRIMARY KEY (account, name, uid_validity)
);
-- What is few among a million is found without reading all of them: leases of a worker, and units on hold.
CREATE INDEX unit_leased ON unit (worker, due) WHERE lease <> 0;
CREATE INDEX unit_held ON unit (shard, id) WHERE held;
-- All units of a sender.
CREATE INDEX unit_owner ON unit (shard, tenant, id);
