CREATE TABLE migration (version INTEGER PRIMARY KEY, applied INTEGER NOT NULL);

-- One row: ids given out so far. They are never used again, so that caches and leases cannot meet another's.
CREATE TABLE counter (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    body INTEGER NOT NULL,
    unit INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    mailbox INTEGER NOT NULL,
    uid_validity INTEGER NOT NULL
);
INSERT INTO counter VALUES (1, 0, 0, 0, 0, 0);

-- `refs` counts queued messages and mail rows. Data stand apart, so that a changed count does not rewrite them.
CREATE TABLE body (
    id INTEGER PRIMARY KEY,
    refs INTEGER NOT NULL,
    size INTEGER NOT NULL,
    file TEXT,
    meta BLOB
);
CREATE TABLE body_data (id INTEGER PRIMARY KEY, data BLOB NOT NULL);

CREATE TABLE account (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    address TEXT NOT NULL UNIQUE,
    octets INTEGER NOT NULL DEFAULT 0,
    messages INTEGER NOT NULL DEFAULT 0
);

-- Deleted mailboxes belong to account 0 until their messages are gone.
CREATE TABLE mailbox (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL,
    name TEXT NOT NULL,
    special_use INTEGER NOT NULL,
    uid_validity INTEGER NOT NULL,
    uid_next INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    unseen INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    octets INTEGER NOT NULL,
    UNIQUE (account, name)
);
CREATE TABLE subscription (account INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (account, name)) WITHOUT ROWID;
CREATE TABLE keyword (mailbox INTEGER NOT NULL, name TEXT NOT NULL COLLATE NOCASE, PRIMARY KEY (mailbox, name)) WITHOUT ROWID;

CREATE TABLE mail (
    mailbox INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    system INTEGER NOT NULL,
    keywords TEXT,
    received INTEGER NOT NULL,
    size INTEGER NOT NULL,
    body INTEGER NOT NULL,
    prefix_len INTEGER NOT NULL,
    prefix BLOB NOT NULL,
    PRIMARY KEY (mailbox, uid)
) WITHOUT ROWID;
CREATE INDEX mail_modseq ON mail (mailbox, modseq);
CREATE INDEX mail_deleted ON mail (mailbox, uid) WHERE system & 8 <> 0;
CREATE TABLE expunged (
    mailbox INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    PRIMARY KEY (mailbox, modseq, uid)
) WITHOUT ROWID;

-- Ids begin with the time, so rows are added at the end. The units of a message have ids that follow each other.
CREATE TABLE queued (
    id TEXT PRIMARY KEY,
    first_unit INTEGER NOT NULL,
    units INTEGER NOT NULL,
    units_left INTEGER NOT NULL,
    body INTEGER NOT NULL,
    size INTEGER NOT NULL,
    created INTEGER NOT NULL,
    info BLOB NOT NULL
) WITHOUT ROWID;

-- `due` is when a worker may take the unit: `next_attempt`, or the end of its lease (`lease` is not 0).
CREATE TABLE unit (
    id INTEGER PRIMARY KEY,
    message TEXT NOT NULL,
    destination TEXT NOT NULL,
    due INTEGER NOT NULL,
    held INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    next_attempt INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    warned INTEGER NOT NULL,
    bounce INTEGER NOT NULL,
    reason TEXT,
    error TEXT,
    recipients BLOB NOT NULL
);
CREATE INDEX unit_due ON unit (destination, due) WHERE held = 0;

-- `owner` is the process that wrote the row last; others read it again.
CREATE TABLE token (
    key TEXT PRIMARY KEY,
    counters BLOB NOT NULL,
    banned_until INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    owner INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE secret (name TEXT PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE credential (address TEXT PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;

-- Searches by address read from the newest back; ids begin with the time, so their index grows at the end.
CREATE TABLE trace (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    id TEXT NOT NULL,
    stage INTEGER NOT NULL,
    reason TEXT NOT NULL,
    sender TEXT NOT NULL,
    recipient TEXT NOT NULL,
    peer TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX trace_id ON trace (id);
