import ArgumentParser
import Conductor
import Glibc
import Lab
import Processes
import Wire

struct ImageCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "image", abstract: "Looks at disk images before metal is leased for them.",
    subcommands: [ImageCheckCommand.self])
}

struct ImageCheckCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Boots a disk image in QEMU, and says whether it would come up on a machine.",
    discussion: """
      The image is booted with BIOS and with UEFI, from a virtio disk, beside a config drive and on a network with DHCP. What is
      said: whether the firmware finds a boot loader, whether the system asks for an address, and whether it reads its config drive
      (host name or user data). Nothing is written to the image; the guest reaches no network. Exits with 1 when something is missing.
      """)

  @Argument(help: "A file: raw, or qcow2 without a backing file.") var image: String
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
    let raw = try await Self.raw(image, in: folder)
    let word = "steelyard-check-\(Identifier.hex().prefix(8))"
    let drive = try await ConfigDrive().make(
      [
        "meta_data": ["uuid": .string(Identifier.uuid()), "hostname": .string(word), "name": .string(word)],
        "user_data": .string(ImageTrial.userData(word)),
      ], at: "\(folder)/drive.iso")
    let trial = ImageTrial(
      image: raw, configDrive: drive.path, word: word, memory: memory, usesKVM: kvm, folder: folder)
    var isWell = true
    for kind in kinds {
      let begun = ContinuousClock.now
      let found = try await trial.run(kind, limit: .seconds(limit))
      isWell = isWell && found.isWell
      func told(_ what: Bool) -> String { what ? "yes" : "NO" }
      print("\(kind.rawValue.uppercased()), \((ContinuousClock.now - begun).components.seconds) s:")
      print("  the firmware finds a boot loader    \(told(found.startsBootLoader))")
      print("  it asks for an address (DHCP)       \(told(found.asksForAddress))")
      print("  it reads its config drive           \(told(found.readsConfigDrive))")
      if !found.isWell { print("  its serial port said last: \(found.lastLine.isEmpty ? "nothing" : found.lastLine)") }
    }
    guard isWell else { throw ExitCode(1) }
    print("It would come up.")
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
