//! The body of an answer as it comes: unpacked, and only as large as is good for the process.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};

use crate::error::{Error, Kind, Result};
use crate::heap;

/// No page of any API is near it; a larger body would only fill the memory.
pub const LARGEST: usize = 64 << 20;

/// How many times its size on the wire an answer may unpack to. Records whose fields are all empty come near a hundred,
/// what is made to fill the memory of others to a thousand.
const LARGEST_RATIO: usize = 200;
/// Below this nobody minds.
const SMALL: usize = 8 << 20;

/// For no more than this room is made at once, whatever the answer says of itself.
const LARGEST_ROOM: u64 = 4 << 20;

/// A large body grows by this.
const STEP: usize = 4 << 20;
/// What a body may take in vain.
const SPARE: usize = 256 << 10;

/// A body that is being received.
pub enum Incoming {
    Plain(Collected),
    Packed(Box<MultiGzDecoder<Collected>>),
}

/// Why a body cannot be received.
#[derive(Debug)]
pub enum Spoilt {
    /// It is not what it says it is, as if the connection had broken.
    Broken(io::Error),
    /// It is not wanted.
    Refused(Error),
}

impl From<Error> for Spoilt {
    fn from(error: Error) -> Self {
        Spoilt::Refused(error)
    }
}

impl Incoming {
    /// For an answer with these headers, which says that it is so long. Errors: 54000 if that is too long, and HV00M if it
    /// is packed in a way that was not asked for.
    pub fn new(headers: &HeaderMap, expected: Option<u64>) -> Result<Self> {
        if expected.is_some_and(|bytes| bytes > LARGEST as u64) {
            return Err(too_large());
        }
        let expected = usize::try_from(expected.unwrap_or(0).min(LARGEST_ROOM)).unwrap_or(0);
        let collected = Collected { expected, ..Collected::default() };
        match headers.get(CONTENT_ENCODING).map_or(&b"identity"[..], |value| value.as_bytes().trim_ascii()) {
            b"" | b"identity" => Ok(Incoming::Plain(collected)),
            b"gzip" | b"x-gzip" => Ok(Incoming::Packed(Box::new(MultiGzDecoder::new(collected)))),
            other => {
                let message = format!("the answer is packed in another way than gzip: {}", other.escape_ascii());
                Err(Error::new(Kind::Unreadable, message).hint("Nothing but gzip is asked for: see what changes it."))
            }
        }
    }

    fn collected(&mut self) -> &mut Collected {
        match self {
            Incoming::Plain(collected) => collected,
            Incoming::Packed(decoder) => decoder.get_mut(),
        }
    }

    /// Bytes so far, unpacked.
    pub fn len(&self) -> usize {
        match self {
            Incoming::Plain(collected) => collected.len(),
            Incoming::Packed(decoder) => decoder.get_ref().len(),
        }
    }

    pub fn is_packed(&self) -> bool {
        matches!(self, Incoming::Packed(_))
    }

    /// About how much memory the next bytes from the wire take.
    pub fn wants(&self, bytes: usize) -> usize {
        match self {
            Incoming::Plain(collected) => collected.growth(bytes),
            Incoming::Packed(decoder) => decoder.get_ref().growth(bytes.saturating_mul(8)),
        }
    }

    /// Takes in what came from the wire.
    pub fn add(&mut self, chunk: Bytes) -> Result<(), Spoilt> {
        let collected = self.collected();
        collected.wire += chunk.len();
        match self {
            Incoming::Plain(collected) => Ok(collected.add(chunk)?),
            Incoming::Packed(decoder) => {
                let written = decoder.write_all(&chunk);
                written.map_err(|error| decoder.get_mut().spoilt(error))
            }
        }
    }

    /// The whole body, once all has come.
    pub fn finish(mut self) -> Result<Bytes, Spoilt> {
        let empty = self.collected().wire == 0;
        match self {
            Incoming::Plain(collected) => Ok(collected.bytes()),
            // An answer to HEAD says how it would be packed.
            Incoming::Packed(_) if empty => Ok(Bytes::new()),
            Incoming::Packed(mut decoder) => match decoder.try_finish() {
                Ok(()) => Ok(std::mem::take(decoder.get_mut()).bytes()),
                Err(error) => Err(decoder.get_mut().spoilt(error)),
            },
        }
    }
}

/// A body as it grows. One that came in one piece is not copied.
#[derive(Debug, Default)]
pub struct Collected {
    first: Bytes,
    all: Vec<u8>,
    /// Bytes that it is said to have.
    expected: usize,
    /// Bytes that it has had on the wire.
    wire: usize,
    /// Why no more is taken, since an error of the decoder's cannot say.
    refused: Option<Error>,
}

impl Collected {
    fn len(&self) -> usize {
        self.first.len() + self.all.len()
    }

    /// How much larger its memory becomes for so many bytes more: twice as large, and in steps once it is large, which the
    /// system moves without copying.
    fn growth(&self, bytes: usize) -> usize {
        let (needed, capacity) = (self.len().saturating_add(bytes), self.all.capacity());
        match needed <= capacity {
            true => 0,
            false => needed.max(self.expected).max(capacity + capacity.min(STEP)) - capacity,
        }
    }

