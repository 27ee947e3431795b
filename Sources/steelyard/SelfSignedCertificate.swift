import Processes

/// A certificate for a site that has none of its own, made by OpenSSL's command.
enum SelfSignedCertificate {
  static func make(certificate: String, key: String, address: String) async throws {
    _ = try await runChecked(
      "openssl",
      [
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "825", "-subj",
        "/CN=steelyard",
        "-addext", "subjectAltName=IP:\(address),DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate,
      ])
    _ = try await runChecked("chmod", ["600", key])
  }
}
