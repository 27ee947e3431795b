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
  public static let tailLength = 512
  /// QEMU's own limit is larger; no disk of a machine is.
  public static let largestDisk = 16 << 40

  /// Bytes of the disk that the content describes; nil when the content is no image of the claimed format that could be
  /// read for its size.
  public var virtualSize: Int?

  /// Why content is refused: a sentence for its owner.
  public struct Refusal: Error, Sendable, Equatable, CustomStringConvertible {
    public let description: String
    init(_ description: String) { self.description = description }
  }

  /// Formats that a client may declare.
  public static let diskFormats: Set<String> = ["raw", "qcow2", "iso", "ami", "ari", "aki"]

  /// Checks content against what it is declared to be.
  ///
  /// A "qcow2" that is nothing known is let in without a virtual size: it cannot be deployed
  /// (``Refusal/notQcow2(_:)``), and does no harm; clients' own tests upload such.
  /// - Parameters:
  ///   - head: the first ``headLength`` bytes, or all there is.
  ///   - tail: the last ``tailLength`` bytes, or all there is.
  ///   - size: bytes in all.
  public static func inspect(declared: String, head: [UInt8], tail: [UInt8], size: Int) throws(Refusal) -> ImageContent
  {
    guard size > 0 else { throw Refusal("The image is empty.") }
    let marks = Self.marks(head: head, tail: tail)
    let found = marks.first
    // Who names the format sees the qcow2; who probes for one may see the other.
    if declared == "qcow2", found == "qcow2", let other = marks.dropFirst().first {
      throw Refusal(
        "The qcow2 image is also \(other): what it is would depend on who reads it. Convert it: qemu-img convert -O qcow2."
      )
    }
    switch (declared, found) {
    case ("qcow2", "qcow2"): return ImageContent(virtualSize: try qcow2(head, size: size))
    case ("qcow2", nil): return ImageContent(virtualSize: nil)
    case ("iso", "iso"): return ImageContent(virtualSize: size)
    case ("iso", nil): throw Refusal("The image is declared as 'iso' but has no ISO 9660 volume.")
    // A hybrid ISO is also a disk.
    case ("raw", nil), ("raw", "iso"), ("ami", nil), ("ari", nil), ("aki", nil): return ImageContent(virtualSize: size)
    default:
      guard let found else { throw Refusal("The image's format '\(declared)' is not taken here.") }
      if let hint = compressed[found] {
        throw Refusal("The image is declared as '\(declared)' but is compressed (\(found)): \(hint).")
      }
      throw Refusal(
        "The image is declared as '\(declared)' but its content is \(found). Declare what it is, or convert it: "
          + "qemu-img convert -O qcow2.")
    }
  }

  private static let compressed = [
    "gzip": "unpack it with gunzip first", "xz": "unpack it with unxz first", "bzip2": "unpack it with bunzip2 first",
    "zstd": "unpack it with unzstd first", "zip": "unpack it with unzip first",
  ]

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
    if has("conectix") || tail.starts(with: Array("conectix".utf8)) { marks.append("vhd") }
    if hasBytes([0x7f, 0x10, 0xda, 0xbe], at: 64) { marks.append("vdi") }
    if has("QED\u{0}") { marks.append("qed") }
    if has("WithoutFreeSpace") || has("WithouFreSpacExt") { marks.append("parallels") }
    if hasBytes([0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe]) { marks.append("luks") }
    if tail.starts(with: Array("koly".utf8)) { marks.append("dmg") }
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

  private static func qcow2(_ head: [UInt8], size: Int) throws(Refusal) -> Int {
    let header = try Qcow2(head)
    guard header.virtualSize > 0 else { throw Refusal("The qcow2 image describes a disk of no size.") }
    guard header.virtualSize <= UInt64(largestDisk) else {
      throw Refusal("The qcow2 image describes a disk of more than 16 TiB.")
    }
    return Int(header.virtualSize)
  }
}

/// The header of a qcow2 image, refused when it refers to anything outside of the file or cannot be read without a key.
struct Qcow2 {
  static let magic: [UInt8] = [0x51, 0x46, 0x49, 0xfb]
  let version: UInt32
  let virtualSize: UInt64

  init(_ head: [UInt8]) throws(ImageContent.Refusal) {
    func number(_ offset: Int, _ count: Int) throws(ImageContent.Refusal) -> UInt64 {
      guard head.count >= offset + count else { throw ImageContent.Refusal("The qcow2 image is cut short.") }
      return head[offset..<(offset + count)].reduce(0) { $0 << 8 | UInt64($1) }
    }
    version = UInt32(try number(4, 4))
    guard version == 2 || version == 3 else {
      throw ImageContent.Refusal(
        "The qcow2 image has version \(version); versions 2 and 3 are taken. Convert it: qemu-img convert -O qcow2.")
    }
    guard try number(8, 8) == 0 else {
      throw ImageContent.Refusal(
        "The qcow2 image has a backing file, which is not part of it. Make it whole: qemu-img convert -O qcow2.")
    }
    let clusterBits = try number(20, 4)
    guard (9...21).contains(clusterBits) else {
      throw ImageContent.Refusal("The qcow2 image has clusters of an impossible size.")
    }
    virtualSize = try number(24, 8)
    guard try number(32, 4) == 0 else {
      throw ImageContent.Refusal("The qcow2 image is encrypted; upload it decrypted: qemu-img convert -O qcow2.")
    }
    var headerLength: UInt64 = 72
    if version == 3 {
      let features = try number(72, 8)
      guard features & 0b100 == 0 else {
        throw ImageContent.Refusal(
          "The qcow2 image keeps its data in another file, which is not part of it. Make it whole: qemu-img convert -O qcow2."
        )
      }
      guard features & 0b10 == 0 else {
        throw ImageContent.Refusal("The qcow2 image is marked corrupt; repair it: qemu-img check -r all.")
      }
      guard features & ~0b11001 == 0 else {
        throw ImageContent.Refusal("The qcow2 image has features that are not known here.")
      }
      headerLength = try number(100, 4)
      guard headerLength >= 104, headerLength <= 1 << clusterBits, headerLength % 8 == 0 else {
        throw ImageContent.Refusal("The qcow2 image has a header of an impossible length.")
      }
    }
    try Self.checkExtensions(head, from: Int(headerLength), clusterSize: 1 << clusterBits)
  }

  /// Header extensions: type, length, data padded to 8 bytes, until type 0. They lie in the first cluster.
  private static func checkExtensions(_ head: [UInt8], from start: Int, clusterSize: Int) throws(ImageContent.Refusal) {
    let end = min(head.count, clusterSize)
    var offset = start
    while offset + 8 <= end {
      let type = head[offset..<(offset + 4)].reduce(0) { $0 << 8 | UInt32($1) }
      let length = Int(head[(offset + 4)..<(offset + 8)].reduce(0) { $0 << 8 | UInt32($1) })
      switch type {
      case 0: return
      case 0x4441_5441:
        throw ImageContent.Refusal(
          "The qcow2 image names another file for its data. Make it whole: qemu-img convert -O qcow2.")
      case 0xe279_2aca:
        throw ImageContent.Refusal(
          "The qcow2 image names the format of a backing file. Make it whole: qemu-img convert -O qcow2.")
      case 0x0537_be77:
        throw ImageContent.Refusal("The qcow2 image is encrypted; upload it decrypted: qemu-img convert -O qcow2.")
      default: break
      }
      guard length <= clusterSize else { throw ImageContent.Refusal("The qcow2 image has a damaged header.") }
      offset += 8 + (length + 7) / 8 * 8
    }
  }
}
