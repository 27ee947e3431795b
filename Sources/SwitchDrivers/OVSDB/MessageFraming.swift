/// Cuts a stream of bytes into JSON objects.
///
/// JSON-RPC over a stream has no length field: a message ends where its outermost brace closes (RFC 7047 section 4.1).
/// Each byte is looked at once, whatever the sizes of the pieces in which it comes.
struct MessageFraming {
  enum Failure: Error, Equatable {
    /// A message longer than the limit of bytes.
    case tooLong(Int)
    /// Something other than an object between messages.
    case notAnObject
  }
  let limit: Int
  private var partial: [UInt8] = []
  private var depth = 0
  private var isInString = false
  private var isEscaped = false

  init(limit: Int) { self.limit = limit }

  /// Takes the next piece and returns the messages that it completes, each a whole JSON text.
  mutating func take(_ bytes: UnsafeRawBufferPointer) throws(Failure) -> [[UInt8]] {
    var messages: [[UInt8]] = []
    var start = 0
    for index in bytes.indices {
      let byte = bytes[index]
      if isInString {
        if isEscaped {
          isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
          isEscaped = true
        } else if byte == UInt8(ascii: "\"") {
          isInString = false
        }
        continue
      }
      switch byte {
      case UInt8(ascii: "\"") where depth > 0: isInString = true
      case UInt8(ascii: "{"),
        UInt8(ascii: "[") where depth > 0:
        if depth == 0 { start = index }
        depth += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        guard depth > 0 else { throw .notAnObject }
        depth -= 1
        if depth == 0 {
          guard partial.count + index + 1 - start <= limit else { throw .tooLong(limit) }
          partial.append(contentsOf: bytes[start...index])
          messages.append(partial)
          partial = []
          start = index + 1
        }
      case 0x20, 0x0a, 0x0d, 0x09: break
      default: if depth == 0 { throw .notAnObject }
      }
    }
    if depth > 0 {
      guard partial.count + bytes.count - start <= limit else { throw .tooLong(limit) }
      partial.append(contentsOf: bytes[start...])
    }
    return messages
  }
}
