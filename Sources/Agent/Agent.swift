import CLinux
import Glibc
import Wire

/// The agent from claim to power off (docs/agent-protocol.md).
///
/// One thread does everything in order; LLDP and progress have a thread each, because neither may hold up the work.
public final class Agent {
  /// How the agent came to its end. The machine is to be switched off, unless it has become its rescue system.
  public enum Ending: Sendable, Equatable {
    /// The server said so, by command or by ending the session.
    case dismissed(String)
    /// It cannot go on; the log says why.
    case failed(String)
    /// What /init is to go on with is in the rescue folder.
    case rescue
    /// The kernel keeps the installed system; it waits for the power button.
    case loaded(LoadedSystem)
  }

  /// What this program is called in records of what it did: with the number of the protocol that it speaks.
  static let name = "steelyard-agent \(AgentProtocol.version)"

  private let parameters: KernelParameters
  private let machine: Machine
  private let log: AgentLog
  private let session: ServerSession
  private let sessionFile: String?
  private let rescueFolder: String
  private let starter: (any SystemStarter)?
  private let loadFolder: String
  /// Results by command id: a command that is given again is answered, never run again.
  private var results: [String: JSON] = [:]

  /// - Parameters:
  ///   - sessionFile: where the session is left for ``uploadLog(sessionFile:parameters:log:)``, should the agent itself break
  ///     down.
  ///   - rescueFolder: where the rescue system is left for /init.
  ///   - starter: what starts the installed system; with nil the agent does not.
  ///   - loadFolder: where that is put for the kernel to take.
  public init(
    parameters: KernelParameters, machine: Machine = Machine(), timing: Timing = Timing(), log: AgentLog,
    sessionFile: String? = nil, rescueFolder: String = "/run/rescue", starter: (any SystemStarter)? = nil,
    loadFolder: String = "/run/installed"
  ) {
    self.rescueFolder = rescueFolder
    self.starter = starter
    self.loadFolder = loadFolder
    self.parameters = parameters
    self.machine = machine
    self.log = log
    self.sessionFile = sessionFile
    log.hide(parameters.token)
    session = ServerSession(server: parameters.server, timing: timing, log: log)
  }

  public func run() -> Ending {
    let progress = Progress()
    defer { progress.stop() }
    do {
      let inventory = Inventory(machine: machine)
      let lldp = LLDPListener()
      lldp.start(on: inventory.interfaces().map(\.index).filter { $0 > 0 }, log: log)
      log.say("claiming this machine at \(parameters.server) (booted from \(parameters.mac))")
      try session.claim(parameters, inventory: inventory.json())
      // The server may have given another session than the secret that was offered.
      log.hide(session.token)
      keepSession()
      log.say("claimed as node \(session.node)")
      progress.start(server: parameters.server, session: session.token, heartbeat: session.heartbeatSeconds)
      let runner = CommandRunner(
        machine: machine, session: session, progress: progress, lldp: lldp, rescueFolder: rescueFolder,
        loading: SystemLoading(machine: machine, starter: starter, folder: loadFolder, log: log))
      var standsByUntil: Double?
      while true {
        guard let command = try standsByUntil.map({ try waitStandingBy(until: $0) }) ?? session.commandOrPause() else {
          if standsByUntil != nil { return .dismissed("nobody has deployed it for as long as it was to stand by") }
          continue
        }
        try answer(command, runner, progress)
        standsByUntil = nil
        if command.kind == "stand-by", let seconds = results[command.id]?["output"]?["seconds"]?.int {
          log.say("standing by for the next deployment, for \(seconds) s at most")
          standsByUntil = clinux_monotonic_seconds() + Double(seconds)
        }
        if command.kind == "power-off" { return .dismissed("the server asked for it") }
        if command.kind == "rescue", results[command.id]?["ok"] == true { return .rescue }
        if command.kind == "load-system", let loaded = runner.loaded { return .loaded(loaded) }
      }
    } catch let error as AgentError where error.code == .sessionOver {
      return .dismissed("the session is over")
    } catch {
      log.say("cannot go on: \(error)")
      session.uploadLog(log.withKernelLog())
      return .failed("\(error)")
    }
  }

  /// Waits for a command while the machine may be on no network at all.
  /// - Parameter end: seconds of the monotonic clock.
  /// - Returns: nil when the time is over.
  private func waitStandingBy(until end: Double) throws -> ServerSession.Command? {
    while clinux_monotonic_seconds() < end {
      if let command = try session.commandIfReachable() {
        log.say("the server is there again")
        return command
      }
      session.pauseStandingBy()
    }
    return nil
  }

  private func answer(_ command: ServerSession.Command, _ runner: CommandRunner, _ progress: Progress) throws {
    let result: JSON
    if let known = results[command.id] {
      log.say("command \(printable(command.id, limit: 64)) was run before: reporting its result again")
      result = known
      usleep(200_000)
    } else {
      log.say("command \(printable(command.kind, limit: 40)) \(printable(command.id, limit: 64))")
      progress.begin(command.id)
      result = try outcome(of: command, runner)
      progress.end()
      results[command.id] = result
    }
    do { try session.report(result) } catch let error as AgentError {
      // The server does not want it (a command it has forgotten): waiting for the next one is all there is to do.
      guard case .status = error.code, !error.isTransient else { throw error }
      log.say("the result of \(printable(command.kind, limit: 40)) was refused: \(error)")
      usleep(1_000_000)
    }
  }

  private func outcome(of command: ServerSession.Command, _ runner: CommandRunner) throws -> JSON {
    do {
      let output = try runner.run(command)
      return ["id": .string(command.id), "ok": true, "output": output]
    } catch let error as AgentError {
      if error.code == .sessionOver { throw error }
      log.say("\(printable(command.kind, limit: 40)) failed: \(error)")
      let text = log.withKernelLog()
      session.uploadLog(text)
      return ["id": .string(command.id), "ok": false, "error": .string(error.description), "log": .string(text)]
    }
  }

  private func keepSession() {
    guard let sessionFile else { return }
    let descriptor = open(sessionFile, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { return }
    var text = session.token
    text.withUTF8 { _ = write(descriptor, $0.baseAddress, $0.count) }
    close(descriptor)
  }

  /// Writes what is in memory to the disks and switches the machine off.
  /// - Returns: why not; it returns only then.
  public static func powerOff() -> String {
    sync()
    _ = clinux_power_off()
    return errorText(errno)
  }

  /// Sends what a broken agent left: for /init, after the agent ended without saying why. Does nothing without a
  /// session.
  public static func uploadLog(sessionFile: String, parameters: KernelParameters, log: AgentLog) {
    guard let token = Machine.text(of: sessionFile) else { return }
    log.hide(parameters.token)
    log.hide(token)
    let connection = HTTPConnection(server: parameters.server)
    let request = HTTPRequest(
      method: "POST", path: "/agent/v1/log",
      headers: [("Authorization", "Bearer \(token)"), ("Content-Type", "text/plain; charset=utf-8")],
      body: Array(log.withKernelLog().utf8))
    _ = try? connection.send(request, timeout: 10)
  }
}
