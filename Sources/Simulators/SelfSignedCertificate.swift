import Glibc
import NIOSSL
import Processes

/// A certificate and key of a simulator's own, as most controllers have them from the factory.
struct SelfSignedCertificate: Sendable {
  let certificate: NIOSSLCertificate
  let key: NIOSSLPrivateKey

  /// - Parameters:
  ///   - host: the address or name that the certificate is for.
  ///   - folder: where both are kept; made when they are not there yet. Nil: made anew, and kept nowhere.
  static func make(host: String, keptIn folder: String? = nil) async throws -> SelfSignedCertificate {
    let isPlain = host.utf8.allSatisfy {
      (48...58).contains($0) || (97...122).contains($0) || (65...90).contains($0) || $0 == 45 || $0 == 46
    }
    guard isPlain, !host.isEmpty else { throw MachineError("\"\(host)\" is no address for a certificate") }
    if let folder {
      if access(folder + "/certificate.pem", R_OK) != 0 { try await create(host, in: folder) }
      return try read(folder)
    }
    let folder = try makeTemporaryFolder("simulator")
    defer {
      unlink(folder + "/certificate.pem")
      unlink(folder + "/key.pem")
      rmdir(folder)
    }
    try await create(host, in: folder)
    return try read(folder)
  }

  /// The certificate comes last: where it is, the key is too.
  private static func create(_ host: String, in folder: String) async throws {
    let isAddress = host.utf8.allSatisfy { (48...58).contains($0) || $0 == 46 }
    let certificate = folder + "/certificate.pem"
    try await runChecked(
      "openssl",
      [
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650",
        "-subj", "/CN=\(host)", "-addext", "subjectAltName=\(isAddress ? "IP" : "DNS"):\(host)",
        "-keyout", folder + "/key.pem", "-out", certificate + ".new",
      ])
    guard rename(certificate + ".new", certificate) == 0 else {
      throw MachineError("cannot write \(certificate): \(String(cString: strerror(errno)))")
    }
  }

  private static func read(_ folder: String) throws -> SelfSignedCertificate {
    guard let first = try NIOSSLCertificate.fromPEMFile(folder + "/certificate.pem").first else {
      throw MachineError("\(folder)/certificate.pem holds no certificate")
    }
    return SelfSignedCertificate(certificate: first, key: try NIOSSLPrivateKey(file: folder + "/key.pem", format: .pem))
  }
}
