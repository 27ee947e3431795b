import BlockMaps
import Glibc
import Synchronization
import Testing
import Wire

@testable import Agent

/// What the agent sends for, and what it refuses, when it writes an image.
extension AgentTests {
  // MARK: - A disk that has something already

  @Test func onlyWhatIsMissingIsSentASecondTime() async throws {
    let script = Script([Self.writeImage(id: "first"), Self.writeImage(id: "second")])
    script.onImage(Self.whole)
    let disk = scratch.path + "/dev/vda"
    let server = FakeServer { request in
      if request.path == "/agent/v1/result", request.json["id"] == "first" {
        // Between the two, somebody writes: one byte in a block of data, one in a block of zeros.
        let device = try? BlockDevice(path: disk)
        try? device?.write([UInt8(Self.raw[2 << 19] ^ 1)], at: 2 << 19)
        try? device?.write([1], at: 7 << 19)
      }
      return script.answer(request)
    }

    let (_, log) = try await run(server)

    let output = try #require(results(server).first { $0["id"] == "second" }?["output"], "\(log.text)")
    #expect(output["bytes_sent"]?.int == Self.packed.frames[2].count)
    #expect(output["bytes_written"]?.int == 512 << 10)
    #expect(output["bytes_reused"]?.int == Self.packed.map.dataBytes - (512 << 10))
    #expect(output["bytes_zeroed"]?.int == 512 << 10)
    #expect(try diskBytes(0..<Self.imageSize) == Self.raw)
    let asked = try server.requests("/agent/v1/image/i1/blocks").map { try BlockRanges.parse($0.body, count: 16) }
    #expect(asked == [[0..<16], [2..<3]])
  }

  @Test func aDiskThatMakesZerosByCommandIsNotReadForThem() async throws {
    try scratch.write("sys/block/vda/queue/write_zeroes_max_bytes", "2147483648\n")
    let script = Script([Self.writeImage(id: "first"), Self.writeImage(id: "second")])
    script.onImage(Self.whole)
    let server = FakeServer { script.answer($0) }

    let (_, log) = try await run(server)

    let output = try #require(results(server).first { $0["id"] == "second" }?["output"], "\(log.text)")
    #expect(output["bytes_written"]?.int == 0)
    #expect(output["bytes_zeroed"]?.int == Self.imageSize - Self.packed.map.dataBytes)
    #expect(try diskBytes(0..<Self.imageSize) == Self.raw)
  }

  // MARK: - What is refused

  /// Runs one write-image that must fail, and answers its error.
  func failure(
    of command: JSON = AgentTests.writeImage(), _ answer: @escaping Script.Answer
  ) async throws -> (error: String, server: FakeServer) {
    let script = Script([command])
    script.onImage(answer)
    let server = FakeServer { script.answer($0) }
    let (ending, log) = try await run(server, patience: 0.3)
    #expect(ending == .dismissed("the server asked for it"), "\(log.text)")
    let result = try #require(results(server).first)
    #expect(result["ok"]?.bool == false)
    #expect(result["log"]?.string?.contains("failed") == true)
    #expect(server.requests("/agent/v1/log").count == 1)
    return (result["error"]?.string ?? "", server)
  }

  /// Answers the error of a write-image whose blocks are these. The disk must not boot afterwards.
  func refusal(_ answer: @escaping Script.Answer) async throws -> String {
    let (error, _) = try await failure(answer)
    #expect(try diskBytes(0..<Self.mebibyte).allSatisfy { $0 == 0 }, "half an image could boot")
    #expect(try diskBytes((15 * Self.mebibyte)..<Self.diskSize).allSatisfy { $0 == 0 })
    #expect(try diskBytes(Self.imageSize..<(15 * Self.mebibyte)).allSatisfy { $0 == 0xee }, "written behind the image")
    return error
  }

  @Test func anotherMapThanTheCommandNamesIsRefusedAndTheDiskStays() async throws {
    let command = Self.writeImage(mapSHA256: String(repeating: "0", count: 64))

    let (error, server) = try await failure(of: command, Self.whole)

    #expect(error.contains("SHA-256"))
    #expect(server.requests("/agent/v1/image/i1/blocks").isEmpty)
    #expect(try diskBytes(0..<Self.diskSize).allSatisfy { $0 == 0xee })
  }

  @Test func aBlockThatCameDamagedIsAskedForAgain() async throws {
    let script = Script([Self.writeImage()])
    script.onImage(
      { request in
        var body = Self.packed.frames(request.body)
        body[Self.packed.frames[0].count + BlockCoder.headerLength + 1000] ^= 1
        return FakeServer.Reply(200, body)
      }, Self.whole)
    let server = FakeServer { script.answer($0) }

    _ = try await run(server)

    #expect(results(server).first?["ok"]?.bool == true)
    #expect(try diskBytes(0..<Self.imageSize) == Self.raw)
    let asked = try server.requests("/agent/v1/image/i1/blocks").map { try BlockRanges.parse($0.body, count: 16) }
    #expect(asked == [[0..<16], [1..<2]])
  }

  @Test func blocksThatStayDamagedAreRefusedAndTheDiskDoesNotBoot() async throws {
    let error = try await refusal { request in
      var body = Self.packed.frames(request.body)
      body[body.count - 1] ^= 1
      return FakeServer.Reply(200, body)
    }
    #expect(error.contains("SHA-256") && error.contains("Deploy again"))
  }

  @Test(arguments: ["another block", "a zero block", "no block", "too long", "too many", "too few"])
  func blocksThatNobodyAskedForAreRefused(_ what: String) async throws {
    func header(_ index: UInt32, _ length: UInt32) -> [UInt8] {
      withUnsafeBytes(of: index.littleEndian) { Array($0) } + withUnsafeBytes(of: length.littleEndian) { Array($0) }
    }
    let body: [UInt8] =
      switch what {
      case "another block": Self.packed.frames[1]
      case "a zero block": header(6, 4) + [1, 2, 3, 4]
      case "no block": header(.max, 4) + [1, 2, 3, 4]
      case "too long": header(0, (512 << 10) + 1) + [UInt8](repeating: 0, count: 600 << 10)
      case "too many": Self.packed.allFrames + Self.packed.frames[15]
      default: []
      }

    let error = try await refusal { request in
      let all = Self.packed.frames(request.body)
      return FakeServer.Reply(200, body.isEmpty ? Array(all.dropLast(Self.packed.frames[15].count)) : body)
    }

    let words =
      switch what {
      case "another block": "instead of 0"
      case "too many": "more blocks than"
      case "too few": "broke off for good"
      default: "does not belong to this disk"
      }
    #expect(error.contains(words), "\(error)")
  }
}
