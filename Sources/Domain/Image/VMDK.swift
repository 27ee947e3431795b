/// The header and the descriptor of a VMDK image in one file, refused when it refers to anything outside of the file.
///
/// Only the kinds `monolithicSparse` and `streamOptimized` are one file by themselves; a descriptor of another kind makes a
/// reader open whatever it names (CVE-2022-47951).
/// Source: VMware, "Virtual Disk Format 5.0"; QEMU, `block/vmdk.c`, for what a reader does with it.
struct VMDK {
  /// Bytes.
  let virtualSize: UInt64

  private static let sector = 512
  private static let kinds = ["monolithicsparse", "streamoptimized"]

  /// - Parameter tail: the last ``ImageContent/tailLength`` bytes; a `streamOptimized` image may have its true header there.
  init(_ head: [UInt8], tail: [UInt8]) throws(ImageContent.Refusal) {
    guard head.starts(with: Array("KDMV".utf8)) else {
      throw ImageContent.Refusal(
        "The VMDK image is a descriptor of other files, or of an old kind: make it one file, qemu-img convert -O qcow2."
      )
    }
    guard head.count >= Self.sector else { throw ImageContent.Refusal("The VMDK image is cut short.") }
    func number(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> UInt64 {
      bytes[offset..<(offset + count)].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
    guard (1...3).contains(number(head, 4, 4)) else {
      throw ImageContent.Refusal("The VMDK image has a version that is not known here.")
    }
    // Without a capacity of its own a reader takes the descriptor's list of files instead.
    let capacity = number(head, 12, 8)
    guard capacity > 0, capacity <= UInt64(ImageContent.largestDisk / Self.sector) else {
      throw ImageContent.Refusal("The VMDK image describes a disk of no size, or of more than 16 TiB.")
    }
    virtualSize = capacity * UInt64(Self.sector)
    // The grain directory at the end: the last three sectors are a mark, the header once more, and a mark.
    if number(head, 56, 8) == .max {
      guard tail.count >= 3 * Self.sector else { throw ImageContent.Refusal("The VMDK image is cut short.") }
      let footer = Array(tail.suffix(3 * Self.sector)[...].dropFirst(Self.sector).prefix(Self.sector))
      guard footer.starts(with: Array("KDMV".utf8)), footer[12..<44].elementsEqual(head[12..<44]) else {
        throw ImageContent.Refusal("The VMDK image has a header at its end that is not the one at its beginning.")
      }
    }
    let (offset, length) = (number(head, 28, 8), number(head, 36, 8))
    guard offset > 0, length > 0, offset < 128, length < 128, Int(offset + length) * Self.sector <= head.count else {
      throw ImageContent.Refusal("The VMDK image has no descriptor in its beginning.")
    }
    let descriptor = head[(Int(offset) * Self.sector)..<(Int(offset + length) * Self.sector)]
    try Self.check(String(decoding: descriptor.prefix { $0 != 0 }, as: UTF8.self))
  }

  private static func check(_ descriptor: String) throws(ImageContent.Refusal) {
    var kind: String?
    var extents = 0
    for line in descriptor.split(whereSeparator: \.isNewline) {
      let text = line.lowercased().filter { !$0.isWhitespace }
      if text.hasPrefix("createtype=") {
        guard kind == nil else { throw ImageContent.Refusal("The VMDK image says twice what it is.") }
        kind = text.dropFirst("createtype=".count).filter { $0 != "\"" }
      }
      if text.hasPrefix("parentfilenamehint") || (text.hasPrefix("parentcid=") && text != "parentcid=ffffffff") {
        throw ImageContent.Refusal(
          "The VMDK image has a parent, which is not part of it. Make it whole: qemu-img convert -O qcow2.")
      }
      if text.hasPrefix("rw") || text.hasPrefix("rdonly") || text.hasPrefix("noaccess") { extents += 1 }
    }
    guard let kind, kinds.contains(kind), extents == 1 else {
      throw ImageContent.Refusal(
        "The VMDK image is not one file by itself (monolithicSparse or streamOptimized): make it one, qemu-img convert -O qcow2."
      )
    }
  }
}
