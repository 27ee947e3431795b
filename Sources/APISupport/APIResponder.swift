import Domain
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Store
import Wire

/// Answers every request of every service: routing, the token, the endpoint's rule, errors in the service's shape.
///
/// The one place where the policy is asked and where an error becomes HTTP.
public struct APIResponder: HTTPResponder {
  public struct Context: RequestContext {
    public var coreContext: CoreRequestContextStorage
    let peer: String?
    /// Where bytes go as they are, past the HTTP stack; nil where they are encrypted.
    var socket: (any Channel)?
    public init(source: ApplicationRequestContextSource) {
      coreContext = .init(source: source)
      peer = source.channel.remoteAddress?.ipAddress
    }
  }

  private struct Entry: Sendable {
    let service: Service
    let routes: RouteTable
  }
  private let entries: [Entry]
  private let authenticator: any Authenticator
  private let clock: @Sendable () -> Timestamp
  private let publicOrigin: String?
  private let scheme: String

  /// - Parameters:
  ///   - publicOrigin: "https://cloud.example:5000" for links behind a proxy; nil builds them from the Host header.
  ///   - scheme: of our own listener.
  public init(
    services: [Service], authenticator: any Authenticator, publicOrigin: String? = nil, scheme: String = "http",
    clock: @escaping @Sendable () -> Timestamp
  ) {
    entries = services.map { Entry(service: $0, routes: RouteTable($0.endpoints)) }
    self.authenticator = authenticator
    self.publicOrigin = publicOrigin
    self.scheme = scheme
    self.clock = clock
  }

  public func respond(to request: Request, context: Context) async throws -> Response {
    let started = ContinuousClock.now
    let requestID = "req-\(Identifier.uuid())"
    let target = request.uri.string
    let question = target.firstIndex(of: "?") ?? target.endIndex
    let path = target[..<question]
    let queryText = question == target.endIndex ? "" : target[target.index(after: question)...]

    var answer: APIResponse
    var rule = "none"
    if let entry = entries.first(where: { isBelow(path, $0.service.prefix) }) {
      let below = path.dropFirst(entry.service.prefix.count)
      (answer, rule) = await respond(
        entry, request, below: below, query: QueryParameters(queryText), context: context, requestID: requestID)
    } else {
      answer = APIResponse(
        .notFound,
        json: ErrorShape.keystone.body(
          .notFound("No service answers at this path; `openstack catalog list` shows those that do.")))
    }
    if request.method == .head {
      answer.body = .init()
    } else if answer.isStreamed {
      // Of a client that goes away nobody needs to hear.
      answer.attach(to: context.socket) { [logger = context.logger] error in
        logger.log(
          level: error is StoreError ? .error : .debug, "the answer broke off: \(error)",
          metadata: ["request": "\(requestID)"])
      }
    }
    answer.headers[openstackRequestID] = requestID
    // The connection will be closed as asked; a client that is not told uses it again.
    if request.headers[.connection]?.lowercased() == "close" { answer.headers[.connection] = "close" }
    let level: Logger.Level = answer.status.code >= 500 ? .error : .debug
    context.logger.log(
      level: level, "\(request.method) \(Self.legible(path)) \(answer.status.code)",
      metadata: [
        "request": "\(requestID)", "rule": "\(rule)",
        "ms": "\((ContinuousClock.now - started).wholeMicroseconds / 1000)",
      ])
    return Response(status: answer.status, headers: answer.headers, body: answer.body)
  }

  /// The path for the log. What is longer than any id or name of a path should be may be a token that was put there: it is cut.
  private static func legible(_ path: Substring) -> String {
    path.split(separator: "/", omittingEmptySubsequences: false).map {
      $0.utf8.count <= 128 ? String($0) : "\($0.prefix(8))..."
    }.joined(separator: "/")
  }

  /// "/v3/PROJECT/volumes" → "/v3/volumes" and the project; nil where no project's id stands behind the version.
  private static func withoutProject(_ path: Substring) -> (rest: String, project: Substring)? {
    let segments = path.split(separator: "/", omittingEmptySubsequences: false)
    guard segments.count >= 3, segments[0].isEmpty else { return nil }
    let project = segments[2]
    guard [32, 36].contains(project.utf8.count), project.allSatisfy({ $0.isHexDigit || $0 == "-" }) else { return nil }
    return (([Substring(), segments[1]] + segments.dropFirst(3)).joined(separator: "/"), project)
  }

  private func isBelow(_ path: Substring, _ prefix: String) -> Bool {
    guard path.hasPrefix(prefix) else { return false }
    let rest = path.dropFirst(prefix.count)
    return rest.isEmpty || rest.first == "/" || prefix.isEmpty
  }

