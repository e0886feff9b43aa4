-- Signatures are of more text: HTML as it is read, accents composed. Messages are searched without one until `mailpods mailbox reindex`.
-- Programs of the version before go on writing theirs until they are replaced.
TRUNCATE body_signature;
