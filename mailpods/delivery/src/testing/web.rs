//! A web server that answers every request with the same octets, over TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use mailpods_net::{Connection, TlsServer};
use tokio::net::TcpListener;

const LIMIT: Duration = Duration::from_secs(20);

/// A running server.
pub(crate) struct Web {
    pub(crate) addr: SocketAddr,
    answer: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// A whole answer.
pub(crate) fn answer(status: &str, kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// A policy as it is served.
pub(crate) fn policy(mode: &str, mx: &str, max_age: u64) -> String {
    let body = format!("version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: {max_age}\n");
    answer("200 OK", "text/plain; charset=utf-8", &body)
}

impl Web {
    pub(crate) async fn start(tls: TlsServer, answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let web = Self {
            addr,
            answer: Arc::new(Mutex::new(answer)),
            asked: Arc::default(),
            bodies: Arc::default(),
        };
        let (answer, asked, bodies) = (web.answer.clone(), web.asked.clone(), web.bodies.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut connection = Connection::from_tcp(stream).unwrap();
                let (tls, answer) = (tls.clone(), answer.clone());
                let (asked, bodies) = (asked.clone(), bodies.clone());
                tokio::spawn(async move {
                    if connection.accept_tls(&tls, LIMIT).await.is_err() {
                        return;
                    }
                    let Some(body) = request(&mut connection).await else {
                        return;
                    };
                    asked.fetch_add(1, Ordering::SeqCst);
                    lock(&bodies).push(body);
                    let answer = lock(&answer).clone();
                    let _ = connection.write_all(answer.as_bytes()).await;
                    connection.close(Duration::from_secs(1)).await;
                });
            }
        });
        web
    }

    pub(crate) fn set(&self, answer: String) {
        *lock(&self.answer) = answer;
    }

    /// Requests so far.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Bodies of the requests so far.
    pub(crate) fn bodies(&self) -> Vec<Vec<u8>> {
        lock(&self.bodies).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The body of a request.
async fn request(connection: &mut Connection) -> Option<Vec<u8>> {
    let mut input = BytesMut::new();
    loop {
        if let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&input[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if input.len() >= end + 4 + length {
                return Some(input[end + 4..].to_vec());
            }
        }
        if connection.read_buf(&mut input).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}
