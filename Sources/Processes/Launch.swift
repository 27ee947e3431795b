import CLinux
import Glibc

/// Everything needed to start a program: where it is, its arguments and its whole environment.
///
/// Made before the thread that starts it, so that a program that does not exist is known without one.
public struct Launch: Sendable {
  /// As the caller named it: for errors.
  public let program: String
  public let path: String
  public let arguments: [String]
  public let environment: [String: String]

  /// - Parameters: as of ``run(_:_:environment:input:namespace:timeout:outputLimit:)``.
  /// - Throws: ``CommandError`` `.notFound` or `.badNamespace`.
  public init(
    _ program: String, _ arguments: [String], environment added: [String: String] = [:], namespace: String? = nil
  ) throws(CommandError) {
    self.program = program
    environment = Launch.minimalEnvironment().merging(added) { $1 }
    let searched = environment["PATH"] ?? ""
    guard let found = Launch.find(program, in: searched) else {
      throw CommandError(program: program, reason: .notFound)
    }
    guard let namespace else {
      path = found
      self.arguments = [program] + arguments
      return
    }
    let isName =
      !namespace.isEmpty && !namespace.hasPrefix("-") && !namespace.hasPrefix(".")
      && namespace.utf8.allSatisfy {
        (0x30...0x39).contains($0) || (0x41...0x5a).contains($0)
          || (0x61...0x7a).contains($0) || $0 == 0x2d || $0 == 0x2e || $0 == 0x5f
      }
    guard isName else { throw CommandError(program: program, reason: .badNamespace) }
    guard let nsenter = Launch.find("nsenter", in: searched) else {
      throw CommandError(program: "nsenter", reason: .notFound)
    }
    // Not `ip netns exec`: that makes a private mount namespace, in which later mounts are not seen.
    path = nsenter
    self.arguments = ["nsenter", "--net=/run/netns/\(namespace)", "--", found] + arguments
  }

  /// Starts it with these descriptors, or with a terminal in their place. Blocks until the program is loaded: call it
  /// from a thread of your own.
  func spawn(input: Int32 = -1, output: Int32 = -1, error: Int32 = -1, terminal: String? = nil)
    throws(CommandError) -> pid_t
  {
    var process: pid_t = 0
    let pairs = environment.map { "\($0.key)=\($0.value)" }
    let failure = withCStrings(arguments) { arguments in
      withCStrings(pairs) { environment in
        if let terminal {
          clinux_spawn(&process, path, arguments, environment, input, output, error, terminal)
        } else {
          clinux_spawn(&process, path, arguments, environment, input, output, error, nil)
        }
      }
    }
    guard failure == 0 else { throw CommandError(program: program, reason: .notStarted(failure)) }
    return process
  }

  private static func minimalEnvironment() -> [String: String] {
    var result = ["LC_ALL": "C.UTF-8"]
    for name in ["HOME", "USER", "TMPDIR"] {
      if let value = getenv(name) { result[name] = String(cString: value) }
    }
    // A service started with a user's short path still needs the programs of the administrator.
    var folders = getenv("PATH").map { String(cString: $0).split(separator: ":").map { String($0) } } ?? []
    for folder in ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    where !folders.contains(folder) {
      folders.append(folder)
    }
    result["PATH"] = folders.joined(separator: ":")
    return result
  }

  private static func find(_ program: String, in path: String) -> String? {
    if program.isEmpty { return nil }
    if program.contains("/") { return isExecutable(program) ? program : nil }
    return path.split(separator: ":").lazy.map { "\($0)/\(program)" }.first { isExecutable($0) }
  }

  private static func isExecutable(_ path: String) -> Bool {
    var information = stat()
    return stat(path, &information) == 0 && information.st_mode & S_IFMT == S_IFREG && access(path, X_OK) == 0
  }
}

/// A NULL-terminated array of C strings for as long as `body` runs.
private func withCStrings<Result>(
  _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
  var pointers = strings.map { strdup($0) }
  pointers.append(nil)
  defer { for pointer in pointers { free(pointer) } }
  return pointers.withUnsafeBufferPointer { buffer in
    guard let base = buffer.baseAddress else { preconditionFailure("an array with a last nil is not empty") }
    return body(base)
  }
}