  private func respond(
    _ entry: Entry, _ request: Request, below: Substring, query: QueryParameters, context: Context, requestID: String
  ) async -> (APIResponse, String) {
    let service = entry.service
    var extra: HTTPFields = [:]
    var ruleName = "none"
    do {
      var below = below
      var outcome = entry.routes.find(request.method, below)
      if case .unknown = outcome, let version = service.defaultVersion {
        let versioned = version + below
        let found = entry.routes.find(request.method, versioned[...])
        if case .unknown = found {} else { (below, outcome) = (versioned[...], found) }
      }
      var project: Substring?
      if service.isProjectInPath, let (rest, named) = Self.withoutProject(below) {
        let found = entry.routes.find(request.method, rest[...])
        if case .unknown = found {} else { (below, outcome, project) = (rest[...], found, named) }
      }
      var parameters: [String: String] = [:]
      if case .found(let match) = outcome { parameters = match.parameters }
      let now = clock()
      // Clients may send the token to open endpoints too; there a bad one does not matter.
      var caller: Actor?
      var refusal: (any Error)?
      if let token = request.headers[authToken] {
        do { caller = try authenticator.actor(forToken: token, now: now) } catch { refusal = error }
      }
      let origin = publicOrigin ?? "\(scheme)://\(request.head.authority ?? "localhost")"
      let apiRequest = APIRequest(
        method: request.method, path: percentDecoded(below), headers: request.headers, parameters: parameters,
        query: query,
        origin: origin, serviceURL: origin + service.prefix, requestID: requestID, now: now, caller: caller,
        peer: context.peer,
        bodyStream: request.body, socket: context.socket)
      extra = try service.decorate?(apiRequest) ?? [:]
      switch outcome {
      case .unknown:
        throw APIError.notFound("The resource could not be found.")
      case .wrongMethod(let allowed):
        var error = APIError(.methodNotAllowed, "The method \(request.method) is not allowed for this resource.")
        error.headers[.allow] = allowed.map(\.rawValue).sorted().joined(separator: ", ")
        throw error
      case .found(let match):
        let rule = match.endpoint.rule
        ruleName = rule.name
        if rule.needsToken {
          guard let caller else {
            throw refusal ?? APIError(.unauthorized, "The request you have made requires authentication.")
          }
          guard rule.allows(caller) else {
            throw APIError.forbidden("You are not authorized to perform the requested action: \(rule.name).")
          }
          if let project, project != caller.projectID ?? "", !caller.isSiteAdmin {
            throw APIError.badRequest("Malformed request url: the project in the path is not that of the token.")
          }
          if let rules = caller.accessRules {
            let method = request.method.rawValue
            guard rules.contains(where: { $0.permits(service: service.type, method: method, path: apiRequest.path) })
            else {
              throw APIError.forbidden("The access rules of the application credential do not allow this request.")
            }
          }
        }
        var answer = try await match.endpoint.handler(apiRequest)
        answer.headers.append(contentsOf: extra)
        return (answer, ruleName)
      }
    } catch {
      return (Self.answer(to: error, service, extra, context.logger, requestID), ruleName)
    }
  }

  /// Every error becomes HTTP here.
  static func answer(
    to error: any Error, _ service: Service, _ extra: HTTPFields, _ logger: Logger, _ requestID: String
  ) -> APIResponse {
    let apiError: APIError
    switch error {
    case let known as APIError: apiError = known
    case let known as any APIErrorConvertible: apiError = known.apiError
    case let stored as StoreError:
      switch stored.kind {
      case .conflict: apiError = .conflict("The request conflicts with what is stored; look again and retry.")
      case .busy: apiError = APIError(.serviceUnavailable, "The database is busy; try again.")
      case .full:
        apiError = APIError(
          .init(code: 507, reasonPhrase: "Insufficient Storage"),
          "The server's disk is full; the administrator must free space. Nothing was changed.")
      case .other: apiError = APIError(.internalServerError, "The server failed on this request (\(requestID)).")
      }
      logger.error("database: \(stored)", metadata: ["request": "\(requestID)"])
    default:
      logger.error("unexpected: \(error)", metadata: ["request": "\(requestID)"])
      apiError = APIError(.internalServerError, "The server failed on this request (\(requestID)).")
    }
    var answer = APIResponse(apiError.status, json: service.errorShape.body(apiError), headers: apiError.headers)
    if apiError.status == .unauthorized { answer.headers[.wwwAuthenticate] = "Keystone uri=\"/identity\"" }
    answer.headers.append(contentsOf: extra)
    return answer
  }
}

/// An error of a lower layer that knows its HTTP form.
public protocol APIErrorConvertible: Error {
  var apiError: APIError { get }
}

extension HTTPField.Name {
  /// A header name of ours: it must be a valid token, which the tests check.
  /// The microversion that a request asks for and an answer speaks.
  public static let openstackVersion = HTTPField.Name(known: "OpenStack-API-Version")
  public init(known name: String) { self = HTTPField.Name(name) ?? .date }
}
let openstackRequestID = HTTPField.Name(known: "X-Openstack-Request-Id")
/// The caller's token.
public let authToken = HTTPField.Name(known: "X-Auth-Token")
