/// How one vendor's command line joins VLANs to VNIs of an EVPN fabric: texts of numbers and of what the configuration says.
struct VNICommands: Sendable {
  /// Commands that show all VNIs of VLANs, and whether they are in force; and how to read what they print.
  var show: [String]
  var read: @Sendable (_ replies: [String], _ leaf: EVPNLeaf) -> [VNIState]
  /// In configuration mode; the VLAN is there.
  var join: @Sendable (_ vni: Int, _ vlan: Int, _ leaf: EVPNLeaf) -> [String]
  var part: @Sendable (VNIState) -> [String]
}
