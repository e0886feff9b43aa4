-- What the owners of accounts were told of how full they are: the percentage of the last warning.
CREATE TABLE quota_told (account INTEGER PRIMARY KEY, percent INTEGER NOT NULL);
-- Accounts by domain, the text after the last @.
CREATE INDEX account_domain ON account (replace(address, rtrim(address, replace(address, '@', '')), ''));
-- Messages of which it is not known when they came into their mailbox count from now on, or from their date if that is later.
CREATE TABLE expiry_start (one INTEGER PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL);
INSERT INTO expiry_start VALUES (1, unixepoch());
