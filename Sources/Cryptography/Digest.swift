import COpenSSL
import Glibc

/// Hashes of whole messages and of streams (OpenSSL's libcrypto: hardware speed at no build cost, docs/decisions/0002).
public enum Digest {
  public enum Algorithm: String, Sendable, CaseIterable { case md5, sha256, sha512 }

  public static func sha256(_ bytes: [UInt8]) -> [UInt8] {
    var stream = DigestStream(.sha256)
    bytes.withUnsafeBytes { stream.update($0) }
    return stream.finish()
  }
  public static func sha256Hex(_ text: String) -> String { hex(sha256(Array(text.utf8))) }
  public static func hmacSHA256(key: [UInt8], _ message: [UInt8]) -> [UInt8] {
    var out = [UInt8](repeating: 0, count: 32)
    var length: UInt32 = 32
    HMAC(EVP_sha256(), key, Int32(key.count), message, message.count, &out, &length)
    return out
  }
  public static func hex(_ bytes: [UInt8]) -> String {
    String(unsafeUninitializedCapacity: bytes.count * 2) { out in
      for (index, byte) in bytes.enumerated() {
        out[index * 2] = hexDigit(byte >> 4)
        out[index * 2 + 1] = hexDigit(byte & 15)
      }
      return bytes.count * 2
    }
  }
}

/// A hash fed piece by piece. One task at a time.
public struct DigestStream: ~Copyable {
  private let context: OpaquePointer?
  private let length: Int

  public init(_ algorithm: Digest.Algorithm) {
    context = EVP_MD_CTX_new()
    switch algorithm {
    case .md5:
      EVP_DigestInit_ex(context, EVP_md5(), nil)
      length = 16
    case .sha256:
      EVP_DigestInit_ex(context, EVP_sha256(), nil)
      length = 32
    case .sha512:
      EVP_DigestInit_ex(context, EVP_sha512(), nil)
      length = 64
    }
  }
  deinit { EVP_MD_CTX_free(context) }
  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    if let start = bytes.baseAddress { EVP_DigestUpdate(context, start, bytes.count) }
  }
  /// The digest; the stream starts afresh only by making a new one.
  public mutating func finish() -> [UInt8] {
    var out = [UInt8](repeating: 0, count: length)
    EVP_DigestFinal_ex(context, &out, nil)
    return out
  }
}

/// True when both are equal, in a time that does not tell where they differ.
public func constantTimeEqual(_ a: [UInt8], _ b: [UInt8]) -> Bool {
  a.count == b.count && CRYPTO_memcmp(a, b, a.count) == 0
}

/// Bytes nobody can guess, from the operating system.
public func randomBytes(_ count: Int) -> [UInt8] {
  var generator = SystemRandomNumberGenerator()
  return [UInt8](unsafeUninitializedCapacity: count) { out, filled in
    // Eight bytes at a time: each time is a call of the kernel.
    while filled < count {
      var word: UInt64 = generator.next()
      for _ in 0..<min(8, count - filled) {
        out[filled] = UInt8(truncatingIfNeeded: word)
        word >>= 8
        filled += 1
      }
    }
  }
}

@inline(__always) private func hexDigit(_ value: UInt8) -> UInt8 { value < 10 ? 48 + value : 87 + value }
