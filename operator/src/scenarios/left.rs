//! What is in no namespace goes with its owner by our doing: the API server does not see that it belongs to one.

use kube::runtime::watcher::Event;
use serde_json::json;
use tokio::sync::mpsc;

use super::{Server, add_cluster};
use crate::cluster;
use crate::kube::Key;
use crate::kube::apply::{Live, Reference};
use crate::kube::children::ChildKind;
use crate::world::snapshot::Kind;

fn policy(namespace: &str, cluster: &str) -> Live {
    Live {
        version: "1".to_owned(),
        applied: Some("x".to_owned()),
        owner: Some(("MailCluster".to_owned(), cluster.to_owned())),
        uid: format!("uid-{cluster}"),
        owners: vec![Reference {
            kind: "MailCluster".to_owned(),
            name: cluster.to_owned(),
            uid: "uid-main".to_owned(),
        }],
        owner_namespace: Some(namespace.to_owned()),
    }
}

#[tokio::test]
async fn a_policy_goes_with_the_cluster_and_when_it_is_wanted_no_more() {
    let server = Server::start("");
    let context = &server.context;
    let main = add_cluster(context, json!({"hostname": "mail.example.test"}));
    let policies = &context.world.children[&ChildKind::AntreaEgress];
    for (name, namespace, cluster) in [
        ("of-main", "mail", "main"),
        ("of-gone", "mail", "gone"),
        ("of-another", "other", "main"),
    ] {
        policies.take(Event::Apply((
            Key::new("", name),
            policy(namespace, cluster),
        )));
    }
    let removed = || {
        let (lines, _) = server.taken();
        let lines = lines.into_iter().filter(|line| line.starts_with("DELETE"));
        lines.collect::<Vec<_>>()
    };
    // Before everything is read nobody knows that a cluster is gone.
    let gone = Key::new("mail", "gone");
    cluster::reconcile(context, &gone).await.unwrap();
    assert_eq!(removed(), Vec::<String>::new());
    context.world.compile_now().await;
    cluster::reconcile(context, &main).await.unwrap();
    let deleted = removed();
    assert!(
        deleted.len() == 1 && deleted[0].ends_with("egresses/of-main"),
        "{deleted:?}"
    );
    // Whoever comes to lead is told of owners that went before.
    let (wishes, mut asked) = mpsc::unbounded_channel();
    context.world.tell(wishes);
    let mut all = Vec::new();
    while let Ok((kind, key)) = asked.try_recv() {
        all.push((kind, (*key).clone()));
    }
    assert!(all.contains(&(Kind::MailCluster, gone.clone())), "{all:?}");
    cluster::reconcile(context, &gone).await.unwrap();
    let deleted = removed();
    assert!(
        deleted.len() == 1 && deleted[0].ends_with("egresses/of-gone"),
        "{deleted:?}"
    );
}
