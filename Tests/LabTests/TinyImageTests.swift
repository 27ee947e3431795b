import Glibc
import Processes
import Testing
import Wire

@testable import Lab

@Suite struct TinyImageTests {
  @Test func anImageHoldsItsMarkerManyTimesAndNobodyElses() async throws {
    let folder = "/tmp/sytiny\(getpid())"
    try Files.makeFolder(folder)
    defer {
      for name in fileNames(in: folder) { unlink("\(folder)/\(name)") }
      rmdir(folder)
    }

    try await TinyImage.make("marker-one", at: "\(folder)/one.raw")
    try await TinyImage.make("marker-two", at: "\(folder)/two.qcow2")
    try await runChecked("qemu-img", ["convert", "-O", "raw", "\(folder)/two.qcow2", "\(folder)/two.raw"])

    for (file, own, other) in [("one", "marker-one", "marker-two"), ("two", "marker-two", "marker-one")] {
      let found = try await run("grep", ["-aoF", own, "\(folder)/\(file).raw"])
      #expect(found.output.count { $0 == 10 } > 90_000)
      #expect(try await run("grep", ["-aqF", other, "\(folder)/\(file).raw"]).status == 1)
    }
  }

  @Test func aMarkerThatWouldBeAKernelParameterIsRefused() async throws {
    for marker in ["", "a b", "a;b", "$(id)", "init=/bin/sh"] {
      let result = try await run("\(Room.project)/lab/mk-tiny-image", ["/nonexistent/image.raw", marker])
      #expect(result.status == 2, "\(marker)")
    }
  }

  @Test(arguments: [
    (#"{"hostname": "a-1", "n": [1, -2.5e3, true, null]}"#, "hostname=a-1\nn.0=1\nn.1=-2.5e3\nn.2=true\nn.3=null\n"),
    (#"{"a\"b": "q\\u0041\n\u00e9", "e": {}, "l": [ ] , "z":""}"#, "a\"b=q\\u0041 ?\nz=\n"),
    (#"[{"x":{"y":"{[,:]}"}},["in",["ner"]]]"#, "0.x.y={[,:]}\n1.0=in\n1.1.0=ner\n"),
  ])
  func theReaderOfConfigDrivesFlattensJSON(json: String, lines: String) async throws {
    let user = getenv("HOME").map { String(cString: $0) } ?? "/root"
    let home = getenv("STEELYARD_CACHE").map { String(cString: $0) } ?? "\(user)/.cache/steelyard"
    try await runChecked("\(Room.project)/lab/fetch-kernel", ["\(home)/lab"], timeout: .seconds(120))

    let result = try await run(
      "\(home)/lab/busybox", ["awk", "-f", "\(Room.project)/lab/tiny/json.awk"], input: Array(json.utf8))

    #expect(result.text == lines)
  }

  @Test(arguments: ["{\"a\":", "{\"a\" 1}", "[1, ", "{1:2}", "\"open", "[1 2"])
  func whatIsNotJSONEndsTheReaderWithAFailure(json: String) async throws {
    let user = getenv("HOME").map { String(cString: $0) } ?? "/root"
    let home = getenv("STEELYARD_CACHE").map { String(cString: $0) } ?? "\(user)/.cache/steelyard"
    try await runChecked("\(Room.project)/lab/fetch-kernel", ["\(home)/lab"], timeout: .seconds(120))

    let result = try await run(
      "\(home)/lab/busybox", ["awk", "-f", "\(Room.project)/lab/tiny/json.awk"], input: Array(json.utf8),
      timeout: .seconds(5))

    #expect(result.status != 0)
  }
}
