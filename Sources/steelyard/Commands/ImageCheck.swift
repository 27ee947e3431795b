import ArgumentParser
import Conductor
import Glibc
import Lab
import Processes
import Wire

struct ImageCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "image",
    abstract: "Looks at disk images before metal is leased for them, and makes images that need no disk.",
    subcommands: [ImageCheckCommand.self, ImageStatelessCommand.self])
}

struct ImageCheckCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Boots a disk image in QEMU, and says whether it would come up on a machine.",
    discussion: """
      The image is booted with BIOS and with UEFI, from a virtio disk, beside a config drive and on a network with DHCP. What is
      said: whether the firmware finds a boot loader, whether the system asks for an address, and whether it reads its config drive
      (host name or user data). Nothing is written to the image; the guest reaches no network. Exits with 1 when something is missing.
      With --record the image is one of the image service, and what was found becomes properties of it: steelyard_check_bios and \
      steelyard_check_uefi are "ok" or what is missing, steelyard_check_at is when. \(cloudCredentialsHelp)
      """)

  @Argument(help: "A file: raw, or qcow2 without a backing file. With --record an image's name or id.") var image:
    String
  @Flag(help: "Takes the image from the image service, and writes there what was found.") var record = false
  @Option(help: "bios, uefi or both.") var firmware = "both"
  @Option(help: "Seconds for each firmware. Without --kvm a large system takes minutes.") var limit = 300
  @Option(help: "MiB of memory.") var memory = 1024
  @Flag(help: "Run it by KVM, on a machine that can.") var kvm = false

  func run() async throws {
    let kinds = firmware == "both" ? ImageTrial.Firmware.allCases : ImageTrial.Firmware(rawValue: firmware).map { [$0] }
    guard let kinds, (1...86_400).contains(limit), (64...1 << 20).contains(memory) else {
      throw ValidationError("--firmware is bios, uefi or both; --limit 1 to 86400; --memory 64 or more")
    }
    guard geteuid() == 0 else {
      throw Failure("it needs root, to run the image's machine as nobody and without a network")
    }
    let folder = try makeTemporaryFolder("image-check")
    defer { for name in fileNames(in: folder) { unlink("\(folder)/\(name)") }; rmdir(folder) }
    chmod(folder, 0o711)
    var source = image, id = ""
    if record {
      source = "\(folder)/download"
      id = try await download(to: source)
    }
    let raw = try await Self.raw(source, in: folder)
    let word = "steelyard-check-\(Identifier.hex().prefix(8))"
    let drive = try await ConfigDrive().make(
      [
        "meta_data": ["uuid": .string(Identifier.uuid()), "hostname": .string(word), "name": .string(word)],
        "user_data": .string(ImageTrial.userData(word)),
      ], at: "\(folder)/drive.iso")
    let trial = ImageTrial(
      image: raw, configDrive: drive.path, word: word, memory: memory, usesKVM: kvm, folder: folder)
    var isWell = true
    var properties: [(name: String, value: String)] = []
    for kind in kinds {
      let begun = ContinuousClock.now
      let found = try await trial.run(kind, limit: .seconds(limit))
      isWell = isWell && found.isWell
      properties.append(("steelyard_check_\(kind.rawValue)", Self.word(found)))
      func told(_ what: Bool) -> String { what ? "yes" : "NO" }
      print("\(kind.rawValue.uppercased()), \((ContinuousClock.now - begun).components.seconds) s:")
      print("  the firmware finds a boot loader    \(told(found.startsBootLoader))")
      print("  it asks for an address (DHCP)       \(told(found.asksForAddress))")
      print("  it reads its config drive           \(told(found.readsConfigDrive))")
      if !found.isWell { print("  its serial port said last: \(found.lastLine.isEmpty ? "nothing" : found.lastLine)") }
    }
    if record { try await note(properties + [("steelyard_check_at", systemClock().iso8601Zulu)], of: id) }
    guard isWell else { throw ExitCode(1) }
    print("It would come up.")
  }

  /// What was found, for a property.
  private static func word(_ found: ImageTrial.Findings) -> String {
    if !found.startsBootLoader { return "no boot loader" }
    let missing = [found.asksForAddress ? nil : "network", found.readsConfigDrive ? nil : "config drive"].compactMap {
      $0
    }
    return missing.isEmpty ? "ok" : "no \(missing.joined(separator: ", no "))"
  }

  /// The image's content as a file.
  /// - Returns: its id.
  private func download(to path: String) async throws -> String {
    var id = ""
    try await CloudClient.session { client in
      let images = try client.endpoint("image") + "/v2/images"
      let found = try await client.find("image", image, in: images, "images")
      id = found["id"]?.string ?? ""
      let file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
      guard file >= 0 else { throw Failure("\(path): \(errorText(errno))") }
      defer { close(file) }
      try await client.stream("\(images)/\(id)/file") { piece in
        try piece.withUnsafeReadableBytes { bytes in
          var done = 0
          while done < bytes.count {
            let count = write(file, bytes.baseAddress?.advanced(by: done), bytes.count - done)
            guard count > 0 else { throw Failure("\(path): \(errorText(errno))") }
            done += count
          }
        }
      }
    }
    return id
  }

  private func note(_ properties: [(name: String, value: String)], of id: String) async throws {
    try await CloudClient.session { client in
      let patch = properties.map { property -> JSON in
        ["op": "add", "path": .string("/\(property.name)"), "value": .string(property.value)]
      }
      let answer = try await client.send(
        "PATCH", try client.endpoint("image") + "/v2/images/\(id)", .array(patch),
        type: "application/openstack-images-v2.1-json-patch")
      guard answer.status == 200 else { throw Failure(answer.fault) }
    }
  }

  /// The image as raw bytes.
  /// - Throws: ``Failure`` for one that leads to other files.
  private static func raw(_ path: String, in folder: String) async throws -> String {
    guard
      let whole = realpath(path, nil).map({ pointer in
        defer { free(pointer) }
        return String(cString: pointer)
      })
    else { throw Failure("\(path): there is no such file") }
    let start = try await runChecked("head", ["-c", "4", whole]).output
    guard start == [0x51, 0x46, 0x49, 0xfb] else { return whole }
    let information = try await runChecked("qemu-img", ["info", "--output=json", "-f", "qcow2", whole])
    let json = try JSON.parse(information.output)
    guard json["backing-filename"] == nil, json["format-specific"]?["data"]?["data-file"] == nil else {
      throw Failure("\(path): it leads to another file; make it whole: qemu-img convert -O qcow2")
    }
    try await runChecked(
      "unshare",
      ["--net", "qemu-img", "convert", "-f", "qcow2", "-O", "raw", "-S", "4k", whole, "\(folder)/image.raw"],
      timeout: .seconds(3600))
    return "\(folder)/image.raw"
  }
}
