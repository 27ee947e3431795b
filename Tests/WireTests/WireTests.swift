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

@Suite struct IdentifierTests {
  @Test func uuidsAreVersionFourAndDiffer() {
    let one = Identifier.uuid()
    #expect(Identifier.isUUID(one))
    #expect(Array(one)[14] == "4")
    #expect(one != Identifier.uuid())
  }
}
