import Domain
import Glibc
import HTTPTypes
import Logging
import NIOCore
import NIOPosix
import TestSupport
import Testing
import Wire

@testable import APISupport

/// Files over real connections: the kernel sends them (sendfile(2)), past the parts of the HTTP stack that know of memory alone.
@Suite struct ServedFileTests {
  /// More than a piece, and no multiple of a page.
  private static let content: [UInt8] = (0..<(5 << 19) + 321).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ ($0 >> 9)) }

  /// Runs `body` with a port on which "/file" is served.
  private func serving(_ body: (_ port: Int, _ path: String) async throws -> Void) async throws {
    try await withFolder("served-file") { folder in
      let path = "\(folder)/content"
      let file = open(path, O_WRONLY | O_CREAT, 0o600)
      #expect(Self.content.withUnsafeBytes { write(file, $0.baseAddress, $0.count) } == Self.content.count)
      close(file)
      let service = Service(
        name: "files", type: "files", prefix: "", errorShape: .keystone,
        endpoints: [
          Endpoint(.get, "/file", .open, "a file") { request in
            let file = try #require(try await ServedFile.open(path))
            return try file.answer(request, wholeOnly: [.eTag: "\"whole\""])
          },
          // Cut short after it was opened: nothing but the end of the connection can tell the client.
          Endpoint(.get, "/cut", .open, "a file that is cut short") { request in
            let file = try #require(try await ServedFile.open(path))
            let answer = try file.answer(request)
            truncate(path, 1 << 20)
            return answer
          },
        ])
      try await withListener(service) { port in try await body(port, path) }
    }
  }

  /// All that the server says to these requests, sent at once, until it closes.
  private func ask(_ port: Int, _ requests: String) async throws -> [UInt8] {
    try await converse(port) { outbound in try await outbound.write(ByteBuffer(string: requests)) }
  }
  private func request(_ path: String, _ headers: String...) -> String {
    (["GET \(path) HTTP/1.1", "Host: localhost"] + headers).joined(separator: "\r\n") + "\r\n\r\n"
  }
  @Test func oneConnectionCarriesTheWholeAndPartsOneAfterTheOther() async throws {
    try await serving { port, _ in
      let text =
        request("/file") + request("/file", "Range: bytes=1048570-1048580") + request("/nothing")
        + request("/file", "Range: bytes=-5") + request("/file", "Range: bytes=99999999-")
        + request("/file", "Connection: close")
      let all = try answers(try await ask(port, text))
      #expect(all.map { $0.head.split(separator: " ")[1] } == ["200", "206", "404", "206", "416", "200"])
      guard all.count == 6 else { return }
      #expect(all[0].body.elementsEqual(Self.content) && all[5].body.elementsEqual(Self.content))
      #expect(all[1].body.elementsEqual(Self.content[1_048_570...1_048_580]))
      #expect(all[3].body.elementsEqual(Self.content.suffix(5)))
      #expect(all[0].head.contains("whole") && !all[1].head.contains("whole"))
      #expect(all[1].head.contains("bytes 1048570-1048580/\(Self.content.count)"))
    }
  }

  @Test func whatIsNotInMemoryIsReadFromTheDisk() async throws {
    try await serving { port, path in
      let file = open(path, O_RDWR)
      #expect(fsync(file) == 0 && posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) == 0)
      close(file)
      let all = try answers(try await ask(port, request("/file", "Connection: close")))
      #expect(all.count == 1 && all.first?.body.elementsEqual(Self.content) == true)
    }
  }

  @Test func manyAtOnceGetTheirOwn() async throws {
    try await serving { port, _ in
      try await withThrowingTaskGroup(of: Bool.self) { group in
        for index in 0..<12 {
          group.addTask {
            let range = (index * 100_000)..<(index * 100_000 + 1_200_000)
            let asked = request(
              "/file", "Range: bytes=\(range.lowerBound)-\(range.upperBound - 1)", "Connection: close")
            return try answers(try await ask(port, asked)).first?.body.elementsEqual(Self.content[range]) == true
          }
        }
        for try await isRight in group { #expect(isRight) }
      }
    }
  }

  @Test func aFileThatIsCutShortEndsTheConnection() async throws {
    try await serving { port, _ in
      let bytes = try await ask(port, request("/cut"))
      #expect(bytes.count < Self.content.count)
      #expect(String(decoding: bytes.prefix(15), as: UTF8.self) == "HTTP/1.1 200 OK")
    }
  }

  @Test(.timeLimit(.minutes(1))) func whatIsNoFileIsNotOpened() async throws {
    try await serving { _, path in
      for (name, make) in [
        ("link", { symlink(path, $0) }), ("pipe", { mkfifo($0, 0o600) }), ("folder", { mkdir($0, 0o700) }),
      ]
        as [(String, (String) -> Int32)]
      {
        let other = "\(path).\(name)"
        #expect(make(other) == 0)
        let file = try await ServedFile.open(other)
        #expect(file == nil, "\(name)")
        // What the site has put there may be a link.
        let sites = try await ServedFile.open(other, isSites: true)
        #expect((sites != nil) == (name == "link"), "\(name)")
      }
      #expect(try await ServedFile.open("\(path).nothing") == nil)
    }
  }

  @Test func aClientThatTakesNothingHoldsUpNoOther() async throws {
    try await serving { port, _ in
      // As many as there are event loops, and more: each asks for the file again and again, and reads nothing.
      let idle = try (0..<(System.coreCount * 2)).map { _ in try WebSocketClient(port: port) }
      for client in idle { client.send(String(repeating: request("/file"), count: 8)) }
      let all = try answers(try await ask(port, request("/file", "Connection: close")))
      #expect(all.first?.body.elementsEqual(Self.content) == true)
      // Until here they stay connected.
      withExtendedLifetime(idle) {}
    }
  }
}

@Suite struct AskedRangeTests {
  @Test(arguments: [
    (nil, "whole"), ("bytes=0-9", "part(Range(0..<10))"), ("bytes=5-", "part(Range(5..<100))"),
    ("bytes=-5", "part(Range(95..<100))"), ("bytes=-500", "part(Range(0..<100))"),
    ("bytes=90-500", "part(Range(90..<100))"), ("bytes=100-", "impossible"), ("bytes=-0", "impossible"),
    ("bytes=9-5", "whole"), ("bytes=1-2,4-5", "whole"), ("bytes=+1-2", "whole"), ("bytes=-", "whole"),
    ("blocks=1-2", "whole"), ("bytes=99999999999999999999-", "whole"),
  ])
  func isReadAsTheRFCSays(header: String?, meant: String) {
    #expect("\(AskedRange(header, size: 100))" == meant)
  }
}
