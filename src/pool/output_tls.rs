//! Sending an [`Output`] through TLS.

use std::io::{self, IoSlice};

use bytes::Buf;
use rustix::io::{pread, retry_on_intr};

use crate::pool::output::{Output, PIECES, Segment, Sent};
use crate::tls::buffer::{SEAL_SIZE, with_buffer};
use crate::tls::session::Session;

impl Output {
    /// Sends as much as the socket takes, at most about `left` bytes, from which it subtracts what
    /// it has sent. Files are read piece by piece into the buffer of this thread, as the kernel
    /// cannot encrypt them.
    pub(super) fn seal_within(
        &mut self,
        session: &mut Session,
        left: &mut u64,
    ) -> io::Result<Sent> {
        let (budget, before) = (*left, session.unsent());
        let mut sealed = 0;
        let sent = loop {
            if !session.flush()? {
                break Sent::Blocked;
            }
            if self.segments.is_empty() {
                break Sent::All;
            }
            if sealed >= budget {
                break Sent::Turn;
            }
            let most = (budget - sealed).min(SEAL_SIZE as u64) as usize;
            let count = with_buffer(|buffer| self.seal_piece(session, most, buffer))?;
            self.consume(count);
            sealed += count as u64;
        };
        // What is encrypted and has not left was not taken by the reader.
        let taken = (sealed + before as u64).saturating_sub(session.unsent() as u64);
        *left = budget.saturating_sub(taken);
        Ok(sent)
    }

    /// Encrypts at most `most` bytes of the first segments, in as few records as possible. Returns
    /// how many bytes.
    fn seal_piece(
        &self,
        session: &mut Session,
        most: usize,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        let mut pieces = [IoSlice::new(&[]); PIECES + 1];
        let (mut count, mut left) = (0, most);
        for segment in self.segments.iter().take(PIECES) {
            let Segment::Bytes(bytes) = segment else { break };
            pieces[count] = IoSlice::new(&bytes[..bytes.len().min(left)]);
            left -= pieces[count].len();
            count += 1;
        }
        if left > 0
            && let Some(Segment::File { file, offset, length }) = self.segments.get(count)
        {
            let room = (*length).min(left.min(buffer.len()) as u64) as usize;
            let read = retry_on_intr(|| pread(file, &mut buffer[..room], *offset))?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            pieces[count] = IoSlice::new(&buffer[..read]);
            count += 1;
        }
        session.try_write(&pieces[..count])
    }

    /// Removes `count` bytes from the front.
    fn consume(&mut self, count: usize) {
        let mut left = count as u64;
        while left > 0
            && let Some(segment) = self.segments.front_mut()
        {
            let taken = left.min(segment.len());
            match segment {
                Segment::Bytes(bytes) => bytes.advance(taken as usize),
                Segment::File { offset, length, .. } => {
                    *offset += taken;
                    *length -= taken;
                }
            }
            left -= taken;
            if segment.is_empty() {
                self.segments.pop_front();
            }
        }
    }
}
