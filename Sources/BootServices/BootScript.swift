import Domain

/// iPXE scripts, made of typed values only: nothing that a tenant or a device has said is ever part of one.
///
/// Source: iPXE documentation, "Scripting". Debian's iPXE of 2019 runs all of them.
public enum BootScript: Sendable, Equatable {
  /// Asks the server what this NIC should boot; iPXE fills in its own address.
  case ask(server: BootServer)
  /// Runs the agent with its one-time token.
  case agent(server: BootServer, token: String, mac: MACAddress)
  /// Goes on with the next boot device, which is the local disk.
  ///
  /// With status 1: to UEFI an `exit` without it is a boot that went well, after which firmware may stop its boot order
  /// and show its menu (EDK2's BDS does, and a machine would hang there). BIOS does not look at it.
  case localDisk

  public var text: String {
    switch self {
    case .ask(let server):
      return "#!ipxe\nchain --autofree \(server.url)/boot/ipxe?mac=${mac} || exit 1\n"
    case .agent(let server, let token, let mac):
      guard Self.isToken(token) else { return BootScript.localDisk.text }
      // UEFI finds the ramdisk by the name on the kernel's line. `quiet`: the kernel would print the token on the console.
      return """
        #!ipxe
        kernel \(server.url)/boot/kernel initrd=initrd console=ttyS0,115200 quiet steelyard.server=\(server.url) \
        steelyard.token=\(token) steelyard.mac=\(mac)
        initrd --name initrd \(server.url)/boot/initrd
        boot

        """
    case .localDisk:
      return "#!ipxe\nexit 1\n"
    }
  }

  /// 43 characters of the base64url alphabet.
  static func isToken(_ text: String) -> Bool {
    text.utf8.count == 43
      && text.utf8.allSatisfy {
        ($0 >= 48 && $0 <= 57) || ($0 >= 65 && $0 <= 90) || ($0 >= 97 && $0 <= 122) || $0 == 0x2d || $0 == 0x5f
      }
  }
}

/// The provisioning listener as machines reach it.
public struct BootServer: Sendable, Equatable {
  /// Four numbers with dots.
  public let address: String
  public let port: Int
  public var url: String { "http://\(address):\(port)" }

  /// - Returns: nil unless `address` is an IPv4 address in numbers and the port is one.
  public init?(address: String, port: Int) {
    guard let parsed = IPAddress(address), parsed.version == 4, (1...65535).contains(port) else { return nil }
    self.address = parsed.description
    self.port = port
  }
}
