//! The protobuf wire format, written. Default values are left out, as proto3 does.

use crate::wire::Tag;

pub fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_tag(out: &mut Vec<u8>, tag: Tag) {
    varint(out, u64::from(tag.0));
}

/// A member of a oneof or of a list: written even when it is empty.
pub fn put_bytes(out: &mut Vec<u8>, tag: Tag, bytes: &[u8]) {
    put_tag(out, tag);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// As `put_bytes`, of a number.
pub fn put_varint(out: &mut Vec<u8>, tag: Tag, value: u64) {
    put_tag(out, tag);
    varint(out, value);
}

/// As `put_bytes`, of eight bytes.
pub fn put_fixed64(out: &mut Vec<u8>, tag: Tag, value: u64) {
    put_tag(out, tag);
    out.extend_from_slice(&value.to_le_bytes());
}

pub fn bytes(out: &mut Vec<u8>, tag: Tag, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_bytes(out, tag, bytes);
    }
}

pub fn number(out: &mut Vec<u8>, tag: Tag, value: u64) {
    if value != 0 {
        put_varint(out, tag, value);
    }
}

pub fn fixed64(out: &mut Vec<u8>, tag: Tag, value: u64) {
    if value != 0 {
        put_fixed64(out, tag, value);
    }
}

pub fn fixed32(out: &mut Vec<u8>, tag: Tag, value: u32) {
    if value != 0 {
        put_tag(out, tag);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// A message, whose length is put before it when it is known; nearly always that takes the one byte kept for it.
pub fn message<R>(out: &mut Vec<u8>, tag: Tag, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    put_tag(out, tag);
    let start = out.len() + 1;
    out.push(0);
    let result = write(out);
    let length = out.len() - start;
    if length < 0x80 {
        out[start - 1] = length as u8;
    } else {
        let mut prefix = Vec::with_capacity(10);
        varint(&mut prefix, length as u64);
        let more = prefix.len() - 1;
        out.resize(out.len() + more, 0);
        out.copy_within(start..start + length, start + more);
        out[start - 1..start + more].copy_from_slice(&prefix);
    }
    result
}
