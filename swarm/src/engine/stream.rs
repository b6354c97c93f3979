//! Objects that arrive one after the other: events, progress of a pull.

use std::collections::VecDeque;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;

use super::error;

/// The largest object of a stream. An event is about 1 KB.
const OBJECT_MAX_BYTES: usize = 4 << 20;

/// A body of concatenated JSON objects, whatever stands between them: nothing, newlines, or the
/// record separators of `application/json-seq`.
pub struct JsonStream {
    body: Incoming,
    splitter: Splitter,
    ready: VecDeque<Vec<u8>>,
}

impl JsonStream {
    /// Reads objects from `body`.
    #[must_use]
    pub fn new(body: Incoming) -> Self {
        Self { body, splitter: Splitter::default(), ready: VecDeque::new() }
    }

    /// The next object; `None` at the end. Dropping the future loses nothing.
    ///
    /// # Errors
    /// Why the stream broke, or what is wrong with the JSON.
    pub async fn next(&mut self) -> Result<Option<Value>, String> {
        loop {
            if let Some(object) = self.ready.pop_front() {
                let parsed = serde_json::from_slice(&object);
                return parsed.map(Some).map_err(|error| error.to_string());
            }
            match self.body.frame().await {
                None if self.splitter.pending() => return Err("unexpected EOF".to_owned()),
                None => return Ok(None),
                Some(Err(error)) => return Err(error::body_cause(&error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.splitter.push(&data, &mut self.ready)?;
                    }
                }
            }
        }
    }
}

/// Finds where objects begin and end, looking at each byte once.
#[derive(Debug, Default)]
struct Splitter {
    object: Vec<u8>,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Splitter {
    fn pending(&self) -> bool {
        self.depth > 0
    }

    fn push(&mut self, data: &[u8], out: &mut VecDeque<Vec<u8>>) -> Result<(), String> {
        for &byte in data {
            if self.depth == 0 && byte != b'{' {
                if byte.is_ascii_whitespace() || byte == 0x1e {
                    continue;
                }
                return Err(format!("invalid byte 0x{byte:02x} between objects"));
            }
            self.object.push(byte);
            if self.object.len() > OBJECT_MAX_BYTES {
                return Err(format!("object larger than {OBJECT_MAX_BYTES} bytes"));
            }
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                b'{' if !self.in_string => self.depth += 1,
                b'}' if !self.in_string => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        out.push_back(std::mem::take(&mut self.object));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&[u8]]) -> Result<Vec<String>, String> {
        let (mut splitter, mut out) = (Splitter::default(), VecDeque::new());
        for chunk in chunks {
            splitter.push(chunk, &mut out)?;
        }
        assert!(!splitter.pending());
        Ok(out.into_iter().map(|object| String::from_utf8(object).unwrap()).collect())
    }

    #[test]
    fn objects_are_found_whatever_stands_between_them() {
        let tricky = r#"{"a":{"b":"}{\"\\"},"c":["{"]}"#;
        let framed = format!("{tricky}{tricky}\n\x1e{tricky}\r\n");
        assert_eq!(split(&[framed.as_bytes()]).unwrap(), [tricky; 3]);
        // Byte by byte: no boundary of the transport matters.
        let bytes: Vec<&[u8]> = framed.as_bytes().chunks(1).collect();
        assert_eq!(split(&bytes).unwrap(), [tricky; 3]);
    }

    #[test]
    fn anything_else_is_an_error() {
        assert!(split(&[b"oops"]).is_err());
        let endless = vec![b'{'; OBJECT_MAX_BYTES + 1];
        assert!(Splitter::default().push(&endless, &mut VecDeque::new()).is_err());
    }
}
