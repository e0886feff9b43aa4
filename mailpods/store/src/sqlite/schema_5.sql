-- Signatures are of more text: HTML as it is read, accents composed. Messages are searched without one until `mailpods mailbox reindex`.
DELETE FROM body_signature;
