import APISupport
import Wire

/// The extensions that are spoken here, and no other: clients change their requests by this list.
struct ExtensionRoutes: Sendable {
  private static let spoken: [(alias: String, name: String, description: String)] = [
    ("address-scope", "Address scope", "Subnet pools in which no address is twice."),
    ("agent", "agent", "Agents: none are needed here, so the list is empty."),
    ("allowed-address-pairs", "Allowed Address Pairs", "Addresses that a port may use beside its own."),
    ("availability_zone", "Availability Zone", "Availability zones: none, so the list is empty."),
    ("binding", "Port Binding", "The node that a port is attached to."),
    ("default-subnetpools", "Default Subnetpools", "The pool of subnets that ask for the default."),
    ("enable-default-route-bfd", "Enable BFD for default routes", "Next hops of gateways are watched."),
    ("enable-default-route-ecmp", "Enable ECMP for default routes", "Several gateways are used together."),
    ("expose-port-forwarding-in-fip", "Expose Floating IP port forwardings", "Port forwardings with the floating IP."),
    ("ext-gw-mode", "Neutron L3 Configurable external gateway mode", "Whether a gateway translates addresses."),
    ("external-gateway-multihoming", "External Gateway Multihoming", "Several external gateways of a router."),
    ("external-net", "Neutron external network", "Networks that lead outside."),
    ("extraroute", "Neutron Extra Route", "Routes of routers."),
    ("extraroute-atomic", "Atomically add/remove extra routes", "Adding and removing routes of a router."),
    ("filter-validation", "Filter parameters validation", "An unknown filter is refused."),
    ("fip-port-details", "Floating IP Port Details Extension", "The port that a floating IP leads to."),
    ("floating-ip-port-forwarding", "Floating IP Port Forwarding", "Single ports of a floating IP."),
    ("floating-ip-port-forwarding-description", "Floating IP Port Forwarding description", "Descriptions of them."),
    ("floating-ip-port-forwarding-detail", "Floating IP port forwarding detail", "Their ids with the floating IP."),
    ("floating-ip-port-forwarding-port-ranges", "Floating IP Port Forwarding port ranges", "Runs of ports."),
    ("net-mtu", "Network MTU", "The MTU of a network."),
    ("network-ip-availability", "Network IP Availability", "Used addresses by network."),
    ("network-segment-range", "Neutron Network Segment Range", "The administrator's pools of VLANs."),
    ("pagination", "Pagination support", "limit and marker."),
    ("port-security", "Port Security", "Machines send from their own addresses only."),
    ("port-security-groups-filtering", "Port filtering on security groups", "The ports that have a security group."),
    ("project-id", "project_id field enabled", "project_id beside tenant_id."),
    ("provider", "Provider Network", "The VLAN and physical network of a network."),
    ("quota_details", "Quota details management support", "Quotas with what is used."),
    ("quotas", "Quota management support", "Limits per project."),
    ("rbac-address-scope", "Add address_scope type to RBAC", "Sharing an address scope with chosen projects."),
    ("rbac-policies", "RBAC Policies", "Sharing a network with chosen projects."),
    ("rbac-security-groups", "Add security_group type to network RBAC", "Sharing a group with chosen projects."),
    ("rbac-subnetpool", "Add subnetpool type to RBAC", "Sharing a subnet pool with chosen projects."),
    ("revision-if-match", "If-Match constraints based on revision_number", "Changes only of what was seen."),
    ("router", "Neutron L3 Router", "Routers and floating IPs."),
    ("security-group", "security-group", "What may pass at the ports of machines."),
    (
      "security-groups-normalized-cidr", "Normalized CIDR field for security group rules",
      "The prefix without host bits."
    ),
    (
      "security-groups-rules-belongs-to-default-sg", "Security group rules belongs to the default group",
      "Which rules are of a default group."
    ),
    ("security-groups-shared-filtering", "Security group filtering on the shared field", "Groups that are shared."),
    ("segment", "Segment", "What carries a network: VLANs, and a VNI between sites."),
    ("sorting", "Sorting support", "sort_key and sort_dir."),
    ("standard-attr-description", "standard-attr-description", "Descriptions."),
    ("standard-attr-revisions", "Resource revision numbers", "revision_number counts changes."),
    (
      "standard-attr-tag",
      "Tag support for resources: floatingip, network, port, router, security_group, subnet, subnetpool, trunk", "Tags."
    ),
    ("standard-attr-timestamp", "Resource timestamps", "created_at and updated_at."),
    ("stateful-security-group", "Stateful security group", "Groups that let answers pass, or not."),
    ("subnet_allocation", "Subnet Allocation", "Subnets out of subnet pools."),
    ("subnetpool-prefix-ops", "Subnet Pool Prefix Operations", "Adding and removing prefixes of a subnet pool."),
    ("tag-ports-during-bulk-creation", "Tag Ports During Bulk Creation", "Tags with the request that makes ports."),
    ("trunk", "Trunk Extension", "Further networks of a port, tagged."),
    ("trunk-details", "Trunk port details", "A port shows the trunk whose parent it is."),
  ]
  private static func json(_ item: (alias: String, name: String, description: String)) -> JSON {
    [
      "alias": .string(item.alias), "name": .string(item.name), "description": .string(item.description), "links": [],
      "updated": "2026-11-01T00:00:00-00:00",
    ]
  }
  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/v2.0/extensions", .authenticated, "Lists the extensions") { _ in
        APIResponse(json: ["extensions": .array(Self.spoken.map { Self.json($0) })])
      },
      Endpoint(.get, "/v2.0/extensions/{alias}", .authenticated, "Shows an extension") { request in
        let alias = try request.parameter("alias")
        guard let item = Self.spoken.first(where: { $0.alias == alias }) else {
          throw APIError.notFound("Extension with alias \(alias) does not exist", type: "ExtensionNotFound")
        }
        return APIResponse(json: ["extension": Self.json(item)])
      },
    ]
  }
}
