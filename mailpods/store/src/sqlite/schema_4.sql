-- Annotations of mailboxes (RFC 5464); those of the account itself have mailbox 0. `entry` is in lower case.
CREATE TABLE annotation (
    account INTEGER NOT NULL,
    mailbox INTEGER NOT NULL,
    entry TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (account, mailbox, entry)
) WITHOUT ROWID;
