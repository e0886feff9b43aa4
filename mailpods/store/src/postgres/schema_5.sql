-- What the owners of accounts were told of how full they are: the percentage of the last warning. Programs of the version before leave
-- those of accounts that they delete: no id comes again.
CREATE TABLE quota_told (account bigint PRIMARY KEY, percent smallint NOT NULL);
-- Accounts by domain, the text after the last @.
CREATE INDEX account_domain ON account (("substring"(address, '[^@]*$')));
-- Messages of which it is not known when they came into their mailbox count from now on, or from their date if that is later.
CREATE TABLE expiry_start (one boolean PRIMARY KEY CHECK (one), at bigint NOT NULL);
INSERT INTO expiry_start VALUES (true, extract(epoch FROM clock_timestamp())::bigint);
