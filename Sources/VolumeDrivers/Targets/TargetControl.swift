import Glibc

/// The control socket of tgtd: what `tgtadm` speaks to, without its process.
///
/// `tgtadm` takes a CHAP password only as an argument, which every user of the machine can read while it runs; here it stays
/// within the socket, whose other end must be the same user. Source: usr/tgtadm.h and usr/mgmt.c of tgt 1.0.63 to 1.0.97.
struct TargetControl: Sendable {
  /// `TGT_IPC_SOCKET`; the daemon adds ".0".
  let path: String
  var limit: Duration = .seconds(10)
  /// The longest answer taken, in bytes.
  private static let answerLimit = 64 << 20

  /// The order is the protocol's.
  enum Mode: UInt32 { case system, target, unit, portal, driver, session, connection, account }
  enum Operation: UInt32 { case new, delete, show, bind, unbind, update }

  struct Request: Sendable {
    var mode: Mode
    var operation: Operation
    /// Number of the target; -1 is none.
    var target: Int32 = -1
    var session: UInt64 = 0
    var unit: UInt64 = 0
    var connection: UInt32 = 0
    /// "name=value,name=value"
    var parameters = ""
  }

  var socketPath: String { "\(path).0" }

  /// Sends one request and reads the answer. Blocks.
  @discardableResult
  func call(_ request: Request) throws(ControlError) -> String {
    let socket = try ControlSocket(socketPath, limit: limit)
    try socket.send(Self.bytes(request))
    var answer: [UInt8] = []
    while true {
      let bytes = try socket.receive()
      if bytes.isEmpty { break }
      answer += bytes
      if answer.count > Self.answerLimit { throw .badReply("more than \(Self.answerLimit) bytes") }
    }
    guard answer.count >= 8 else { throw .lost }
    let code = answer[..<4].reversed().reduce(0) { $0 << 8 | Int($1) }
    guard code == 0 else { throw .refused(Self.words(code), code: code) }
    return String(decoding: answer[8...].prefix { $0 != 0 }, as: UTF8.self)
  }

  /// `struct tgtadm_req`, 120 bytes in the machine's own order, and the parameters with a null.
  static func bytes(_ request: Request) -> [UInt8] {
    var bytes: [UInt8] = []
    func append(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value) { bytes += $0 } }
    let parameters = request.parameters.isEmpty ? [] : Array(request.parameters.utf8) + [0]
    append(request.mode.rawValue)
    append(request.operation.rawValue)
    bytes += Array("iscsi".utf8) + [UInt8](repeating: 0, count: 64 - 5)
    append(UInt32(120 + parameters.count))
    append(request.target)
    append(request.session)
    append(request.unit)
    append(request.connection)
    // Number of the host, type of the device (a disk), direction of the account (incoming), pack, force.
    for _ in 0..<5 { append(UInt32(0)) }
    return bytes + parameters
  }

  // `enum tgtadm_errno`
  static let noTarget = 4
  static let noUnit = 5
  static let targetExists = 9
  static let accessListHasIt = 12
  static let userExists = 14
  static let noUser = 15
  static let targetIsActive = 19
  static let unitIsActive = 20

  private static func words(_ code: Int) -> String {
    switch code {
    case 2: "out of memory"
    case 3: "it speaks no iSCSI"
    case noTarget: "there is no such target"
    case noUnit: "there is no such logical unit"
    case 6, 7: "there is no such session"
    case targetExists: "the target is there already"
    case 10: "the logical unit is there already"
    case accessListHasIt: "the initiator is in the access list already"
    case userExists: "the CHAP user is there already"
    case noUser: "there is no such CHAP user"
    case 17: "the request is invalid"
    case targetIsActive: "the target is in use"
    case unitIsActive: "the logical unit is in use"
    default: "error \(code)"
    }
  }
}
