import COpenSSL

/// Signs messages so that anybody who has the public key can tell that they are ours and unchanged (Ed25519, RFC 8032).
public struct SigningKey: Sendable {
  /// 32 secret bytes; the same seed gives the same key.
  public let seed: [UInt8]
  public let publicKey: VerifyingKey

  /// - Returns: nil unless the seed has 32 bytes.
  public init?(seed: [UInt8]) {
    guard seed.count == 32, let key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nil, seed, 32) else { return nil }
    defer { EVP_PKEY_free(key) }
    var raw = [UInt8](repeating: 0, count: 32)
    var count = 32
    guard EVP_PKEY_get_raw_public_key(key, &raw, &count) == 1, let publicKey = VerifyingKey(raw: raw) else {
      return nil
    }
    self.seed = seed
    self.publicKey = publicKey
  }

  /// 64 bytes; empty only when libcrypto has no memory.
  public func signature(of message: [UInt8]) -> [UInt8] {
    let key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nil, seed, 32)
    let context = EVP_MD_CTX_new()
    defer {
      EVP_MD_CTX_free(context)
      EVP_PKEY_free(key)
    }
    var out = [UInt8](repeating: 0, count: 64)
    var count = 64
    guard EVP_DigestSignInit(context, nil, nil, nil, key) == 1,
      EVP_DigestSign(context, &out, &count, message, message.count) == 1
    else { return [] }
    return out
  }
}

/// The public half of a ``SigningKey``.
public struct VerifyingKey: Sendable, Equatable {
  /// 32 bytes.
  public let raw: [UInt8]

  public init?(raw: [UInt8]) {
    guard raw.count == 32 else { return nil }
    self.raw = raw
  }

  /// What precedes the 32 bytes in a SubjectPublicKeyInfo (RFC 8410, section 4): the algorithm, and a bit string.
  private static let prefix: [UInt8] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00]

  /// As `openssl pkey -pubin` reads it.
  public var pem: String {
    "-----BEGIN PUBLIC KEY-----\n\(Base64.text(Self.prefix + raw))\n-----END PUBLIC KEY-----\n"
  }
  /// Reads what ``pem`` writes; nil for anything else, keys of other kinds too.
  public init?(pem: String) {
    let lines = pem.split(whereSeparator: \.isNewline).map { $0.drop(while: \.isWhitespace) }
    guard let begin = lines.firstIndex(where: { $0.hasPrefix("-----BEGIN PUBLIC KEY-----") }),
      let end = lines[begin...].firstIndex(where: { $0.hasPrefix("-----END PUBLIC KEY-----") }),
      let bytes = Base64.bytes(lines[(begin + 1)..<end].joined()), bytes.starts(with: Self.prefix)
    else { return nil }
    self.init(raw: Array(bytes.dropFirst(Self.prefix.count)))
  }
  /// Names the key: the first 16 hexadecimal digits of the SHA-256 of its 32 bytes.
  public var fingerprint: String { String(Digest.hex(Digest.sha256(raw)).prefix(16)) }

  public func isValid(_ signature: [UInt8], for message: [UInt8]) -> Bool {
    guard signature.count == 64, let key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nil, raw, 32) else {
      return false
    }
    let context = EVP_MD_CTX_new()
    defer {
      EVP_MD_CTX_free(context)
      EVP_PKEY_free(key)
    }
    return EVP_DigestVerifyInit(context, nil, nil, nil, key) == 1
      && EVP_DigestVerify(context, signature, signature.count, message, message.count) == 1
  }
}
