import Glibc
import Processes
import Testing

@testable import Lab

@Suite struct DiskSearchTests {
  /// How often `text` is in `bytes` that come in pieces of `size`.
  private func count(_ text: String, in bytes: String, pieces size: Int) -> Int {
    let bytes = Array(bytes.utf8)
    var count = TextCount(Array(text.utf8))
    for start in stride(from: 0, to: bytes.count, by: size) {
      bytes[start..<min(start + size, bytes.count)].withUnsafeBytes { count.take($0) }
    }
    return count.count
  }

  @Test(arguments: [
    ("abc", "abc", 1), ("abc", "xxabcabcxabxabc", 3), ("aba", "ababababa", 4), ("aa", "aaaaa", 4), ("a", "banana", 3),
    ("abcabd", "abcabcabdabcab", 1), ("abc", "ab", 0), ("abc", "", 0), ("needle", "a haystack", 0),
  ])
  func piecesOfAnySizeCountTheSame(text: String, bytes: String, expected: Int) {
    for size in 1...16 { #expect(count(text, in: bytes, pieces: size) == expected, "pieces of \(size)") }
  }

  @Test func whatIsApartDoesNotMakeAText() {
    var count = TextCount(Array("abcd".utf8))
    Array("xxab".utf8).withUnsafeBytes { count.take($0) }
    count.skip()
    Array("cdabcd".utf8).withUnsafeBytes { count.take($0) }
    #expect(count.count == 1)
  }

  @Test func theMapIsReadAsQemuWritesIt() throws {
    let map = """
      Offset          Length          Mapped to       File
      0               0x10000         0x50000         /tmp/a b.qcow2
      0x200000        0x30000         0               /tmp/a b.qcow2

      """
    #expect(
      try DiskSearch.extents(map) == [
        .init(start: 0, length: 0x10000, place: 0x50000), .init(start: 0x200000, length: 0x30000, place: 0),
      ])
    #expect(try DiskSearch.extents("Offset          Length          Mapped to       File\n") == [])
    #expect(throws: Laboratory.Failure.self) { try DiskSearch.extents("header\n0x10 twelve 0x0 file") }
  }

  // MARK: On a disk

  /// A disk of 64 MiB on which `qemu-io` has done what it was told, in this order.
  private func withDisk(_ commands: [String], _ body: (String) async throws -> Void) async throws {
    let folder = "/tmp/sysearch\(getpid())-\(UInt32.random(in: 0 ... .max))"
    try Files.makeFolder(folder)
    let disk = "\(folder)/disk.qcow2"
    var failure: (any Error)?
    do {
      try await runChecked("qemu-img", ["create", "-q", "-f", "qcow2", disk, "64M"])
      for (name, text) in [("ab", "ab"), ("cd", "cd"), ("abcd", "abcd")] {
        // (qemu-io repeats the file to the length of the write)
        try Files.write("\(folder)/\(name)", text)
      }
      for command in commands {
        try await runChecked(
          "qemu-io", ["-f", "qcow2", "-d", "unmap", "-c", command.replacing("@", with: "\(folder)/"), disk])
      }
      try await body(disk)
    } catch { failure = error }
    try await runChecked("rm", ["-rf", "--", folder])
    if let failure { throw failure }
  }

  @Test func aTextAcrossClustersThatAreFarApartInTheFileIsFound() async throws {
    // The second cluster is written first: in the file it comes first.
    try await withDisk(["write -P 0x79 64k 64k", "write -s @cd 64k 2", "write -P 0x78 0 64k", "write -s @ab 65534 2"]) {
      disk async throws in
      #expect(try await DiskSearch.count(of: "abcd", inDisk: disk) == 1)
      #expect(try await DiskSearch.count(of: "xabcdy", inDisk: disk) == 1)
      #expect(try await DiskSearch.count(of: "abxd", inDisk: disk) == 0)
      // Every place, and across the pieces in which it is read.
      #expect(try await DiskSearch.count(of: "xx", inDisk: disk) == 65533)
    }
  }

  @Test func whatIsBesideAHoleIsFoundAndNothingInIt() async throws {
    try await withDisk(["write -s @abcd 8388604 4", "write -s @abcd 33554432 8", "write -s @ab 16777214 2"]) {
      disk async throws in
      #expect(try await DiskSearch.count(of: "abcd", inDisk: disk) == 3)
      // The last bytes before a hole and the first after it are no text.
      #expect(try await DiskSearch.count(of: "ababcd", inDisk: disk) == 0)
    }
    try await withDisk([]) { disk async throws in #expect(try await DiskSearch.count(of: "abcd", inDisk: disk) == 0) }
  }

  @Test func whatWasErasedIsGone() async throws {
    for erase in ["write -z 0 64M", "write -P 0 0 64M", "discard 0 64M"] {
      try await withDisk(["write -s @abcd 5M 8k", erase]) { disk async throws in
        #expect(try await DiskSearch.count(of: "abcd", inDisk: disk) == 0, "\(erase)")
      }
    }
    try await withDisk(["write -s @abcd 5M 8k", "write -z 5M 4k"]) { disk async throws in
      #expect(try await DiskSearch.count(of: "abcd", inDisk: disk) == 1024)
    }
  }

  @Test func aDiskThatCannotBeReadWholeIsNotCalledClean() async throws {
    try await withDisk(["write -c -P 0x61 0 64k"]) { disk async throws in
      await #expect(throws: Laboratory.Failure.self) { try await DiskSearch.count(of: "aaaa", inDisk: disk) }
      await #expect(throws: Laboratory.Failure.self) { try await DiskSearch.count(of: "", inDisk: disk) }
      await #expect(throws: Laboratory.Failure.self) { try await DiskSearch.count(of: "a", inDisk: disk + ".not") }
    }
    let lab = Laboratory(folder: "/tmp/sysearch-none", namespace: "none", program: "/nowhere")
    await #expect(throws: Laboratory.Failure.self) { try await lab.search(1, "text") }
  }
}
