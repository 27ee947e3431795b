import DriverInterfaces
import Glibc
import Processes
import Wire

/// Runs programs on an image where there is nothing else: the image is read-only at `/source`, what is made of it is `/target`,
/// and `/usr` is read-only. No other file of the machine is there, no network, no other process, no capability; memory, the size of
/// files and time are limited. A reader that an image leads astray finds nothing (CVE-2024-32498, CVE-2022-47951).
struct ConfinedProgram: Sendable {
  /// An empty folder, over which each program mounts its own root.
  let root: String

  struct Limits: Sendable {
    /// Bytes.
    var memory = 2 << 30
    /// Bytes.
    var largestFile: Int
    var patience: Duration
  }

  /// Arguments: root, source, target, program and its arguments. What it mounts is gone with it.
  private static let script = """
    set -eu
    root=$1 source=$2 target=$3
    shift 3
    mount -t tmpfs -o size=64k,mode=755 none "$root"
    mkdir "$root/usr" "$root/dev"
    : >"$root/source"; : >"$root/target"; : >"$root/dev/null"
    mount --bind /usr "$root/usr"
    mount -o remount,bind,ro,nosuid,nodev "$root/usr"
    for name in bin lib lib64; do
      if [ -L "/$name" ]; then ln -s "usr/$name" "$root/$name"
      elif [ -d "/$name" ]; then
        mkdir "$root/$name"
        mount --bind "/$name" "$root/$name"
        mount -o remount,bind,ro,nosuid,nodev "$root/$name"
      fi
    done
    mount --bind /dev/null "$root/dev/null"
    mount --bind "$source" "$root/source"
    mount -o remount,bind,ro,nosuid,nodev,noexec "$root/source"
    if [ "$target" ]; then
      mount --bind "$target" "$root/target"
      mount -o remount,bind,nosuid,nodev,noexec "$root/target"
    fi
    mount -o remount,ro "$root"
    cd /
    exec chroot "$root" /usr/bin/setpriv --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
    """

  /// - Parameters:
  ///   - source: a file that there is.
  ///   - target: a file that there is; nil where nothing is written.
  /// - Throws: ``CommandError``. A status other than 0 is not an error.
  func run(
    _ program: String, _ arguments: [String], source: String, target: String? = nil, limits: Limits,
    outputLimit: Int = 1 << 20
  ) async throws -> CommandResult {
    // Who is not root becomes it in a user namespace, with power over these mounts and nothing else.
    let user = geteuid() == 0 ? [] : ["--user", "--map-root-user"]
    return try await Processes.run(
      "prlimit",
      ["--as=\(limits.memory)", "--fsize=\(limits.largestFile)", "--core=0", "--", "unshare"] + user + [
        "--mount", "--net", "--ipc", "--uts", "--pid", "--fork", "--kill-child", "sh", "-c", Self.script, "confined",
        root, source, target ?? "", program,
      ] + arguments, timeout: limits.patience, outputLimit: outputLimit)
  }
}

/// What is done with images in confinement. Errors say what is wrong with the image; what the programs say is for the log.
struct ConfinedImage: Sendable {
  let program: ConfinedProgram
  let source: String

  /// Why it cannot be done.
  struct Failure: Error, CustomStringConvertible {
    /// For the log.
    let description: String
    var isDiskFull: Bool { description.contains("No space left") }
  }

  private static let decompress = [
    "gzip": "gzip -dc", "xz": "xz -dc --memlimit-decompress=1GiB", "zstd": "zstd -dcq --no-progress",
  ]
  private func checked(_ result: CommandResult) throws -> CommandResult {
    guard result.status == 0 else { throw Failure(description: "status \(result.status): \(result.errorText)") }
    return result
  }

  /// The first bytes of what was compressed.
  func unpackedHead(_ compression: String, count: Int) async throws -> [UInt8] {
    guard let command = Self.decompress[compression] else { throw Failure(description: "no \(compression)") }
    // The program is cut off when there is enough.
    let result = try await program.run(
      "/usr/bin/bash", ["-c", "\(command) </source 2>/dev/null | head -c \(count)"], source: source,
      limits: .init(largestFile: 0, patience: .seconds(60)))
    return try checked(result).output
  }

  /// Unpacks into `target`, which is empty; what is zero takes no room.
  /// - Returns: bytes; `limit` + 1 when there are more.
  func unpack(_ compression: String, into target: String, limit: Int, patience: Duration) async throws -> Int {
    guard let command = Self.decompress[compression] else { throw Failure(description: "no \(compression)") }
    let result = try await program.run(
      "/usr/bin/bash",
      [
        "-c",
        """
        set -u
        \(command) </source | head -c \(limit + 1) | dd of=/target bs=64k conv=sparse,notrunc iflag=fullblock status=none
        echo "${PIPESTATUS[0]} ${PIPESTATUS[2]}"
        """,
      ], source: source, target: target, limits: .init(largestFile: limit + 1, patience: patience))
    let statuses = try checked(result).text.split(whereSeparator: \.isWhitespace)
    let descriptor = try Files.open(target, O_RDONLY)
    defer { close(descriptor) }
    let size = try Files.size(descriptor)
    guard statuses.last == "0", size > limit || statuses.first == "0" else {
      throw Failure(description: "\(compression): \(statuses.joined(separator: " ")): \(result.errorText)")
    }
    return size
  }

  /// Bytes of the disk that the image describes, as the converter reads it.
  /// - Parameter format: `qemu-img`'s word.
  func diskSize(_ format: String) async throws -> Int {
    let result = try checked(
      try await program.run(
        "/usr/bin/qemu-img", ["info", "--output=json", "-f", format, "/source"], source: source,
        limits: .init(largestFile: 0, patience: .seconds(60))))
    let facts = try JSON.parse(result.output)
    guard facts["backing-filename"] == nil, facts["full-backing-filename"] == nil, let size = facts["virtual-size"]?.int
    else { throw Failure(description: "it refers to another file") }
    let extents = facts["format-specific"]?["data"]?["extents"]?.array ?? []
    guard extents.allSatisfy({ $0["filename"] == "/source" }) else {
      throw Failure(description: "it refers to other files")
    }
    return size
  }

  /// Writes the disk that the image describes into `target`, which has its size and is a hole.
  func convert(_ format: String, into target: String, disk: Int, patience: Duration) async throws {
    _ = try checked(
      try await program.run(
        "/usr/bin/qemu-img",
        [
          "convert", "-n", "--target-is-zero", "-f", format, "-O", "raw", "-S", "64k", "-m", "4", "/source", "/target",
        ], source: source, target: target, limits: .init(largestFile: disk + (1 << 20), patience: patience)))
  }
}
