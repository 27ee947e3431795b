/// The provisioning network as dnsmasq serves it: DHCP for admitted machines, TFTP for the first program, nothing else.
///
/// Source: dnsmasq 2.90 manual. Every value is typed or checked; a line cannot be broken out of.
public struct DnsmasqConfiguration: Sendable, Equatable {
  /// Interface of the provisioning network.
  public var interface: String
  /// Name of the network namespace that it is in; nil is the server's own.
  public var namespace: String?
  public var server: BootServer
  /// First and last address handed out.
  public var first: String
  public var last: String
  /// Length of the network's prefix, 8 to 30.
  public var prefix: Int
  /// Folder of dnsmasq's files: reservations, leases, TFTP root, log.
  public var folder: String

  /// - Throws: ``DnsmasqConfigurationError`` naming the value that cannot be used.
  public init(
    interface: String, namespace: String? = nil, server: BootServer, first: String, last: String, prefix: Int, folder: String
  ) throws {
    func check(_ isGood: Bool, _ what: String) throws {
      if !isGood { throw DnsmasqConfigurationError(description: "provisioning: \(what)") }
    }
    let isName = !interface.isEmpty && interface.utf8.count < 16 && interface.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != 0x2c && $0 != 0x23 }
    try check(isName, "'\(interface)' is not the name of an interface")
    try check(BootServer(address: first, port: 1) != nil, "'\(first)' is not an IPv4 address")
    try check(BootServer(address: last, port: 1) != nil, "'\(last)' is not an IPv4 address")
    try check((8...30).contains(prefix), "a prefix of \(prefix) is not between 8 and 30")
    try check(!folder.utf8.contains { $0 < 0x20 || $0 == 0x23 || $0 == 0x2c }, "the folder's name has a character that dnsmasq cannot take")
    self.interface = interface
    self.namespace = namespace
    self.server = server
    self.first = first
    self.last = last
    self.prefix = prefix
    self.folder = folder
  }

  var hostsFolder: String { "\(folder)/hosts" }
  var labelsFolder: String { "\(folder)/labels" }
  var tftpFolder: String { "\(folder)/tftp" }

  private var netmask: String {
    let mask = UInt32.max << UInt32(32 - prefix)
    return [24, 16, 8, 0].map { String(mask >> UInt32($0) & 255) }.joined(separator: ".")
  }

  var text: String {
    """
    # Written by steelyard at every start; changes are lost.
    port=0
    interface=\(interface)
    except-interface=lo
    bind-interfaces
    user=root
    no-ping
    dhcp-authoritative
    dhcp-range=\(first),\(last),\(netmask),10m
    # Only machines that a workflow wants in the ramdisk get an answer.
    dhcp-hostsdir=\(hostsFolder)
    dhcp-ignore=tag:!admitted
    dhcp-leasefile=\(folder)/leases
    log-dhcp
    log-facility=-
    enable-tftp=\(interface)
    tftp-root=\(tftpFolder)
    dhcp-match=set:ipxe,175
    dhcp-match=set:efi,option:client-arch,7
    dhcp-match=set:efi,option:client-arch,9
    dhcp-match=set:efihttp,option:client-arch,16
    dhcp-boot=tag:ipxe,\(server.url)/boot/start.ipxe
    dhcp-boot=tag:efihttp,tag:!ipxe,\(server.url)/boot/snponly.efi
    dhcp-option-force=tag:efihttp,60,HTTPClient
    dhcp-boot=tag:efi,tag:!ipxe,snponly.efi
    dhcp-boot=tag:!ipxe,tag:!efi,tag:!efihttp,undionly.kpxe

    """
  }
}

public struct DnsmasqConfigurationError: Error, Sendable, CustomStringConvertible {
  public let description: String
}
