import Cryptography
import Glibc
import Wire

/// One Redfish service (DSP0266): its accounts, sessions, media and tasks, in front of one machine.
public actor SimulatedBMC {
  struct Session {
    var id: String
    var token: String
    var user: String
  }
  struct Medium {
    var image: String?
    var inserted = false
    var writeProtected = true
  }
  struct RedfishTask {
    var state: String
    var message: String
  }

  public nonisolated let configuration: BMCConfiguration
  public nonisolated let machine: any SimulatedMachine
  public nonisolated let log: EffectLog
  public internal(set) var faults = RedfishFaults()
  var sessions: [Session] = []
  var media: [String: Medium] = ["Cd": Medium(), "Floppy": Medium()]
  var tasks: [RedfishTask] = []
  var firmware: MachineFirmware
  /// From the next boot on.
  var secureBoot = false
  /// Since the last boot.
  var isSecurelyBooted = false
  var indicator = "Off"
  var chassisLocated = false
  static let makersBIOS: JSONObject = [
    "AdminPassword": nil, "BootMode": "Uefi", "NumLock": "On", "PostDelay": 5, "ProcTurboMode": "Enabled",
    "QuietBoot": true,
  ]
  var biosAttributes = SimulatedBMC.makersBIOS
  /// What holds from the next boot on.
  var pendingBIOS: JSONObject = [:]
  private var nextSession = 1
  private var later: [Task<Void, Never>] = []

  public init(_ configuration: BMCConfiguration, machine: any SimulatedMachine, log: EffectLog) {
    self.configuration = configuration
    self.machine = machine
    self.log = log
    firmware = configuration.firmware
  }

  nonisolated var name: String { configuration.name }

  // MARK: Faults

  public func setFaults(_ faults: RedfishFaults) {
    self.faults = faults
    log.write("fault", device: name, ["faults": faults.json])
  }
  /// Forgets every session, as a controller does when it restarts or a session is idle too long.
  public func expireSessions() {
    sessions = []
    log.write("fault", device: name, ["fault": "sessions expired"])
  }
  public var sessionCount: Int { sessions.count }
  /// The machine goes off by itself.
  public func losePower() async throws {
    try await machine.setPower(on: false)
    log.write("fault", device: name, ["fault": "power lost"])
  }
  /// Ends what was to happen later.
  func shutDown() {
    for task in later { task.cancel() }
    later = []
  }

  // MARK: Requests

  func answer(_ request: RedfishRequest) async -> RedfishAnswer {
    if faults.stallSeconds > 0 { try? await Task.sleep(for: .seconds(faults.stallSeconds)) }
    if faults.unavailable > 0 {
      faults.unavailable -= 1
      var busy = RedfishAnswer.error(503, "ServiceTemporarilyUnavailable", "The service is temporarily unavailable.")
      busy.headers = [("Retry-After", "1")]
      return record(request, busy)
    }
    if let redirect = faults.redirect {
      return record(request, RedfishAnswer(status: 307, headers: [("Location", redirect + request.path)]))
    }
    guard let user = authenticate(request) else {
      log.write("refused", device: name, ["path": .string(request.path)])
      return record(request, .unauthorized)
    }
    var answer: RedfishAnswer
    do {
      switch request.method {
      case "GET", "HEAD":
        answer = try await document(request.path, user: user).map { .document($0) } ?? .notFound(request.path)
        if let task = taskMonitor(request.path) { answer = task }
      case "POST": answer = try await post(request)
      case "PATCH": answer = try await patch(request)
      case "DELETE": answer = delete(request)
      default: answer = .error(405, "OperationNotAllowed", "The HTTP method is not allowed on this resource.")
      }
    } catch {
      answer = .error(500, "InternalError", "The request failed due to an internal service error: \(error)")
    }
    if faults.huge > 0, var body = answer.body?.object {
      body["Padding"] = .string(String(repeating: "x", count: faults.huge))
      answer.body = .object(body)
    }
    return record(request, answer)
  }

  private func record(_ request: RedfishRequest, _ answer: RedfishAnswer) -> RedfishAnswer {
    log.write(
      "request", device: name,
      [
        "method": .string(request.method), "path": .string(request.path), "status": .int(answer.status),
        "if_match": JSON(request.ifMatch),
      ])
    return answer
  }

  // MARK: Who asks

  /// DSP0266 1.15, 13.3: the service root, metadata and log-in need no credentials.
  private static let open: Set<String> = ["/redfish", "/redfish/v1", "/redfish/v1/odata", "/redfish/v1/$metadata"]

  /// The user's name, "" when nobody needs to be known, nil when refused.
  private func authenticate(_ request: RedfishRequest) -> String? {
    if request.method == "GET" && Self.open.contains(request.path) { return "" }
    if request.method == "POST" && Self.isSessionCollection(request.path) { return "" }
    if faults.refuseCredentials { return nil }
    if let token = request.token {
      return sessions.first { $0.token == token && !faults.noSessions }?.user
    }
    guard let header = request.authorization, header.hasPrefix("Basic "),
      let bytes = Base64.bytes(String(header.dropFirst(6)))
    else { return nil }
    let pair = String(decoding: bytes, as: UTF8.self)
    return pair == configuration.username + ":" + configuration.password ? configuration.username : nil
  }

  static func isSessionCollection(_ path: String) -> Bool {
    path == "/redfish/v1/SessionService/Sessions" || path == "/redfish/v1/SessionService/Sessions/Members"
  }

  func logIn(_ body: JSONObject) -> RedfishAnswer {
    guard let user = body["UserName"]?.string else { return .missing("UserName") }
    guard let password = body["Password"]?.string else { return .missing("Password") }
    guard user == configuration.username, password == configuration.password, !faults.refuseCredentials else {
      log.write("refused", device: name, ["path": "/redfish/v1/SessionService/Sessions", "user": .string(user)])
      return .unauthorized
    }
    // A real controller has a handful of sessions: leaking them must hurt here too.
    guard sessions.count < 16 else {
      return .error(503, "SessionLimitExceeded", "The session establishment failed: too many simultaneous sessions.")
    }
    let session = Session(id: String(nextSession), token: Identifier.hex(), user: user)
    nextSession += 1
    sessions.append(session)
    log.write("session", device: name, ["user": .string(user), "session": .string(session.id)])
    let path = "/redfish/v1/SessionService/Sessions/\(session.id)"
    return RedfishAnswer(
      status: 201, headers: [("Location", path), ("X-Auth-Token", session.token)], body: sessionDocument(session))
  }

  // MARK: Effects

  /// Does a change the way the faults say, and logs it.
  func change(_ members: JSONObject, _ effect: @escaping @Sendable () async throws -> Void) async throws
    -> RedfishAnswer
  {
    if faults.lie {
      log.write("lie", device: name, members)
      return .done
    }
    if faults.tasks {
      let number = tasks.count
      tasks.append(RedfishTask(state: "Running", message: "The task is running."))
      afterSettling { await self.finishTask(number, members, effect) }
      let monitor = "/redfish/v1/TaskService/TaskMonitors/\(number)"
      return RedfishAnswer(
        status: 202, headers: [("Location", monitor), ("Retry-After", "1")], body: taskDocument(number))
    }
    if faults.settleSeconds > 0 {
      afterSettling {
        do {
          try await effect()
          self.log.write("effect", device: self.name, members)
        } catch { self.log.write("fault", device: self.name, ["error": .string("\(error)")]) }
      }
      return .done
    }
    try await effect()
    log.write("effect", device: name, members)
    if faults.dropAfterObeying > 0 {
      faults.dropAfterObeying -= 1
      return .dropped
    }
    return .done
  }

  private func afterSettling(_ body: @escaping @Sendable () async -> Void) {
    let delay = faults.settleSeconds
    later.append(
      Task {
        do { try await Task.sleep(for: .seconds(delay)) } catch { return }
        await body()
      })
  }
  /// Runs `body` without making the caller wait; ended with the simulator.
  func inBackground(_ body: @escaping @Sendable () async -> Void) { later.append(Task { await body() }) }

  private func finishTask(
    _ number: Int, _ members: JSONObject, _ effect: @escaping @Sendable () async throws -> Void
  ) async {
    do {
      try await effect()
      log.write("effect", device: name, members)
      tasks[number] = RedfishTask(state: "Completed", message: "The task has completed.")
    } catch { tasks[number] = RedfishTask(state: "Exception", message: "\(error)") }
  }
}
