import Glibc
import NIOSSL
import Processes

/// A certificate and key made when a simulator starts, as most controllers have them from the factory.
struct SelfSignedCertificate: Sendable {
  let certificate: NIOSSLCertificate
  let key: NIOSSLPrivateKey

  /// - Parameter host: the address or name that the certificate is for.
  static func make(host: String) async throws -> SelfSignedCertificate {
    let isPlain = host.utf8.allSatisfy {
      (48...58).contains($0) || (97...122).contains($0) || (65...90).contains($0) || $0 == 45 || $0 == 46
    }
    guard isPlain, !host.isEmpty else { throw MachineError("\"\(host)\" is no address for a certificate") }
    var template = Array("/tmp/steelyard-simulator.XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw MachineError("no temporary folder: errno \(errno)") }
    let folder = template.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
    let (certificate, key) = (folder + "/certificate.pem", folder + "/key.pem")
    defer {
      unlink(certificate)
      unlink(key)
      rmdir(folder)
    }
    let isAddress = host.utf8.allSatisfy { (48...58).contains($0) || $0 == 46 }
    try await runChecked(
      "openssl",
      [
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650",
        "-subj", "/CN=\(host)", "-addext", "subjectAltName=\(isAddress ? "IP" : "DNS"):\(host)",
        "-keyout", key, "-out", certificate,
      ])
    guard let first = try NIOSSLCertificate.fromPEMFile(certificate).first else {
      throw MachineError("openssl made no certificate")
    }
    return SelfSignedCertificate(certificate: first, key: try NIOSSLPrivateKey(file: key, format: .pem))
  }
}
