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
