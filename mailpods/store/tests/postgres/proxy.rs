//! A network that stops passing octets on, and goes on later.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Nothing.
    Nothing,
    /// Everything, both ways.
    Everything,
    /// What a session says after the log-in.
    Sessions,
}

/// Passes octets between clients and the database.
pub struct Network {
    pub port: u16,
    holds: watch::Sender<Holds>,
    open: Arc<AtomicUsize>,
}

impl Network {
    pub async fn start(database: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (holds, state) = watch::channel(Holds::Nothing);
        let open = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&open);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (database, state, count) =
                    (database.clone(), state.clone(), Arc::clone(&count));
                tokio::spawn(async move {
                    count.fetch_add(1, Ordering::SeqCst);
                    pass(client, &database, state).await;
                    count.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { port, holds, open }
    }

    pub fn holds(&self, what: Holds) {
        self.holds.send_replace(what);
    }

    /// Connections that the clients have not closed.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

/// Until either side closes. While octets are held back, the end of the client is still noticed.
async fn pass(client: TcpStream, database: &str, state: watch::Receiver<Holds>) {
    let server = TcpStream::connect(database).await.expect("the database");
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut back = state.clone();
    let answers = async {
        let mut buffer = vec![0; 65_536];
        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
            let free = |holds: &Holds| *holds != Holds::Everything;
            if back.wait_for(free).await.is_err()
                || to_client.write_all(&buffer[..count]).await.is_err()
            {
                return;
            }
        }
    };
    tokio::select! {
        () = answers => {}
        () = asks(&mut from_client, &mut to_server, state) => {}
    }
}

async fn asks(
    from: &mut tokio::net::tcp::OwnedReadHalf,
    to: &mut tokio::net::tcp::OwnedWriteHalf,
    mut state: watch::Receiver<Holds>,
) {
    let (mut held, mut buffer) = (Vec::new(), vec![0; 65_536]);
    loop {
        tokio::select! {
            count = from.read(&mut buffer) => {
                let Ok(count @ 1..) = count else { return };
                held.extend_from_slice(&buffer[..count]);
            }
            changed = state.changed() => if changed.is_err() { return },
        }
        let session = held.windows(17).any(|part| part == b"statement_timeout");
        let hold = match *state.borrow() {
            Holds::Nothing => false,
            Holds::Everything => true,
            Holds::Sessions => session,
        };
        if !hold && to.write_all(&std::mem::take(&mut held)).await.is_err() {
            return;
        }
    }
}
