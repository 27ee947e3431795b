import Cryptography
import Domain
import Wire

/// What a token says. It is sealed into the token's text, so that checking one asks nobody.
public struct Token: Sendable, Equatable {
  public enum Method: String, Sendable, CaseIterable {
    case password, token
    case applicationCredential = "application_credential"
  }
  public var userID: String
  /// The domain that the user is in; empty in tokens of older versions.
  public var userDomainID: String
  /// For logs; cut to 64 bytes.
  public var userName: String
  public var scope: Actor.Scope
  /// Names, with implied roles, sorted.
  public var roles: [String]
  public var methods: [Method]
  public var issuedAt: Timestamp
  public var expiresAt: Timestamp
  /// 16 bytes in hexadecimal; names the token without revealing it.
  public var auditID: String
  /// Of the token that this one was made from.
  public var parentAuditID: String?
  public var applicationCredentialID: String?
  /// The application credential says which requests it may make.
  public var hasAccessRules: Bool

  public init(
    userID: String, userName: String, userDomainID: String = Project.defaultDomain, scope: Actor.Scope,
    roles: [String], methods: [Method], issuedAt: Timestamp, expiresAt: Timestamp, parentAuditID: String? = nil,
    applicationCredentialID: String? = nil, hasAccessRules: Bool = false
  ) {
    self.userID = userID
    self.userDomainID = userDomainID
    var name = userName
    while name.utf8.count > 64 { name.removeLast() }
    self.userName = name
    self.scope = scope
    self.roles = roles.sorted()
    self.methods = methods
    self.issuedAt = issuedAt
    self.expiresAt = expiresAt
    auditID = Identifier.hex()
    self.parentAuditID = parentAuditID
    self.applicationCredentialID = applicationCredentialID
    self.hasAccessRules = hasAccessRules
  }
}

// The payload: version, scope kind and flags, methods, times, audit ids, ids, roles, name. Version 1 had no domain of the
// user. An id of 32 hexadecimal digits
// takes 17 bytes and a built-in role one, so that the text of an ordinary token stays below 255 characters.
extension Token {
  private static let version: UInt8 = 2
  private static let parentFlag: UInt8 = 0x10
  private static let credentialFlag: UInt8 = 0x20
  private static let rulesFlag: UInt8 = 0x40
  private static let otherRole: UInt8 = 0xff

  func encoded() -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(160)
    var kind: UInt8 =
      switch scope {
      case .unscoped: 0
      case .project: 1
      case .domain: 2
      case .system: 3
      }
    if parentAuditID != nil { kind |= Self.parentFlag }
    if applicationCredentialID != nil { kind |= Self.credentialFlag }
    if hasAccessRules { kind |= Self.rulesFlag }
    var methodBits: UInt8 = 0
    for (bit, method) in Method.allCases.enumerated() where methods.contains(method) { methodBits |= 1 << UInt8(bit) }
    out += [Self.version, kind, methodBits]
    put(issuedAt.microseconds, &out)
    put(expiresAt.microseconds, &out)
    put(auditID, &out)
    if let parentAuditID { put(parentAuditID, &out) }
    if let applicationCredentialID { put(applicationCredentialID, &out) }
    put(userID, &out)
    put(userDomainID, &out)
    switch scope {
    case .project(let id, let domain):
      put(id, &out)
      put(domain, &out)
    case .domain(let id): put(id, &out)
    case .system, .unscoped: break
    }
    out.append(UInt8(min(roles.count, 200)))
    for role in roles.prefix(200) {
      if let code = Role.builtIn.firstIndex(of: role) {
        out.append(UInt8(code))
      } else {
        out.append(Self.otherRole)
        put(role, &out)
      }
    }
    put(userName, &out)
    return out
  }

  private func put(_ number: Int, _ out: inout [UInt8]) {
    for shift in stride(from: 56, through: 0, by: -8) { out.append(UInt8(truncatingIfNeeded: number >> shift)) }
  }
  private func put(_ text: String, _ out: inout [UInt8]) {
    if let packed = Self.packed(text) {
      out.append(0)
      out += packed
    } else {
      let bytes = Array(text.utf8.prefix(254))
      out.append(UInt8(bytes.count + 1))
      out += bytes
    }
  }
  private static func packed(_ text: String) -> [UInt8]? {
    guard text.utf8.count == 32 else { return nil }
    var out: [UInt8] = []
    out.reserveCapacity(16)
    var high: UInt8 = 0
    for (index, byte) in text.utf8.enumerated() {
      let digit: UInt8
      switch byte {
      case 48...57: digit = byte - 48
      case 97...102: digit = byte - 87
      default: return nil
      }
      if index % 2 == 0 { high = digit << 4 } else { out.append(high | digit) }
    }
    return out
  }

  /// Nil for a payload of another version or one cut short.
  init?(decoding bytes: [UInt8]) {
    var reader = Reader(bytes: bytes)
    guard let version = reader.byte(), version == 1 || version == Self.version, let kind = reader.byte(),
      let methodBits = reader.byte(),
      let issued = reader.number(), let expires = reader.number(), let audit = reader.text()
    else { return nil }
    auditID = audit
    issuedAt = Timestamp(microseconds: issued)
    expiresAt = Timestamp(microseconds: expires)
    methods = Method.allCases.enumerated().filter { methodBits & 1 << UInt8($0.offset) != 0 }.map(\.element)
    if kind & Self.parentFlag != 0 {
      guard let parent = reader.text() else { return nil }
      parentAuditID = parent
    }
    if kind & Self.credentialFlag != 0 {
      guard let credential = reader.text() else { return nil }
      applicationCredentialID = credential
    }
    hasAccessRules = kind & Self.rulesFlag != 0
    guard let user = reader.text() else { return nil }
    userID = user
    userDomainID = ""
    if version > 1 {
      guard let domain = reader.text() else { return nil }
      userDomainID = domain
    }
    switch kind & 0x0f {
    case 0: scope = .unscoped
    case 1:
      guard let project = reader.text(), let domain = reader.text() else { return nil }
      scope = .project(id: project, domainID: domain)
    case 2:
      guard let domain = reader.text() else { return nil }
      scope = .domain(id: domain)
    case 3: scope = .system
    default: return nil
    }
    guard let count = reader.byte() else { return nil }
    roles = []
    for _ in 0..<count {
      guard let code = reader.byte() else { return nil }
      if code == Self.otherRole {
        guard let role = reader.text() else { return nil }
        roles.append(role)
      } else {
        guard Int(code) < Role.builtIn.count else { return nil }
        roles.append(Role.builtIn[Int(code)])
      }
    }
    guard let name = reader.text(), reader.at == bytes.count else { return nil }
    userName = name
  }

  private struct Reader {
    let bytes: [UInt8]
    var at = 0
    mutating func byte() -> UInt8? {
      guard at < bytes.count else { return nil }
      defer { at += 1 }
      return bytes[at]
    }
    mutating func number() -> Int? {
      guard at + 8 <= bytes.count else { return nil }
      defer { at += 8 }
      return bytes[at..<at + 8].reduce(0) { $0 << 8 | Int($1) }
    }
    mutating func text() -> String? {
      guard let length = byte() else { return nil }
      let count = length == 0 ? 16 : Int(length) - 1
      guard at + count <= bytes.count else { return nil }
      defer { at += count }
      let slice = bytes[at..<at + count]
      return length == 0 ? Digest.hex(Array(slice)) : String(decoding: slice, as: UTF8.self)
    }
  }
}
