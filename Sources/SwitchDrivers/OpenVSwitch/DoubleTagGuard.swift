import DriverInterfaces
import Glibc
import NIOPosix

/// Drops frames with two VLAN tags on a bridge, by two OpenFlow rules: OVSDB has no setting for it.
///
/// A port with a native and tagged networks needs it. A machine of the native network could else send a frame with a priority
/// tag (or, from another such port, the tag of a network that is native elsewhere) around the tag of network n: the outer tag is taken
/// off where the frame leaves, and it comes out looking like a frame of n. With Open vSwitch's usual `vlan-limit` of 1 the type behind the
/// first tag is what `dl_type` matches, so the rules see exactly the frames with a second tag, and no others.
///
/// ovs-vswitchd forgets its rules when it restarts, so they are looked for again whenever the switch is read. Speaks OpenFlow 1.0
/// (specification 1.0.0, sections 5.1 to 5.4) to the bridge's management socket, as ovs-ofctl does.
struct DoubleTagGuard: Sendable {
  /// `BRIDGE.mgmt` in the run folder of Open vSwitch.
  let path: String
  let limit: Duration

  /// EtherTypes of a second tag: IEEE 802.1Q and 802.1ad.
  private static let types: [UInt16] = [0x8100, 0x88a8]
  /// Ours among the rules, in case somebody looks: "steelyar".
  private static let cookie: UInt64 = 0x7374_6565_6c79_6172

  /// - Parameter control: ovs-vswitchd's control socket, or its run folder.
  init(control: String, bridge: String, limit: Duration) {
    path = Self.managementSocket(control: control, bridge: bridge)
    self.limit = limit
  }
  /// Where a bridge takes OpenFlow, beside the control socket.
  static func managementSocket(control: String, bridge: String) -> String {
    var information = stat()
    let isFolder = stat(control, &information) == 0 && information.st_mode & S_IFMT == S_IFDIR
    let folder = isFolder ? control : String(control[..<(control.lastIndex(of: "/") ?? control.startIndex)])
    return "\(folder)/\(bridge).mgmt"
  }

  /// Puts the rules in force unless they are, and reads them back.
  /// - Throws: ``Failure`` in words.
  func ensure() async throws {
    try await NIOThreadPool.singleton.runIfActive { [self] in
      let connection = try Connection(path, limit: limit)
      try connection.greet()
      if try connection.droppedTypes() == Set(Self.types) { return }
      for type in Self.types { try connection.send(Self.rule(type)) }
      guard try connection.droppedTypes() == Set(Self.types) else {
        throw Failure("the rules against double tags are not in force after they were set")
      }
    }
  }

  struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
  }

  // MARK: Messages

  private enum Kind: UInt8 {
    case hello = 0
    case error = 1
    case echo = 2
    case echoReply = 3
    case flowMod = 14
    case statsRequest = 16
    case statsReply = 17
  }
  private static func message(_ kind: Kind, _ body: [UInt8] = []) -> [UInt8] {
    [1, kind.rawValue] + bytes(UInt16(8 + body.count)) + bytes(UInt32(7)) + body
  }
  /// `ofp_match` on the type alone: every other bit of the wildcards is set.
  private static func match(_ type: UInt16?) -> [UInt8] {
    let wildcards: UInt32 = type == nil ? 0x3f_ffff : 0x3f_ffef
    return bytes(wildcards) + [UInt8](repeating: 0, count: 18) + bytes(type ?? 0) + [UInt8](repeating: 0, count: 16)
  }
  /// True for wildcards that leave nothing but the type to be compared. Of the six bits for each address 32 and all
  /// above mean the same: the whole address.
  private static func isOnTypeAlone(_ wildcards: ArraySlice<UInt8>) -> Bool {
    let bits = wildcards.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    return bits & 0x3f_ffff | 0x1f << 8 | 0x1f << 14 == 0x3f_ffef
  }
  /// A rule of the highest priority without actions: the frame is dropped.
  private static func rule(_ type: UInt16) -> [UInt8] {
    let add: UInt16 = 0, never: UInt16 = 0, highest = UInt16.max, noPort = UInt16.max, noFlags: UInt16 = 0
    return message(
      .flowMod,
      match(type) + bytes(cookie) + bytes(add) + bytes(never) + bytes(never) + bytes(highest) + bytes(UInt32.max)
        + bytes(noPort) + bytes(noFlags))
  }
  private static let allRules = message(.statsRequest, [0, 1, 0, 0] + match(nil) + [0xff, 0] + bytes(UInt16.max))

  private static func bytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    withUnsafeBytes(of: number.bigEndian) { Array($0) }
  }

  // MARK: The socket

  /// Blocks, each time for the limit at most. Closed with the object.
  private final class Connection {
    private let descriptor: Int32
    private let path: String

    init(_ path: String, limit: Duration) throws {
      self.path = path
      descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else {
        close(descriptor)
        throw Failure("\(path) is too long for a socket's path")
      }
      withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
      var time = timeval(tv_sec: max(1, Int(limit.components.seconds)), tv_usec: 0)
      for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
        setsockopt(descriptor, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size))
      }
      let connected = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
      }
      guard connected == 0 else {
        let reason = String(cString: strerror(errno))
        close(descriptor)
        throw Failure("\(path): \(reason)")
      }
    }
    deinit { close(descriptor) }

    func send(_ message: [UInt8]) throws {
      var rest = message[...]
      while !rest.isEmpty {
        let count = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        guard count > 0 else { throw Failure("\(path): \(String(cString: strerror(errno)))") }
        rest = rest.dropFirst(count)
      }
    }
    private func read(_ count: Int) throws -> [UInt8] {
      var bytes: [UInt8] = []
      while bytes.count < count {
        var chunk = [UInt8](repeating: 0, count: count - bytes.count)
        let got = recv(descriptor, &chunk, chunk.count, 0)
        guard got > 0 else { throw Failure("\(path): no answer") }
        bytes += chunk[..<got]
      }
      return bytes
    }
    /// The next message that is not small talk.
    private func next() throws -> (kind: UInt8, body: [UInt8]) {
      while true {
        let header = try read(8)
        let length = Int(header[2]) << 8 | Int(header[3])
        guard length >= 8 else { throw Failure("\(path): an answer that is no OpenFlow") }
        let body = try read(length - 8)
        switch header[1] {
        case Kind.echo.rawValue: try send(DoubleTagGuard.message(.echoReply, body))
        case Kind.error.rawValue:
          throw Failure("\(path): OpenFlow 1.0 is refused; is it left out of the bridge's protocols?")
        default: return (header[1], body)
        }
      }
    }
    func greet() throws {
      try send(DoubleTagGuard.message(.hello))
      guard try next().kind == Kind.hello.rawValue else { throw Failure("\(path): an answer that is no OpenFlow") }
    }

    /// The types that rules like ours drop.
    func droppedTypes() throws -> Set<UInt16> {
      try send(DoubleTagGuard.allRules)
      var found: Set<UInt16> = []
      while true {
        let (kind, body) = try next()
        guard kind == Kind.statsReply.rawValue, body.count >= 4 else { continue }
        // `ofp_flow_stats`: 88 bytes and the actions; a rule without any drops.
        var at = 4
        while at + 88 <= body.count {
          let length = Int(body[at]) << 8 | Int(body[at + 1])
          guard length >= 88, at + length <= body.count else { break }
          let entry = Array(body[at..<(at + length)])
          let type = UInt16(entry[26]) << 8 | UInt16(entry[27])
          let isHighest = entry[52] == 0xff && entry[53] == 0xff
          if length == 88, isHighest, DoubleTagGuard.types.contains(type), DoubleTagGuard.isOnTypeAlone(entry[4..<8]) {
            found.insert(type)
          }
          at += length
        }
        // Flag 1: more comes.
        if body[3] & 1 == 0 { return found }
      }
    }
  }
}
