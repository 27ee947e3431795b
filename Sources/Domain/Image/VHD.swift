/// The footer of a VHD image, refused when the image is the difference to another.
///
/// Source: Microsoft, "Virtual Hard Disk Image Format Specification".
struct VHD {
  /// Bytes.
  let virtualSize: UInt64

  /// - Parameter tail: the last ``ImageContent/tailLength`` bytes: the footer is there, and a copy of it at the beginning where
  ///   the disk grows.
  init(_ head: [UInt8], tail: [UInt8]) throws(ImageContent.Refusal) {
    let mark = Array("conectix".utf8)
    let footer = Array(tail.suffix(512))
    guard footer.count == 512, footer.starts(with: mark) else {
      throw ImageContent.Refusal("The VHD image is cut short.")
    }
    let kind = Self.number(footer, 60, 4)
    switch kind {
    case 2:
      guard !head.starts(with: mark) else {
        throw ImageContent.Refusal("The VHD image says one thing at its beginning and another at its end.")
      }
    case 3:
      guard head.count >= 512, head.starts(with: mark), head[40..<64].elementsEqual(footer[40..<64]) else {
        throw ImageContent.Refusal("The VHD image says one thing at its beginning and another at its end.")
      }
    case 4:
      throw ImageContent.Refusal(
        "The VHD image is a difference to another, which is not part of it. Make it whole: qemu-img convert -O qcow2.")
    default: throw ImageContent.Refusal("The VHD image is of a kind that is not known here.")
    }
    virtualSize = Self.number(footer, 48, 8)
  }
  private static func number(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> UInt64 {
    bytes[offset..<(offset + count)].reduce(0) { $0 << 8 | UInt64($1) }
  }
}
