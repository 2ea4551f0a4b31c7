//! Governed spans as columns of the table.

use std::borrow::Cow;

use crate::arrow::Array;
use crate::govern::{self, Governor, Tally};
use crate::json;
use crate::keys::promoted;
use crate::plan::Plan;
use crate::rows::Rows;
use crate::wire::Read;

pub struct Kernel {
    governor: Governor,
}

/// A request as it came.
pub struct Request<'r> {
    pub body: &'r [u8],
    /// Whether it is OTLP/JSON and not protobuf.
    pub is_json: bool,
    pub tenant: &'r str,
    pub received_at_ns: i64,
}

/// Requests, decoded and governed.
pub struct Decoded {
    /// The batch as a struct array, its columns in the order of the table's.
    pub rows: Array,
    pub tally: Tally,
}

impl<'r> Request<'r> {
    fn protobuf(&self) -> Read<Cow<'r, [u8]>> {
        if self.is_json { json::to_protobuf(self.body).map(Cow::Owned) } else { Ok(Cow::Borrowed(self.body)) }
    }
}

impl Kernel {
    /// # Errors
    /// The plan's columns are not those the kernel makes.
    pub fn new(plan: Plan) -> Result<Self, String> {
        let made = Rows::new(&plan.columns, &[]).finish(&plan.columns);
        for name in &plan.columns.names {
            if !made.contains_key(name) {
                return Err(format!("the kernel does not make the column {name}"));
            }
        }
        if made.len() != plan.columns.names.len() || promoted(&plan.columns).count() > usize::from(u16::MAX) {
            return Err("the kernel makes columns that the table does not have".to_owned());
        }
        Ok(Kernel { governor: Governor::new(plan) })
    }

    /// Decodes and governs requests, into one batch.
    ///
    /// # Errors
    /// One of them is not as every SDK writes them: the twin's.
    pub fn decode(&self, requests: &[Request<'_>]) -> Read<Decoded> {
        let columns = &self.governor.plan().columns;
        let mut rows = Rows::new(columns, requests);
        let bodies = requests.iter().map(Request::protobuf).collect::<Read<Vec<_>>>()?;
        let governed: Vec<govern::Request<'_>> = requests
            .iter()
            .zip(&bodies)
            .map(|(request, body)| govern::Request { body, repeated: request.tenant.len() })
            .collect();
        let tally = self.governor.govern(&governed, &mut rows)?;
        let count = rows.count();
        let mut named = rows.finish(columns);
        let ordered = columns.names.iter().filter_map(|name| named.remove(name)).collect();
        Ok(Decoded { rows: Array::structs(count, ordered), tally })
    }
}
