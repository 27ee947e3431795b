/// What the first and last bytes of an image say about it.
///
/// Nothing else reads an image before this has: `qemu-img` follows names of other files that an image carries, and a
/// "raw" image that is really a qcow2 would be followed by the next program that probes it (CVE-2015-5162, CVE-2022-47951,
/// CVE-2024-32498, CVE-2024-44082). So an image must be what it claims, and refer to nothing.
/// Source: QEMU, "Qcow2 Image File Format"; the magic numbers of the others from their specifications.
public struct ImageContent: Sendable, Equatable {
  /// How much of the beginning is looked at, bytes.
  public static let headLength = 64 << 10
  /// How much of the end, bytes.
  public static let tailLength = 1536
  /// QEMU's own limit is larger; no disk of a machine is.
  public static let largestDisk = 16 << 40

  /// Bytes of the disk that the content describes; nil when the content is no image of the claimed format that could be
  /// read for its size, and where only a converter can tell.
  public var virtualSize: Int?
  /// The content has the mark of the claimed format, one of ``converted``.
  public var isConverted = false

  /// Why content is refused: a sentence for its owner.
  public struct Refusal: Error, Sendable, Equatable, CustomStringConvertible {
    public let description: String
    init(_ description: String) { self.description = description }
  }

  /// Formats that a client may declare.
  public static let diskFormats: Set<String> = ["raw", "qcow2", "iso", "vmdk", "vhd", "vhdx", "ami", "ari", "aki"]
  /// Those that must be converted before a machine can have them, and what `qemu-img` calls them.
  public static let converted = ["qcow2": "qcow2", "vmdk": "vmdk", "vhd": "vpc", "vhdx": "vhdx"]
  /// What a container of format "compressed" may be.
  public static let compressions = ["gzip", "xz", "zstd"]

  /// What a client says that an image is.
  public struct Declared: Sendable, Equatable {
    /// One of ``diskFormats``.
    public var format: String
    /// The disk is in a compressed file: the container format "compressed".
    public var isCompressed: Bool
    public init(format: String, isCompressed: Bool = false) {
      self.format = format
      self.isCompressed = isCompressed
    }
  }

  /// Checks content against what it is declared to be.
  ///
  /// A "qcow2" (or "vmdk", …) that is nothing known is let in without a virtual size: it cannot be deployed, and does no harm;
  /// clients' own tests upload such.
  /// - Parameters:
  ///   - head: the first ``headLength`` bytes, or all there is.
  ///   - tail: the last ``tailLength`` bytes, or all there is.
  ///   - size: bytes in all.
  public static func inspect(declared: String, head: [UInt8], tail: [UInt8], size: Int) throws(Refusal) -> ImageContent
  {
    // Clients upload what is at their standard input, which may be nothing.
    guard size > 0 else { return ImageContent(virtualSize: nil) }
    let marks = Self.marks(head: head, tail: tail)
    let found = marks.first
    // Who names the format sees it; who probes for one may see the other.
    if converted[declared] != nil, found == declared, let other = marks.dropFirst().first {
      throw Refusal(
        "The \(declared) image is also \(other): what it is would depend on who reads it. Convert it: qemu-img convert -O qcow2."
      )
    }
    switch (declared, found) {
    case ("qcow2", "qcow2"): return ImageContent(virtualSize: try qcow2(head), isConverted: true)
    case ("vmdk", "vmdk"):
      return ImageContent(virtualSize: try disk(try VMDK(head, tail: tail).virtualSize, "VMDK"), isConverted: true)
    case ("vhd", "vhd"):
      return ImageContent(virtualSize: try disk(try VHD(head, tail: tail).virtualSize, "VHD"), isConverted: true)
    // How large it is stands deep inside; the converter tells.
    case ("vhdx", "vhdx"): return ImageContent(virtualSize: nil, isConverted: true)
    case ("qcow2", nil), ("vmdk", nil), ("vhd", nil), ("vhdx", nil): return ImageContent(virtualSize: nil)
    case ("iso", "iso"): return ImageContent(virtualSize: size)
    case ("iso", nil): throw Refusal("The image is declared as 'iso' but has no ISO 9660 volume.")
    // A hybrid ISO is also a disk.
    case ("raw", nil), ("raw", "iso"), ("ami", nil), ("ari", nil), ("aki", nil): return ImageContent(virtualSize: size)
    // A kernel takes its ramdisk compressed, and is so itself on some machines: that is its form, and nothing here unpacks it.
    case ("ari", "gzip"), ("ari", "xz"), ("ari", "zstd"), ("ari", "bzip2"), ("aki", "gzip"):
      return ImageContent(virtualSize: size)
    default:
      guard let found else { throw Refusal("The image's format '\(declared)' is not taken here.") }
      if compressions.contains(found) {
        throw Refusal(
          "The image is declared as '\(declared)' but is compressed (\(found)): say so with --container-format compressed, or unpack it first."
        )
      }
      if let hint = unpacked[found] {
        throw Refusal("The image is declared as '\(declared)' but is compressed (\(found)): \(hint).")
      }
      throw Refusal(
        "The image is declared as '\(declared)' but its content is \(found). Declare what it is, or convert it: "
          + "qemu-img convert -O qcow2.")
    }
  }

