import SwitchDrivers

extension Configuration.Switch {
  var driverConfiguration: SwitchConfiguration {
    var site = SwitchConfiguration(
      name: name, kind: kind, endpoint: endpoint, bridge: bridge ?? "", uplinks: uplinks ?? [], control: control)
    site.physicalNetwork = physical_network
    if let fabric = vtep?.fabric {
      site.leaf = EVPNLeaf(fabric: fabric, address: vtep?.address, autonomousSystem: vtep?.asn)
    } else if let address = vtep?.address {
      site.tunnels = TunnelEndpoint(address: address, peers: vtep?.peers ?? [])
    }
    site.username = username
    site.passwordFile = password_file
    site.keyFile = key_file
    site.secretFile = secret_file
    site.caFile = ca_file
    site.fingerprint = fingerprint
    site.hostKey = host_key
    site.knownHosts = known_hosts
    site.savesChanges = save ?? true
    site.limit = .seconds(min(max(patience ?? 30, 1), 600))
    return site
  }
}
