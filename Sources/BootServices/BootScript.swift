import Domain

/// iPXE scripts, made of typed values only: nothing that a tenant or a device has said is ever part of one.
///
/// Source: iPXE documentation, "Scripting". Debian's iPXE of 2019 runs all of them.
public enum BootScript: Sendable, Equatable {
  /// Asks the server what this NIC should boot; iPXE fills in its own address.
  case ask(server: BootServer)
  /// Runs the agent with its one-time token.
  case agent(server: BootServer, token: String, mac: MACAddress)
  /// Boots the volume, with the machine's own name and secret. The drive stays after the script, for the system's iSCSI
  /// initiator (iBFT). All portals are opened beside each other; one that answers is enough.
  case volume(VolumeDisk)
  /// Runs what the boot server has for this machine: the config drive's archive is the first part of its first file system.
  case ramdisk(server: BootServer, line: KernelLine, mac: MACAddress)
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
    case .volume(let disk):
      let paths = disk.portals.map {
        "iscsi:\($0.host)::\($0.port):\(String(disk.lun, radix: 16)):\(disk.target)"
      }.joined(separator: " ")
      return """
        #!ipxe
        set initiator-iqn \(disk.initiator)
        set username \(disk.userName)
        set password \(disk.password)
        set keep-san 1
        sanboot --keep --drive 0x80 \(paths) || exit 1

        """
    case .ramdisk(let server, let line, let mac):
      return """
        #!ipxe
        kernel \(server.url)/boot/kernel?mac=\(mac) initrd=config initrd=ramdisk \(line.text)
        initrd --name config \(server.url)/boot/config?mac=\(mac)
        initrd --name ramdisk \(server.url)/boot/ramdisk?mac=\(mac)
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

/// A volume as iPXE finds it: typed values, none of which can end a line or begin a word.
public struct VolumeDisk: Sendable, Equatable {
  public struct Portal: Sendable, Equatable {
    let host: IPAddress
    let port: Int
  }
  let initiator: String
  let userName: String
  let password: String
  let target: String
  let portals: [Portal]
  let lun: Int

  /// - Parameter portals: "10.77.0.1:3260".
  /// - Returns: nil unless every value is what it says.
  public init?(
    initiator: String, userName: String, password: String, target: String, portals: [String], lun: Int
  ) {
    func isPlain(_ text: String) -> Bool {
      !text.isEmpty
        && text.utf8.allSatisfy {
          ($0 >= 48 && $0 <= 57) || ($0 >= 65 && $0 <= 90) || ($0 >= 97 && $0 <= 122) || $0 == 0x2d
        }
    }
    guard VolumeAttachment.isInitiatorName(initiator), VolumeAttachment.isInitiatorName(target), isPlain(userName),
      isPlain(password), (0...255).contains(lun), !portals.isEmpty
    else { return nil }
    var parsed: [Portal] = []
    for portal in portals {
      let parts = portal.split(separator: ":")
      guard parts.count == 2, let host = IPAddress(String(parts[0])), host.version == 4, let port = Int(parts[1]),
        (1...65535).contains(port)
      else { return nil }
      parsed.append(Portal(host: host, port: port))
    }
    self.initiator = initiator
    self.userName = userName
    self.password = password
    self.target = target
    self.portals = parsed
    self.lun = lun
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