  private static let unpacked = ["bzip2": "unpack it with bunzip2 first", "zip": "unpack it with unzip first"]

  /// How content is compressed that is declared as a compressed container.
  /// - Returns: one of ``compressions``.
  public static func compression(head: [UInt8], tail: [UInt8]) throws(Refusal) -> String {
    let marks = Self.marks(head: head, tail: tail)
    guard let found = marks.first, compressions.contains(found) else {
      throw Refusal(
        "The image is declared as compressed, but its content is \(marks.first ?? "nothing of the kind"): gzip, xz and zstd are taken."
      )
    }
    if let other = marks.dropFirst().first {
      throw Refusal("The compressed image is also \(other): what it is would depend on who reads it.")
    }
    return found
  }

  /// Checks the beginning of what was compressed against what it is declared to be. The whole is looked at when it is unpacked.
  /// - Returns: bytes of the disk, where they can be told already.
  public static func inspectUnpacked(declared: String, head: [UInt8]) throws(Refusal) -> Int? {
    guard !head.isEmpty else { throw Refusal("The compressed image cannot be unpacked: it is damaged, or of nothing.") }
    let marks = Self.marks(head: head, tail: [])
    switch declared {
    case "qcow2": return try inspect(declared: declared, head: head, tail: [], size: head.count).virtualSize
    // A fixed one has its mark at its end only.
    case "vhd" where marks.isEmpty: return nil
    case "vmdk", "vhd", "vhdx":
      guard marks == [declared] else {
        throw Refusal(
          "The image is declared as '\(declared)' but what was compressed is \(marks.first ?? "nothing of the kind").")
      }
      return nil
    default:
      _ = try inspect(declared: declared, head: head, tail: [], size: head.count)
      return nil
    }
  }

  /// The names of the formats that the content has the mark of. Bytes can be made to have several.
  static func marks(head: [UInt8], tail: [UInt8]) -> [String] {
    func has(_ text: String, at offset: Int = 0) -> Bool {
      let bytes = Array(text.utf8)
      return head.count >= offset + bytes.count && head[offset..<(offset + bytes.count)].elementsEqual(bytes)
    }
    func hasBytes(_ bytes: [UInt8], at offset: Int = 0) -> Bool {
      head.count >= offset + bytes.count && head[offset..<(offset + bytes.count)].elementsEqual(bytes)
    }
    var marks: [String] = []
    if hasBytes(Qcow2.magic) { marks.append("qcow2") }
    if has("KDMV") || has("COWD") || isDescriptor(head) { marks.append("vmdk") }
    if has("vhdxfile") { marks.append("vhdx") }
    let last = tail.suffix(512)
    if has("conectix") || last.starts(with: Array("conectix".utf8)) { marks.append("vhd") }
    if hasBytes([0x7f, 0x10, 0xda, 0xbe], at: 64) { marks.append("vdi") }
    if has("QED\u{0}") { marks.append("qed") }
    if has("WithoutFreeSpace") || has("WithouFreSpacExt") { marks.append("parallels") }
    if hasBytes([0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe]) { marks.append("luks") }
    if last.starts(with: Array("koly".utf8)) { marks.append("dmg") }
    if has("Bochs Virtual HD Image") { marks.append("bochs") }
    if hasBytes([0x1f, 0x8b, 0x08]) { marks.append("gzip") }
    if hasBytes([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]) { marks.append("xz") }
    if has("BZh") && hasBytes([0x31, 0x41, 0x59, 0x26, 0x53, 0x59], at: 4) { marks.append("bzip2") }
    if hasBytes([0x28, 0xb5, 0x2f, 0xfd]) { marks.append("zstd") }
    if hasBytes([0x50, 0x4b, 0x03, 0x04]) { marks.append("zip") }
    if has("CD001", at: 0x8001) { marks.append("iso") }
    return marks
  }

  /// A VMDK that is a text: it names other files of the host. QEMU takes comments and blank lines before `version=`.
  private static func isDescriptor(_ head: [UInt8]) -> Bool {
    for line in head.prefix(4096).split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
      let text = line.drop { $0 == 0x20 || $0 == 0x09 || $0 == 0x0d }
      if text.isEmpty { continue }
      if text.first == UInt8(ascii: "#") {
        let words = String(decoding: text.prefix(64), as: UTF8.self).lowercased()
        if words.contains("disk descriptor") { return true }
        continue
      }
      return String(decoding: text.prefix(16), as: UTF8.self).lowercased().hasPrefix("version=")
    }
    return false
  }

  private static func qcow2(_ head: [UInt8]) throws(Refusal) -> Int {
    try disk(try Qcow2(head).virtualSize, "qcow2")
  }
  private static func disk(_ size: UInt64, _ name: String) throws(Refusal) -> Int {
    guard size > 0 else { throw Refusal("The \(name) image describes a disk of no size.") }
    guard size <= UInt64(largestDisk) else {
      throw Refusal("The \(name) image describes a disk of more than 16 TiB.")
    }
    return Int(size)
  }
}
