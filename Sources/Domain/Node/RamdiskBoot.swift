/// A kernel's command line, made of characters that mean nothing to iPXE: it goes into a boot script.
public struct KernelLine: Sendable, Equatable {
  public let text: String
  /// What a machine is given when nobody says otherwise: a console on its screen and on its first serial port.
  public static let usual = "console=tty0 console=ttyS0,115200"
  public static let longest = 1024

  /// - Parameter text: up to ``longest`` letters, digits, spaces and `. _ : / = , @ + % ~ [ ] * -`; `%default%` stands for ``usual``.
  /// - Returns: nil for anything else.
  public init?(_ text: String) {
    let whole = text.split(separator: "%default%", omittingEmptySubsequences: false).joined(separator: Self.usual)
    func isPlain(_ byte: UInt8) -> Bool {
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "a")...UInt8(ascii: "z"):
        true
      default: " ._:/=,@+%~[]*-".utf8.contains(byte)
      }
    }
    guard whole.utf8.count <= Self.longest, whole.utf8.allSatisfy(isPlain) else { return nil }
    self.text = whole
  }
}

/// What a machine runs from its memory: files that the boot server has for it alone, at every boot.
public struct RamdiskBoot: Sendable, Equatable {
  /// The folder with the files, below the data folder's ``folder``: "<node>.<UUID>", of one deployment.
  public var name: String
  public var line: KernelLine

  public init(name: String, line: KernelLine) {
    self.name = name
    self.line = line
  }
  /// Where the folders are, in the data folder.
  public static let folder = "ramdisks"

  /// What is in the folder. The config drive is an archive of files that the kernel unpacks before the ramdisk.
  public enum File: String, Sendable, CaseIterable { case kernel, config, ramdisk }
}
