import APISupport
import Conductor
import Domain
import NIOPosix
import Wire

/// The boot server of machines that boot from volumes: their boot scripts and iPXE itself, nothing else.
///
/// It has a port of its own on the provisioning network, because a tenant's system runs on these machines, and their switch
/// ports let them reach this port and the volumes' portals alone (``VolumeBootSettings/accessList(of:)``). A script, which has
/// the volume's secret in it, is given to the machine's own address only.
public struct VolumeBootAPI: Sendable {
  let conductor: Conductor
  let startScript: String
  /// Builds the iPXE script; nil boots the local disk.
  let bootScript: @Sendable (Conductor.VolumeBootRequest?) -> String
  let threads: NIOThreadPool

  public init(
    conductor: Conductor, startScript: String,
    bootScript: @escaping @Sendable (Conductor.VolumeBootRequest?) -> String, threads: NIOThreadPool = .singleton
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
        Endpoint(.get, "/boot/ipxe", .open, "The boot script of a machine that boots from a volume") { request in
          var boot: Conductor.VolumeBootRequest?
          if let mac = request.query["mac"].flatMap({ MACAddress($0) }), let peer = request.peer {
            boot = try await conductor.volumeBootRequest(mac: mac, address: peer)
          }
          var answer = APIResponse(.ok, text: bootScript(boot), contentType: "text/plain")
          answer.headers[.cacheControl] = "no-store"
          return answer
        },
        Endpoint(.get, "/boot/start.ipxe", .open, "The script that asks for a NIC's boot script") { _ in
          APIResponse(.ok, text: startScript, contentType: "text/plain")
        },
        Endpoint(.get, "/boot/snponly.efi", .open, "iPXE for UEFI's own HTTP boot") { request in
          guard let file = try await OpenFile.open("/usr/lib/ipxe/snponly.efi", on: threads) else {
            throw APIError.notFound("iPXE is not there: install the package ipxe.")
          }
          return try file.answer(request)
        },
      ])
  }
}
