-- Ids end in their shard (shard.rs), so that a key is found without asking. Sequences leave gaps; no id is ever used again.
CREATE SEQUENCE body_id;
CREATE SEQUENCE unit_id;

-- What must be added to a process's clock to have the database's. Below two seconds they count as one clock: the difference is then
-- the time that the statement was under way.
CREATE FUNCTION clock_shift(local bigint) RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT CASE WHEN abs(shift) < 2000 THEN 0 ELSE shift END
    FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint - local AS shift) AS found
$$;

-- One row for each group that was committed. Whoever does not know how a commit ended puts a row of the same id with `lookup` here: if
-- there is none yet, then there never will be one of the group.
CREATE TABLE commit_marker (
    id bigint PRIMARY KEY,
    lookup boolean NOT NULL DEFAULT false,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX commit_marker_at ON commit_marker (at);

-- `refs` counts queued messages and mail rows. Data stand apart, so that a changed count does not rewrite them. They are compressed
-- already, and EXTERNAL lets a part of them be read alone.
CREATE TABLE body (
    shard smallint NOT NULL,
    id bigint NOT NULL,
    refs integer NOT NULL,
    size bigint NOT NULL,
    meta bytea,
    PRIMARY KEY (shard, id)
);
CREATE TABLE body_data (
    shard smallint NOT NULL,
    id bigint NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (shard, id)
);
ALTER TABLE body_data ALTER COLUMN data SET STORAGE EXTERNAL;
ALTER TABLE body_data SET (toast_tuple_target = 8160);

-- `next_mailbox` and `uid_validity` were given out last.
CREATE TABLE account (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    address text COLLATE "C" NOT NULL UNIQUE,
    octets bigint NOT NULL DEFAULT 0,
    messages bigint NOT NULL DEFAULT 0,
    next_mailbox bigint NOT NULL DEFAULT 0,
    uid_validity bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- A mailbox without a name is deleted; it stays until its messages are gone. The id begins with the account.
CREATE TABLE mailbox (
    account bigint NOT NULL,
    id bigint NOT NULL,
    name text COLLATE "C",
    special_use smallint NOT NULL,
    uid_validity bigint NOT NULL,
    uid_next bigint NOT NULL,
    modseq bigint NOT NULL,
    messages bigint NOT NULL,
    unseen bigint NOT NULL,
    deleted bigint NOT NULL,
    octets bigint NOT NULL,
    PRIMARY KEY (account, id)
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX mailbox_name ON mailbox (account, name);
CREATE INDEX mailbox_gone ON mailbox (account, id) WHERE name IS NULL;
CREATE TABLE subscription (
    account bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    PRIMARY KEY (account, name)
);
-- `folded` is the name in lower case.
CREATE TABLE keyword (
    account bigint NOT NULL,
    mailbox bigint NOT NULL,
    folded text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    PRIMARY KEY (account, mailbox, folded)
);

CREATE TABLE mail (
    account bigint NOT NULL,
    mailbox bigint NOT NULL,
    uid bigint NOT NULL,
    modseq bigint NOT NULL,
    system smallint NOT NULL,
    keywords text,
    received bigint NOT NULL,
    size bigint NOT NULL,
    body bigint NOT NULL,
    prefix bytea NOT NULL,
    PRIMARY KEY (account, mailbox, uid)
);
CREATE INDEX mail_modseq ON mail (account, mailbox, modseq) INCLUDE (uid);
CREATE INDEX mail_deleted ON mail (account, mailbox, uid) WHERE system & 8 <> 0;
CREATE TABLE expunged (
    account bigint NOT NULL,
    mailbox bigint NOT NULL,
    modseq bigint NOT NULL,
    uid bigint NOT NULL,
    PRIMARY KEY (account, mailbox, modseq, uid)
);

-- A message has the shard of its id; its units, and the body that came with it, have it too.
CREATE TABLE queued (
    shard smallint NOT NULL,
    id text COLLATE "C" NOT NULL,
    first_unit bigint NOT NULL,
    last_unit bigint NOT NULL,
    units_left integer NOT NULL,
    body bigint NOT NULL,
    size bigint NOT NULL,
    created bigint NOT NULL,
    info bytea NOT NULL,
    PRIMARY KEY (shard, id)
);

-- `due` is when a worker may take the unit, by the database's clock: `next_attempt`, or the end of its lease (`lease` is not 0).
CREATE TABLE unit (
    shard smallint NOT NULL,
    id bigint NOT NULL,
    message text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    due bigint NOT NULL,
    next_attempt bigint NOT NULL,
    lease bigint NOT NULL DEFAULT 0,
    worker text,
    held boolean NOT NULL DEFAULT false,
    attempts integer NOT NULL DEFAULT 0,
    warned boolean NOT NULL DEFAULT false,
    bounce boolean NOT NULL DEFAULT false,
    reason text,
    error text,
    recipients bytea NOT NULL,
    PRIMARY KEY (shard, id)
);
-- Rows come and go all the time.
ALTER TABLE queued SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
ALTER TABLE unit SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
CREATE INDEX unit_due ON unit (destination, due) WHERE NOT held;

CREATE TABLE token (
    key text COLLATE "C" NOT NULL,
    length bigint NOT NULL,
    number bigint NOT NULL,
    current bigint NOT NULL,
    previous bigint NOT NULL,
    expires bigint NOT NULL,
    PRIMARY KEY (key, length)
);
CREATE INDEX token_expires ON token (expires);
CREATE TABLE ban (key text COLLATE "C" PRIMARY KEY, until bigint NOT NULL);
CREATE INDEX ban_until ON ban (until);

CREATE TABLE secret (name text COLLATE "C" PRIMARY KEY, sealed bytea NOT NULL);
CREATE TABLE credential (address text COLLATE "C" PRIMARY KEY, sealed bytea NOT NULL);

CREATE TABLE trace (
    shard smallint NOT NULL,
    seq bigint GENERATED ALWAYS AS IDENTITY,
    at bigint NOT NULL,
    id text COLLATE "C" NOT NULL,
    stage smallint NOT NULL,
    reason text NOT NULL,
    sender text COLLATE "C" NOT NULL,
    recipient text COLLATE "C" NOT NULL,
    peer text NOT NULL,
    text text NOT NULL,
    PRIMARY KEY (shard, seq)
);
CREATE INDEX trace_id ON trace (id);
CREATE INDEX trace_at ON trace (at, seq);
