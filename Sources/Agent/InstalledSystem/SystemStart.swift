import CLinux
import Glibc

/// What starts another system in the place of this one: Linux, or what stands in for it in tests, which must not start any.
public protocol SystemStarter: Sendable {
  /// Why this machine's kernel would not do it, in words; nil when nothing is known against it.
  func problem(on machine: Machine) -> String?
  /// Has the kernel keep a system.
  /// - Parameter initrd: nil for none.
  /// - Returns: why not; nil when it does.
  func load(kernel: String, initrd: String?, commandLine: String) -> String?
  /// Takes every network interface down.
  /// - Returns: why not; nil when all are.
  func takeLinksDown(on machine: Machine) -> String?
  /// Waits for a press of the power button.
  /// - Returns: whether one came within the time.
  func awaitPowerButton(on machine: Machine, seconds: Int) -> Bool
  /// Starts the system that was loaded; returns only when that cannot be done, with why.
  func start() -> String
}

/// Source: Linux, kexec_file_load(2), and Documentation/input.
public struct LinuxStarter: SystemStarter {
  public init() {}

  public func problem(on machine: Machine) -> String? {
    let variable = "\(machine.sys)/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    if Machine.bytes(of: variable, limit: 5)?.last == 1 {
      return "Secure Boot is on, and the firmware has to check what boots"
    }
    let buttons = Self.buttons(of: machine)
    defer { for button in buttons { close(button) } }
    return buttons.isEmpty ? "the ramdisk sees no power button" : nil
  }

  public func load(kernel: String, initrd: String?, commandLine: String) -> String? {
    let kernel = open(kernel, O_RDONLY | O_CLOEXEC)
    guard kernel >= 0 else { return errorText(errno) }
    defer { close(kernel) }
    let initrd = initrd.map { open($0, O_RDONLY | O_CLOEXEC) }
    defer { if let initrd { close(initrd) } }
    return clinux_load_kernel(kernel, initrd ?? -1, commandLine) == 0
      ? nil : "the ramdisk's kernel does not take it: \(errorText(errno))"
  }

  public func takeLinksDown(on machine: Machine) -> String? {
    for name in Machine.names(in: "\(machine.sys)/class/net") where name != "lo" {
      if clinux_link_down(name) != 0 { return "\(name): \(errorText(errno))" }
    }
    return nil
  }

  public func awaitPowerButton(on machine: Machine, seconds: Int) -> Bool {
    let buttons = Self.buttons(of: machine)
    defer { for button in buttons { close(button) } }
    let end = clinux_monotonic_seconds() + Double(seconds)
    while !buttons.isEmpty {
      let left = end - clinux_monotonic_seconds()
      guard left > 0 else { return false }
      switch clinux_await_power_button(buttons, Int32(buttons.count), Int32(min(left * 1000, 60000)) + 1) {
      case 1: return true
      case 0: continue
      default: usleep(100_000)
      }
    }
    return false
  }

  public func start() -> String {
    _ = clinux_start_loaded()
    return errorText(errno)
  }

  private static func buttons(of machine: Machine) -> [Int32] {
    let folder = "\(machine.dev)/input"
    return Machine.names(in: folder).filter { $0.hasPrefix("event") }.prefix(64).compactMap { name in
      let device = open("\(folder)/\(name)", O_RDONLY | O_CLOEXEC | O_NONBLOCK)
      guard device >= 0 else { return nil }
      guard clinux_has_power_button(device) == 1 else {
        close(device)
        return nil
      }
      return device
    }.prefix(16).map { $0 }
  }
}

/// A system that the kernel keeps, to be started by the power button once the machine has left this network.
public struct LoadedSystem: Sendable, Equatable {
  /// Said on the console when it starts: nobody else knows it, so that the server can believe it.
  var word: String
  /// How long the button may stay silent; then the machine is switched off, and its firmware boots it.
  var seconds: Int

  /// The system takes this one's place, or the machine is to be switched off.
  /// - Returns: why it is.
  public func run(_ starter: any SystemStarter, on machine: Machine = Machine(), log: AgentLog) -> String {
    // The server moves the machine to its tenant's networks now. Nothing here may be seen there, and nothing there here.
    if let problem = starter.takeLinksDown(on: machine) { return "a network interface stays up: \(problem)" }
    log.say("all network interfaces are down: waiting \(seconds) s for the power button")
    guard starter.awaitPowerButton(on: machine, seconds: seconds) else {
      return "nobody pressed the power button within \(seconds) s"
    }
    log.say("starting the installed system (\(word))")
    sync()
    // What is on its way to the serial port.
    tcdrain(STDOUT_FILENO)
    return "the installed system cannot be started: \(starter.start())"
  }
}
