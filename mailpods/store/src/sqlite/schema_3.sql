-- Signatures of bodies, for searches. They stand apart from what is read of each message. A body without one may have any text.
CREATE TABLE body_signature (id INTEGER PRIMARY KEY, bits BLOB NOT NULL);
