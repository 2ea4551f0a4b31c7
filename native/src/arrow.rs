//! Arrow arrays in memory, and their hand-over by the Arrow C data interface.
//!
//! Source: the C data interface of the Arrow format. Schemas are the Python side's: the table's columns are named in
//! one place (`spanward.store.schema`), and only arrays cross here.

use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, OnceLock};

/// One buffer; the variants keep the alignment of their element.
pub enum Buffer {
    Bytes(Vec<u8>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Double(Vec<f64>),
    /// Zeros that several columns without a value share.
    Zeros(Arc<Vec<i64>>),
}

impl Buffer {
    fn pointer(&self) -> *const c_void {
        match self {
            Buffer::Bytes(values) => values.as_ptr().cast(),
            Buffer::Int32(values) => values.as_ptr().cast(),
            Buffer::Int64(values) => values.as_ptr().cast(),
            Buffer::Double(values) => values.as_ptr().cast(),
            Buffer::Zeros(values) => values.as_ptr().cast(),
        }
    }
}

/// An array: `buffers` as the format's layout of its type asks for.
pub struct Array {
    pub length: usize,
    pub nulls: usize,
    pub buffers: Vec<Option<Buffer>>,
    pub children: Vec<Array>,
    pub dictionary: Option<Box<Array>>,
}

impl Array {
    pub fn of(length: usize, buffers: Vec<Option<Buffer>>) -> Self {
        Array { length, nulls: 0, buffers, children: Vec::new(), dictionary: None }
    }

    pub fn with_children(mut self, children: Vec<Array>) -> Self {
        self.children = children;
        self
    }

    /// A list or map array.
    pub fn list(offsets: Vec<i32>, items: Array) -> Self {
        let length = offsets.len() - 1;
        Array::of(length, vec![None, Some(Buffer::Int32(offsets))]).with_children(vec![items])
    }

    /// A struct without nulls.
    pub fn structs(length: usize, children: Vec<Array>) -> Self {
        Array::of(length, vec![None]).with_children(children)
    }
}

/// Zeros enough for `bytes`; grown once, shared by all.
pub fn zeros(bytes: usize) -> Buffer {
    static SHARED: OnceLock<Arc<Vec<i64>>> = OnceLock::new();
    const SHARED_BYTES: usize = 1 << 20;
    if bytes <= SHARED_BYTES {
        return Buffer::Zeros(SHARED.get_or_init(|| Arc::new(vec![0; SHARED_BYTES / 8])).clone());
    }
    Buffer::Zeros(Arc::new(vec![0; bytes.div_ceil(8)]))
}

/// `struct ArrowArray` of the C data interface.
#[repr(C)]
pub struct CArray {
    length: i64,
    null_count: i64,
    offset: i64,
    n_buffers: i64,
    n_children: i64,
    buffers: *mut *const c_void,
    children: *mut *mut CArray,
    dictionary: *mut CArray,
    release: Option<unsafe extern "C" fn(*mut CArray)>,
    private_data: *mut c_void,
}

// SAFETY: the structure owns everything it points to, and nothing in it is bound to a thread.
unsafe impl Send for CArray {}

/// What an exported array keeps alive.
struct Owned {
    _buffers: Vec<Option<Buffer>>,
    pointers: Vec<*const c_void>,
    children: Vec<*mut CArray>,
    dictionary: *mut CArray,
}

/// The array in the interface's form; whoever gets it calls `release`, once.
pub fn export(array: Array) -> CArray {
    let children = array.children.into_iter().map(|child| Box::into_raw(Box::new(export(child)))).collect();
    let dictionary = array.dictionary.map_or(ptr::null_mut(), |values| Box::into_raw(Box::new(export(*values))));
    let pointers = array.buffers.iter().map(|buffer| buffer.as_ref().map_or(ptr::null(), Buffer::pointer)).collect();
    let mut owned = Box::new(Owned { _buffers: array.buffers, pointers, children, dictionary });
    CArray {
        length: array.length as i64,
        null_count: array.nulls as i64,
        offset: 0,
        n_buffers: owned.pointers.len() as i64,
        n_children: owned.children.len() as i64,
        buffers: owned.pointers.as_mut_ptr(),
        children: owned.children.as_mut_ptr(),
        dictionary: owned.dictionary,
        release: Some(release),
        private_data: Box::into_raw(owned).cast(),
    }
}

impl CArray {
    /// Calls `release` unless a consumer has taken the array over.
    pub fn release_if_owned(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: `self` was made by `export` and has not been released: its release function is still there.
            unsafe { release(self) }
        }
    }
}

unsafe extern "C" fn release(array: *mut CArray) {
    // SAFETY: the interface calls this once, with the structure that `export` filled; `private_data` is its box.
    let owned = unsafe { Box::from_raw((*array).private_data.cast::<Owned>()) };
    for child in owned.children.iter().chain((!owned.dictionary.is_null()).then_some(&owned.dictionary)) {
        // SAFETY: made by `Box::into_raw` in `export`; a consumer that moved the child's content cleared its `release`.
        let mut child = unsafe { Box::from_raw(*child) };
        child.release_if_owned();
    }
    // SAFETY: as above; the interface asks for this mark.
    unsafe { (*array).release = None };
}
