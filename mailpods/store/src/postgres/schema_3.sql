-- Limits that several processes keep together: how much there is now, and who has which part of it until when, by the database's clock.
CREATE TABLE shared_limit (
    key text COLLATE "C" PRIMARY KEY,
    level double precision NOT NULL,
    expires bigint NOT NULL
);
CREATE TABLE limit_share (
    key text COLLATE "C" NOT NULL,
    worker text COLLATE "C" NOT NULL,
    wanted bigint NOT NULL,
    held bigint NOT NULL,
    until bigint NOT NULL,
    PRIMARY KEY (key, worker)
);
CREATE INDEX limit_share_worker ON limit_share (worker);
