-- Annotations of mailboxes (RFC 5464); those of the account itself have mailbox 0. `entry` is in lower case.
CREATE TABLE annotation (
    account bigint NOT NULL,
    mailbox bigint NOT NULL,
    entry text COLLATE "C" NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (account, mailbox, entry)
);
