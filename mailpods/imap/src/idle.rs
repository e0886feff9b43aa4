//! IDLE (RFC 9051 §6.3.13, RFC 2177).

use mailpods_imap_proto::Event;

use crate::failure::{Done, End, Failure, Reply};
use crate::notify::{changed, elsewhere};
use crate::session::Session;
use crate::wire::read;

impl Session {
    /// Tells what changes until the client says DONE. Nothing but the view is held meanwhile.
    pub(crate) async fn idle(&mut self) -> Done {
        self.decoder.expect_done();
        self.writer().continuation("idling");
        if let Some(view) = &mut self.view {
            view.look_closely();
        }
        let deadline = self.deadline(false);
        loop {
            if let Some(event) = self.decoder.next_event() {
                return match event {
                    Event::IdleDone => Ok(Reply::ok("done")),
                    _ => Err(Failure::Bad("expected DONE")),
                };
            }
            Box::pin(self.announce(true)).await?;
            if self.notifying.is_some() {
                Box::pin(self.tell_changes()).await?;
            }
            self.flush().await?;
            self.release();
            self.wait(deadline).await?;
        }
    }

    /// Until the client says something or the mailbox changes.
    async fn wait(&mut self, deadline: tokio::time::Instant) -> Result<(), End> {
        let drain = self.shared.deps.shutdown.drain_spread(share(self.number));
        let changes = self.view.as_mut().map(|view| &mut view.changes);
        let others = self.notifying.as_mut().map(|n| n.changes());
        tokio::select! {
            read = read(&mut self.wire.io, self.decoder.buffer(), deadline, drain) => read,
            () = changed(changes) => Ok(()),
            () = elsewhere(others) => Ok(()),
        }
    }
}

/// Clients that idle are told of a stop one after the other. Steps of the golden ratio spread any run of sessions evenly.
fn share(number: u64) -> f64 {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let [high, low, ..] = number.wrapping_mul(GOLDEN).to_be_bytes();
    f64::from(u16::from_be_bytes([high, low])) / f64::from(u16::MAX)
}
