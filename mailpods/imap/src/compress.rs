//! COMPRESS (RFC 4978).

use std::sync::Arc;

use mailpods_imap_proto::{Code, Status, Tag};

use crate::failure::{Done, End, Failure, Reply, ReplyCode};
use crate::session::Session;

impl Session {
    /// RFC 4978 §3. Only after log-in: before it nothing that is secret shall have a length that others can influence.
    pub(crate) async fn compress(&mut self, tag: &Tag, mechanism: &str) -> Done {
        if mechanism != "DEFLATE" {
            return Err(Failure::Bad("only DEFLATE is offered"));
        }
        if self.wire.io.is_compressed() {
            return Err(Failure::no(
                Code::CompressionActive,
                "DEFLATE is active already",
            ));
        }
        if self.decoder.has_input() {
            // What follows the command is compressed, or it is not: the client does not know yet.
            return Err(End::Bye("commands must not follow COMPRESS before it is answered").into());
        }
        self.writer()
            .status(Some(tag.as_str()), Status::Ok, None, "DEFLATE is active");
        self.flush().await?;
        let compressors = Arc::clone(&self.shared.compressors);
        self.wire.io.start_compression(compressors);
        Ok(Reply {
            code: ReplyCode::AlreadySent,
            text: "",
        })
    }
}
