import Testing
import Wire

@testable import SwitchDrivers

@Suite struct MessageFramingTests {
  private func take(_ framing: inout MessageFraming, _ text: String) throws -> [String] {
    try Array(text.utf8).withUnsafeBytes { try framing.take($0) }.map { String(decoding: $0, as: UTF8.self) }
  }

  @Test func messagesComeOutWholeHoweverTheStreamIsCut() throws {
    let messages = [
      #"{"id":1,"result":[{"a":"}{\"\\"},["]"]]}"#, #"{}"#, #"{"method":"echo","params":["{"],"id":"x"}"#,
      #"{"é":"ü\u00e9"}"#,
    ]
    let text = messages.joined(separator: " \n")
    for size in 1...text.utf8.count {
      var framing = MessageFraming(limit: 1000)
      var found: [String] = []
      var rest = Array(text.utf8)[...]
      while !rest.isEmpty {
        let piece = Array(rest.prefix(size))
        rest = rest.dropFirst(size)
        found += try piece.withUnsafeBytes { try framing.take($0) }.map { String(decoding: $0, as: UTF8.self) }
      }
      #expect(found == messages, "cut every \(size) bytes")
    }
  }

  @Test func aMessageLongerThanTheLimitIsRefusedBeforeItsEnd() throws {
    var framing = MessageFraming(limit: 100)
    #expect(try take(&framing, #"{"a":""#).isEmpty)
    #expect(throws: MessageFraming.Failure.tooLong(100)) {
      _ = try take(&framing, String(repeating: "x", count: 200))
    }
  }

  @Test func whatIsNoObjectIsRefused() {
    for text in ["HTTP/1.1 400 Bad Request", "[1]", "}", "\"x\"", "{} x"] {
      var framing = MessageFraming(limit: 100)
      #expect(throws: MessageFraming.Failure.notAnObject, "\(text)") { _ = try take(&framing, text) }
    }
  }

  @Test func endpointsAreReadStrictly() {
    #expect(OVSDBEndpoint("unix:/run/db.sock") == .unix(path: "/run/db.sock"))
    #expect(OVSDBEndpoint("tcp:10.0.0.2:6640") == .tcp(host: "10.0.0.2", port: 6640))
    #expect(OVSDBEndpoint("tcp:[fd00::1]:6640")?.description == "tcp:[fd00::1]:6640")
    for wrong in [
      "", "unix:relative", "tcp:host", "tcp:host:0", "tcp:host:65536", "ssl:h:1", "tcp::1", "tcp:a b:1",
      "unix:/" + String(repeating: "x", count: 200),
    ] { #expect(OVSDBEndpoint(wrong) == nil, "\(wrong)") }
  }
}
