//! The certificate authorities that this system trusts.

use rustls::RootCertStore;

/// All of them, or those in the PEM file that `SSL_CERT_FILE` names. Fails with why
/// there are none.
pub(crate) fn system() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if !roots.is_empty() {
        return Ok(roots);
    }
    if found.errors.is_empty() {
        return Err("this system has no certificates of authorities".to_owned());
    }
    let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
    Err(errors.join("; "))
}
