import Wire

/// What the switch port at the other end of a cable says about itself (IEEE 802.1AB-2016).
///
/// Anybody on the wire can send such a frame. Nothing in it is trusted: lengths are checked against the frame, text
/// loses its control characters, and the number of elements is bounded.
public struct LLDPNeighbor: Sendable, Equatable {
  public var chassisID: String
  public var portID: String
  public var portDescription: String?
  public var systemName: String?

  var json: JSON {
    [
      "chassis_id": .string(chassisID), "port_id": .string(portID),
      "port_description": JSON(portDescription), "system_name": JSON(systemName),
    ]
  }

  /// Reads an Ethernet frame; nil unless it is an announcement with chassis, port and time to live in their order.
  /// An element that runs over the frame's end makes all of it worthless.
  public init?(frame: [UInt8]) {
    guard frame.count >= 14, frame[12] == 0x88, frame[13] == 0xcc else { return nil }
    var at = 14
    var elements: [(type: UInt8, value: ArraySlice<UInt8>)] = []
    var ended = false
    while !ended, at < frame.count {
      guard at + 2 <= frame.count, elements.count < 128 else { return nil }
      let type = frame[at] >> 1
      let length = Int(frame[at] & 1) << 8 | Int(frame[at + 1])
      at += 2
      guard at + length <= frame.count else { return nil }
      if type == 0 { ended = true } else { elements.append((type, frame[at..<(at + length)])) }
      at += length
    }
    // Sections 8.2 and 9.2.7.7.2: these three come first, once each. A time to live of zero takes the rest back.
    guard elements.count >= 3, elements[0].type == 1, elements[1].type == 2, elements[2].type == 3,
      elements[2].value.count >= 2, !elements[2].value.prefix(2).allSatisfy({ $0 == 0 }),
      let chassis = Self.identifier(elements[0].value, hardware: 4, network: 5),
      let port = Self.identifier(elements[1].value, hardware: 3, network: 4)
    else { return nil }
    (chassisID, portID) = (chassis, port)
    for element in elements.dropFirst(3) {
      switch element.type {
      case 4: if portDescription == nil { portDescription = Self.text(element.value) }
      case 5: if systemName == nil { systemName = Self.text(element.value) }
      default: continue
      }
    }
  }

  /// A chassis or port id: a hardware address, a network address, or text, by its subtype.
  private static func identifier(_ value: ArraySlice<UInt8>, hardware: UInt8, network: UInt8) -> String? {
    guard let subtype = value.first, value.count > 1 else { return nil }
    let bytes = value.dropFirst()
    if subtype == hardware, bytes.count == 6 { return bytes.map { hexadecimal([$0]) }.joined(separator: ":") }
    if subtype == network, bytes.count == 5, bytes.first == 1 {
      return bytes.dropFirst().map { "\($0)" }.joined(separator: ".")
    }
    guard let text = text(bytes) else { return hexadecimal(bytes) }
    return text
  }

  private static func text(_ bytes: ArraySlice<UInt8>) -> String? {
    // Some switches end their strings as C does.
    let text = trimmed(printable(String(decoding: bytes.filter { $0 != 0 }, as: UTF8.self), limit: 255))
    return text.isEmpty ? nil : text
  }
}
