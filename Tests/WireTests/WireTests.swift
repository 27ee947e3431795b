import Testing
import Wire

@Suite struct TimestampTests {
  @Test(arguments: [
    "2026-11-21T01:48:24.313783", "1969-12-31T23:59:59", "9999-12-31T23:59:59.999999", "2024-02-29T00:00:00",
  ])
  func isWrittenAsItWasRead(text: String) {
    #expect(Timestamp(parsing: text)?.iso8601 == text)
    var writer = JSONWriter()
    if let time = Timestamp(parsing: text) { writer.value(time) }
    #expect(writer.string == "\"\(text)\"")
  }
  @Test(arguments: ["2026-02-29", "2026-13-01", "yesterday", "2026-11-21T25:00", "2026-11-21T01:48:24.", ""])
  func whatIsNoDateIsRefused(text: String) {
    #expect(Timestamp(parsing: text) == nil)
  }
  @Test func offsetsAreTakenOff() {
    #expect(Timestamp(parsing: "2026-11-21T03:00:00+02:00")?.iso8601 == "2026-11-21T01:00:00")
  }
}

@Suite struct JSONTests {
  @Test func whatIsReadIsWrittenTheSame() throws {
    let text = #"{"a":[1,-2,2.5,null,true,"é\n\"\\"],"b":{"c":{}},"d":[]}"#
    #expect(try JSON(parsing: text).description == text)
  }
  @Test func aRepeatedKeyKeepsItsLastValue() throws {
    #expect(try JSON(parsing: #"{"a":1,"a":2}"#) == ["a": 2])
  }
  @Test(arguments: [
    "", "{", #"{"a"}"#, "[1,]", "01x", "nul", "\"\u{1}\"", "1 2", String(repeating: "[", count: 10_000),
  ])
  func whatIsNotJSONIsRefused(text: String) {
    #expect(throws: JSONError.self) { try JSON(parsing: text) }
  }
}

@Suite struct JSONWriterTests {
  /// Text is copied eight bytes at a time where nothing needs escaping: whatever stands at whatever place must come out right.
  @Test func textIsEscapedWhereverItStands() throws {
    for character in ["\"", "\\", "\n", "\r", "\t", "\u{1}", "\u{1f}", " ", "\u{7f}", "é", "\u{1f600}", "!", "]"] {
      for before in 0...17 {
        for after in [0, 1, 7, 8, 9] {
          let text =
            String(repeating: "a", count: before) + character + String(repeating: "~", count: after) + character
          var writer = JSONWriter()
          writer.value(text)
          let written = writer.string
          #expect(!written.utf8.contains { $0 < 0x20 }, "\(written)")
          #expect(try JSON(parsing: written) == .string(text))
        }
      }
    }
  }
  @Test func whatGrowsKeepsWhatWasWritten() throws {
    var writer = JSONWriter(capacity: 0)
    writer.beginArray()
    for number in 0..<10_000 { writer.value(number) }
    writer.endArray()
    #expect(try JSON(parsing: writer.string) == .array((0..<10_000).map { .int($0) }))
  }
  @Test func piecesAreOneValue() {
    var writer = JSONWriter()
    writer.beginArray()
    writer.constant("{}")
    writer.beginPieces()
    writer.piece("[1,")
    writer.piece(Array("2".utf8))
    writer.piece("]")
    writer.value(3)
    writer.endArray()
    #expect(writer.string == "[{},[1,2],3]")
  }
}

@Suite struct IdentifierTests {
  @Test func uuidsAreVersionFourAndDiffer() {
    let one = Identifier.uuid()
    #expect(Identifier.isUUID(one))
    #expect(Array(one)[14] == "4")
    #expect(["8", "9", "a", "b"].contains(Array(one)[19]))
    #expect(one != Identifier.uuid())
  }
  @Test func aHexIdentifierIsAUUIDWithoutDashes() {
    let one = Identifier.hex()
    #expect(one.utf8.count == 32 && one.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) })
    #expect(Array(one)[12] == "4")
  }
}
