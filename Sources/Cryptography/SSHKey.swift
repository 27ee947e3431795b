/// A new Ed25519 key as OpenSSH writes it. Source: OpenSSH, PROTOCOL.key; RFC 8709.
public struct SSHKey: Sendable {
  /// A line of `authorized_keys`.
  public let publicLine: String
  /// The private key file, without a passphrase.
  public let privateText: String

  /// - Parameter comment: without white space.
  public init(comment: String) {
    var seed = randomBytes(32)
    var key = SigningKey(seed: seed)
    while key == nil {
      seed = randomBytes(32)
      key = SigningKey(seed: seed)
    }
    let raw = key?.publicKey.raw ?? []
    let name = Array("ssh-ed25519".utf8)
    let publicBlob = Self.string(name) + Self.string(raw)
    publicLine = "ssh-ed25519 \(Base64.text(publicBlob)) \(comment)"
    let check = randomBytes(4)
    var secret = check + check + publicBlob + Self.string(seed + raw) + Self.string(Array(comment.utf8))
    // The block size of the cipher "none" is 8.
    var pad: UInt8 = 1
    while secret.count % 8 != 0 {
      secret.append(pad)
      pad += 1
    }
    let none = Self.string(Array("none".utf8))
    var file = Array("openssh-key-v1\0".utf8) + none + none + Self.string([])
    file += [0, 0, 0, 1] + Self.string(publicBlob) + Self.string(secret)
    var text = "-----BEGIN OPENSSH PRIVATE KEY-----\n"
    var rest = Base64.text(file)[...]
    while !rest.isEmpty {
      text += rest.prefix(70) + "\n"
      rest = rest.dropFirst(70)
    }
    privateText = text + "-----END OPENSSH PRIVATE KEY-----\n"
  }

  /// As Nova shows it: MD5 in pairs of digits.
  public static func fingerprint(_ publicBlob: [UInt8]) -> String {
    var stream = DigestStream(.md5)
    publicBlob.withUnsafeBytes { stream.update($0) }
    return stream.finish().map { Digest.hex([$0]) }.joined(separator: ":")
  }

  private static func string(_ bytes: [UInt8]) -> [UInt8] {
    let count = UInt32(bytes.count)
    return [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: count >> $0) } + bytes
  }
}
