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
