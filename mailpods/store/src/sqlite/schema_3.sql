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
