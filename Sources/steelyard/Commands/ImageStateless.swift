import APISupport
import ArgumentParser
import Domain
import Glibc
import Processes
import Wire

struct ImageStatelessCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stateless",
    abstract:
      "Makes an image of a root tree: machines run it from their memory, and nothing is written to their disks.",
    discussion: """
      The tree, or what a tar file of it holds, is packed as the kernel's first file system, and uploaded with the kernel: an image \
      NAME-kernel, and an image NAME that names it. Machines that are deployed with NAME boot it over the network, at every start \
      anew. Files keep their owners when it is run as root; else they are root's. The config drive is at \
      /var/lib/cloud/seed/config_drive, where cloud-init looks. \(cloudCredentialsHelp)
      """)

  @Argument(help: "The root tree: a folder, or a tar file. It has /init or /sbin/init.") var root: String
  @Option(help: "The kernel's file (vmlinuz).") var kernel: String
  @Option(help: "The image's name.") var name: String
  @Option(help: "The kernel's command line; %default% stands for the usual one.") var append: String?
  @Option(help: "zstd, or gzip for kernels before 5.9.") var compression = "zstd"

  func validate() throws {
    guard ["zstd", "gzip"].contains(compression) else { throw ValidationError("--compression is zstd or gzip") }
    guard KernelLine(append ?? "") != nil else {
      throw ValidationError("--append has up to 1024 letters, digits, spaces and . _ : / = , @ + % ~ [ ] * -")
    }
  }

  func run() async throws {
    let work = try makeTemporaryFolder("image-stateless")
    let result: Result<String, any Error>
    do { result = .success(try await make(in: work)) } catch { result = .failure(error) }
    try await runChecked("rm", ["-rf", work])
    print(try result.get())
  }

  /// - Returns: the image's id.
  private func make(in work: String) async throws -> String {
    guard access(kernel, R_OK) == 0 else { throw Failure("\(kernel): \(errorText(errno))") }
    let tree = try await tree(in: work)
    var line = append ?? "%default%"
    // The kernel looks for /init by itself.
    if !exists("\(tree)/init") {
      guard exists("\(tree)/sbin/init") else {
        throw Failure("\(root) has no /init and no /sbin/init: nothing in it would be started")
      }
      line += " rdinit=/sbin/init"
    }
    let ramdisk = "\(work)/ramdisk"
    try await pack(tree, as: ramdisk)
    let id = Identifier.uuid()
    try await CloudClient.session { client in
      let images = try client.endpoint("image") + "/v2/images"
      var made: [String] = []
      do {
        let kernelID = try await client.makeImage(
          ["name": .string("\(name)-kernel"), "disk_format": "aki", "container_format": "aki"], of: kernel, in: images)
        made.append(kernelID)
        made.append(id)
        _ = try await client.makeImage(
          [
            "id": .string(id), "name": .string(name), "disk_format": "ari", "container_format": "ari",
            "kernel_id": .string(kernelID), "ramdisk_id": .string(id), "os_command_line": .string(line),
          ], of: ramdisk, in: images)
      } catch {
        for id in made { _ = try? await client.send("DELETE", "\(images)/\(id)") }
        throw error
      }
    }
    return id
  }

  /// Also a link that leads nowhere here: in the tree it may lead somewhere.
  private func exists(_ path: String) -> Bool {
    var information = stat()
    return lstat(path, &information) == 0
  }

  /// The tree as a folder.
  private func tree(in work: String) async throws -> String {
    var information = stat()
    guard stat(root, &information) == 0 else { throw Failure("\(root): \(errorText(errno))") }
    if information.st_mode & S_IFMT == S_IFDIR { return root }
    let folder = "\(work)/tree"
    mkdir(folder, 0o755)
    try await runChecked(
      "tar", ["-x", "-f", root, "-C", folder, "--numeric-owner", "-p"], timeout: .seconds(3600))
    return folder
  }

  private func pack(_ tree: String, as path: String) async throws {
    let owners = geteuid() == 0 ? "" : "-R 0:0"
    let packer = compression == "gzip" ? "gzip -6" : "zstd -q -6 -T0"
    // The only words of a caller's are arguments.
    try await runChecked(
      "bash",
      [
        "-c",
        "set -o pipefail; cd \"$0\" && find . -mindepth 1 -print0 | LC_ALL=C sort -z | cpio --null -o -H newc --quiet \(owners) | \(packer) >\"$1\"",
        tree, path,
      ], timeout: .seconds(3600))
  }
}
