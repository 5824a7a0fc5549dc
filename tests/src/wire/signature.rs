//! Who signed a request, and for what: the credential scope of Signature Version 4.

/// The credential scope of a signed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The access key that signed it.
    pub access_key: String,
    /// The Region that it is signed for.
    pub region: String,
    /// The service that it is signed for, by its signing name: `codepipeline`, `sts`.
    pub service: String,
}

/// Reads `AWS4-HMAC-SHA256 Credential=<key>/<date>/<region>/<service>/aws4_request, SignedHeaders=…, Signature=…`
/// (IAM User Guide, "Create a signed AWS API request"). The signature itself is not verified.
///
/// # Errors
/// There is no signature, or it is not of that form.
pub fn scope(authorization: &str) -> Result<Scope, String> {
    let fields = authorization
        .strip_prefix("AWS4-HMAC-SHA256 ")
        .ok_or_else(|| format!("it is not signed: {authorization:?}"))?;
    let field = |name: &str| {
        let mut fields = fields.split(',').filter_map(|field| field.trim().split_once('='));
        fields.find(|(found, _)| *found == name).map(|(_, value)| value)
    };
    let not_one = || format!("its signature is not one: {authorization:?}");
    let credential = field("Credential").ok_or_else(not_one)?.split('/').collect::<Vec<_>>();
    let [access_key, date, region, service, "aws4_request"] = credential.as_slice() else { return Err(not_one()) };
    let signs_the_host = field("SignedHeaders").is_some_and(|names| names.split(';').any(|name| name == "host"));
    let is_hash = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_date = date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit());
    if !is_date || !signs_the_host || !field("Signature").is_some_and(is_hash) {
        return Err(not_one());
    }
    Ok(Scope { access_key: (*access_key).to_owned(), region: (*region).to_owned(), service: (*service).to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_read_and_what_is_no_signature_is_refused() {
        let signed = |credential: &str, headers: &str, signature: &str| {
            format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={headers}, Signature={signature}")
        };
        let hash = "0f".repeat(32);
        let credential = "ASIAEXAMPLE/20261026/eu-west-1/codepipeline/aws4_request";
        let read = scope(&signed(credential, "content-type;host;x-amz-date", &hash));
        let expected = Scope {
            access_key: "ASIAEXAMPLE".to_owned(),
            region: "eu-west-1".to_owned(),
            service: "codepipeline".to_owned(),
        };
        assert_eq!(read, Ok(expected));
        for broken in [
            String::new(),
            "Bearer xoxb".to_owned(),
            signed(credential, "content-type", &hash),
            signed(credential, "host", "abc"),
            signed("ASIAEXAMPLE/2026/eu-west-1/codepipeline/aws4_request", "host", &hash),
            signed("ASIAEXAMPLE/20261026/eu-west-1/codepipeline", "host", &hash),
        ] {
            assert!(scope(&broken).is_err(), "{broken}");
        }
    }
}
