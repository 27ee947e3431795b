# network.sh   sourced by init: network_data.json of a config drive (OpenStack metadata, network data schema) made true
#
# Understands links phy and vlan (by MAC), networks ipv4, ipv4_dhcp, ipv6, routes and DNS servers.

# dhcp INTERFACE: asks in the background for ever, so that an answer that comes late still counts.
dhcp() {
  ip link set "$1" up
  udhcpc -b -i "$1" -t 5 -T 1 -A 3 -S -x "hostname:$(hostname)" -s /etc/udhcpc.sh >/dev/null 2>&1 &
}
mac_interface() {
  for path in /sys/class/net/*; do
    [ "$(cat "$path/address")" = "$1" ] && [ ! -e "$path/../../virtual" ] && echo "${path##*/}" && return
  done
}
# of FILE PATH: the value of one path
of() { sed -n "s/^$(echo "$2" | sed 's/\./\\./g')=//p" "$1" | head -1; }

# interface_of_link FILE LINK-ID: the interface of a link, made first when it is a VLAN
interface_of_link() {
  local index mac parent vlan interface
  index=$(sed -n "s/^links\.\([0-9]*\)\.id=$2\$/\1/p" "$1" | head -1)
  [ -n "$index" ] || return
  if [ "$(of "$1" "links.$index.type")" = vlan ]; then
    parent=$(interface_of_link "$1" "$(of "$1" "links.$index.vlan_link")")
    vlan=$(of "$1" "links.$index.vlan_id"); [ -n "$parent" ] && [ -n "$vlan" ] || return
    interface=$parent.$vlan
    [ -e "/sys/class/net/$interface" ] || { ip link set "$parent" up; ip link add link "$parent" name "$interface" type vlan id "$vlan"; }
  else
    mac=$(of "$1" "links.$index.ethernet_mac_address" | tr A-F a-f)
    interface=$(mac_interface "$mac")
  fi
  mtu=$(of "$1" "links.$index.mtu")
  [ -n "$interface" ] && [ -n "$mtu" ] && [ "$mtu" != null ] && ip link set "$interface" mtu "$mtu"
  echo "$interface"
}

apply_network_data() {
  local number interface address mask route destination
  for number in $(sed -n 's/^links\.\([0-9]*\)\.id=.*/\1/p' "$1"); do
    interface=$(interface_of_link "$1" "$(of "$1" "links.$number.id")")
    [ -n "$interface" ] && ip link set "$interface" up
  done
  for number in $(sed -n 's/^networks\.\([0-9]*\)\.type=.*/\1/p' "$1"); do
    interface=$(interface_of_link "$1" "$(of "$1" "networks.$number.link")")
    [ -n "$interface" ] || { say "LAB-ERROR network $number: no interface for its link"; continue; }
    case $(of "$1" "networks.$number.type") in
      ipv4_dhcp) dhcp "$interface" ;;
      ipv4 | ipv6)
        address=$(of "$1" "networks.$number.ip_address")
        mask=$(of "$1" "networks.$number.netmask")
        case $address in */*) ;; *) [ -n "$mask" ] && address=$address/$mask ;; esac
        ip link set "$interface" up; ip addr add "$address" dev "$interface"
        for route in $(sed -n "s/^networks\.$number\.routes\.\([0-9]*\)\.gateway=.*/\1/p" "$1"); do
          destination=$(of "$1" "networks.$number.routes.$route.network")/$(of "$1" "networks.$number.routes.$route.netmask")
          case $destination in 0.0.0.0/* | ::/*) destination=default ;; esac
          ip route add "$destination" via "$(of "$1" "networks.$number.routes.$route.gateway")" dev "$interface"
        done
        say "LAB-NET $interface ${address%%/*}" ;;
    esac
  done
  sed -n 's/^.*services\.[0-9]*\.address=/nameserver /p' "$1" | sort -u >/etc/resolv.conf
}
