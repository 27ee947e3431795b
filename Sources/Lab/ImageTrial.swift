import Glibc
import Processes

/// An image that is booted in QEMU, to see whether it would come up on a machine: no metal is needed for that.
///
/// The image may be anybody's. QEMU runs as nobody, without a network, without other programs (seccomp), and writes nothing to the
/// image. Its guest has a NIC on QEMU's own network, where DHCP answers and nobody else is; what it sends is recorded and read.
public struct ImageTrial: Sendable {
  public enum Firmware: String, Sendable, CaseIterable { case bios, uefi }

  /// What was seen.
  public struct Findings: Sendable, Equatable {
    /// The firmware has found something to boot, and it said or sent something.
    public var startsBootLoader = false
    /// It has asked for an address by DHCP.
    public var asksForAddress = false
    /// What only the config drive says was seen: its host name in a DHCP request, the words that its user data writes to the
    /// console, or the call that its user data makes.
    public var readsConfigDrive = false
    /// The last line that is not empty on the serial port.
    public var lastLine = ""
    public var isWell: Bool { startsBootLoader && asksForAddress && readsConfigDrive }
  }

  /// A raw disk image.
  public let image: String
  /// An ISO image, made for ``word``.
  public let configDrive: String
  /// What the config drive's host name and user data have in them: letters, digits and dashes.
  public let word: String
  /// MiB.
  public let memory: Int
  /// Whether the processor itself runs the guest, which is ten times as quick where the machine can.
  public let usesKVM: Bool
  /// For logs; of the caller's.
  public let folder: String

  public init(image: String, configDrive: String, word: String, memory: Int, usesKVM: Bool, folder: String) {
    (self.image, self.configDrive, self.word, self.memory) = (image, configDrive, word, memory)
    (self.usesKVM, self.folder) = (usesKVM, folder)
  }

  /// Where the user data's call goes: QEMU's end of its network, which takes none.
  public static let call = "http://10.0.2.2/"
  /// A script for a config drive: says `word` on the console and makes the call.
  public static func userData(_ word: String) -> String {
    """
    #!/bin/sh
    for console in /dev/ttyS0 /dev/console; do echo "user data of \(word)" >$console; done
    (wget -T 5 -q -O /dev/null \(call)\(word) || curl -m 5 -s \(call)\(word)) >/dev/null 2>&1

    """
  }

  /// Boots until everything was seen, the firmware gives up, or `limit` is over.
  /// - Throws: ``CommandError`` when QEMU does not run.
  public func run(_ firmware: Firmware, limit: Duration) async throws -> Findings {
    let (serial, frames) = ("\(folder)/\(firmware.rawValue)-serial.log", "\(folder)/\(firmware.rawValue)-frames.pcap")
    for path in [serial, frames] { try Files.write(path, "", mode: 0o666) }
    return try await withThrowingTaskGroup(of: Findings?.self) { group in
      group.addTask {
        let result = try await Processes.run(
          "unshare", ["--net", "--ipc", "--uts", "--"] + command(firmware, serial, frames),
          timeout: limit + .seconds(60))
        // It ends by itself only when it cannot run, or its guest switches the machine off.
        guard result.status == 0 else {
          throw CommandError(
            program: "qemu-system-x86_64", reason: .failed(status: result.status, detail: result.lastErrorLine))
        }
        return nil
      }
      group.addTask {
        let end = ContinuousClock.now + limit
        while ContinuousClock.now < end {
          try await Task.sleep(for: .milliseconds(500))
          let findings = look(firmware, serial, frames)
          if findings.isWell || Self.gaveUp((try? Files.read(serial)) ?? "") { return findings }
        }
        return look(firmware, serial, frames)
      }
      defer { group.cancelAll() }
      // A guest that switched its machine off has shown what it shows.
      return try await group.next().flatMap { $0 } ?? look(firmware, serial, frames)
    }
  }

