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
