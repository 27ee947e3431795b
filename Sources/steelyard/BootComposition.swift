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
  static func bootServices(_ configuration: Configuration, _ site: SiteOptions) throws -> Boot {
    Boot(interface: NoBoot(), services: [])
  }
  static func bootScript(_ server: String) -> @Sendable (AgentBoot?) -> String { { _ in "#!ipxe\nexit\n" } }
}

/// A site without a provisioning network: nothing can be booted over it.
struct NoBoot: BootInterface {
  func ensureAdmitted(_ macs: [MACAddress], label: String) async throws {
    throw DriverError(.misconfigured, device: "provisioning network", detail: "none is configured (docs/deployment.md, 'provisioning')")
  }
  func ensureDenied(_ macs: [MACAddress]) async throws {}
  func admitted() async throws -> [MACAddress: String] { [:] }
}
