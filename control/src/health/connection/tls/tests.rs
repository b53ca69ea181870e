use super::*;

/// A key made for this test, by `openssl pkcs8 -topk8 -v2 aes-256-cbc -iter 1`; its password is "secret".
const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGaMFYGCSqGSIb3DQEFDTBJMCgGCSqGSIb3DQEFDDAbBAisK8x+3PIfWAIBATAM
BggqhkiG9w0CCQUAMB0GCWCGSAFlAwQBKgQQZDAW2aIhbQxL14VhEjAFswRAPL3P
ROZkIogsvdERqeNs46bWtYpN9inp4aCqJ2Kz3i3i/TmbeNkUc828goWH3osgSzdg
8vHzvFN+A2qvnHDpkw==
-----END ENCRYPTED PRIVATE KEY-----
";

#[test]
fn an_encrypted_key_is_opened_by_its_password_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let own = |key: &Path, password: Option<&str>| Own {
        certificate: PathBuf::from("/nowhere"),
        key: key.to_owned(),
        password: password.map(str::to_owned),
    };
    let told = |own: &Own| key(own).expect_err("no key").to_string();
    let encrypted = file("key.pem", ENCRYPTED);
    let opened = key(&own(&encrypted, Some("secret"))).expect("a key");
    assert!(matches!(opened, PrivateKeyDer::Pkcs8(_)));
    assert!(told(&own(&encrypted, Some("other"))).contains("does not open"));
    assert!(key(&own(&encrypted, None)).is_err(), "without its password");
    let old = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let old = file("old.pem", old);
    assert!(told(&own(&old, Some("secret"))).contains("openssl pkcs8"));
    let torn = file("torn.pem", &ENCRYPTED[..150]);
    assert!(told(&own(&torn, Some("secret"))).contains("not one key"));
    let shown = format!("{:?}", own(&encrypted, Some("secret")));
    assert!(!shown.contains("secret"), "{shown}");
}
