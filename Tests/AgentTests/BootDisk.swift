import Glibc

@testable import Agent

/// A disk image with file systems that the distributions' own tools made: GPT, an EFI system partition (FAT) and one of Linux.
final class BootDisk: Sendable {
  let scratch = Scratch()
  let path: String
  static let espStart = 1 << 20, linuxStart = 34 << 20, size = 100 << 20

  /// - Parameters:
  ///   - files: of the Linux file system; a content "-> target" is a link.
  ///   - esp: of the EFI system partition.
  ///   - format: more arguments of mke2fs.
  static func make(
    _ files: [String: String], esp: [String: String] = [:], format: String = "-t ext4", isClassic: Bool = false
  ) async throws -> BootDisk {
    try await inThread { try BootDisk(files, esp, format, isClassic) }
  }
  private init(_ files: [String: String], _ esp: [String: String], _ format: String, _ isClassic: Bool) throws {
    path = "\(scratch.path)/disk"
    try Self.lay(files, in: "\(scratch.path)/tree")
    try Self.lay(esp, in: "\(scratch.path)/esp")
    _ = try scratch.disk("disk", bytes: Self.size)
    let table =
      isClassic
      ? "label: dos\nstart=2048,size=65536,type=ef\nstart=69632,size=131072,type=83,bootable\n"
      : "label: gpt\nstart=2048,size=65536,type=U\nstart=69632,size=131072,type=L\n"
    try scratch.write("table", table)
    let steps = [
      "sfdisk -q \(path) <\(scratch.path)/table",
      "truncate -s 64M \(scratch.path)/linux",
      "mke2fs -q -F \(format) -U \(BootConfigurations.uuid) -L cloudimg-rootfs -d \(scratch.path)/tree \(scratch.path)/linux",
      "truncate -s 32M \(scratch.path)/fat", "mkfs.vfat -i 1a2bc3d4 -n UEFI \(scratch.path)/fat",
      "cd \(scratch.path)/esp && for x in *; do [ ! -e \"$x\" ] || mcopy -s -i ../fat \"$x\" ::; done",
      "dd if=\(scratch.path)/linux of=\(path) bs=1M seek=34 conv=notrunc,sparse status=none",
      "dd if=\(scratch.path)/fat of=\(path) bs=1M seek=1 conv=notrunc,sparse status=none",
    ]
    for step in steps {
      let (output, status) = run("(export PATH=$PATH:/usr/sbin:/sbin; \(step))")
      guard status == 0 else { throw AgentError(.refused, "\(step): \(output)") }
    }
  }

  private static func lay(_ files: [String: String], in folder: String) throws {
    _ = run("mkdir -p \(folder)")
    for (name, content) in files {
      let file = "\(folder)/\(name)"
      _ = run("mkdir -p $(dirname \(file))")
      if content.hasPrefix("-> ") {
        symlink(String(content.dropFirst(3)), file)
        continue
      }
      let descriptor = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
      guard descriptor >= 0 else { throw AgentError(.refused, "cannot make \(file)") }
      var text = content
      text.withUTF8 { _ = Glibc.write(descriptor, $0.baseAddress, $0.count) }
      close(descriptor)
    }
  }

  func device() throws -> BlockDevice { try BlockDevice(path: path) }
  func system(isUEFI: Bool = false) throws -> InstalledSystem {
    try InstalledSystem.find(on: try device(), isUEFI: isUEFI)
  }
  /// Why it cannot be started; nil when it can.
  func problem(isUEFI: Bool = false) -> String? {
    do {
      _ = try system(isUEFI: isUEFI)
      return nil
    } catch { return "\(error)" }
  }
}

extension InstalledSystem {
  /// What the kernel file begins with.
  var kernelText: String {
    String(decoding: (try? kernel.system.content(of: kernel.node, limit: 1 << 20)) ?? [], as: UTF8.self)
  }
  var initrdTexts: [String] {
    initrds.map { String(decoding: (try? $0.system.content(of: $0.node, limit: 1 << 20)) ?? [], as: UTF8.self) }
  }
}

/// Runs what blocks in a thread of its own: other tests need theirs.
func inThread<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
  try await withCheckedThrowingContinuation { continuation in
    startThread { continuation.resume(with: Swift.Result { try body() }) }
  }
}
