/// Cuts a NETCONF stream into messages and back (RFC 6242, 4). No I/O.
struct NETCONFFraming: Sendable {
  /// Most bytes of one message.
  static let limit = 32 << 20
  private static let end = Array("]]>]]>".utf8)

  /// True once both sides have said `:base:1.1`: chunks in the place of an end mark.
  var isChunked = false
  private var bytes: [UInt8] = []
  private var message: [UInt8] = []

  mutating func take(_ more: [UInt8]) { bytes += more }

  /// The next whole message; nil when it is not all there.
  /// - Throws: ``NETCONFError`` for what is no frame, or too much.
  mutating func next() throws(NETCONFError) -> [UInt8]? {
    guard bytes.count + message.count <= Self.limit else {
      throw NETCONFError(message: "a message of more than \(Self.limit >> 20) MiB")
    }
    return isChunked ? try nextChunked() : nextMarked()
  }

  private mutating func nextMarked() -> [UInt8]? {
    guard bytes.count >= Self.end.count else { return nil }
    for start in 0...(bytes.count - Self.end.count) where bytes[start] == Self.end[0] {
      if bytes[start..<(start + Self.end.count)].elementsEqual(Self.end) {
        let found = Array(bytes[..<start])
        bytes.removeFirst(start + Self.end.count)
        return found
      }
    }
    return nil
  }

  private mutating func nextChunked() throws(NETCONFError) -> [UInt8]? {
    while true {
      // LF HASH size LF, or LF HASH HASH LF.
      guard bytes.count >= 4 else { return nil }
      guard bytes[0] == 0x0a, bytes[1] == 0x23 else { throw NETCONFError(message: "no chunk where one was expected") }
      if bytes[2] == 0x23 {
        guard bytes[3] == 0x0a else { throw NETCONFError(message: "no end of chunks where one was expected") }
        bytes.removeFirst(4)
        defer { message = [] }
        return message
      }
      guard let line = bytes[2...].prefix(12).firstIndex(of: 0x0a) else {
        if bytes.count >= 14 { throw NETCONFError(message: "the size of a chunk is no number") }
        return nil
      }
      let digits = bytes[2..<line]
      guard digits.allSatisfy({ (0x30...0x39).contains($0) }), digits.first != 0x30,
        let size = Int(String(decoding: digits, as: UTF8.self)), (1...Self.limit).contains(size)
      else { throw NETCONFError(message: "the size of a chunk is no number") }
      guard bytes.count > line + size else { return nil }
      message += bytes[(line + 1)...(line + size)]
      bytes.removeFirst(line + 1 + size)
    }
  }

  /// A message as it goes out.
  func framed(_ text: String) -> String {
    isChunked ? "\n#\(text.utf8.count)\n\(text)\n##\n" : text + "]]>]]>"
  }
}

/// The stream is no NETCONF.
struct NETCONFError: Error, Equatable, CustomStringConvertible {
  var message: String
  var description: String { message }
}