  private func command(_ firmware: Firmware, _ serial: String, _ frames: String) -> [String] {
    let uefi = [
      "-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
      "-drive", "if=pflash,format=raw,snapshot=on,file=/usr/share/OVMF/OVMF_VARS_4M.fd",
    ]
    return [
      "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35,graphics=off",
      "-accel", usesKVM ? "kvm" : "tcg", "-cpu", usesKVM ? "host" : "max", "-m", "\(memory)",
    ] + (firmware == .uefi ? uefi : []) + [
      "-drive", "if=none,id=disk,format=raw,snapshot=on,file.locking=off,file=\(image)",
      "-device", "virtio-blk-pci,drive=disk,bootindex=1",
      "-drive", "if=none,id=drive,format=raw,readonly=on,file=\(configDrive)", "-device", "virtio-blk-pci,drive=drive",
      "-netdev", "user,id=net,restrict=on", "-device", "virtio-net-pci,netdev=net,romfile=",
      "-object", "filter-dump,id=frames,netdev=net,file=\(frames)", "-device", "virtio-rng-pci",
      "-serial", "file:\(serial)", "-runas", "nobody",
      "-sandbox", "on,obsolete=deny,elevateprivileges=allow,spawn=deny,resourcecontrol=deny",
    ]
  }

  private static func gaveUp(_ text: String) -> Bool {
    text.contains("No bootable device") || text.contains("No bootable option or device was found")
      || text.contains("UEFI Interactive Shell")
  }

  private func look(_ firmware: Firmware, _ serial: String, _ frames: String) -> Findings {
    let text = (try? Files.read(serial)) ?? ""
    let sent = FrameRecord(bytes: (try? Files.bytes(frames)) ?? [])
    var findings = Findings()
    findings.asksForAddress = sent.asksForAddress
    findings.readsConfigDrive =
      sent.hostNames.contains { $0.hasPrefix(word) } || sent.calls || text.contains("user data of \(word)")
    let start = firmware == .bios ? "Booting from Hard Disk..." : "BdsDxe: starting Boot"
    if let found = text.firstRange(of: start), !Self.gaveUp(text) {
      // Something that the loader itself has said: an empty one says nothing.
      let said = text[found.upperBound...].drop { $0 != "\n" && $0 != "\r\n" }
      findings.startsBootLoader = said.contains { $0.isLetter } && !said.contains("Boot failed")
    }
    if sent.asksForAddress { findings.startsBootLoader = true }
    let lines = text.split(whereSeparator: \.isNewline).map { $0.filter { (" "..."~").contains($0) } }
    findings.lastLine = String((lines.last { $0.contains { $0.isLetter } } ?? "").prefix(160))
    return findings
  }
}

/// What a guest has sent, as `filter-dump` writes it down. Source: libpcap's file format, RFC 791, 768, 2131, 9293.
struct FrameRecord {
  private(set) var asksForAddress = false
  /// Of DHCP's option 12.
  private(set) var hostNames: Set<String> = []
  /// Somebody has opened a connection to ``ImageTrial/call``.
  private(set) var calls = false

  init(bytes: [UInt8]) {
    var at = 24
    while at + 16 <= bytes.count {
      let length = Int(bytes[at + 8]) | Int(bytes[at + 9]) << 8 | Int(bytes[at + 10]) << 16 | Int(bytes[at + 11]) << 24
      at += 16
      guard length >= 0, length <= bytes.count - at else { return }
      read(Array(bytes[at..<at + length]))
      at += length
    }
  }

  private mutating func read(_ frame: [UInt8]) {
    // Ethernet, IPv4.
    guard frame.count >= 34, frame[12] == 8, frame[13] == 0, frame[14] >> 4 == 4 else { return }
    let header = 14 + Int(frame[14] & 15) * 4
    guard frame.count >= header + 20 else { return }
    func port(_ offset: Int) -> Int { Int(frame[header + offset]) << 8 | Int(frame[header + offset + 1]) }
    switch frame[23] {
    case 6:
      let isOpening = frame[header + 13] & 0x12 == 0x02
      if isOpening, Array(frame[30..<34]) == [10, 0, 2, 2], port(2) == 80 { calls = true }
    case 17 where port(0) == 68 && port(2) == 67:
      asksForAddress = true
      // Options begin after the fixed part and the cookie.
      var at = header + 8 + 240
      while at + 1 < frame.count, frame[at] != 255 {
        if frame[at] == 0 {
          at += 1
          continue
        }
        let end = at + 2 + Int(frame[at + 1])
        guard end <= frame.count else { return }
        if frame[at] == 12 { hostNames.insert(String(decoding: frame[at + 2..<end], as: UTF8.self)) }
        at = end
      }
    default: break
    }
  }
}
