/// Why a request to an OVSDB server, or to a daemon's control socket, did not succeed.
enum OVSDBError: Error, Sendable, Equatable, CustomStringConvertible {
  /// No connection in the time limit; the text is the system's reason.
  case notConnected(String)
  /// The connection ended before the answer came: whether the request was carried out is not known.
  case connectionLost
  case timeout(Duration)
  /// More requests wait than the limit.
  case tooManyWaiting
  /// The server broke the protocol.
  case badMessage(String)
  /// The server's own error, and its details.
  case refused(String, details: String)

  var description: String {
    switch self {
    case .notConnected(let reason): "no connection: \(reason)"
    case .connectionLost: "the connection was lost before the answer"
    case .timeout(let limit): "no answer after \(limit)"
    case .tooManyWaiting: "too many requests wait for the server"
    case .badMessage(let detail): "the server's message cannot be read: \(detail)"
    case .refused(let error, let details): details.isEmpty ? error : "\(error): \(details)"
    }
  }
}
