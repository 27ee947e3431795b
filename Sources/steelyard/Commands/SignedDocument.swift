import ArgumentParser
import Cryptography
import Glibc
import Wire

/// A document of the site's with its signature, as the lease API answers it.
struct SignedDocument {
  /// What it is in the answer, and in the names of files: "report".
  let name: String
  /// Exactly what was signed.
  let text: String
  let json: JSON
  let signature: [UInt8]
  let key: VerifyingKey

  /// - Returns: nil when the answer has no such document, or no signature and key beside it.
  init?(_ answer: JSON, named name: String) {
    guard let text = answer[name]?.string, let json = try? JSON(parsing: text),
      let signature = answer["signature"]?.string.flatMap({ Base64.bytes($0) }),
      let key = answer["public_key"]?.string.flatMap({ VerifyingKey(pem: $0) })
    else { return nil }
    (self.name, self.text, self.json, self.signature, self.key) = (name, text, json, signature, key)
  }

  func isSigned(by key: VerifyingKey) -> Bool { key.isValid(signature, for: Array(text.utf8)) }

  /// Prints what the signature is worth.
  /// - Parameter trusted: the site's key; nil to take the one that came with the document.
  /// - Throws: exit status 1 when it is not signed by that key.
  func verify(by trusted: VerifyingKey?) throws {
    guard isSigned(by: trusted ?? key) else {
      print(
        "NOT VALID: this \(name) was not signed by key \((trusted ?? key).fingerprint), or was changed since.")
      throw ExitCode(1)
    }
    print(
      "Signature: valid, Ed25519, key \(key.fingerprint)"
        + (trusted == nil ? ", which came with the \(name): compare it with the site's (--key)." : "."))
  }

  /// Leaves NAME.json, NAME.sig and key.pem in a folder, for others to verify.
  func save(in folder: String) throws {
    if mkdir(folder, 0o755) != 0, errno != EEXIST {
      throw Failure("\(folder) cannot be made: \(String(cString: strerror(errno)))")
    }
    for (file, bytes) in [
      ("\(name).json", Array(text.utf8)), ("\(name).sig", signature), ("key.pem", Array(key.pem.utf8)),
    ] {
      guard let file = fopen("\(folder)/\(file)", "w") else {
        throw Failure("\(folder)/\(file) cannot be written: \(String(cString: strerror(errno)))")
      }
      let count = fwrite(bytes, 1, bytes.count, file)
      guard fclose(file) == 0, count == bytes.count else { throw Failure("\(folder) cannot be written") }
    }
  }

  /// The public key in a PEM file.
  static func key(in path: String) throws -> VerifyingKey {
    guard let key = VerifyingKey(pem: String(decoding: try bytes(in: path, limit: 4096), as: UTF8.self)) else {
      throw Failure("\(path) is no Ed25519 public key in PEM form")
    }
    return key
  }
  /// The first `limit` bytes of a file.
  static func bytes(in path: String, limit: Int) throws -> [UInt8] {
    guard let file = fopen(path, "r") else {
      throw Failure("\(path) cannot be read: \(String(cString: strerror(errno)))")
    }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: limit)
    let count = fread(&bytes, 1, bytes.count, file)
    return Array(bytes.prefix(count))
  }

  /// A value for people, without control characters; "-" for none.
  static func word(_ json: JSON?) -> String {
    guard let text = json?.string else { return json.flatMap { $0.int }.map { "\($0)" } ?? "-" }
    return String(text.unicodeScalars.filter { $0.value >= 32 && $0.value != 127 }.map { Character($0) })
  }
}
