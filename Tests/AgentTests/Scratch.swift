import Glibc
import Wire

@testable import Agent

/// A directory of one test, removed with it.
final class Scratch: Sendable {
  let path: String
  init() {
    var template = Array("/tmp/steelyard-agent-test.XXXXXX".utf8CString)
    path = mkdtemp(&template).map { String(cString: $0) } ?? "/tmp"
  }
  deinit { if path != "/tmp" { _ = run("rm -rf \(path)") } }

  /// A sparse file that stands in for a disk.
  func disk(_ name: String, bytes: Int) throws -> String {
    let file = "\(path)/\(name)"
    let descriptor = open(file, O_RDWR | O_CREAT | O_TRUNC, 0o600)
    defer { close(descriptor) }
    guard ftruncate(descriptor, bytes) == 0 else { throw AgentError(.refused, "cannot make \(file)") }
    return file
  }

  /// A tree like /sys and /dev with one disk, `vda`.
  func machine(diskBytes: Int, serial: String = "DISK1") throws -> Machine {
    _ = run("mkdir -p \(path)/dev \(path)/proc \(path)/sys/class/net \(path)/sys/block/vda/device")
    _ = try disk("dev/vda", bytes: diskBytes)
    try write("sys/block/vda/size", "\(diskBytes / 512)\n")
    try write("sys/block/vda/serial", serial + "\n")
    return Machine(sys: path + "/sys", proc: path + "/proc", dev: path + "/dev")
  }

  /// Writes a file, and makes the folders above it.
  func write(_ name: String, _ text: String) throws {
    _ = run("mkdir -p \"$(dirname '\(path)/\(name)')\"")
    let descriptor = open("\(path)/\(name)", O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    guard descriptor >= 0 else { throw AgentError(.refused, "cannot make \(name)") }
    var text = text
    text.withUTF8 { _ = Glibc.write(descriptor, $0.baseAddress, $0.count) }
    close(descriptor)
  }
}

/// Runs a fixed command line and answers what it prints.
func run(_ command: String, errors: Bool = true) -> (output: String, status: Int32) {
  guard let pipe = popen(command + (errors ? " 2>&1" : " 2>/dev/null"), "r") else { return ("", -1) }
  var output: [UInt8] = []
  var piece = [UInt8](repeating: 0, count: 4096)
  while true {
    let count = fread(&piece, 1, piece.count, pipe)
    if count == 0 { break }
    output += piece[..<count]
  }
  return (String(decoding: output, as: UTF8.self), pclose(pipe))
}

func digest(_ bytes: [UInt8]) -> String {
  var hash = SHA256()
  hash.update(bytes)
  return hash.hexDigest()
}

func randomBytes(_ count: Int) -> [UInt8] { Machine.bytes(of: "/dev/urandom", limit: count) ?? [] }

extension String {
  /// The text between the occurrences of `word`.
  func components(_ word: String) -> [String] {
    var parts: [String] = [""]
    for piece in split(separator: " ", omittingEmptySubsequences: false) {
      if piece == word { parts.append("") } else { parts[parts.count - 1] += piece + " " }
    }
    return parts
  }
}
