import Testing
import Wire

@testable import IronicAPI

@Suite struct JSONPatchTests {
  private func patched(_ document: JSON, _ patch: JSON) throws -> JSON {
    var document = document
    for operation in try PatchOperation.parse(patch) { try operation.apply(to: &document) }
    return document
  }

  @Test func addsReplacesAndRemovesAtEveryDepth() throws {
    let out = try patched(
      ["extra": ["a": 1, "list": [1, 2]]],
      [
        ["op": "add", "path": "/extra/b", "value": ["c": nil]], ["op": "replace", "path": "/extra/a", "value": "x"],
        ["op": "add", "path": "/extra/list/-", "value": 3], ["op": "add", "path": "/extra/list/0", "value": 0],
        ["op": "remove", "path": "/extra/list/1"],
      ])

    #expect(out == ["extra": ["a": "x", "list": [0, 2, 3], "b": ["c": nil]]])
  }

  @Test func slashesAndTildesInKeysAreUnescapedInTheRightOrder() throws {
    let out = try patched(["extra": [:]], [["op": "add", "path": "/extra/osac.io~1label~01", "value": 1]])

    #expect(out == ["extra": ["osac.io/label~1": 1]])
  }

  @Test(arguments: [
    #"[{"op": "replace", "path": "/extra/none", "value": 1}]"#, #"[{"op": "remove", "path": "/extra/none"}]"#,
    #"[{"op": "add", "path": "/extra/a/b", "value": 1}]"#, #"[{"op": "move", "from": "/extra", "path": "/x"}]"#,
    #"[{"op": "add", "path": "extra", "value": 1}]"#, #"[{"op": "add", "path": "/extra/x"}]"#, #"{"op": "add"}"#,
    #"[{"op": "add", "path": "/extra/~2", "value": 1}]"#, #"[{"op": "add", "path": "/extra/list/9", "value": 1}]"#,
  ])
  func whatLeadsNowhereIsRefused(_ patch: String) throws {
    #expect(throws: (any Error).self) { try patched(["extra": ["a": 1, "list": []]], try JSON(parsing: patch)) }
  }
}
