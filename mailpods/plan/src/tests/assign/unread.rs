//! Resources that cannot be read.

use super::*;

#[test]
fn what_cannot_be_read_keeps_its_names_and_addresses() {
    let bad = "{domain: bad.test, domainAliases: [worse.test]}";
    let elsewhere = "{domain: hosted.test, provider: Zoho}";
    let assigned = assigned_with(
        &[
            cluster(("mail", "main", 0), ""),
            object("MailDomain", ("mail", "d", 2), "{domain: example.test}"),
            object("MailDomain", ("mail", "late", 9), "{domain: bad.test}"),
            object(
                "MailDomain",
                ("mail", "alias", 9),
                "{domain: z.test, domainAliases: [worse.test]}",
            ),
            object("MailDomain", ("mail", "late2", 9), "{domain: hosted.test}"),
            object("MailDomain", ("mail", "early", 0), "{domain: gone.test}"),
        ],
        vec![
            unread(&object("MailDomain", ("mail", "bad", 1), bad)),
            unread(&object("MailDomain", ("mail", "hosted", 1), elsewhere)),
            unread(&object(
                "OutboundIP",
                ("mail", "ip", 5),
                "{address: 192.0.2.1, hostname: out.test, weight: x}",
            )),
            // Never served, and later.
            unread(&object(
                "MailDomain",
                ("mail", "after", 5),
                "{domain: gone.test}",
            )),
            // Nobody lets it in.
            unread(&object(
                "MailDomain",
                ("team", "closed", 1),
                "{domain: free.test}",
            )),
            unread(&object(
                "Mailbox",
                ("mail", "box", 5),
                "{address: 'm@example.test', aliases: ['o@bad.test', 7]}",
            )),
            unread(&object(
                "MailingList",
                ("mail", "list", 5),
                "{address: 'l@example.test'}",
            )),
            unread(&object(
                "Mailbox",
                ("team", "box", 5),
                "{address: 'n@example.test'}",
            )),
        ],
    );
    let taken = |name: &str, field: &str, by: &str, found: &str| {
        format!(
            "mail/MailDomain/{name} Conflict {field}: is already a domain of MailDomain/{by} in namespace mail; found {found}"
        )
    };
    assert_eq!(
        said(&assigned),
        [
            taken("alias", "spec.domainAliases[0]", "bad", "worse.test"),
            taken("late", "spec.domain", "bad", "bad.test"),
            taken("late2", "spec.domain", "hosted", "hosted.test"),
        ]
    );
    assert_eq!(held(&assigned, "main"), ["bad.test", "worse.test"]);
    let main = &assigned.clusters[&("mail".to_owned(), "main".to_owned())];
    let left = main.left_out.addresses.iter();
    let names: Vec<_> = left
        .map(|left| (left.origin.name.as_str(), left.own.is_some()))
        .collect();
    assert_eq!(names, [("box", true), ("list", false)]);
    assert_eq!(main.left_out.hosts.len(), 1);
    assert_eq!(counts(&assigned), [("main", 3, 0)]);
}

#[test]
fn a_cluster_that_cannot_be_read_keeps_what_it_serves() {
    let reference = "{domain: far.test, clusterRef: {name: bad, namespace: mail}}";
    let assigned = assigned_with(
        &[
            cluster(("mail", "good", 5), ""),
            served(("mail", "d", 1), "{domain: example.test}", "mail/bad"),
            served(("team", "far", 1), reference, "mail/bad"),
            object("MailDomain", ("thief", "far", 0), reference),
            object(
                "MailDomain",
                ("mail", "late", 2),
                "{domain: example.test, clusterRef: {name: good}}",
            ),
            object("Mailbox", ("mail", "m", 2), "{address: m@example.test}"),
            object(
                "OutboundIP",
                ("mail", "ip", 2),
                "{address: 192.0.2.1, hostname: out.test}",
            ),
        ],
        vec![unread(&cluster(("mail", "bad", 9), ""))],
    );
    let unread = "Missing spec.clusterRef: the MailCluster cannot be read; found mail/bad; hint: its status says why";
    assert_eq!(
        said(&assigned),
        [
            format!("thief/MailDomain/far {unread}"),
            format!("mail/MailDomain/d {unread}"),
            format!("team/MailDomain/far {unread}"),
            "mail/MailDomain/late Conflict spec.domain: is already a domain of MailDomain/d in namespace mail; found example.test".to_owned(),
            "mail/Mailbox/m Missing spec.address: is in a MailDomain whose MailCluster cannot be read; found example.test".to_owned(),
        ]
    );
    assert_eq!(counts(&assigned), [("good", 0, 0)]);
    assert_eq!(held(&assigned, "good"), Vec::<String>::new());
    // It came later than the one that has the address.
    let good = &assigned.clusters[&("mail".to_owned(), "good".to_owned())];
    assert_eq!(good.outbound_ips.len(), 1);
}
