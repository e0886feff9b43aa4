//! What must hold between rows. Order matters: rows without owners go before what is counted from them.

/// One thing that must hold.
pub(super) struct Rule {
    /// What is wrong where it does not.
    pub(super) what: &'static str,
    /// Gives a line of text for each place.
    pub(super) find: &'static str,
    /// Mends all places; empty where only a person can.
    pub(super) repair: &'static str,
}

/// Body and name of every message: account, mailbox and UID, or queue id.
pub(super) const MESSAGES: &str = "SELECT l.body, ifnull(a.address || ' ' || m.name, 'mailbox ' || l.mailbox || ' (deleted)') || ' uid ' || l.uid
     FROM mail l LEFT JOIN mailbox m ON m.id = l.mailbox LEFT JOIN account a ON a.id = m.account
     UNION ALL SELECT body, 'queued message ' || id FROM queued";

pub(super) const RULES: &[Rule] = &[
    Rule {
        what: "a message belongs to no mailbox",
        find: "SELECT 'mailbox ' || mailbox || ' uid ' || uid FROM mail WHERE mailbox NOT IN (SELECT id FROM mailbox)",
        repair: "DELETE FROM mail WHERE mailbox NOT IN (SELECT id FROM mailbox)",
    },
    Rule {
        what: "a mailbox belongs to no account",
        find: "SELECT 'mailbox ' || id || ' ' || name FROM mailbox WHERE account > 0 AND account NOT IN (SELECT id FROM account)",
        repair: "UPDATE mailbox SET account = 0, name = id WHERE account > 0 AND account NOT IN (SELECT id FROM account)",
    },
    Rule {
        what: "a message refers to a body that is not there",
        find: "SELECT ifnull(a.address || ' ' || m.name, 'mailbox ' || l.mailbox) || ' uid ' || l.uid || ' body ' || l.body
               FROM mail l LEFT JOIN mailbox m ON m.id = l.mailbox LEFT JOIN account a ON a.id = m.account
               WHERE l.body NOT IN (SELECT id FROM body)",
        repair: "",
    },
    Rule {
        what: "a queued message refers to a body that is not there",
        find: "SELECT id || ' body ' || body FROM queued WHERE body NOT IN (SELECT id FROM body)",
        repair: "",
    },
    Rule {
        what: "a body has no octets",
        find: "SELECT 'body ' || id FROM body WHERE file IS NULL AND id NOT IN (SELECT id FROM body_data)",
        repair: "",
    },
    Rule {
        what: "octets belong to no body",
        find: "SELECT 'body ' || id FROM body_data WHERE id NOT IN (SELECT id FROM body WHERE file IS NULL)",
        repair: "DELETE FROM body_data WHERE id NOT IN (SELECT id FROM body WHERE file IS NULL)",
    },
    Rule {
        what: "a signature belongs to no body",
        find: "SELECT 'body ' || id FROM body_signature WHERE id NOT IN (SELECT id FROM body)",
        repair: "DELETE FROM body_signature WHERE id NOT IN (SELECT id FROM body)",
    },
    Rule {
        what: "a unit belongs to no queued message",
        find: "SELECT 'unit ' || id || ' message ' || message FROM unit WHERE message NOT IN (SELECT id FROM queued)",
        repair: "DELETE FROM unit WHERE message NOT IN (SELECT id FROM queued)",
    },
    Rule {
        what: "a queued message has no unit",
        find: "SELECT id FROM queued WHERE id NOT IN (SELECT message FROM unit)",
        repair: "DELETE FROM queued WHERE id NOT IN (SELECT message FROM unit)",
    },
    Rule {
        what: "the number of units of a queued message is wrong",
        find: "SELECT q.id || ': ' || q.units_left || ', not ' || u.n FROM queued q
               JOIN (SELECT message, count(*) n FROM unit GROUP BY message) u ON u.message = q.id WHERE q.units_left <> u.n",
        repair: "UPDATE queued SET units_left = u.n FROM (SELECT message, count(*) n FROM unit GROUP BY message) u
                 WHERE u.message = queued.id AND units_left <> u.n",
    },
    Rule {
        what: "the number of references to a body is wrong",
        find: "SELECT 'body ' || b.id || ': ' || b.refs || ', not ' || ifnull(r.n, 0) FROM body b LEFT JOIN
               (SELECT body, count(*) n FROM (SELECT body FROM mail UNION ALL SELECT body FROM queued) GROUP BY body) r ON r.body = b.id
               WHERE b.refs <> ifnull(r.n, 0)",
        repair: "CREATE TEMP TABLE found_refs AS SELECT body id, count(*) n FROM (SELECT body FROM mail UNION ALL SELECT body FROM queued) GROUP BY body;
                 CREATE UNIQUE INDEX temp.found_refs_id ON found_refs (id);
                 UPDATE body SET refs = ifnull((SELECT n FROM temp.found_refs f WHERE f.id = body.id), 0);
                 DROP TABLE temp.found_refs;
                 DELETE FROM body_data WHERE id IN (SELECT id FROM body WHERE refs = 0);
                 DELETE FROM body_signature WHERE id IN (SELECT id FROM body WHERE refs = 0);
                 DELETE FROM body WHERE refs = 0",
    },
    Rule {
        what: "the next UID of a mailbox was given out already",
        find: "SELECT 'mailbox ' || m.id FROM mailbox m WHERE m.uid_next <= max(ifnull((SELECT max(uid) FROM mail WHERE mailbox = m.id), 0),
               ifnull((SELECT max(uid) FROM expunged WHERE mailbox = m.id), 0))",
        repair: "UPDATE mailbox SET uid_next = max(uid_next, ifnull((SELECT max(uid) FROM mail WHERE mailbox = mailbox.id), 0) + 1,
                 ifnull((SELECT max(uid) FROM expunged WHERE mailbox = mailbox.id), 0) + 1)",
    },
    Rule {
        what: "the modification sequence of a mailbox is behind its messages",
        find: "SELECT 'mailbox ' || m.id FROM mailbox m WHERE m.modseq < max(ifnull((SELECT max(modseq) FROM mail WHERE mailbox = m.id), 0),
               ifnull((SELECT max(modseq) FROM expunged WHERE mailbox = m.id), 0), ifnull((SELECT max(modseq) FROM reader_seen WHERE mailbox = m.id), 0))",
        repair: "UPDATE mailbox SET modseq = max(modseq, ifnull((SELECT max(modseq) FROM mail WHERE mailbox = mailbox.id), 0),
                 ifnull((SELECT max(modseq) FROM expunged WHERE mailbox = mailbox.id), 0),
                 ifnull((SELECT max(modseq) FROM reader_seen WHERE mailbox = mailbox.id), 0))",
    },
    Rule {
        what: "an expunged message is still there",
        find: "SELECT 'mailbox ' || e.mailbox || ' uid ' || e.uid FROM expunged e JOIN mail m ON m.mailbox = e.mailbox AND m.uid = e.uid",
        repair: "DELETE FROM expunged WHERE EXISTS (SELECT 1 FROM mail m WHERE m.mailbox = expunged.mailbox AND m.uid = expunged.uid)",
    },
    Rule {
        what: "a reader has seen a message that is not there",
        find: "SELECT 'mailbox ' || s.mailbox || ' uid ' || s.uid || ' reader ' || s.reader FROM reader_seen s
               WHERE NOT EXISTS (SELECT 1 FROM mail m WHERE m.mailbox = s.mailbox AND m.uid = s.uid)
               OR s.reader NOT IN (SELECT id FROM account)",
        repair: "DELETE FROM reader_seen WHERE NOT EXISTS (SELECT 1 FROM mail m WHERE m.mailbox = reader_seen.mailbox AND m.uid = reader_seen.uid)
                 OR reader NOT IN (SELECT id FROM account)",
    },
    Rule {
        what: "an access control list belongs to no mailbox",
        find: "SELECT 'mailbox ' || mailbox || ' ' || identifier FROM acl WHERE mailbox NOT IN (SELECT id FROM mailbox WHERE account > 0)",
        repair: "DELETE FROM acl WHERE mailbox NOT IN (SELECT id FROM mailbox WHERE account > 0)",
    },
    Rule {
        what: "the counts of a mailbox are wrong",
        find: "SELECT 'mailbox ' || m.id || ' ' || m.name FROM mailbox m LEFT JOIN
               (SELECT mailbox, count(*) n, sum(system & 1 = 0) unseen, sum(system & 8 <> 0) deleted, sum(size) octets FROM mail GROUP BY mailbox) f
               ON f.mailbox = m.id WHERE m.account > 0
               AND (m.messages, m.unseen, m.deleted, m.octets) <> (ifnull(f.n, 0), ifnull(f.unseen, 0), ifnull(f.deleted, 0), ifnull(f.octets, 0))",
        repair: "UPDATE mailbox SET (messages, unseen, deleted, octets) =
                 (SELECT count(*), ifnull(sum(system & 1 = 0), 0), ifnull(sum(system & 8 <> 0), 0), ifnull(sum(size), 0) FROM mail
                  WHERE mail.mailbox = mailbox.id) WHERE account > 0",
    },
    Rule {
        what: "the usage of an account is wrong",
        find: "SELECT 'account ' || a.address FROM account a LEFT JOIN
               (SELECT account, sum(octets) octets, sum(messages) messages FROM mailbox GROUP BY account) f ON f.account = a.id
               WHERE (a.octets, a.messages) <> (ifnull(f.octets, 0), ifnull(f.messages, 0))",
        repair: "UPDATE account SET (octets, messages) =
                 (SELECT ifnull(sum(octets), 0), ifnull(sum(messages), 0) FROM mailbox WHERE mailbox.account = account.id)",
    },
    Rule {
        what: "an id may be given out again",
        find: "SELECT 'counter' FROM counter WHERE body < (SELECT ifnull(max(id), 0) FROM body) OR unit < (SELECT ifnull(max(id), 0) FROM unit)
               OR mailbox < (SELECT ifnull(max(id), 0) FROM mailbox) OR lease < (SELECT ifnull(max(lease), 0) FROM unit)
               OR uid_validity < (SELECT ifnull(max(uid_validity), 0) FROM mailbox)",
        repair: "UPDATE counter SET body = max(body, (SELECT ifnull(max(id), 0) FROM body)), unit = max(unit, (SELECT ifnull(max(id), 0) FROM unit)),
                 mailbox = max(mailbox, (SELECT ifnull(max(id), 0) FROM mailbox)), lease = max(counter.lease, (SELECT ifnull(max(u.lease), 0) FROM unit u)),
                 uid_validity = max(counter.uid_validity, (SELECT ifnull(max(m.uid_validity), 0) FROM mailbox m))",
    },
];
