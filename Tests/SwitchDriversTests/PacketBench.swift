import TestSupport
import Testing

@testable import SwitchDrivers

/// Sends frames of every kind (``ProbeFrames``) from a tap, and tells who has captured any of them.
struct PacketBench {
  typealias Kind = ProbeFrames.Kind
  let taps: [String: Tap]
  private let macs: [String: [UInt8]]
  private let witness: (from: String, to: String)

  /// - Parameter witness: two taps in a network of their own: a frame that is through between them is a turn of the switch, in which it took
  ///   up to 32 frames (NETDEV_MAX_BURST) from every port.
  init(_ taps: [String: Tap], witness: (String, String)) {
    self.taps = taps
    self.witness = witness
    macs = Dictionary(uniqueKeysWithValues: taps.keys.sorted().enumerated().map { ($1, Frame.mac(UInt8($0 + 1))) })
  }

  /// Sends every kind of frame from one tap, also with the tags of other networks and with others' addresses.
  /// - Parameter vlans: of which tags are tried, alone and behind one another.
  /// - Returns: the kinds that each other tap has captured; taps that captured none are left out.
  func reach(from sender: String, vlans: [UInt16]) async throws -> [String: Set<Kind>] {
    let tap = try #require(taps[sender]), own = try #require(macs[sender])
    for tap in taps.values { _ = tap.receivedBytes() }
    let others = macs.filter { $0.key != sender }.sorted { $0.key < $1.key }.map(\.value)
    let templates = ProbeFrames(from: own, others: others, vlans: vlans).templates
    var seen: [String: Set<Kind>] = [:], turns: UInt16 = 0
    func turn() async throws {
      let last = 0xff00 + turns
      turns += 1
      taps[witness.from]?.send(bytes: ProbeFrames.last(from: Frame.mac(200), last))
      var isThrough = false
      try await until("the witness's frame \(last) is through") {
        for (name, tap) in taps where name != sender {
          for frame in tap.receivedBytes() {
            guard let number = ProbeFrames.number(in: frame) else { continue }
            if name == witness.to, number == last { isThrough = true }
            if number < templates.count { seen[name, default: []].insert(templates[Int(number)].kind) }
          }
        }
        return isThrough
      }
    }
    for (number, template) in templates.enumerated() {
      tap.send(bytes: template.bytes(ProbeFrames.mark(UInt16(number))))
      // What waits for the switch has room for a few hundred: none is lost, and all are taken in the last turns, on a busy machine too.
      if number % 32 == 31 { try await turn() }
    }
    for _ in 0..<4 { try await turn() }
    return seen
  }
}