    fn add(&mut self, chunk: Bytes) -> Result<()> {
        if self.len() == 0 {
            self.fits(chunk.len())?;
            self.first = chunk;
            return Ok(());
        }
        self.append(&chunk)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.fits(bytes.len())?;
        match self.growth(bytes.len()) {
            0 => {}
            growth => heap::grow(&mut self.all, growth)?,
        }
        if !self.first.is_empty() {
            self.all.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.all.extend_from_slice(bytes);
        Ok(())
    }

    fn fits(&self, more: usize) -> Result<()> {
        let len = self.len() + more;
        if len > LARGEST {
            return Err(too_large());
        }
        if len > SMALL && len / LARGEST_RATIO > self.wire {
            let message = format!("the answer unpacks to more than {LARGEST_RATIO} times its size");
            return Err(Error::new(Kind::TooLarge, message).hint(
                "No records do. See what sends it: base_url may be another's, or something on the way changes it.",
            ));
        }
        Ok(())
    }

    fn spoilt(&mut self, error: io::Error) -> Spoilt {
        self.refused.take().map_or(Spoilt::Broken(error), Spoilt::Refused)
    }

    fn bytes(mut self) -> Bytes {
        if self.all.is_empty() {
            return self.first;
        }
        if self.all.capacity() - self.all.len() > SPARE {
            self.all.shrink_to_fit();
        }
        self.all.into()
    }
}

/// What a decoder unpacks.
impl Write for Collected {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.append(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                self.refused.get_or_insert(error);
                Err(io::ErrorKind::FileTooLarge.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn too_large() -> Error {
    Error::new(Kind::TooLarge, format!("the answer is larger than {} MiB", LARGEST >> 20))
        .hint("A smaller page_size makes answers smaller, and so does naming fewer columns.")
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use reqwest::header::HeaderValue;

    use super::*;

    fn incoming(encoding: Option<&'static str>) -> Incoming {
        let encoding = encoding.map(|encoding| (CONTENT_ENCODING, HeaderValue::from_static(encoding)));
        Incoming::new(&encoding.into_iter().collect(), None).unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Feeds a body in pieces of the size in which a connection brings them.
    fn receive(mut incoming: Incoming, wire: &[u8]) -> Result<Bytes, Spoilt> {
        for piece in wire.chunks(16 << 10) {
            incoming.add(Bytes::copy_from_slice(piece))?;
        }
        incoming.finish()
    }

    fn refusal(received: Result<Bytes, Spoilt>) -> Error {
        match received {
            Err(Spoilt::Refused(error)) => error,
            other => panic!("it must be refused: {:?}", other.map(|body| body.len())),
        }
    }

    #[test]
    fn a_body_is_refused_as_soon_as_it_grows_beyond_the_cap() {
        let piece = Bytes::from(vec![b'x'; 1 << 20]);
        let mut body = incoming(None);
        for _ in 0..64 {
            body.add(piece.clone()).unwrap();
        }
        let error = refusal(body.add(piece).map(|()| Bytes::new()));
        assert_eq!((error.kind(), error.message()), (Kind::TooLarge, "the answer is larger than 64 MiB"));
        let claimed = Incoming::new(&HeaderMap::new(), Some(65 << 20)).err().unwrap();
        assert_eq!(claimed.message(), error.message());
    }

    #[test]
    fn a_body_is_put_together_in_order_and_one_piece_is_not_copied() {
        let piece = Bytes::from("one".to_owned());
        let mut body = incoming(None);
        body.add(piece.clone()).unwrap();
        assert_eq!(body.finish().unwrap().as_ptr(), piece.as_ptr());
        let mut body = incoming(None);
        for piece in ["one", "", "two", "three"] {
            body.add(Bytes::from_static(piece.as_bytes())).unwrap();
        }
        assert_eq!(body.finish().unwrap(), "onetwothree");
    }

    #[test]
    fn what_unpacks_to_far_more_than_its_size_is_refused_before_it_fills_the_memory() {
        let bomb = gzip(&vec![b' '; 40 << 20]);
        assert!(bomb.len() < 64 << 10);
        let before = heap::held();
        let mut body = incoming(Some("gzip"));
        let error = refusal(body.add(Bytes::from(bomb)).map(|()| Bytes::new()));
        assert_eq!(error.kind(), Kind::TooLarge);
        assert_eq!(error.message(), "the answer unpacks to more than 200 times its size");
        assert!(heap::held() < before + (20 << 20), "{} {before}", heap::held());
        // As much is fine where it is little.
        let small = gzip(&vec![b' '; 7 << 20]);
        assert_eq!(receive(incoming(Some("gzip")), &small).unwrap().len(), 7 << 20);
    }

    #[test]
    fn what_is_packed_comes_out_whole_or_not_at_all() {
        let text: Vec<u8> = (0..200_000u32).flat_map(|n| (n * 7919).to_string().into_bytes()).collect();
        let packed = gzip(&text);
        for encoding in ["gzip", "x-gzip"] {
            assert_eq!(receive(incoming(Some(encoding)), &packed).unwrap(), text);
        }
        let both = [gzip(b"one"), gzip(b"two")].concat();
        assert_eq!(receive(incoming(Some("gzip")), &both).unwrap(), "onetwo");
        assert_eq!(receive(incoming(Some("gzip")), b"").unwrap(), "");
        for cut in [1, 5, 20, packed.len() / 2, packed.len() - 1] {
            assert!(matches!(receive(incoming(Some("gzip")), &packed[..cut]), Err(Spoilt::Broken(_))), "{cut}");
        }
        let mut wrong = packed.clone();
        wrong[packed.len() / 2] ^= 0x55;
        assert!(matches!(receive(incoming(Some("gzip")), &wrong), Err(Spoilt::Broken(_))));
        let other = Incoming::new(&[(CONTENT_ENCODING, HeaderValue::from_static("br"))].into_iter().collect(), None);
        assert_eq!(other.err().unwrap().kind(), Kind::Unreadable);
    }
}
