import COpenSSL
import Glibc

/// Authenticated encryption under one key (AES-256-GCM, NIST SP 800-38D).
///
/// Seals secrets at rest and tokens. A nonce is 12 random bytes; one key seals far fewer than 2^32 messages.
public struct SecretBox: Sendable {
  /// Fetched once: `EVP_aes_256_gcm()` has OpenSSL 3 look for its implementation at each use. Never changed, never freed.
  nonisolated(unsafe) private static let aes = EVP_CIPHER_fetch(nil, "AES-256-GCM", nil)
  private let key: [UInt8]
  /// Tells keys apart without revealing them; written before each sealed text so that keys can rotate.
  public let keyID: String

  /// - Parameter key: 32 bytes.
  public init(key: [UInt8]) {
    self.key = key
    keyID = String(Digest.hex(Digest.sha256(key)).prefix(8))
  }

  /// Reads the key file, or makes one that only its owner can read.
  /// - Throws: ``CryptographyError`` when it exists and is not 32 bytes of hex, or others can read it.
  public static func fromFile(_ path: String, create: Bool) throws -> SecretBox {
    if create {
      let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
      if descriptor >= 0 {
        defer { Glibc.close(descriptor) }
        let text = Array(Digest.hex(randomBytes(32)).utf8) + [10]
        guard write(descriptor, text, text.count) == text.count, fsync(descriptor) == 0 else {
          throw CryptographyError("cannot write \(path)")
        }
      } else if errno != EEXIST {
        throw CryptographyError("cannot make \(path): \(String(cString: strerror(errno)))")
      }
    }
    let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw CryptographyError("cannot read \(path): \(String(cString: strerror(errno)))") }
    defer { Glibc.close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & 0o077 == 0 else {
      throw CryptographyError("\(path) can be read by others: chmod 600 it")
    }
    var buffer = [UInt8](repeating: 0, count: 128)
    let count = read(descriptor, &buffer, buffer.count)
    let text = String(decoding: buffer.prefix(max(0, count)).filter { $0 > 32 }, as: UTF8.self)
    guard text.utf8.count == 64, let key = bytes(fromHex: text) else {
      throw CryptographyError("\(path) must hold 64 hexadecimal digits")
    }
    return SecretBox(key: key)
  }

  static func bytes(fromHex text: String) -> [UInt8]? {
    let digits = Array(text.utf8)
    var out: [UInt8] = []
    for index in stride(from: 0, to: digits.count - 1, by: 2) {
      guard let byte = UInt8(String(decoding: digits[index...index + 1], as: UTF8.self), radix: 16) else { return nil }
      out.append(byte)
    }
    return out
  }

  /// - Parameter context: bound to the sealed text; opening needs the same.
  /// - Returns: nonce (12 bytes), ciphertext, tag (16 bytes).
  public func seal(_ message: [UInt8], context: String = "") -> [UInt8] {
    let nonce = randomBytes(12)
    let cipher = EVP_CIPHER_CTX_new()
    defer { EVP_CIPHER_CTX_free(cipher) }
    var out = [UInt8](repeating: 0, count: message.count + 16)
    var length: Int32 = 0
    EVP_EncryptInit_ex(cipher, Self.aes, nil, key, nonce)
    let extra = Array(context.utf8)
    EVP_EncryptUpdate(cipher, nil, &length, extra, Int32(extra.count))
    EVP_EncryptUpdate(cipher, &out, &length, message, Int32(message.count))
    var tag = [UInt8](repeating: 0, count: 16)
    var rest: Int32 = 0
    EVP_EncryptFinal_ex(cipher, &tag, &rest)
    EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, 16, &tag)
    return nonce + out.prefix(message.count) + tag
  }

  /// - Returns: nil when it was not sealed under this key and context, or was changed.
  public func open(_ sealed: [UInt8], context: String = "") -> [UInt8]? {
    sealed.withUnsafeBufferPointer { open($0, context: context) }
  }
  /// The same of bytes that lie somewhere: each request brings a token that is opened here.
  public func open(_ sealed: UnsafeBufferPointer<UInt8>, context: String = "") -> [UInt8]? {
    guard sealed.count >= 28, let nonce = sealed.baseAddress else { return nil }
    let count = sealed.count - 28
    let cipher = EVP_CIPHER_CTX_new()
    defer { EVP_CIPHER_CTX_free(cipher) }
    var length: Int32 = 0
    EVP_DecryptInit_ex(cipher, Self.aes, nil, key, nonce)
    var context = context
    context.withUTF8 { extra in
      _ = EVP_DecryptUpdate(cipher, nil, &length, extra.baseAddress, Int32(extra.count))
    }
    var isAuthentic = false
    let message = [UInt8](unsafeUninitializedCapacity: count) { out, filled in
      EVP_DecryptUpdate(cipher, out.baseAddress, &length, nonce + 12, Int32(count))
      EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, 16, UnsafeMutablePointer(mutating: nonce + 12 + count))
      var scratch: (UInt64, UInt64) = (0, 0)
      isAuthentic = withUnsafeMutableBytes(of: &scratch) { scratch in
        EVP_DecryptFinal_ex(cipher, scratch.bindMemory(to: UInt8.self).baseAddress, &length) == 1
      }
      filled = isAuthentic ? count : 0
    }
    return isAuthentic ? message : nil
  }

  /// Sealed text for a database column: "sealed:KEYID:base64url".
  public func sealText(_ text: String, context: String = "") -> String {
    "sealed:\(keyID):" + Base64.urlText(seal(Array(text.utf8), context: context))
  }
  public func openText(_ sealed: String, context: String = "") -> String? {
    let parts = sealed.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 3, parts[0] == "sealed", parts[1] == keyID, let bytes = Base64.bytes(String(parts[2])),
      let plain = open(bytes, context: context)
    else { return nil }
    return String(decoding: plain, as: UTF8.self)
  }
}

public struct CryptographyError: Error, Sendable, CustomStringConvertible {
  public var description: String
  init(_ description: String) { self.description = description }
}
