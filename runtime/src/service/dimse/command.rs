//! DIMSE commands: small data sets of group 0000, always implicit VR little endian (PS3.7, 6.3).

use crate::{Error, ErrorKind, Result};

/// Command field of a C-STORE request.
pub const C_STORE: u16 = 0x0001;
/// Command field of a C-ECHO request.
pub const C_ECHO: u16 = 0x0030;
/// Of responses.
const RESPONSE: u16 = 0x8000;
const NO_DATA_SET: u16 = 0x0101;
const MAX_COMMENT: usize = 64;

/// Status codes (PS3.7, annex C; PS3.4, B.2.3).
pub mod status {
    /// Done.
    pub const SUCCESS: u16 = 0x0000;
    /// The UID is no UID.
    pub const INVALID_INSTANCE: u16 = 0x0117;
    /// Not what the presentation context is for.
    pub const CLASS_NOT_SUPPORTED: u16 = 0x0122;
    /// No such service here.
    pub const UNRECOGNIZED_OPERATION: u16 = 0x0211;
    /// No room; later there may be.
    pub const OUT_OF_RESOURCES: u16 = 0xa700;
    /// It will not be taken.
    pub const CANNOT_UNDERSTAND: u16 = 0xc000;

    /// Whether the peer has it: success, or a warning.
    pub fn taken(status: u16) -> bool {
        status == SUCCESS || matches!(status, 0x0001 | 0x0107 | 0x0116) || status & 0xf000 == 0xb000
    }
}

/// The elements of a command that C-STORE and C-ECHO use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// (0000,0100)
    pub field: u16,
    /// (0000,0110) in a request, (0000,0120) in a response.
    pub message: u16,
    /// (0000,0002)
    pub sop_class: String,
    /// (0000,1000)
    pub sop_instance: String,
    /// A data set follows; from (0000,0800).
    pub data: bool,
    /// (0000,0900); responses alone.
    pub status: Option<u16>,
    /// (0000,0902); responses alone.
    pub comment: String,
}

impl Command {
    /// The response to this request.
    pub fn response(&self, status: u16, comment: &str) -> Command {
        Command {
            field: self.field | RESPONSE,
            data: false,
            status: Some(status),
            comment: comment.chars().take(MAX_COMMENT).collect(),
            ..self.clone()
        }
    }

    /// Whether it answers.
    pub fn is_response(&self) -> bool {
        self.field & RESPONSE != 0
    }

    /// Its data set.
    pub fn encode(&self) -> Vec<u8> {
        let mut elements = vec![];
        let mut add = |element: u16, value: &[u8], padding: u8| {
            let mut value = value.to_vec();
            value.resize(value.len().next_multiple_of(2), padding);
            elements.extend([0, 0]);
            elements.extend(element.to_le_bytes());
            elements.extend(u32::try_from(value.len()).unwrap_or(0).to_le_bytes());
            elements.extend(value);
        };
        if !self.sop_class.is_empty() {
            add(0x0002, self.sop_class.as_bytes(), 0);
        }
        add(0x0100, &self.field.to_le_bytes(), 0);
        add(if self.is_response() { 0x0120 } else { 0x0110 }, &self.message.to_le_bytes(), 0);
        if self.field == C_STORE {
            // priority: medium
            add(0x0700, &[0, 0], 0);
        }
        add(0x0800, &if self.data { 0 } else { NO_DATA_SET }.to_le_bytes(), 0);
        if let Some(status) = self.status {
            add(0x0900, &status.to_le_bytes(), 0);
        }
        if !self.comment.is_empty() {
            add(0x0902, self.comment.as_bytes(), b' ');
        }
        if !self.sop_instance.is_empty() {
            add(0x1000, self.sop_instance.as_bytes(), 0);
        }
        let mut command = vec![0, 0, 0, 0, 4, 0, 0, 0];
        command.extend(u32::try_from(elements.len()).unwrap_or(0).to_le_bytes());
        command.extend(elements);
        command
    }

    /// Reads a data set; elements that are not used are stepped over.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn decode(bytes: &[u8]) -> Result<Command> {
        let broken = |what: &str| Error::new(ErrorKind::Malformed, format!("broken DIMSE command: {what}"));
        let mut command = Command::default();
        let (mut field, mut data) = (None, None);
        let mut rest = bytes;
        while !rest.is_empty() {
            let (header, after) = rest.split_first_chunk::<8>().ok_or_else(|| broken("it is cut off"))?;
            let [group_low, group_high, low, high, l0, l1, l2, l3] = *header;
            if (group_low, group_high) != (0, 0) {
                return Err(broken("an element is not of group 0000"));
            }
            let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
            let (value, after) = after.split_at_checked(length).ok_or_else(|| broken("it is cut off"))?;
            let short = || {
                value.first_chunk().map(|&bytes| u16::from_le_bytes(bytes)).ok_or_else(|| broken("a number is cut off"))
            };
            match u16::from_le_bytes([low, high]) {
                0x0002 => command.sop_class = text(value),
                0x0100 => field = Some(short()?),
                0x0110 | 0x0120 => command.message = short()?,
                0x0800 => data = Some(short()? != NO_DATA_SET),
                0x0900 => command.status = Some(short()?),
                0x0902 => command.comment = text(value),
                0x1000 => command.sop_instance = text(value),
                _ => {}
            }
            rest = after;
        }
        command.field = field.ok_or_else(|| broken("the tag CommandField (0000,0100) is missing"))?;
        command.data = data.ok_or_else(|| broken("the tag CommandDataSetType (0000,0800) is missing"))?;
        Ok(command)
    }
}

/// Without padding.
fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_end_matches(['\0', ' ']).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_response_reads_back() {
        let request = Command {
            field: C_STORE,
            message: 7,
            sop_class: "1.2.840.10008.5.1.4.1.1.1".into(),
            sop_instance: "1.2.3".into(),
            data: true,
            ..Command::default()
        };
        assert_eq!(Command::decode(&request.encode()).unwrap(), request);
        let response = request.response(status::OUT_OF_RESOURCES, "the queue is full");
        let read = Command::decode(&response.encode()).unwrap();
        assert_eq!(read, response);
        assert!(read.is_response() && !read.data && read.status == Some(0xa700));
        assert!(response.encode().len().is_multiple_of(2));
    }

    #[test]
    fn what_dcmtk_sends_is_read() {
        // echoscu -d: C-ECHO-RQ, message 1
        let bytes = b"\0\0\0\0\x04\0\0\0\x38\0\0\0\0\0\x02\0\x12\0\0\x001.2.840.10008.1.1\0\0\0\0\x01\x02\0\0\0\x30\0\0\0\x10\x01\x02\0\0\0\x01\0\0\0\0\x08\x02\0\0\0\x01\x01";
        let command = Command::decode(bytes).unwrap();
        assert_eq!((command.field, command.message, command.data), (C_ECHO, 1, false));
        assert_eq!(command.sop_class, "1.2.840.10008.1.1");
        assert_eq!(command.encode(), bytes);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Command::decode(&bytes);
        }
    }
}
