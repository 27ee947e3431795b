import Domain

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
  /// Addresses for machines that nobody knows; nil has none for them. Of their own, so that a flood of strangers takes no
  /// address from a machine that is admitted.
  public var strangers: AddressRange?
  /// Where machines that boot from volumes ask; nil where none do.
  public var volumeServer: BootServer?
  /// What those machines have, one each; at most ``mostVolumeAddresses``.
  public var volumeAddresses: AddressRange?
  /// Folder of dnsmasq's files: reservations, leases, TFTP root, log.
  public var folder: String

  /// - Throws: ``DnsmasqConfigurationError`` naming the value that cannot be used.
  public init(
    interface: String, namespace: String? = nil, server: BootServer, first: String, last: String, prefix: Int,
    strangers: AddressRange? = nil, volumeServer: BootServer? = nil, volumeAddresses: AddressRange? = nil,
    folder: String
  ) throws {
    func check(_ isGood: Bool, _ what: String) throws {
      if !isGood { throw DnsmasqConfigurationError(description: "provisioning: \(what)") }
    }
    // dnsmasq takes a `*` at the end for any letters, and reads quotes and backslashes everywhere.
    let isName = !interface.isEmpty && interface.utf8.count < 16 && interface.utf8.allSatisfy { Self.isPlain($0) }
    try check(isName && !interface.hasPrefix("-"), "'\(interface)' is not the name of an interface")
    try check((8...30).contains(prefix), "a prefix of \(prefix) is not between 8 and 30")
    for address in [first, last] + [strangers, volumeAddresses].compactMap({ $0 }).flatMap({ [$0.first, $0.last] }) {
      guard let parsed = IPAddress(address), parsed.version == 4, let own = IPAddress(server.address) else {
        throw DnsmasqConfigurationError(description: "provisioning: '\(address)' is not an IPv4 address")
      }
      let host = 32 - prefix
      try check(
        parsed.value >> host == own.value >> host,
        "\(address) is not in the network of the server's address \(own)/\(prefix)")
    }
    if let from = IPAddress(first), let to = IPAddress(last) {
      try check(from <= to, "the range from \(first) to \(last) is empty")
    }
    if let strangers, let from = IPAddress(first), let to = IPAddress(last), let lowest = IPAddress(strangers.first),
      let highest = IPAddress(strangers.last)
    {
      try check(lowest <= highest, "the range from \(strangers.first) to \(strangers.last) is empty")
      try check(to < lowest || highest < from, "the ranges of known and of unknown machines overlap")
    }
    if let volumeAddresses, let lowest = IPAddress(volumeAddresses.first),
      let highest = IPAddress(volumeAddresses.last)
    {
      try check(lowest <= highest, "the range from \(volumeAddresses.first) to \(volumeAddresses.last) is empty")
      try check(
        highest.value - lowest.value < UInt128(Self.mostVolumeAddresses),
        "\(volumeAddresses.first) to \(volumeAddresses.last) are more than \(Self.mostVolumeAddresses) addresses")
    }
    let isPath =
      folder.hasPrefix("/") && folder.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f && !"\"\\#,".utf8.contains($0) }
    try check(isPath, "the folder '\(folder)' is not an absolute path, or has a character that dnsmasq cannot take")
    self.interface = interface
    self.namespace = namespace
    self.server = server
    self.first = first
    self.last = last
    self.prefix = prefix
    self.strangers = strangers
    self.volumeServer = volumeServer
    self.volumeAddresses = volumeAddresses
    self.folder = folder
  }

  /// A letter, a digit, `-`, `.` or `_`.
  private static func isPlain(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
      || byte == 0x2d || byte == 0x2e || byte == 0x5f
  }

  var hostsFolder: String { "\(folder)/hosts" }
  var labelsFolder: String { "\(folder)/labels" }
  var tftpFolder: String { "\(folder)/tftp" }

  private var netmask: String {
    let mask = UInt32.max << UInt32(32 - prefix)
    return [24, 16, 8, 0].map { String(mask >> UInt32($0) & 255) }.joined(separator: ".")
  }

  static let mostVolumeAddresses = 4096

  /// The tag of a machine that has one address alone. dnsmasq never forgets a reservation of an address while it runs and refuses
  /// a second one, so each address is a range of its own, for those who have its tag now.
  static func tag(of address: IPAddress) -> String { "at\(address.value)" }

  private var volumeRanges: String {
    guard let volumeAddresses, let first = IPAddress(volumeAddresses.first), let last = IPAddress(volumeAddresses.last)
    else { return "" }
    return (first.value...last.value).map { value in
      let address = IPAddress(version: 4, value: value)
      return "\ndhcp-range=tag:\(Self.tag(of: address)),\(address),\(address),\(netmask),2m"
    }.joined()
  }

  /// Who is answered, and from which addresses.
  private var ranges: String {
    guard let strangers else {
      return """
        dhcp-range=tag:!volume,\(first),\(last),\(netmask),10m
        # Only machines that a workflow wants in the ramdisk get an answer.
        dhcp-ignore=tag:!admitted
        """
    }
    return """
      dhcp-range=tag:admitted,tag:!volume,\(first),\(last),\(netmask),10m
      # Machines that nobody knows are discovered; those that were sent off get no answer.
      dhcp-range=tag:!admitted,\(strangers.first),\(strangers.last),\(netmask),2m
      """
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
    \(ranges)\(volumeRanges)
    dhcp-hostsdir=\(hostsFolder)
    dhcp-leasefile=\(folder)/leases
    log-dhcp
    log-facility=-
    enable-tftp=\(interface)
    tftp-root=\(tftpFolder)
    dhcp-match=set:ipxe,175
    dhcp-match=set:efi,option:client-arch,7
    dhcp-match=set:efi,option:client-arch,9
    dhcp-match=set:efihttp,option:client-arch,16
    dhcp-boot=tag:ipxe,tag:!volume,\(server.url)/boot/start.ipxe
    dhcp-boot=tag:ipxe,tag:volume,\((volumeServer ?? server).url)/boot/start.ipxe
    dhcp-boot=tag:efihttp,tag:!ipxe,tag:!volume,\(server.url)/boot/snponly.efi
    dhcp-boot=tag:efihttp,tag:!ipxe,tag:volume,\((volumeServer ?? server).url)/boot/snponly.efi
    dhcp-option-force=tag:efihttp,60,HTTPClient
    dhcp-boot=tag:efi,tag:!ipxe,snponly.efi
    dhcp-boot=tag:!ipxe,tag:!efi,tag:!efihttp,undionly.kpxe

    """
  }
}

/// The first and the last of some IPv4 addresses.
public struct AddressRange: Sendable, Equatable {
  public var first: String
  public var last: String
  public init(_ first: String, _ last: String) {
    self.first = first
    self.last = last
  }
}

public struct DnsmasqConfigurationError: Error, Sendable, CustomStringConvertible {
  public let description: String
}
