import Domain
import Testing
import Wire

@Suite struct NodeImportTests {
  @Test func aRangeStandsForManyNodesAndOthersCountAlong() throws {
    let items = try NodeImport.items([
      [
        "name": "r1u[01-12]", "driver": "ipmi",
        "driver_info": ["ipmi_address": "10.0.3.[11-22]", "ipmi_username": "admin"],
        "properties": ["rack": 1], "ports": ["52:54:00:00:01:[10-21]", ["address": "52:54:00:00:02:[10-21]"]],
      ],
      ["name": "alone", "driver": "redfish"],
    ])
    #expect(items.count == 13)
    #expect(items.map(\.name).prefix(2) == ["r1u01", "r1u02"] && items[11].name == "r1u12")
    #expect(items[9].node["driver_info"] == ["ipmi_address": "10.0.3.20", "ipmi_username": "admin"])
    #expect(items[9].node["properties"] == ["rack": 1] && items[9].node["ports"] == nil)
    #expect(items[9].ports == [["address": "52:54:00:00:01:19"], ["address": "52:54:00:00:02:19"]])
    #expect(items[12].name == "alone" && items[12].ports.isEmpty)
  }

  @Test func textsWithoutARangeAreLeftAlone() throws {
    for text in ["node", "a[1]", "a[]", "a[b-c]", "fe80::[1-", "a[1-2-3]", "a[-1-2]", "a[1234567890-1234567891]"] {
      #expect(try TextRange(text) == nil, "\(text)")
    }
    let range = try #require(try TextRange("n[8-10].rack"))
    #expect(range.count == 3 && (0..<3).map { range[$0] } == ["n8.rack", "n9.rack", "n10.rack"])
  }

  @Test(
    arguments: [
      [["driver": "ipmi"]], [["name": "a[3-1]"]], [["name": "a[1-2]b[1-2]"]], [["name": "a[0-10000]"]],
      [["name": "a[1-3]", "owner": "o[1-2]"]], [["name": "a", "owner": "o[1-2]"]], [["name": "a"], ["name": "a"]],
      [["name": "a[1-3]"], ["name": "a2"]], [["name": "a", "ports": "52:54:00:00:00:01"]],
      [["name": "a", "ports": [1]]],
      [["name": "a[1-9999]"], ["name": "b[1-9999]"]],
    ] as [[JSONObject]])
  func whatCannotBeMeantIsRefusedByItsEntry(entries: [JSONObject]) throws {
    let problem = #expect(throws: NodeImport.Problem.self) { try NodeImport.items(entries) }
    #expect(problem?.description.hasPrefix("entry \(entries.count): ") == true)
  }

  @Test func aTableIsReadAsSpreadsheetsWriteIt() throws {
    let text =
      "name,driver,driver_info.ipmi_address,properties.note,ports\r\n"
      + "n1,ipmi, 10.0.0.1 ,\"a, \"\"b\"\"\nc\",52:54:00:00:00:01 52:54:00:00:00:02\r\n\r\nn2,redfish,,,\n"
    #expect(
      try NodeImport.entries(csv: text) == [
        [
          "name": "n1", "driver": "ipmi", "driver_info": ["ipmi_address": "10.0.0.1"],
          "properties": ["note": "a, \"b\"\nc"], "ports": ["52:54:00:00:00:01", "52:54:00:00:00:02"],
        ], ["name": "n2", "driver": "redfish"],
      ])
    for wrong in ["", "name,name\na,b", "name,\na,b", "name\na,b", "name\n\"a"] {
      #expect(throws: NodeImport.Problem.self, "\(wrong)") { try NodeImport.entries(csv: wrong) }
    }
  }
}
