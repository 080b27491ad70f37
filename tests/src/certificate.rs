//! Certificates of servers that only tests trust; their keys are made by the tests.

use rcgen::{CertificateParams, KeyPair};

/// A certificate for these names or addresses that vouches for itself until 2040, with its key: both PEM.
pub fn self_signed(names: &[&str]) -> (String, String) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}
