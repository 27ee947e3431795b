/// What the server wrote on the kernel's command line (docs/agent-protocol.md, "Getting there").
public struct KernelParameters: Sendable, Equatable {
  public var server: ServerAddress
  /// The boot token; it works once.
  public var token: String
  /// The NIC that booted, lower case with colons.
  public var mac: String

  public init(server: ServerAddress, token: String, mac: String) {
    self.server = server
    self.token = token
    self.mac = mac
  }

  /// Reads `/proc/cmdline`. A parameter written twice counts as first written: iPXE and boot loaders append.
  /// - Throws: ``AgentError`` naming the parameter that is missing or wrong, never its value.
  public init(parsing commandLine: String) throws {
    var found: [String: String] = [:]
    for word in commandLine.split(whereSeparator: { " \n\t".contains($0) }) where word.hasPrefix("steelyard.") {
      let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2 else { continue }
      let name = String(parts[0].dropFirst("steelyard.".count))
      if found[name] == nil { found[name] = String(parts[1]) }
    }
    guard let url = found["server"], let server = ServerAddress(url) else {
      throw AgentError(.refused, "The kernel parameter steelyard.server is missing or is not http://ADDRESS:PORT.")
    }
    guard let token = found["token"], (16...256).contains(token.utf8.count), token.utf8.allSatisfy(isBase64URL) else {
      throw AgentError(.refused, "The kernel parameter steelyard.token is missing or is not a token.")
    }
    guard let mac = found["mac"]?.lowercased(), isMAC(mac) else {
      throw AgentError(.refused, "The kernel parameter steelyard.mac is missing or is not a hardware address.")
    }
    self.init(server: server, token: token, mac: mac)
  }
}

func isBase64URL(_ byte: UInt8) -> Bool {
  switch byte {
  case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
    true
  default: false
  }
}

private func isMAC(_ text: String) -> Bool {
  let parts = text.split(separator: ":", omittingEmptySubsequences: false)
  return parts.count == 6 && parts.allSatisfy { $0.utf8.count == 2 && UInt8($0, radix: 16) != nil }
}
