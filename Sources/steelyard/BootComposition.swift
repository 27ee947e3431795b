import AgentAPI
import BootServices
import Conductor
import Domain
import DriverInterfaces
import Logging
import ServiceLifecycle
import Wire

extension Composition {
  struct Boot {
    let interface: any BootInterface
    let services: [any ServiceLifecycle.Service]
  }
  /// The supervised dnsmasq of the provisioning network; without one, a stand-in that says so.
  static func bootServices(_ configuration: Configuration, _ site: SiteOptions) throws -> Boot {
    guard let provisioning = configuration.provisioning else { return Boot(interface: NoBoot(), services: []) }
    let dnsmasq = try DnsmasqBoot(
      DnsmasqConfiguration(
        interface: provisioning.interface, namespace: provisioning.namespace, server: try server(provisioning),
        first: provisioning.first,
        last: provisioning.last, prefix: provisioning.prefix,
        strangers: configuration.discovery.enabled
          ? AddressRange(configuration.discovery.first, configuration.discovery.last) : nil,
        volumeServer: try configuration.volumeBoot.flatMap { BootServer(address: $0.server, port: $0.port) },
        volumeAddresses: try configuration.volumeBoot.map { AddressRange($0.first, $0.last) },
        folder: "\(site.data)/dhcp"
      ))
    return Boot(interface: dnsmasq, services: [dnsmasq])
  }
  static func server(_ provisioning: Configuration.Provisioning) throws -> BootServer {
    guard let server = BootServer(address: provisioning.address, port: provisioning.port) else {
      throw Failure(
        "provisioning: \(provisioning.address):\(provisioning.port) is not an IPv4 address in numbers and a port")
    }
    return server
  }
  static func bootScript(_ server: BootServer) -> @Sendable (AgentBoot?) -> String {
    { boot in
      boot.map { BootScript.agent(server: server, token: $0.token, mac: $0.mac).text } ?? BootScript.localDisk.text
    }
  }
}

extension Composition {
  /// Of machines without a system of their own.
  static func networkBootScript(_ server: BootServer) -> @Sendable (Conductor.NetworkBoot?) -> String {
    { boot in
      switch boot {
      case .volume(let request):
        VolumeDisk(
          initiator: request.initiator, userName: request.userName, password: request.password, target: request.target,
          portals: request.portals, lun: request.lun
        ).map { BootScript.volume($0).text } ?? BootScript.localDisk.text
      case .ramdisk(let line, let mac): BootScript.ramdisk(server: server, line: line, mac: mac).text
      case nil: BootScript.localDisk.text
      }
    }
  }
}

/// A site without a provisioning network: nothing can be booted over it.
struct NoBoot: BootInterface {
  func ensureAdmitted(_ macs: [MACAddress], label: String) async throws {
    throw DriverError(
      .misconfigured, device: .bootServices,
      detail: "no provisioning network is configured (docs/deployment.md, 'provisioning')")
  }
  func ensureVolumeBoot(_ mac: MACAddress, address: String, label: String) async throws {
    try await ensureAdmitted([mac], label: label)
  }
  func ensureDenied(_ macs: [MACAddress]) async throws {}
  func admitted() async throws -> [MACAddress: String] { [:] }
}
