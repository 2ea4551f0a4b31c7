//! Growing columns: values are put by row, rows without one are null.

use crate::arrow::{Array, Buffer, zeros};

/// Which rows have a value. Rows must rise.
#[derive(Default)]
struct Validity {
    bits: Vec<u8>,
    valid: usize,
}

impl Validity {
    fn set(&mut self, row: usize) {
        let byte = row / 8;
        if self.bits.len() <= byte {
            self.bits.resize(byte + 1, 0);
        }
        self.bits[byte] |= 1 << (row % 8);
        self.valid += 1;
    }

    fn finish(mut self, rows: usize) -> (usize, Option<Buffer>) {
        if self.valid == rows {
            return (0, None);
        }
        self.bits.resize(rows.div_ceil(8), 0);
        (rows - self.valid, Some(Buffer::Bytes(self.bits)))
    }
}

/// Strings.
#[derive(Default)]
pub struct TextColumn {
    offsets: Vec<i32>,
    data: Vec<u8>,
    validity: Validity,
}

impl TextColumn {
    /// Gives `row` a value; the rows since the last one have none.
    pub fn put(&mut self, row: usize, text: &str) {
        self.put_bytes(row, text.as_bytes());
    }

    /// As `put`, of bytes that are UTF-8.
    pub fn put_bytes(&mut self, row: usize, text: &[u8]) {
        let end = self.data.len() as i32;
        if self.offsets.len() <= row {
            self.offsets.resize(row + 1, end);
        }
        self.data.extend_from_slice(text);
        self.validity.set(row);
    }

    /// As `put`, unless the text is empty, which is null.
    pub fn put_some(&mut self, row: usize, text: &str) {
        if !text.is_empty() {
            self.put(row, text);
        }
    }

    pub fn bytes(&self) -> usize {
        self.data.len()
    }

    pub fn finish(mut self, rows: usize) -> Array {
        if self.validity.valid == 0 {
            return nulls(rows, vec![Some(zeros(4 * (rows + 1))), Some(zeros(0))]);
        }
        self.offsets.resize(rows + 1, self.data.len() as i32);
        let (nulls, validity) = self.validity.finish(rows);
        Array {
            nulls,
            ..Array::of(rows, vec![validity, Some(Buffer::Int32(self.offsets)), Some(Buffer::Bytes(self.data))])
        }
    }
}

/// Numbers of eight bytes.
pub struct NumberColumn<T> {
    values: Vec<T>,
    validity: Validity,
}

impl<T> Default for NumberColumn<T> {
    fn default() -> Self {
        NumberColumn { values: Vec::new(), validity: Validity::default() }
    }
}

impl<T: Copy + Default> NumberColumn<T> {
    /// Gives `row` a value; the rows since the last one have none.
    pub fn put(&mut self, row: usize, value: T) {
        self.values.resize(row, T::default());
        self.values.push(value);
        self.validity.set(row);
    }

    fn finish_as(mut self, rows: usize, buffer: impl FnOnce(Vec<T>) -> Buffer) -> Array {
        if self.validity.valid == 0 {
            return nulls(rows, vec![Some(zeros(8 * rows))]);
        }
        self.values.resize(rows, T::default());
        let (nulls, validity) = self.validity.finish(rows);
        Array { nulls, ..Array::of(rows, vec![validity, Some(buffer(self.values))]) }
    }
}

impl NumberColumn<i64> {
    pub fn finish(self, rows: usize) -> Array {
        self.finish_as(rows, Buffer::Int64)
    }
}

impl NumberColumn<f64> {
    pub fn finish(self, rows: usize) -> Array {
        self.finish_as(rows, Buffer::Double)
    }
}

impl NumberColumn<i32> {
    pub fn finish(self, rows: usize) -> Array {
        self.finish_as(rows, Buffer::Int32)
    }
}

/// Truth values, none of them null.
#[derive(Default)]
pub struct BoolColumn {
    bits: Vec<u8>,
    rows: usize,
}

impl BoolColumn {
    pub fn push(&mut self, value: bool) {
        if self.rows.is_multiple_of(8) {
            self.bits.push(0);
        }
        if let Some(last) = self.bits.last_mut() {
            *last |= u8::from(value) << (self.rows % 8);
        }
        self.rows += 1;
    }

    fn finish(self) -> Array {
        Array::of(self.rows, vec![None, Some(Buffer::Bytes(self.bits))])
    }
}

/// Where each row's items end.
pub struct Ends(Vec<i32>);

impl Default for Ends {
    fn default() -> Self {
        Ends(vec![0])
    }
}

impl Ends {
    pub fn push(&mut self, items: usize) {
        self.0.push(items as i32);
    }

    pub fn list(self, items: Array) -> Array {
        Array::list(self.0, items)
    }
}

/// Lists of strings.
#[derive(Default)]
pub struct TextLists {
    items: TextColumn,
    count: usize,
    ends: Ends,
}

impl TextLists {
    pub fn push(&mut self, text: &str) {
        self.items.put(self.count, text);
        self.count += 1;
    }

    pub fn end_row(&mut self) {
        self.ends.push(self.count);
    }

    pub fn finish(self) -> Array {
        self.ends.list(self.items.finish(self.count))
    }
}

/// The values of a map column.
pub enum MapValues {
    Text(TextColumn),
    Int(NumberColumn<i64>),
    Double(NumberColumn<f64>),
    Bool(BoolColumn),
}

/// A map column: keys, and values of one type.
pub struct MapColumn {
    keys: TextColumn,
    pub values: MapValues,
    count: usize,
    ends: Ends,
}

impl MapColumn {
    pub fn new(values: MapValues) -> Self {
        MapColumn { keys: TextColumn::default(), values, count: 0, ends: Ends::default() }
    }

    /// Adds a key to the row; answers with the position of its value.
    pub fn key(&mut self, key: &str) -> usize {
        self.keys.put(self.count, key);
        self.count += 1;
        self.count - 1
    }

    pub fn end_row(&mut self) {
        self.ends.push(self.count);
    }

    pub fn bytes(&self) -> usize {
        let values = if let MapValues::Text(values) = &self.values { values.bytes() } else { 0 };
        self.keys.bytes().max(values)
    }

    pub fn finish(self) -> Array {
        let values = match self.values {
            MapValues::Text(values) => values.finish(self.count),
            MapValues::Int(values) => values.finish(self.count),
            MapValues::Double(values) => values.finish(self.count),
            MapValues::Bool(values) => values.finish(),
        };
        let entries = Array::structs(self.count, vec![self.keys.finish(self.count), values]);
        self.ends.list(entries)
    }
}

fn nulls(rows: usize, values: Vec<Option<Buffer>>) -> Array {
    if rows == 0 {
        let mut buffers = vec![None];
        buffers.extend(values);
        return Array::of(0, buffers);
    }
    let mut buffers = vec![Some(zeros(rows.div_ceil(8)))];
    buffers.extend(values);
    Array { nulls: rows, ..Array::of(rows, buffers) }
}
