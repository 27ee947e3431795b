import Wire

/// A public key of a user that servers are given at their creation. Source: Nova API v2.1, "Keypairs".
public struct Keypair: Sendable, Equatable {
  /// Increases with each that is made.
  public var number: Int
  public var userID: String
  /// Unique for the user.
  public var name: String
  /// As in `authorized_keys`.
  public var publicKey: String
  /// MD5 of the key in pairs of digits, as Nova shows it.
  public var fingerprint: String
  public var createdAt: Timestamp

  public init(
    number: Int = 0, userID: String, name: String, publicKey: String, fingerprint: String, createdAt: Timestamp
  ) {
    self.number = number
    self.userID = userID
    self.name = name
    self.publicKey = publicKey
    self.fingerprint = fingerprint
    self.createdAt = createdAt
  }

  /// Key types that are taken.
  public static let types: Set<String> = [
    "ssh-rsa", "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
  ]

  /// Takes a line of `authorized_keys` apart.
  /// - Parameter decode: of Base64.
  /// - Returns: the bytes of the key; nil when it is none, or the bytes are of another kind than the line says (RFC 4253, 6.6).
  public static func bytes(of line: String, decode: (String) -> [UInt8]?) -> [UInt8]? {
    let words = line.split(whereSeparator: \.isWhitespace)
    guard !line.contains(where: \.isNewline) || line.last?.isNewline == true, words.count >= 2,
      types.contains(String(words[0])), let bytes = decode(String(words[1])), bytes.count > 4 + words[0].utf8.count
    else { return nil }
    let length = bytes[..<4].reduce(0) { $0 << 8 | Int($1) }
    guard length == words[0].utf8.count, bytes[4..<(4 + length)].elementsEqual(words[0].utf8) else { return nil }
    return bytes
  }
}
