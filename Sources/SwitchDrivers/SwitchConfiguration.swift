/// One switch as the administrator's configuration describes it.
public struct SwitchConfiguration: Sendable, Equatable {
  /// What ports' `local_link_connection` calls it (`switch_info`).
  public var name: String
  /// One of ``Switches/kinds``.
  public var kind: String
  /// Where it listens: "unix:/run/openvswitch/db.sock" or "tcp:10.0.0.2:6640" (Open vSwitch's database),
  /// "https://HOST[:PORT]", "netconf://HOST[:PORT]" or "ssh://HOST[:PORT]", by kind.
  public var endpoint: String
  /// Open vSwitch: the bridge with the machines' ports. Others: the bridge domain where the kind has one.
  public var bridge: String
  /// Ports that lead to other switches; never touched and never a machine's.
  public var uplinks: [String]
  /// Path of ovs-vswitchd's control socket, or of OVS's run folder, when it runs on this machine; gives the MAC table.
  public var control: String?
  /// The set of switches on which a VLAN means one thing; nil for the site's first.
  public var physicalNetwork: String?
  /// Open vSwitch: how it reaches the switches of other sites; nil where it does not.
  public var tunnels: TunnelEndpoint?
  /// Others: its place in an EVPN fabric; nil where it has none.
  public var leaf: EVPNLeaf?

  /// Who we are there.
  public var username: String?
  /// A file with the password; read at each visit.
  public var passwordFile: String?
  /// A file with the private key of SSH, in the place of a password.
  public var keyFile: String?
  /// A file with the second password, for privileged commands, where the account needs one.
  public var secretFile: String?
  /// HTTPS: a file with the authorities that sign the switch's certificate; the system's when it is nil.
  public var caFile: String?
  /// HTTPS: "sha256:…" of the one certificate that is taken, in the place of a chain.
  public var fingerprint: String?
  /// SSH: the switch's public key, "ssh-ed25519 AAAA…".
  public var hostKey: String?
  /// SSH: a file of known hosts in the place of `hostKey`.
  public var knownHosts: String?
  /// Whether each change is written to where the switch starts from.
  public var savesChanges = true
  /// How long one answer may take.
  public var limit: Duration = .seconds(30)

  public init(
    name: String, kind: String = "openvswitch", endpoint: String, bridge: String = "", uplinks: [String] = [],
    control: String? = nil
  ) {
    self.name = name
    self.kind = kind
    self.endpoint = endpoint
    self.bridge = bridge
    self.uplinks = uplinks
    self.control = control
  }
}
