//! Reports over the control socket: made at the console of the gateway.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Response;
use crate::report::{Desk, Draft, From, ReportError};

/// What may be asked about reports.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reports {
    /// What would be sent.
    Preview(Draft),
    /// Send it.
    Send(Draft),
    /// Those that accounts and the console made.
    List,
    /// The one with this receipt.
    One(String),
}

pub(super) fn answer(desk: &Desk, asked: &Reports) -> Response {
    done(desk, asked).unwrap_or_else(|error| Response::Error {
        reason: error.to_string(),
    })
}

fn done(desk: &Desk, asked: &Reports) -> Result<Response, ReportError> {
    let now_s = Timestamp::now().as_second();
    Ok(match asked {
        Reports::Preview(draft) => Response::Preview(Box::new(desk.preview(draft)?)),
        Reports::Send(draft) => {
            let from = From {
                address: None,
                account: Some("console".to_owned()),
            };
            Response::Taken(desk.take(draft, &from, now_s)?)
        }
        Reports::List => Response::Reports {
            reports: desk.list(None, now_s)?,
        },
        Reports::One(receipt) => Response::Reports {
            reports: desk.one(receipt, now_s)?.into_iter().collect(),
        },
    })
}
