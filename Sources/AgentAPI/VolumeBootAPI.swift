import APISupport
import Conductor
import Domain
import NIOPosix
import Wire

/// The boot server of machines that boot from volumes or run from their memory: their boot scripts, what they run, and iPXE itself;
/// nothing else.
///
/// It has a port of its own on the provisioning network, because a tenant's system runs on these machines, and their switch
/// ports let them reach this port and the volumes' portals alone (``VolumeBootSettings/accessList(of:)``). A script, which may have
/// a volume's secret in it, and the files, in which there may be passwords, are given to the machine's own address only.
public struct VolumeBootAPI: Sendable {
  let conductor: Conductor
  let startScript: String
  /// Builds the iPXE script; nil boots the local disk.
  let bootScript: @Sendable (Conductor.NetworkBoot?) -> String
  let threads: NIOThreadPool

  public init(
    conductor: Conductor, startScript: String,
    bootScript: @escaping @Sendable (Conductor.NetworkBoot?) -> String, threads: NIOThreadPool = .singleton
  ) {
    self.conductor = conductor
    self.startScript = startScript
    self.bootScript = bootScript
    self.threads = threads
  }

  public var service: Service {
    Service(
      name: "volume-boot", type: "volume-boot", prefix: "", errorShape: .plain, isInCatalog: false,
      endpoints: [
        Endpoint(.get, "/boot/ipxe", .open, "The boot script of a machine without a system of its own") { request in
          var boot: Conductor.NetworkBoot?
          if let mac = request.query["mac"].flatMap({ MACAddress($0) }), let peer = request.peer {
            boot = try await conductor.networkBoot(mac: mac, address: peer)
          }
          var answer = APIResponse(.ok, text: bootScript(boot), contentType: "text/plain")
          answer.headers[.cacheControl] = "no-store"
          return answer
        },
        Endpoint(.get, "/boot/start.ipxe", .open, "The script that asks for a NIC's boot script") { _ in
          APIResponse(.ok, text: startScript, contentType: "text/plain")
        },
        Endpoint(.get, "/boot/snponly.efi", .open, "iPXE for UEFI's own HTTP boot") { request in
          guard let file = try await ServedFile.open("/usr/lib/ipxe/snponly.efi", isSites: true, on: threads) else {
            throw APIError.notFound("iPXE is not there: install the package ipxe.")
          }
          return try file.answer(request)
        },
      ]
        + RamdiskBoot.File.allCases.map { file in
          Endpoint(.get, "/boot/\(file.rawValue)", .open, "What a machine runs from its memory: \(file.rawValue)") {
            try await send(file, $0)
          }
        })
  }

  private func send(_ file: RamdiskBoot.File, _ request: APIRequest) async throws -> APIResponse {
    guard let mac = request.query["mac"].flatMap({ MACAddress($0) }), let peer = request.peer,
      let path = try await conductor.ramdiskFile(file, mac: mac, address: peer),
      let found = try await ServedFile.open(path, on: threads)
    else { throw APIError.notFound("There is no such file for this machine.") }
    return try found.answer(request)
  }
}
