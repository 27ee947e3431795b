import Glibc
import HTTPTypes
import NIOCore
import Synchronization
import Testing
import Wire

@testable import APISupport

/// Bodies over real connections: the kernel puts those of large requests where they go, past the HTTP stack, which must not notice.
@Suite(.timeLimit(.minutes(2))) struct BodyReaderTests {
  /// Repeats after a prime number of bytes, so that what is lost, doubled or out of order does not match.
  private static let content: [UInt8] = {
    let period = (0..<65_537).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ ($0 >> 9)) }
    var content: [UInt8] = []
    while content.count < 20 << 20 { content += period }
    return content
  }()

  /// What the last reader got: for those who leave without an answer.
  private final class Outcome: Sendable {
    let ended = Mutex<String?>(nil)
  }

  /// Reads a body like an upload does.
  /// - Returns: "<bytes> same direct".
  private static func read(_ request: APIRequest, piece: Int, most: Int = .max) async throws -> String {
    let start = request.query["from"].flatMap { Int($0) } ?? 0
    nonisolated(unsafe) let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: piece, alignment: 16)
    defer { memory.deallocate() }
    var (total, isSame, isDirect) = (0, true, false)
    try await request.withBody { body in
      while total < most {
        let count = try await body.read(into: memory)
        if count == 0 { break }
        isDirect = body.socket?.isBegun == true
        isSame =
          isSame && start + total + count <= content.count
          && content.withUnsafeBytes { bytes in
            let (expected, got) = (bytes[(start + total)...], UnsafeRawBufferPointer(memory))
            guard let one = UnsafeRawBufferPointer(rebasing: expected).baseAddress, let other = got.baseAddress else {
              return false
            }
            return memcmp(one, other, count) == 0
          }
        total += count
      }
    }
    return "\(total) \(isSame ? "same" : "other") \(isDirect ? "direct" : "copied")"
  }

  private func serving(_ body: (_ port: Int, _ outcome: Outcome) async throws -> Void) async throws {
    let outcome = Outcome()
    let service = Service(
      name: "bodies", type: "bodies", prefix: "", errorShape: .keystone,
      endpoints: [
        Endpoint(.put, "/body", .open, "a body") { request in
          // A hundred thousand bytes fill no buffer evenly.
          if request.query["late"] != nil { try await Task.sleep(for: .milliseconds(300)) }
          let said = try await Self.read(request, piece: Int(request.query["piece"] ?? "") ?? 1 << 20)
          outcome.ended.withLock { $0 = said }
          return APIResponse(.ok, json: .string(said))
        },
        Endpoint(.put, "/refuse", .open, "a body that is not wanted") { request in
          _ = try await Self.read(request, piece: 1 << 20, most: 3 << 20)
          throw APIError.conflict("No more of this.")
        },
      ])
    try await withListener(service) { port in try await body(port, outcome) }
  }

  private static func head(_ path: String, _ length: Int, _ headers: String...) -> ByteBuffer {
    ByteBuffer(
      string: (["PUT \(path) HTTP/1.1", "Host: localhost", "Content-Length: \(length)"] + headers)
        .joined(separator: "\r\n") + "\r\n\r\n")
  }
  private func texts(_ bytes: [UInt8]) throws -> [String] {
    try answers(bytes).map { String(decoding: $0.body, as: UTF8.self) }
  }

  @Test func requestsFollowEachOtherOnOneConnection() async throws {
    try await serving { port, _ in
      let (large, small) = (17_000_003, 5000)
      let said = try await converse(port) { outbound in
        // All in one go: what comes after a body is the next request, not more of the body.
        var all = Self.head("/body?piece=100003", large)
        all.writeBytes(Self.content[..<large])
        all.writeImmutableBuffer(Self.head("/body", small))
        all.writeBytes(Self.content[..<small])
        all.writeImmutableBuffer(Self.head("/body?piece=4194304", large, "Connection: close"))
        all.writeBytes(Self.content[..<large])
        try await outbound.write(all)
      }
      #expect(try texts(said) == ["\"\(large) same direct\"", "\"\(small) same copied\"", "\"\(large) same direct\""])
    }
  }

  @Test func piecesComeAsTheyComeAndTheLastOneMayEndTheConnection() async throws {
    try await serving { port, _ in
      let length = 9_500_007
      let said = try await converse(port) { outbound in
        try await outbound.write(Self.head("/body", length))
        for start in stride(from: 0, to: length, by: 300_007) {
          try await outbound.write(ByteBuffer(bytes: Self.content[start..<min(start + 300_007, length)]))
          try await Task.sleep(for: .milliseconds(start % 5))
        }
        // Nothing more will be said; the answer is still waited for.
        outbound.finish()
      }
      #expect(try texts(said) == ["\"\(length) same direct\""])
    }
  }

  @Test func aBodyWhoseEndIsThereBeforeItIsReadIsWhole() async throws {
    try await serving { port, _ in
      let length = BodyReader.leastDirect + 1
      let said = try await converse(port) { outbound in
        var all = Self.head("/body?piece=700001", length)
        all.writeBytes(Self.content[..<length])
        try await outbound.write(all)
        outbound.finish()
      }
      #expect(try texts(said) == ["\"\(length) same direct\""])
    }
  }

  /// While its handler does something else the stack may get all of a body, if the sender closes its side: NIO reads what the kernel has then.
  @Test func aBodyThatIsReadLateIsWhole() async throws {
    try await serving { port, _ in
      let length = BodyReader.leastDirect + 100_001
      let said = try await converse(port) { outbound in
        var all = Self.head("/body?late&piece=700001", length)
        all.writeBytes(Self.content[..<length])
        try await outbound.write(all)
        outbound.finish()
      }
      #expect(try texts(said).first?.hasPrefix("\"\(length) same ") == true)
    }
  }

  @Test func whoAsksWhetherToSendIsToldTo() async throws {
    try await serving { port, _ in
      let said = try await converse(port) { outbound in
        try await outbound.write(Self.head("/body", 9_000_000, "Expect: 100-continue", "Connection: close"))
        try await Task.sleep(for: .milliseconds(50))
        try await outbound.write(ByteBuffer(bytes: Self.content[..<9_000_000]))
      }
      let found = try answers(said)
      #expect(found.map { $0.head.split(separator: " ")[1] } == ["100", "200"])
      #expect(found.last?.body.elementsEqual("\"9000000 same direct\"".utf8) == true)
    }
  }

  @Test func whoRefusesABodyAnswersAndHearsTheNextRequest() async throws {
    try await serving { port, _ in
      let said = try await converse(port) { outbound in
        var all = Self.head("/refuse", 15_000_001)
        all.writeBytes(Self.content[..<15_000_001])
        all.writeImmutableBuffer(Self.head("/body?from=77", 10_000_000, "Connection: close"))
        all.writeBytes(Self.content[77..<10_000_077])
        try await outbound.write(all)
      }
      let found = try texts(said)
      #expect(found.count == 2 && found.first?.contains("No more of this.") == true)
      #expect(found.last == "\"10000000 same direct\"")
    }
  }

  @Test func whoLeavesInTheMiddleIsNoticedAndOthersAreServed() async throws {
    try await serving { port, outcome in
      let rest = try await converse(port) { outbound in
        try await outbound.write(Self.head("/body", 16 << 20))
        try await outbound.write(ByteBuffer(bytes: Self.content[..<(12 << 20)]))
        outbound.finish()
      }
      #expect(!String(decoding: rest, as: UTF8.self).contains("\(16 << 20) same"))
      let told = outcome.ended.withLock { $0 }
      // Whether its reader was told by an error or by an end: never that all was there.
      #expect(told == nil || told?.hasPrefix("\(16 << 20) ") == false)
      let said = try await converse(port) { outbound in
        var all = Self.head("/body", 9 << 20, "Connection: close")
        all.writeBytes(Self.content[..<(9 << 20)])
        try await outbound.write(all)
      }
      #expect(try texts(said) == ["\"\(9 << 20) same direct\""])
    }
  }

  @Test func aChunkedBodyIsCopied() async throws {
    try await serving { port, _ in
      let said = try await converse(port) { outbound in
        var all = ByteBuffer(
          string: "PUT /body HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        for start in stride(from: 0, to: 10_000_000, by: 1_000_000) {
          all.writeString("f4240\r\n")
          all.writeBytes(Self.content[start..<(start + 1_000_000)])
          all.writeString("\r\n")
        }
        all.writeString("0\r\n\r\n")
        try await outbound.write(all)
      }
      #expect(try texts(said) == ["\"10000000 same copied\""])
    }
  }

  @Test func manyAtOnceGetTheirOwn() async throws {
    try await serving { port, _ in
      try await withThrowingTaskGroup(of: Bool.self) { group in
        for index in 0..<8 {
          group.addTask {
            let (start, length) = (index * 99_991, 11_000_000 + index)
            let said = try await converse(port) { outbound in
              try await outbound.write(Self.head("/body?from=\(start)", length, "Connection: close"))
              try await outbound.write(ByteBuffer(bytes: Self.content[start..<(start + length)]))
            }
            return try texts(said) == ["\"\(length) same direct\""]
          }
        }
        for try await isRight in group { #expect(isRight) }
      }
    }
  }
}
